//! URLs that name several hosts: `redis+kind://[user[:password]@]host[:port],host[:port],…[/path]`.

use redis::{ConnectionInfo, RedisResult};

use super::topology::server_info;

/// The two forms of a kind of URL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schemes {
    pub(super) without_tls: &'static str,
    pub(super) with_tls: &'static str,
    /// Where the hosts listen, if nothing else is said.
    pub(super) port: &'static str,
}

impl Schemes {
    /// Whether it is a URL of this kind.
    pub(super) fn fit(&self, url: &str) -> bool {
        url.starts_with(self.without_tls) || url.starts_with(self.with_tls)
    }

    /// Takes a URL of this kind apart.
    pub(super) fn parse<'a>(&self, url: &'a str) -> SeveralHosts<'a> {
        let (scheme, rest) = match url.strip_prefix(self.without_tls) {
            Some(rest) => ("redis", rest),
            None => (
                "rediss",
                url.strip_prefix(self.with_tls).unwrap_or_default(),
            ),
        };
        // A password may have an @ itself.
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (format!("{credentials}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let with_port = |host: &str| {
            let has_port = host
                .rsplit_once(':')
                .is_some_and(|(_, port)| !port.contains(']'));
            let port = if has_port { "" } else { self.port };
            format!("{host}{port}")
        };
        SeveralHosts {
            start: format!("{scheme}://{credentials}"),
            hosts: hosts.split(',').map(str::trim).map(with_port).collect(),
            path,
        }
    }
}

/// Such a URL.
pub(super) struct SeveralHosts<'a> {
    start: String,
    hosts: Vec<String>,
    /// What stands behind the hosts.
    pub(super) path: &'a str,
}

impl SeveralHosts<'_> {
    /// How each host is connected to.
    pub(super) fn servers(
        &self,
        database: &str,
        password: Option<&str>,
    ) -> RedisResult<Vec<ConnectionInfo>> {
        let urls = self.hosts.iter();
        let urls = urls.map(|host| format!("{}{host}/{database}", self.start));
        urls.map(|url| server_info(&*url, password)).collect()
    }
}
