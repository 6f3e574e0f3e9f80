//! What is wrong with the settings by themselves.

use super::error::RedisStartError;
use super::settings::RedisSettings;
use super::several_servers::twice;
use super::topology::{Topology, password};

impl RedisSettings {
    /// All that is wrong with the settings and can be known without asking a server: the files with passwords are read, and the URLs. `urls`
    /// are those of several servers that share the channels, if there are any.
    pub fn errors(&self, urls: &[String]) -> Vec<RedisStartError> {
        let files = [&self.password_file, &self.sentinel_secret_file];
        let unusable = files.map(|file| password(file.as_deref()).err());
        let mut errors: Vec<_> = unusable.into_iter().flatten().collect();
        // What is wrong with a file is said once, and not for each URL.
        let at = |url: &String| Self {
            url: url.clone(),
            password_file: None,
            sentinel_secret_file: None,
            ..self.clone()
        };
        if urls.is_empty() && self.names_cluster() {
            errors.extend(at(&self.url).cluster().err());
        } else if urls.is_empty() {
            errors.extend(Topology::new(&at(&self.url)).err());
        }
        let mut names = Vec::new();
        for url in urls {
            match Topology::new(&at(url)) {
                Ok(topology) => names.push(topology.name().to_owned()),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(twice(&names));
        errors
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use widecast_protocol::error::chain;

    use super::*;

    fn told(settings: &RedisSettings, urls: &[&str]) -> String {
        let urls: Vec<_> = urls.iter().map(|&url| url.to_owned()).collect();
        let errors = settings.errors(&urls).into_iter();
        let lines: Vec<_> = errors.map(|error| chain(&error)).collect();
        lines.join("\n")
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_and_without_passwords() {
        let settings = RedisSettings {
            password_file: Some(PathBuf::from("/nowhere/password")),
            sentinel_secret_file: Some(PathBuf::from("/")),
            ..RedisSettings::default()
        };
        let urls = [
            "redis://:hunter2@a",
            "redsi://:hunter2@b",
            "redis://c?nmae=x",
            "redis://:hunter2@a/0",
            "redis+cluster://d",
        ];
        insta::assert_snapshot!(told(&settings, &urls), @r#"
        expected the password in the file "/nowhere/password": No such file or directory (os error 2)
        expected the password in the file "/": it is a directory and no regular file
        redsi://:…@b: its scheme is unknown; expected redis://[user[:password]@]host[:port][/database], redis+sentinel://[user[:password]@]host[:port],…/primary[/database], redis+cluster://[user[:password]@]host[:port],…, or rediss… for TLS
        redis://c?nmae=x: its parameter `nmae` is unknown (known: name, protocol); expected redis://[user[:password]@]host[:port][/database], redis+sentinel://[user[:password]@]host[:port],…/primary[/database], redis+cluster://[user[:password]@]host[:port],…, or rediss… for TLS
        a cluster (redis+cluster://…) is named by `url` alone, not in `urls`: it shares the channels among its nodes by itself
        `urls` has the server a:6379 twice: each needs an address, or a name (`?name=…`), of its own
        "#);
        let settings = RedisSettings {
            url: "redis+cluster://:hunter2@a/1".to_owned(),
            ..RedisSettings::default()
        };
        insta::assert_snapshot!(told(&settings, &[]), @"redis+cluster://:…@a/1: a cluster has the database 0 alone; expected redis://[user[:password]@]host[:port][/database], redis+sentinel://[user[:password]@]host[:port],…/primary[/database], redis+cluster://[user[:password]@]host[:port],…, or rediss… for TLS");
        assert_eq!(told(&RedisSettings::default(), &[]), "");
    }
}
