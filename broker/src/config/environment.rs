//! Environment variables: `server.listen` is `WIDECAST_SERVER_LISTEN`, `namespace.chat.jsonp` is
//! `WIDECAST_NAMESPACE_CHAT_JSONP`. A variable is compared with the names of the known keys, so that the underscores in
//! them mean nothing; a test keeps the names apart.

use std::ffi::{OsStr, OsString};

use super::error::ConfigError;
use super::load::Assignment;
use super::reference::{engine_key_names, key_names, nearest, rule_names};
use super::source::SettingSource;
use super::value::Given;

const PREFIX: &str = "WIDECAST_";
/// Variables that the command line reads itself.
const ARGUMENTS: [&str; 4] = [
    "WIDECAST_CONFIG",
    "WIDECAST_URL",
    "WIDECAST_TOKEN",
    "WIDECAST_TOKEN_FILE",
];

/// Variables that Kubernetes puts into every container beside a service that is named `widecast`
/// ([Kubernetes, "Discovering services"](https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)).
fn is_service_link(name: &str) -> bool {
    name == "WIDECAST_PORT"
        || name.starts_with("WIDECAST_PORT_")
        || name.starts_with("WIDECAST_SERVICE_")
}

/// The variable for a key.
pub(super) fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// The setting that a variable of the environment gives, if it is for the broker's settings at all.
///
/// # Errors
/// When its name begins with `WIDECAST_` and is no setting, or its value is not UTF-8.
pub(super) fn read(name: &OsStr, value: OsString) -> Result<Option<Assignment>, ConfigError> {
    let name = name.to_string_lossy().into_owned();
    let is_setting =
        name.starts_with(PREFIX) && !ARGUMENTS.contains(&name.as_str()) && !is_service_link(&name);
    if !is_setting {
        return Ok(None);
    }
    let Some(path) = path(&name) else {
        let nearest = nearest_variable(&name);
        return Err(ConfigError::UnknownVariable { name, nearest });
    };
    let Ok(value) = value.into_string() else {
        return Err(ConfigError::VariableNotText { name });
    };
    let at = SettingSource::Variable(name);
    Ok(Some(Assignment::new(path, Given::Word(value), at)))
}

/// The known variable that is most like this one. It may lack the section: `WIDECAST_LISTEN` is like
/// `WIDECAST_SERVER_LISTEN`.
fn nearest_variable(name: &str) -> Option<String> {
    let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let arguments = ARGUMENTS.map(|name| name.to_ascii_lowercase().replace("widecast_", ""));
    let nearest = nearest(&key, key_names().into_iter().chain(arguments))?;
    Some(variable_name(&nearest))
}

/// The path of the setting that a variable means.
fn path(name: &str) -> Option<Vec<String>> {
    for (table, keys) in [("namespace", rule_names()), ("engine", engine_key_names())] {
        let prefix = variable_name(&format!("{table}."));
        if let Some(rest) = name.strip_prefix(&prefix) {
            return keys.into_iter().find_map(|key| {
                let section = rest.strip_suffix(&key.to_ascii_uppercase())?;
                let section = section.strip_suffix('_').filter(|name| !name.is_empty())?;
                let section = section.to_ascii_lowercase();
                Some(vec![table.to_owned(), section, key.to_owned()])
            });
        }
    }
    let key = key_names()
        .into_iter()
        .find(|key| variable_name(key) == name)?;
    Some(key.split('.').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn read_one(name: &str, value: &str) -> Result<Option<Assignment>, ConfigError> {
        read(OsStr::new(name), value.into())
    }

    #[test]
    fn no_two_keys_have_the_same_variable() {
        let names: Vec<String> = key_names().iter().map(|key| variable_name(key)).collect();
        let different: BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(!names.iter().any(|name| is_service_link(name)));
        for names in [rule_names(), engine_key_names()] {
            for (one, other) in names
                .iter()
                .flat_map(|one| names.iter().map(move |other| (one, other)))
            {
                assert!(!other.ends_with(&format!("_{one}")), "{one} and {other}");
            }
        }
    }

    #[test]
    fn a_namespace_variable_names_its_namespace_in_lower_case() {
        let found = read_one("WIDECAST_NAMESPACE_BIG_CHAT_HISTORY_AGE_MS", "1").unwrap();
        assert_eq!(
            found.unwrap().path,
            ["namespace", "big_chat", "history_age_ms"]
        );
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest_name() {
        let refusal = |name| read_one(name, "").unwrap_err();
        insta::assert_snapshot!(refusal("WIDECAST_SERVER_LISEN"), @"unknown environment variable WIDECAST_SERVER_LISEN (did you mean WIDECAST_SERVER_LISTEN?); those that begin with WIDECAST_ are settings");
        insta::assert_snapshot!(refusal("WIDECAST_LISTEN"), @"unknown environment variable WIDECAST_LISTEN (did you mean WIDECAST_SERVER_LISTEN?); those that begin with WIDECAST_ are settings");
        insta::assert_snapshot!(refusal("WIDECAST_ALLOWED_ORIGINS"), @"unknown environment variable WIDECAST_ALLOWED_ORIGINS (did you mean WIDECAST_SERVER_ALLOWED_ORIGINS?); those that begin with WIDECAST_ are settings");
        insta::assert_snapshot!(refusal("WIDECAST_MESSAGE_BYTES"), @"unknown environment variable WIDECAST_MESSAGE_BYTES (did you mean WIDECAST_LIMITS_MESSAGE_BYTES?); those that begin with WIDECAST_ are settings");
        insta::assert_snapshot!(refusal("WIDECAST_ADDRESS_URL"), @"unknown environment variable WIDECAST_ADDRESS_URL; those that begin with WIDECAST_ are settings");
    }

    #[test]
    fn other_variables_are_left_alone() {
        let others = [
            ("PATH", "/bin"),
            ("WIDECAST_CONFIG", "x.toml"),
            ("WIDECAST_TOKEN", "a.b.c"),
            ("WIDECAST_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("WIDECAST_SERVICE_HOST", "10.0.0.1"),
        ];
        for (name, value) in others {
            assert!(read_one(name, value).unwrap().is_none(), "{name}");
        }
    }
}
