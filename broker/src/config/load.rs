//! Puts the layers together: defaults, file, environment variables, flags; the later one wins, key by key.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::auth::ApiKeySettings;
use super::error::{ConfigError, ConfigErrors};
use super::hidden_secrets::without_secrets;
use super::namespace::NamespaceSettings;
use super::reference::{
    self, ReferenceEntry, api_key_names, engine_key_names, key_names, nearest, rule_names,
};
use super::section::Section;
use super::settings::Config;
use super::source::SettingSource;
use super::value::{Expected, Given};
use super::{environment, file};

/// One key with a value, as a layer gave it; or a section without any key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assignment {
    pub(super) path: Vec<String>,
    given: Option<Given>,
    at: SettingSource,
}

impl Assignment {
    /// A key with a value.
    pub(super) fn new(path: Vec<String>, given: Given, at: SettingSource) -> Self {
        let given = Some(given);
        Self { path, given, at }
    }

    /// A section without any key.
    pub(super) fn section(path: Vec<String>, at: SettingSource) -> Self {
        let given = None;
        Self { path, given, at }
    }

    fn key(&self) -> String {
        self.path.join(".")
    }

    /// The namespace that takes what it does not set itself from the default one.
    fn named_namespace(&self) -> Option<&str> {
        match self.path.as_slice() {
            [table, name, ..] if table == "namespace" && name != NamespaceSettings::DEFAULT => {
                Some(name)
            }
            _ => None,
        }
    }
}

/// What was given beside the defaults, and what is wrong with it so far: everything is told at the end, together.
#[derive(Debug, Default)]
pub struct Layers {
    file: Vec<Assignment>,
    variables: Vec<Assignment>,
    flags: Vec<Assignment>,
    errors: Vec<ConfigError>,
}

impl Layers {
    /// Nothing but the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the settings of a TOML file.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        match file::read(path) {
            Ok(assignments) => self.file.extend(assignments),
            Err(error) => self.errors.push(error),
        }
        self
    }

    /// Adds the settings among environment variables.
    #[must_use]
    pub fn variables(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        for (name, value) in variables {
            match environment::read(&name, value) {
                Ok(assignment) => self.variables.extend(assignment),
                Err(error) => self.errors.push(error),
            }
        }
        self
    }

    /// Adds what the flag of this name says about a key.
    #[must_use]
    pub fn flag(mut self, flag: &'static str, key: &str, value: &str) -> Self {
        let given = Given::Word(value.to_owned());
        let at = SettingSource::Flag(flag);
        self.flags.push(Assignment::new(path_of(key), given, at));
        self
    }

    /// Adds `KEY=VALUE`.
    #[must_use]
    pub fn set(mut self, assignment: &str) -> Self {
        if let Some((key, value)) = assignment.split_once('=') {
            return self.flag("--set", key.trim(), value.trim());
        }
        let given = without_secrets(assignment);
        self.errors.push(ConfigError::NoAssignment { given });
        self
    }

    /// Puts the layers together and checks the whole.
    ///
    /// # Errors
    /// When a layer could not be read, a key is unknown, a value is wrong, or settings contradict each other: all that
    /// is wrong at once.
    pub fn load(self) -> Result<Loaded, ConfigErrors> {
        let mut errors = self.errors;
        let mut loaded = Loaded {
            config: Config::default(),
            sources: BTreeMap::new(),
        };
        let all = self
            .file
            .into_iter()
            .chain(self.variables)
            .chain(self.flags);
        // A namespace begins as a copy of the default one, so that has to be complete first.
        let (named, others): (Vec<_>, Vec<_>) =
            all.partition(|assignment| assignment.named_namespace().is_some());
        for assignment in others.iter().chain(&named) {
            errors.extend(loaded.apply(assignment).err());
        }
        let contradictions = loaded.config.validate().into_iter();
        // A setting that could not be read has its default, of which nobody needs to hear.
        let contradictions = contradictions.filter(|found| !found.follows_from(&errors));
        let contradictions: Vec<_> = contradictions.collect();
        errors.extend(contradictions);
        ConfigErrors::none_of(errors).map(|()| loaded)
    }
}

/// Splits the dotted name of a key. The name of a namespace may have dots itself.
fn path_of(key: &str) -> Vec<String> {
    let parts: Vec<&str> = key.split('.').collect();
    match parts.as_slice() {
        ["namespace", name @ .., rule] if !name.is_empty() => {
            vec!["namespace".to_owned(), name.join("."), (*rule).to_owned()]
        }
        _ => parts.into_iter().map(str::to_owned).collect(),
    }
}

/// The settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    sources: BTreeMap<String, SettingSource>,
}

impl Loaded {
    /// Every setting with its value, default, origin and meaning.
    pub fn entries(&self) -> Vec<ReferenceEntry> {
        let mut entries = reference::entries(&self.config);
        for entry in &mut entries {
            entry.source = self.source(&entry.key);
        }
        entries
    }

    fn source(&self, key: &str) -> SettingSource {
        if let Some(source) = self.sources.get(key) {
            return source.clone();
        }
        let rule = key
            .strip_prefix("namespace.")
            .and_then(|_| key.rsplit('.').next());
        let inherited = rule.is_some_and(|rule| {
            let key = format!("namespace.{}.{rule}", NamespaceSettings::DEFAULT);
            self.sources.contains_key(&key)
        });
        if inherited {
            SettingSource::DefaultNamespace
        } else {
            SettingSource::Default
        }
    }

    fn apply(&mut self, assignment: &Assignment) -> Result<(), ConfigError> {
        let path: Vec<&str> = assignment.path.iter().map(String::as_str).collect();
        let known = match path.as_slice() {
            ["namespace", name] if assignment.given.is_none() => {
                self.config.namespaces.entry(name);
                true
            }
            ["engine", name] if assignment.given.is_none() => {
                self.config.engines.entry(name);
                true
            }
            ["namespace" | "engine"] | ["namespace" | "engine", _] => whole_section(assignment)?,
            ["auth", "api_key"] => no_keys(assignment)?,
            ["auth", "api_key", number] if assignment.given.is_none() => {
                self.api_key(number).is_some()
            }
            ["auth", "api_key", key] if api_key_names().contains(key) => {
                return Err(no_list_of_keys(assignment));
            }
            ["engine", name, key] => assign(self.config.engines.entry(name), key, assignment)?,
            ["namespace", name, rule] => {
                assign(self.config.namespaces.entry(name), rule, assignment)?
            }
            ["auth", "api_key", number, key] => match self.api_key(number) {
                Some(api_key) => assign(api_key, key, assignment)?,
                None => false,
            },
            _ => self.assign_once(assignment)?,
        };
        if !known {
            return Err(unknown(assignment));
        }
        if assignment.given.is_some() {
            let at = assignment.at.clone();
            self.sources.insert(assignment.key(), at);
        }
        Ok(())
    }
}

impl Loaded {
    /// Takes the value for a key of a section that is there once; false when there is no such key.
    fn assign_once(&mut self, assignment: &Assignment) -> Result<bool, ConfigError> {
        let path = assignment.key();
        // The name of one section may look like a key of another: `auth.jwt`.
        if self.config.sections().iter().any(|(name, _)| *name == path) {
            return whole_section(assignment);
        }
        let mut sections = self.config.sections().into_iter();
        let Some((parent, key)) = path.rsplit_once('.') else {
            return Ok(false);
        };
        match sections.find(|(name, _)| *name == parent) {
            Some((_, section)) => assign(section, key, assignment),
            None => Ok(false),
        }
    }

    /// The API key of this number, which is the next one or there already.
    fn api_key(&mut self, number: &str) -> Option<&mut ApiKeySettings> {
        let number: usize = number.parse().ok()?;
        let keys = &mut self.config.api_keys;
        if number == keys.len() {
            keys.push(ApiKeySettings::default());
        }
        keys.get_mut(number)
    }
}

/// Takes the value for a key of a section; false when there is no such key.
fn assign(
    section: &mut dyn Section,
    key: &str,
    assignment: &Assignment,
) -> Result<bool, ConfigError> {
    let mut entries = section.entries().into_iter();
    let Some(entry) = entries.find(|entry| entry.spec.name == key) else {
        return Ok(false);
    };
    let Some(given) = &assignment.given else {
        let empty = Given::Other("{}".to_owned());
        let at_default = Expected(format!("a value such as {}", entry.value.shown()));
        return Err(wrong_value(assignment, &empty, at_default));
    };
    let assigned = entry.value.assign(given, &entry.spec.within);
    assigned.map_err(|expected| wrong_value(assignment, given, expected))?;
    Ok(true)
}

/// Accepts a section that is a table, and nothing else in its place.
fn whole_section(assignment: &Assignment) -> Result<bool, ConfigError> {
    match &assignment.given {
        None => Ok(true),
        Some(given) => {
            let key = assignment.key();
            let expected = Expected(format!("a section with keys: [{key}]"));
            Err(wrong_value(assignment, given, expected))
        }
    }
}

/// Accepts a list of API keys without any; the tables of one that has some are assigned key by key.
fn no_keys(assignment: &Assignment) -> Result<bool, ConfigError> {
    match &assignment.given {
        Some(Given::List(keys)) if keys.is_empty() => Ok(true),
        _ => Err(no_list_of_keys(assignment)),
    }
}

fn no_list_of_keys(assignment: &Assignment) -> ConfigError {
    let empty = || Given::Other("{}".to_owned());
    let given = assignment.given.clone().unwrap_or_else(empty);
    let expected = "a list of tables, one for each key: [[auth.api_key]]";
    wrong_value(assignment, &given, Expected(expected.to_owned()))
}

fn wrong_value(assignment: &Assignment, given: &Given, expected: Expected) -> ConfigError {
    ConfigError::WrongValue {
        key: assignment.key(),
        value: given.to_string(),
        at: assignment.at.clone(),
        expected: expected.0,
    }
}

fn unknown(assignment: &Assignment) -> ConfigError {
    let key = assignment.key();
    let mut known = key_names();
    if let Some(name) = assignment.named_namespace() {
        let rules = rule_names().into_iter();
        known.extend(rules.map(|rule| format!("namespace.{name}.{rule}")));
    }
    let path: Vec<&str> = assignment.path.iter().map(String::as_str).collect();
    match path[..] {
        ["engine", name, ..] => {
            let keys = engine_key_names().into_iter();
            known.extend(keys.map(|key| format!("engine.{name}.{key}")));
        }
        // Each table of a list has a number in its path.
        [.., number, _] if number.parse::<usize>().is_ok() => {
            let keys = api_key_names().into_iter();
            known.extend(keys.map(|key| format!("auth.api_key.{number}.{key}")));
        }
        _ => known.push("auth.api_key".to_owned()),
    }
    ConfigError::UnknownKey {
        nearest: nearest(&key, known),
        at: assignment.at.clone(),
        key,
    }
}
