//! What the hook answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use widecast_protocol::{Code, Payload};

use crate::auth::{Grant, Words, is_user};
use crate::config::HookEvent;

/// How many characters of a reason a client is shown.
const REASON_CHARACTERS: usize = 500;

/// What the hook says to a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may be done.
    Allowed(Permission),
    /// It may not.
    Refused {
        /// `forbidden` or `unauthorized`.
        code: Code,
        /// Why, for the developer of the client.
        reason: String,
    },
}

/// The further members of an answer that allows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Permission {
    /// Who somebody without a token is (`connect`).
    pub user: Option<Arc<str>>,
    /// The client has at most these rights, whatever else gives it more (`connect`).
    pub bound: Option<Arc<Grant>>,
    /// What is published instead (`publish`).
    pub data: Option<Payload>,
}

/// The members of an answer. One that nobody knows is a mistake: it may have been meant to take something away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    allow: bool,
    code: Option<String>,
    reason: Option<String>,
    user: Option<String>,
    channels: Option<BTreeMap<String, Words>>,
    data: Option<Box<RawValue>>,
}

impl Verdict {
    /// Reads an answer to this event about somebody, whose name is known if there is a `user`.
    ///
    /// # Errors
    /// What is wrong with it, in words that complete "the answer …".
    pub(super) fn read(event: HookEvent, user: Option<&str>, json: &[u8]) -> Result<Self, String> {
        let body: AnswerBody = serde_json::from_slice(json)
            .map_err(|error| format!("is not as expected, such as {{\"allow\":true}}: {error}"))?;
        if !body.allow {
            let code = match body.code.as_deref() {
                None | Some("forbidden") => Code::Forbidden,
                Some("unauthorized") => Code::Unauthorized,
                Some(_) => {
                    return Err("has a code other than forbidden and unauthorized".to_owned());
                }
            };
            let reason = body.reason.unwrap_or_else(|| {
                format!("the authorisation hook does not allow {}", event.as_str())
            });
            return Ok(Self::Refused {
                code,
                reason: reason.chars().take(REASON_CHARACTERS).collect(),
            });
        }
        body.permission(event, user).map(Self::Allowed)
    }
}

impl AnswerBody {
    fn permission(self, event: HookEvent, known: Option<&str>) -> Result<Permission, String> {
        let is = |wanted: HookEvent| event == wanted;
        if !is(HookEvent::Connect) && (self.user.is_some() || self.channels.is_some()) {
            return Err("has user or channels, which are for connect".to_owned());
        }
        if !is(HookEvent::Publish) && self.data.is_some() {
            return Err("has data, which is for publish".to_owned());
        }
        if let Some(user) = self.user.as_deref().filter(|user| !is_user(user)) {
            return Err(format!(
                "has a user of {} bytes, expected 1 to 255",
                user.len()
            ));
        }
        // Whom the token names stays who they are, whatever the answer says.
        let user = known.or(self.user.as_deref());
        let bound = self.channels.map(|channels| Grant::read(&channels, user));
        let bound = bound.transpose().map_err(|why| format!("has {why}"))?;
        let data = self.data.map(|data| {
            let json: Box<str> = data.into();
            Payload::from_json(String::from(json))
        });
        let data = data.transpose();
        Ok(Permission {
            data: data.map_err(|error| format!("has data that cannot be published: {error}"))?,
            bound: bound.map(Arc::new),
            user: self.user.map(Arc::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Right;
    use widecast_protocol::ChannelName;

    fn read(event: HookEvent, json: &str) -> Result<Verdict, String> {
        Verdict::read(event, None, json.as_bytes())
    }

    #[test]
    fn an_answer_says_what_goes_with_it() {
        let allowed = read(HookEvent::Subscribe, r#"{"allow":true}"#);
        assert_eq!(allowed, Ok(Verdict::Allowed(Permission::default())));
        let connect = r#"{"allow":true,"user":"7","channels":{"room:*":["subscribe"]}}"#;
        let Ok(Verdict::Allowed(permission)) = read(HookEvent::Connect, connect) else {
            panic!("refused");
        };
        assert_eq!(permission.user.as_deref(), Some("7"));
        assert!(permission.bound.is_some());
        let publish = read(HookEvent::Publish, r#"{"allow":true,"data":{"a":[1]}}"#);
        let Ok(Verdict::Allowed(permission)) = publish else {
            panic!("refused");
        };
        assert_eq!(permission.data, Payload::from_json(r#"{"a":[1]}"#).ok());
    }

    #[test]
    fn sub_stands_for_the_user_of_the_token_and_else_for_that_of_the_answer() {
        let bound = |known, json: &str| {
            let read = Verdict::read(HookEvent::Connect, known, json.as_bytes());
            let Ok(Verdict::Allowed(permission)) = read else {
                panic!("{read:?}");
            };
            permission.bound.unwrap()
        };
        let has = |bound: &Grant, name: &str| {
            let channel = ChannelName::parse(name).unwrap();
            bound.rights(&channel).has(Right::Subscribe)
        };
        let nameless = r#"{"allow":true,"channels":{"user:{sub}":"subscribe"}}"#;
        let named = r#"{"allow":true,"user":"8","channels":{"user:{sub}":"subscribe"}}"#;
        for (known, json, user) in [
            (Some("7"), nameless, "user:7"),
            (Some("7"), named, "user:7"),
            (None, named, "user:8"),
        ] {
            let bound = bound(known, json);
            for name in ["user:7", "user:8"] {
                assert_eq!(has(&bound, name), name == user, "{known:?} {json} {name}");
            }
        }
    }

    #[test]
    fn a_refusal_has_a_code_and_a_reason() {
        let refused = |json| match read(HookEvent::Connect, json) {
            Ok(Verdict::Refused { code, reason }) => format!("{code}: {reason}"),
            other => panic!("{other:?}"),
        };
        insta::assert_snapshot!(refused(r#"{"allow":false}"#), @"forbidden: the authorisation hook does not allow connect");
        insta::assert_snapshot!(refused(r#"{"allow":false,"code":"unauthorized","reason":"log in"}"#), @"unauthorized: log in");
        let long = format!(r#"{{"allow":false,"reason":"{}"}}"#, "ä".repeat(9999));
        assert_eq!(
            refused(&long).chars().count(),
            "forbidden: ".len() + REASON_CHARACTERS
        );
    }

    #[test]
    fn what_may_have_been_meant_otherwise_is_no_answer() {
        for (event, json) in [
            (HookEvent::Connect, ""),
            (HookEvent::Connect, "true"),
            (HookEvent::Connect, "{}"),
            (HookEvent::Connect, r#"{"allow":"no"}"#),
            (HookEvent::Connect, r#"{"allow":true,"channel":{}}"#),
            (HookEvent::Connect, r#"{"allow":true,"user":""}"#),
            (
                HookEvent::Connect,
                r#"{"allow":true,"channels":{"a":["read"]}}"#,
            ),
            (HookEvent::Connect, r#"{"allow":true,"data":1}"#),
            (HookEvent::Connect, r#"{"allow":false,"code":"gone"}"#),
            (HookEvent::Publish, r#"{"allow":true,"user":"7"}"#),
        ] {
            assert!(read(event, json).is_err(), "{json}");
        }
    }
}
