//! `widecast config check` and `widecast config show`.

use std::ffi::OsString;
use std::io::{self, Write};

use super::arguments::{ConfigCommand, ServeArguments};
use super::error::CliError;
use super::token::explain;
use crate::app;
use crate::config::{Config, Loaded, ReferenceEntry};

/// How wide the comments of `config show` are.
const WIDTH: usize = 96;

/// Checks or shows the settings.
///
/// # Errors
/// When they cannot be used, or the output cannot be written.
pub fn run_config_command(
    command: &ConfigCommand,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    output: &mut dyn Write,
) -> Result<(), CliError> {
    let written = match command {
        ConfigCommand::Check(arguments) => {
            let loaded = arguments.load(variables)?;
            app::check(&loaded.config)?;
            check(arguments, &loaded.config, output)
        }
        ConfigCommand::Explain(arguments) => return explain(arguments, variables, output),
        ConfigCommand::Show(arguments) => show(&arguments.load(variables)?, output),
    };
    written.map_err(CliError::Output)
}

fn check(arguments: &ServeArguments, config: &Config, output: &mut dyn Write) -> io::Result<()> {
    match arguments.file() {
        Some(path) => writeln!(output, "the settings can be used; file: {}", path.display())?,
        None => writeln!(output, "the settings can be used; no file")?,
    }
    for warning in config.warnings() {
        writeln!(output, "warning: {warning}")?;
    }
    output.flush()
}

/// Writes a TOML file that sets every key to the value it has.
fn show(loaded: &Loaded, output: &mut dyn Write) -> io::Result<()> {
    let mut current = String::new();
    for entry in loaded.entries() {
        let Some((section, key)) = entry.key.rsplit_once('.') else {
            continue;
        };
        if section != current {
            let gap = if current.is_empty() { "" } else { "\n" };
            writeln!(output, "{gap}{}", section_header(section))?;
            section.clone_into(&mut current);
        }
        for line in comment(&entry) {
            writeln!(output, "# {line}")?;
        }
        writeln!(output, "{key} = {}", entry.value)?;
    }
    output.flush()
}

/// The head of a section as TOML wants it: API keys are a list of tables, and the name of a namespace may need quotes.
fn section_header(section: &str) -> String {
    if section.starts_with("auth.api_key.") {
        return "[[auth.api_key]]".to_owned();
    }
    match section.split_once('.') {
        Some((table, name)) if !is_bare(name) => format!("[{table}.{}]", serde_json::json!(name)),
        _ => format!("[{section}]"),
    }
}

fn is_bare(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn comment(entry: &ReferenceEntry) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in entry.meaning.split_whitespace() {
        let last = lines.last().map_or(0, String::len);
        if last > 0 && last + 1 + word.len() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.push(format!(
        "Default: {} · from: {}",
        entry.default, entry.source
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyHash, Layers};
    use std::fs;

    fn shown(loaded: &Loaded) -> String {
        let mut output = Vec::new();
        show(loaded, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn the_shown_settings_are_a_file_with_the_same_settings() {
        let directory = tempfile::tempdir().unwrap();
        let keys = directory.path().join("keys.toml");
        let key = |name: &str, rest: &str| {
            let hash = KeyHash::of(name);
            format!("[[auth.api_key]]\nname = \"{name}\"\nhash = \"{hash}\"\n{rest}\n")
        };
        let one = key(
            "one",
            "allow = { \"a:*\" = [\"publish\"] }\noperator = true",
        );
        let other = key(
            "other",
            "addresses = [\"10.0.0.0/8\"]\nallow = { \"*\" = [\"*\"] }",
        );
        fs::write(&keys, one + &other).unwrap();
        let layers = Layers::new().file(&keys).set("namespace.a b.c.jsonp=true");
        let loaded = layers.set("limits.message_bytes=17").load().unwrap();
        assert_eq!(loaded.config.api_keys.len(), 2);
        let path = directory.path().join("shown.toml");
        fs::write(&path, shown(&loaded)).unwrap();
        let again = Layers::new().file(&path).load().unwrap();
        assert_eq!(again.config, loaded.config);
    }

    #[test]
    fn each_key_has_its_meaning_default_and_origin() {
        let layers = Layers::new().set("heartbeat.timeout_ms=17");
        let text = shown(&layers.load().unwrap());
        let start = text.find("[heartbeat]").unwrap();
        let end = text.find("[poll]").unwrap();
        insta::assert_snapshot!(&text[start..end], @"
        [heartbeat]
        # How often the broker sends each session a heartbeat: a ping, a comment or an empty line. Pings
        # come no more often than `timeout_ms` allows for the answer.
        # Default: 25000 · from: default
        interval_ms = 25000
        # How long a client may leave a ping unanswered, or receive none of the bytes that wait for it,
        # before its connection is dropped.
        # Default: 10000 · from: --set
        timeout_ms = 17
        ");
    }
}
