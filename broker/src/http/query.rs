//! The query of a URL as a type.

use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::error::QueryPayloadError;
use actix_web::{FromRequest, HttpRequest, dev, web};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use widecast_protocol::{ChannelName, Code, Cursor, EventName, MessageId, Position};

use super::problem::Problem;

/// The parameters that an endpoint knows; others are ignored, because a URL may carry what is meant for others.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

/// Whether a query has a parameter of this name, whichever of its letters are encoded.
pub(super) fn has_parameter(query: &str, name: &str) -> bool {
    query.split('&').any(|parameter| {
        let written = parameter.split('=').next().unwrap_or_default();
        percent_decode_str(written).eq(name.bytes())
    })
}

impl<T: DeserializeOwned> Query<T> {
    /// The parameters of a request.
    ///
    /// # Errors
    /// When the query is not UTF-8, or a parameter is of the wrong kind.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        Self::parse(request.query_string())
    }

    fn parse(query: &str) -> Result<Self, Problem> {
        // The form decoder would replace what is not UTF-8, and publish that.
        percent_decode_str(query).decode_utf8().map_err(|error| {
            let at = error.valid_up_to();
            Problem::new(
                Code::BadUtf8,
                format!("the decoded query is not UTF-8 at byte {at}"),
            )
        })?;
        let query = web::Query::<T>::from_query(query).map_err(|error| {
            let QueryPayloadError::Deserialize(error) = error else {
                return Problem::new(Code::InvalidRequest, "the query cannot be read");
            };
            Problem::new(Code::InvalidRequest, format!("the query: {error}"))
        })?;
        Ok(Self(query.into_inner()))
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// Reads `?event=`.
///
/// # Errors
/// `bad_event_name` when it is none.
pub fn event(text: Option<&str>) -> Result<Option<EventName>, Problem> {
    text.map(EventName::parse)
        .transpose()
        .map_err(|error| Problem::new(Code::BadEventName, error.to_string()))
}

/// Reads `?message_id=`.
///
/// # Errors
/// `bad_command` when it is none.
pub fn message_id(text: Option<&str>) -> Result<Option<MessageId>, Problem> {
    text.map(MessageId::parse)
        .transpose()
        .map_err(|error| Problem::new(Code::BadCommand, error.to_string()))
}

/// Reads a cursor, as far as it is about one channel.
///
/// # Errors
/// `bad_cursor` when it is none, or says nothing about the channel.
pub fn position(text: Option<&str>, channel: &ChannelName) -> Result<Option<Position>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let cursor =
        Cursor::parse(text).map_err(|error| Problem::new(Code::BadCursor, error.to_string()))?;
    let position = cursor.position(channel).ok_or_else(|| {
        Problem::new(
            Code::BadCursor,
            format!("the cursor says nothing about {channel}"),
        )
    })?;
    Ok(Some(position))
}

/// Reads a number of things, or a switch.
///
/// # Errors
/// `invalid_request` when it is not what is `expected`.
pub fn value<T: FromStr>(
    name: &str,
    text: Option<&str>,
    expected: &str,
) -> Result<Option<T>, Problem> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|_| {
        Problem::new(
            Code::InvalidRequest,
            format!("?{name}= has to be {expected}"),
        )
    })
}

/// The description of a number of things, for [`value`].
pub const COUNT: &str = "a whole number";

/// The description of a switch, for [`value`].
pub const SWITCH: &str = "true or false";

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct QueryParameters {
        event: Option<String>,
        limit: Option<String>,
    }

    fn parse(query: &str) -> String {
        match Query::<QueryParameters>::parse(query) {
            Ok(Query(found)) => format!("{:?} {:?}", found.event, found.limit),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn parameters_are_decoded_once_and_unknown_ones_ignored() {
        insta::assert_snapshot!(parse("event=a+b%2Bc%C3%A9&token=x&limit=5"), @r#"Some("a b+cé") Some("5")"#);
        insta::assert_snapshot!(parse(""), @"None None");
    }

    #[test]
    fn a_parameter_is_found_whichever_of_its_letters_are_encoded() {
        for query in ["token=x", "a=1&token", "a&%74oken=x", "%74%6F%6b%65n"] {
            assert!(has_parameter(query, "token"), "{query}");
        }
        for query in ["", "xtoken=1", "a=token", "tokens=1", "%2574oken=x"] {
            assert!(!has_parameter(query, "token"), "{query}");
        }
    }

    #[test]
    fn a_query_that_cannot_be_read_is_refused() {
        insta::assert_snapshot!(parse("event=%ff"), @"bad_utf8: the decoded query is not UTF-8 at byte 6");
        insta::assert_snapshot!(parse("limit=1&limit=2"), @"invalid_request: the query: duplicate field `limit`");
    }
}
