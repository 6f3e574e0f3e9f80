//! What nodes announce, as bytes: one line of JSON, and behind it the data of a message.
//!
//! Nodes of neighbouring releases share an engine while they are replaced one after the other: fields that a release does not know
//! are left out of account, and so are announcements that it does not know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use widecast_protocol::{
    ChannelName, DirectMessage, EventName, MessageId, Origin, Reply, SessionId, record,
};

use crate::auth::{Revocation, RevocationNote, RevokedTokens};
use crate::engine::Announcement;
use crate::session::index::Selection;
use crate::session::order::{Action, Order};

/// Something that is announced.
#[derive(Debug)]
pub(super) enum Content {
    Revocation(RevocationNote),
    Order(Order),
    Node(NodeRecord),
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Which process it is.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its release.
    pub version: String,
    /// When it was started, in seconds since 1970-01-01 UTC.
    pub started: u64,
    /// It takes leave of its clients, or has done so.
    #[serde(default)]
    pub draining: bool,
    /// How many sessions, streams and polls are open.
    #[serde(default)]
    pub sessions: u64,
    /// How many subscriptions they have.
    #[serde(default)]
    pub subscriptions: u64,
    /// The engines that it uses: their names, and their kinds.
    #[serde(default)]
    pub engines: BTreeMap<String, String>,
    /// For how many milliseconds it counts as running.
    pub lease_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Revocation(RevocationLine),
    Order(OrderLine),
    Node(NodeRecord),
}

#[derive(Serialize, Deserialize)]
struct RevocationLine {
    id: String,
    version: u64,
    taken_back: bool,
    /// In nanoseconds and milliseconds since 1970.
    revoked_at_ns: u64,
    expires_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct OrderLine {
    user: Option<String>,
    session: Option<String>,
    channel: Option<String>,
    action: ActionLine,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionLine {
    Disconnect {
        reason: String,
    },
    Unsubscribe {
        channel: String,
        reason: String,
    },
    /// The data are behind the line.
    Tell {
        event: Option<String>,
        id: Option<String>,
        origin: String,
        timestamp_ms: u64,
    },
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The bytes of something that is announced; none when it concerns this node alone.
pub(super) fn encode(content: Content) -> Option<Bytes> {
    let mut data = Vec::new();
    let line = match content {
        Content::Node(record) => Line::Node(record),
        Content::Revocation(note) => Line::Revocation(RevocationLine {
            id: note.revocation.tokens.to_string(),
            version: note.version,
            taken_back: note.is_taken_back,
            revoked_at_ns: u64::try_from(since_1970(note.revocation.revoked_at).as_nanos()).ok()?,
            expires_at_ms: u64::try_from(since_1970(note.revocation.expires_at).as_millis())
                .unwrap_or(u64::MAX),
        }),
        Content::Order(order) => Line::Order(OrderLine {
            user: order.selection.user.map(|user| user.to_string()),
            session: order.selection.session.map(|id| id.as_str().to_owned()),
            channel: order.selection.channel.map(|name| name.to_string()),
            action: match order.action {
                Action::Disconnect { reason } => ActionLine::Disconnect { reason },
                Action::Unsubscribe { channel, reason } => ActionLine::Unsubscribe {
                    channel: channel.to_string(),
                    reason,
                },
                Action::Tell(reply) => {
                    let Reply::Direct(message) = &*reply else {
                        return None;
                    };
                    data = record::encode_data(&message.payload);
                    ActionLine::Tell {
                        event: message.event.as_ref().map(|name| name.as_str().to_owned()),
                        id: message.id.as_ref().map(|id| id.as_str().to_owned()),
                        origin: message.origin.as_str().to_owned(),
                        timestamp_ms: message.timestamp_ms,
                    }
                }
                // The revocation itself is announced.
                Action::CheckTokens => return None,
            },
        }),
    };
    let mut bytes = serde_json::to_vec(&line).ok()?;
    bytes.push(b'\n');
    bytes.append(&mut data);
    Some(bytes.into())
}

/// Reads what was announced; nothing when this release does not know it.
pub(super) fn decode(announcement: &Announcement) -> Option<Content> {
    let bytes = &announcement.content;
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (line, data) = (&bytes[..end], &bytes[end + 1..]);
    let content = match serde_json::from_slice(line).ok()? {
        Line::Node(record) => Content::Node(record),
        Line::Revocation(line) => Content::Revocation(RevocationNote {
            revocation: Revocation {
                tokens: RevokedTokens::parse(&line.id)?,
                revoked_at: UNIX_EPOCH.checked_add(Duration::from_nanos(line.revoked_at_ns))?,
                expires_at: UNIX_EPOCH.checked_add(Duration::from_millis(line.expires_at_ms))?,
            },
            version: line.version,
            is_taken_back: line.taken_back,
        }),
        Line::Order(line) => Content::Order(order(line, data, announcement.given)?),
    };
    Some(content)
}

fn order(line: OrderLine, data: &[u8], given: Instant) -> Option<Order> {
    // What cannot be read must not be left out: the order would concern others.
    let session = line.session.map(|id| SessionId::parse(&id)).transpose();
    let channel = line.channel.map(|name| ChannelName::parse(&name));
    Some(Order {
        selection: Selection {
            user: line.user.map(Into::into),
            session: session.ok()?,
            channel: channel.transpose().ok()?,
            token: None,
        },
        given,
        action: match line.action {
            ActionLine::Disconnect { reason } => Action::Disconnect { reason },
            ActionLine::Unsubscribe { channel, reason } => Action::Unsubscribe {
                channel: ChannelName::parse(&channel).ok()?,
                reason,
            },
            ActionLine::Tell {
                event,
                id,
                origin,
                timestamp_ms,
            } => {
                let event = event.map(|name| EventName::parse(&name)).transpose();
                let id = id.map(|id| MessageId::parse(&id)).transpose();
                Action::Tell(Arc::new(Reply::Direct(DirectMessage {
                    payload: record::decode_data(data).ok()?,
                    event: event.ok()?,
                    id: id.ok()?,
                    origin: match &*origin {
                        "" => Origin::unknown(),
                        known => Origin::verified(known),
                    },
                    timestamp_ms,
                })))
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use widecast_protocol::Payload;

    fn announced(content: impl Into<Bytes>, given: Instant) -> Announcement {
        Announcement {
            key: "a".to_owned(),
            version: 0,
            given,
            content: content.into(),
        }
    }

    #[test]
    fn an_order_is_read_as_it_was_given() {
        let selection = Selection {
            user: Some("7".into()),
            session: Some(SessionId::parse("s-1").unwrap()),
            channel: Some(ChannelName::parse("news").unwrap()),
            token: None,
        };
        let message = DirectMessage {
            payload: Payload::text("line\nline"),
            event: Some(EventName::parse("note").unwrap()),
            id: Some(MessageId::parse("id-1").unwrap()),
            origin: Origin::verified("backend"),
            timestamp_ms: 5,
        };
        let actions = [
            Action::Disconnect {
                reason: "no".to_owned(),
            },
            Action::Unsubscribe {
                channel: ChannelName::parse("news").unwrap(),
                reason: "no".to_owned(),
            },
            Action::Tell(Arc::new(Reply::Direct(message))),
        ];
        for action in actions {
            let order = Order::now(selection.clone(), action);
            let (shown, given) = (format!("{order:?}"), order.given);
            let announced = announced(encode(Content::Order(order)).unwrap(), given);
            let Some(Content::Order(read)) = decode(&announced) else {
                panic!("expected an order");
            };
            assert_eq!(format!("{read:?}"), shown);
        }
    }

    #[test]
    fn a_revocation_is_read_to_the_nanosecond() {
        let note = RevocationNote {
            revocation: Revocation {
                tokens: RevokedTokens::OfUser("ü".into()),
                revoked_at: UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
                expires_at: UNIX_EPOCH + Duration::from_hours(500_000),
            },
            version: 7,
            is_taken_back: true,
        };
        let content = encode(Content::Revocation(note.clone())).unwrap();
        let Some(Content::Revocation(read)) = decode(&announced(content, Instant::now())) else {
            panic!("expected a revocation");
        };
        assert_eq!(read, note);
    }

    #[test]
    fn fields_of_later_releases_are_left_out_of_account_and_so_is_what_is_new() {
        let line =
            br#"{"node":{"id":"a","name":"n","version":"9","started":1,"lease_ms":5,"new":[1]}}
"#;
        let read = |line: &'static [u8]| decode(&announced(line, Instant::now()));
        assert!(matches!(read(line), Some(Content::Node(_))));
        for unknown in [
            &b"{\"thing\":{}}\n"[..],
            b"{\"order\":{\"session\":\"!\",\"action\":{\"disconnect\":{\"reason\":\"\"}}}}\n",
            b"no line",
            b"\n",
        ] {
            assert!(read(unknown).is_none());
        }
    }
}
