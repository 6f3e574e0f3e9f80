//! The list of all keys: for `widecast config show`, `docs/configuration.md`, and the nearest known name.

use super::auth::ApiKeySettings;
use super::engine::{EngineSections, EngineSettings};
use super::environment::variable_name;
use super::namespace::{NamespaceRules, NamespaceSettings};
use super::section::Section;
use super::settings::Config;
use super::source::SettingSource;

/// One setting as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceEntry {
    /// The name, section included.
    pub key: String,
    /// The value, as TOML.
    pub value: String,
    /// The value without any configuration, as TOML.
    pub default: String,
    /// Where the value came from.
    pub source: SettingSource,
    /// What it means.
    pub meaning: String,
}

/// Lists a section: its keys with their values.
fn list(prefix: &str, section: &mut dyn Section, default: &mut dyn Section) -> Vec<ReferenceEntry> {
    let pairs = section.entries().into_iter().zip(default.entries());
    let entries = pairs.map(|(entry, default)| ReferenceEntry {
        key: format!("{prefix}.{}", entry.spec.name),
        value: entry.value.shown(),
        default: default.value.shown(),
        source: SettingSource::Default,
        meaning: entry.spec.meaning(),
    });
    entries.collect()
}

/// Lists every setting with its value, as if nobody had set it.
pub(super) fn entries(config: &Config) -> Vec<ReferenceEntry> {
    let (mut config, mut default) = (config.clone(), Config::default());
    let sections = config.sections().into_iter().zip(default.sections());
    let mut found: Vec<ReferenceEntry> = sections
        .flat_map(|((name, section), (_, default))| list(name, section, default))
        .collect();
    for (number, key) in config.api_keys.iter_mut().enumerate() {
        let mut default = ApiKeySettings::default();
        found.extend(list(&format!("auth.api_key.{number}"), key, &mut default));
    }
    let EngineSections { default, named } = &mut config.engines;
    let engines = std::iter::once((EngineSections::DEFAULT, default));
    let named = named.iter_mut();
    for (name, engine) in engines.chain(named.map(|(name, engine)| (name.as_str(), engine))) {
        let mut default = EngineSettings::default();
        found.extend(list(&format!("engine.{name}"), engine, &mut default));
    }
    let mut default = NamespaceRules::default();
    let NamespaceSettings {
        default: all,
        named,
    } = &mut config.namespaces;
    let prefix = format!("namespace.{}", NamespaceSettings::DEFAULT);
    found.extend(list(&prefix, all, &mut default));
    for (name, rules) in named {
        found.extend(list(&format!("namespace.{name}"), rules, &mut default));
    }
    found
}

/// The names of all keys; those of namespaces for the default one.
pub(super) fn key_names() -> Vec<String> {
    let entries = entries(&Config::default());
    entries.into_iter().map(|entry| entry.key).collect()
}

/// The names of the keys that each namespace has.
pub(super) fn rule_names() -> Vec<&'static str> {
    names_in(&mut NamespaceRules::default())
}

/// The names of the keys that each API key has.
pub(super) fn api_key_names() -> Vec<&'static str> {
    names_in(&mut ApiKeySettings::default())
}

/// The names of the keys that each engine has.
pub(super) fn engine_key_names() -> Vec<&'static str> {
    names_in(&mut EngineSettings::default())
}

fn names_in(section: &mut dyn Section) -> Vec<&'static str> {
    let entries = section.entries();
    entries.iter().map(|entry| entry.spec.name).collect()
}

/// The known name that is most like `name`, if any is like it: as a whole, or in its last part. Of several that are alike in their
/// last part, it is the one that is most like it as a whole.
pub(super) fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |candidate: &String| {
        let whole = strsim::normalized_damerau_levenshtein(name, candidate);
        let part = strsim::normalized_damerau_levenshtein(&last(name), &last(candidate));
        (whole.max(part * 0.95), whole)
    };
    let rated = known.into_iter().map(|name| (likeness(&name), name));
    let best = rated.max_by(|((one, one_whole), _), ((other, other_whole), _)| {
        one.total_cmp(other).then(one_whole.total_cmp(other_whole))
    });
    let ((likeness, _), name) = best?;
    (likeness > 0.6).then_some(name)
}

/// The reference of all settings in Markdown, as it stands in `docs/configuration.md`.
pub fn reference() -> String {
    let mut config = Config::default();
    let mut text = String::new();
    for (name, section) in config.sections() {
        text.push_str(&table(name, section));
    }
    let mut api_key = ApiKeySettings::default();
    text.push_str(&table("[auth.api_key]", &mut api_key));
    text.push_str(&table("engine.NAME", &mut EngineSettings::default()));
    let mut rules = NamespaceRules::default();
    text.push_str(&table("namespace.NAME", &mut rules));
    text
}

fn table(name: &str, section: &mut dyn Section) -> String {
    let mut rows = Vec::new();
    let about = section.about();
    for entry in section.entries() {
        let (spec, default) = (entry.spec, entry.value.shown());
        let variable = variable_of(name, spec.name);
        let within = spec.within.as_ref().map_or_else(String::new, |within| {
            format!(
                " {} to {}.",
                grouped(*within.start()),
                grouped(*within.end())
            )
        });
        let meaning = spec.meaning().replace('|', "\\|");
        let row = format!(
            "| `{}` | `{default}` | {meaning}{within} | {variable} |\n",
            spec.name
        );
        rows.push(row);
    }
    format!(
        "### `[{name}]`\n\n{about}\n\n| key | default | meaning | variable |\n| --- | --- | --- | --- |\n{}\n",
        rows.concat()
    )
}

/// A number with `_` between groups of three digits, as TOML allows.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// The variable for a key as it stands in the table. A section that may be there several times has none.
fn variable_of(section: &str, key: &str) -> String {
    if section.starts_with('[') {
        return "–".to_owned();
    }
    format!("`{}`", variable_name(&format!("{section}.{key}")))
}
