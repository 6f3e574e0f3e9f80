//! What the address of a session asks for.

use crate::address::encoded;

/// The query of a session's address, besides what a transport puts into it.
#[derive(Debug, Clone)]
pub(super) struct SessionQuery {
    /// Whether the session hears what its own client publishes.
    pub(super) hears_own: bool,
    /// Where the channels begin that the broker joins by itself.
    pub(super) cursor: Option<String>,
}

impl SessionQuery {
    /// The query of the request that opens the session.
    pub(super) fn opening(&self, parameter: Option<&str>) -> String {
        let cursor = self.cursor.as_deref();
        let cursor = cursor.map(|cursor| format!("cursor={}", encoded(cursor)));
        let own = self.hears_own.then_some("echo=true");
        let parameters = [own, cursor.as_deref(), parameter];
        joined(parameters.into_iter().flatten())
    }

    /// The query of a later request of the session, which has cursors of its own.
    pub(super) fn following(&self, parameter: &str) -> String {
        let own = self.hears_own.then_some("echo=true");
        joined(own.into_iter().chain([parameter]))
    }
}

fn joined<'a>(parameters: impl Iterator<Item = &'a str>) -> String {
    let parameters: Vec<&str> = parameters.collect();
    let mark = if parameters.is_empty() { "" } else { "?" };
    format!("{mark}{}", parameters.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_request_says_where_channels_begin() {
        let query = SessionQuery {
            hears_own: true,
            cursor: Some("a=e-1".to_owned()),
        };
        assert_eq!(query.opening(None), "?echo=true&cursor=a%3De-1");
        let following = query.following("session=s&cursor=3");
        assert_eq!(following, "?echo=true&session=s&cursor=3");
        let plain = SessionQuery {
            hears_own: false,
            cursor: None,
        };
        assert_eq!(plain.opening(None), "");
        assert_eq!(plain.opening(Some("session=new")), "?session=new");
    }
}
