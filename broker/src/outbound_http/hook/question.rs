//! What the hook is asked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::value::RawValue;
use widecast_protocol::{ChannelName, Payload, SessionId};

use crate::auth::Principal;
use crate::config::{HookEvent, Right};

/// One question.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What somebody is about to do.
    pub event: HookEvent,
    /// Who it is.
    pub principal: &'a Principal,
    /// In which session, if it is one.
    pub session: Option<&'a SessionId>,
    /// On which channel.
    pub channel: Option<&'a ChannelName>,
    /// The rights on the channel that they ask for.
    pub rights: &'a [Right],
    /// What they want to publish.
    pub message: Option<AskedMessage<'a>>,
    /// The headers that are shown.
    pub headers: &'a [(String, String)],
}

/// A message that somebody wants to publish.
#[derive(Debug, Clone, Copy)]
pub struct AskedMessage<'a> {
    /// The name of its event.
    pub event: Option<&'a str>,
    /// Its data.
    pub payload: &'a Payload,
}

/// The members of a question, in the order in which they are written.
#[derive(Serialize)]
struct QuestionBody<'a> {
    event: &'static str,
    user: Option<&'a str>,
    origin: &'a str,
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rights: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageBody<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

#[derive(Serialize)]
struct MessageBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

impl Question<'_> {
    /// The question as JSON. Data of more than so many bytes is left out.
    pub(super) fn to_json(self, data_bytes: usize) -> Vec<u8> {
        let origin = self.principal.origin();
        let body = QuestionBody {
            event: self.event.as_str(),
            user: self.principal.user(),
            origin: origin.as_str(),
            address: self.principal.address(),
            channel: self.channel.map(ChannelName::as_str),
            rights: self.rights.iter().map(|right| right.as_str()).collect(),
            message: self.message.map(|message| message.body(data_bytes)),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            session: self.session.map(SessionId::as_str),
        };
        serde_json::to_vec(&body).expect("texts, numbers and JSON are always JSON")
    }

    /// The same question without the session, for the cache: the answer is the same for all sessions.
    pub(super) fn without_session(self) -> Self {
        Self {
            session: None,
            ..self
        }
    }
}

impl<'a> AskedMessage<'a> {
    fn body(self, data_bytes: usize) -> MessageBody<'a> {
        let bytes = self.payload.size_bytes();
        let is_shown = bytes <= data_bytes && self.payload.weight_bytes() <= data_bytes;
        let data = is_shown.then(|| self.payload.to_json());
        let data = data.and_then(|json| String::from_utf8(json.into()).ok());
        MessageBody {
            event: self.event,
            bytes,
            data: data.and_then(|json| RawValue::from_string(json).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Subject;
    use widecast_protocol::Origin;

    #[test]
    fn a_question_says_who_wants_what() {
        let page = Origin::verified("https://a.example");
        let principal =
            Principal::new(Subject::Named("7".into()), page).at(Some("192.0.2.1".parse().unwrap()));
        let channel = ChannelName::parse("room:1").unwrap();
        let session = SessionId::parse("0123456789abcdef").unwrap();
        let payload = Payload::from_json("{\"a\":1}").unwrap();
        let question = Question {
            event: HookEvent::Publish,
            principal: &principal,
            session: Some(&session),
            channel: Some(&channel),
            rights: &[],
            message: Some(AskedMessage {
                event: Some("said"),
                payload: &payload,
            }),
            headers: &[],
        };
        let shown =
            |question: Question<'_>, data| String::from_utf8(question.to_json(data)).unwrap();
        insta::assert_snapshot!(shown(question, 100), @r#"{"event":"publish","user":"7","origin":"https://a.example","address":"192.0.2.1","channel":"room:1","message":{"event":"said","bytes":7,"data":{"a":1}},"session":"0123456789abcdef"}"#);
        insta::assert_snapshot!(shown(question.without_session(), 6), @r#"{"event":"publish","user":"7","origin":"https://a.example","address":"192.0.2.1","channel":"room:1","message":{"event":"said","bytes":7}}"#);
        let nobody = Principal::new(Subject::Anonymous, Origin::unknown());
        let question = Question {
            event: HookEvent::Subscribe,
            principal: &nobody,
            session: None,
            channel: Some(&channel),
            rights: &[Right::Subscribe, Right::Presence],
            message: None,
            headers: &[("cookie".to_owned(), "a=\"1\"".to_owned())],
        };
        insta::assert_snapshot!(shown(question, 0), @r#"{"event":"subscribe","user":null,"origin":"","address":null,"channel":"room:1","rights":["subscribe","presence"],"headers":{"cookie":"a=\"1\""}}"#);
    }
}
