//! The `{channel}` of a path.
//!
//! A channel name is exact, so it is read from the path as it was sent.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev};
use widecast_protocol::{ChannelName, Code};

use super::path_segment::path_segment;
use super::problem::Problem;

/// Where the name is in `/channels/{channel}/…`, split at `/`.
const SEGMENT: usize = 2;

/// The channel that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelPath(pub ChannelName);

impl ChannelPath {
    fn parse(path: &str) -> Result<Self, Problem> {
        let name = path_segment(path, SEGMENT, "channel name", Code::BadChannelName)?;
        ChannelName::parse(&name)
            .map(Self)
            .map_err(|error| Problem::new(Code::BadChannelName, error.to_string()))
    }
}

impl FromRequest for ChannelPath {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(Self::parse(request.uri().path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> String {
        match ChannelPath::parse(path) {
            Ok(ChannelPath(name)) => name.to_string(),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn a_name_is_decoded_exactly_once() {
        assert_eq!(name("/channels/chat%3Aroom/messages"), "chat:room");
        assert_eq!(name("/channels/a%2Fb%2fc/messages"), "a/b/c");
        assert_eq!(name("/channels/100%25/messages"), "100%");
        assert_eq!(name("/channels/%252F/messages"), "%2F");
        assert_eq!(name("/channels/a+b%2Bc/messages"), "a+b+c");
        assert_eq!(name("/channels/caf%C3%A9"), "café");
        assert_eq!(name("/channels/..%2F../ws"), "../..");
    }

    #[test]
    fn a_name_that_cannot_be_decoded_is_refused() {
        insta::assert_snapshot!(name("/channels/a%ff/messages"), @"bad_utf8: the channel name in the path is not UTF-8 at byte 1");
        insta::assert_snapshot!(name("/channels/ab%2/messages"), @"bad_channel_name: the channel name in the path has a % without two hex digits at byte 2");
        insta::assert_snapshot!(name("/channels/%zz/messages"), @"bad_channel_name: the channel name in the path has a % without two hex digits at byte 0");
        insta::assert_snapshot!(name("/channels/%25%/messages"), @"bad_channel_name: the channel name in the path has a % without two hex digits at byte 3");
        insta::assert_snapshot!(name("/channels/a%00/messages"), @"bad_channel_name: channel name has the forbidden character U+0000 at byte 1");
        insta::assert_snapshot!(name("/channels//messages"), @"bad_channel_name: channel name is empty");
    }
}
