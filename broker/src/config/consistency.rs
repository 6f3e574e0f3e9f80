//! What no key can check alone. A message, request or answer that one part of the broker accepts has to get through the next: settings
//! by which it never can are contradictions, and refused. Where it only may not, for somebody who is away or slow, the operator is
//! warned and may have meant it.

use std::net::SocketAddr;

use super::error::ConfigError;
use super::settings::Config;

/// Which part of `limits.memory_bytes` the largest request and the largest page of the history may take: what unfinished bodies
/// have together, and what answers have.
const SHARE_OF_MEMORY: u64 = 8;

impl Config {
    /// Gives an error for each thing that would make the broker open to everybody
    /// without having been told so, and for settings that contradict each other.
    pub fn validate(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if self.server.listen.is_empty() {
            errors.push(ConfigError::NoAddress);
        }
        if let Some(address) = self.unprotected_address() {
            errors.push(ConfigError::PublicWithoutAuthentication { address });
        }
        if self.poll.timeout > self.poll.max_timeout {
            errors.push(at_most("poll.timeout_ms", "poll.max_timeout_ms"));
        }
        if self.hook.is_configured() == self.hook.secret_file.is_none() {
            errors.push(ConfigError::Contradiction {
                key: "auth.hook.secret_file",
                relation: "set together with",
                other: "auth.hook.url",
            });
        }
        errors.extend(self.contradicting_sizes());
        errors.extend(self.unusable_api_keys());
        errors.extend(self.engines.errors());
        errors.extend(self.missing_engines());
        let names = self.namespaces.all().map(|(name, _)| name);
        let never = names.filter(|name| name.contains(':'));
        errors.extend(never.map(|name| ConfigError::NamespaceWithColon(name.to_owned())));
        errors
    }

    /// The namespaces whose engine is not configured.
    fn missing_engines(&self) -> impl Iterator<Item = ConfigError> {
        let missing = self.namespaces.all().filter(|(_, rules)| {
            let name = rules.engine.as_str();
            self.engines.get(name).is_none()
        });
        missing.map(|(namespace, rules)| ConfigError::NoSuchEngine {
            namespace: namespace.to_owned(),
            engine: rules.engine.as_str().to_owned(),
        })
    }

    /// Sizes with which something that is accepted can never get through.
    fn contradicting_sizes(&self) -> Vec<ConfigError> {
        let limits = &self.limits;
        let mut errors = Vec::new();
        if limits.request_bytes > limits.unfinished_bytes {
            errors.push(at_most("limits.request_bytes", "limits.unfinished_bytes"));
        }
        if limits.message_bytes > limits.request_bytes {
            errors.push(at_most("limits.message_bytes", "limits.request_bytes"));
        }
        let memory = limits.memory_bytes.get();
        let too_large = [
            ("limits.request_bytes", limits.request_bytes),
            ("limits.bytes_per_history", limits.bytes_per_history),
        ];
        for (other, bytes) in too_large {
            if memory != 0 && bytes.get() > memory / SHARE_OF_MEMORY {
                errors.push(ConfigError::Contradiction {
                    key: "limits.memory_bytes",
                    relation: "0 or at least eight times",
                    other,
                });
            }
        }
        errors
    }

    fn unusable_api_keys(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for (number, key) in self.api_keys.iter().enumerate() {
            let name = key.name.as_str();
            let before = &self.api_keys[..number];
            let lacks = if name.is_empty() {
                "has no name"
            } else if !key.hash.is_set() {
                "has no hash: `widecast key` makes a key and its hash"
            } else if before.iter().any(|other| other.name == key.name) {
                "has the name of another: two keys of one backend have names of their own"
            } else if before.iter().any(|other| other.hash == key.hash) {
                "has the hash of another: each backend has a key of its own"
            } else {
                continue;
            };
            errors.push(ConfigError::UnusableApiKey {
                number: number + 1,
                name: name.to_owned(),
                lacks,
            });
        }
        errors
    }

    /// What the settings allow and an operator may not want: messages that are accepted and cannot be kept for those who are away or
    /// slow.
    pub fn warnings(&self) -> Vec<String> {
        let largest = self.limits.message_bytes;
        let total = self.history.total_bytes;
        let mut warnings = Vec::new();
        let mut warn = |key: &str, loss: &str| {
            warnings.push(format!("{key} is less than limits.message_bytes: {loss}"));
        };
        let gap = "a subscriber that is away when a larger message comes is told of a gap";
        if total.get() > 0 && total < largest {
            warn("history.total_bytes", gap);
        }
        let mut history_has_room = total >= largest;
        for (name, rules) in self.namespaces.all() {
            let has_room = rules.keeps_history() && rules.history_bytes >= largest;
            history_has_room &= has_room;
            if rules.keeps_history() && !has_room {
                warn(&format!("namespace.{name}.history_bytes"), gap);
            }
        }
        // What does not fit the outbox is read from the history.
        if !history_has_room && self.outbox.bytes < largest {
            let loss = "without room in the history either, a larger message is lost to a subscriber that is behind";
            warn("outbox.bytes", loss);
        }
        warnings
    }

    fn unprotected_address(&self) -> Option<SocketAddr> {
        if self.server.allow_public_without_authentication || self.has_authentication() {
            return None;
        }
        self.server.public_address()
    }
}

fn at_most(key: &'static str, other: &'static str) -> ConfigError {
    ConfigError::Contradiction {
        key,
        relation: "at most",
        other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_no_channel_can_have_is_refused() {
        let layers = crate::config::Layers::new();
        let loaded = layers.set("namespace.user:vip.private=true").load();
        let told = loaded.unwrap_err().to_string();
        assert!(told.contains("user:vip"), "{told}");
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::default().validate().is_empty());
    }
}
