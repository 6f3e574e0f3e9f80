//! Replies as frames.

use super::Codec;
use super::message::write_message;
use super::notation::{Json, MessagePack, Notation, Object};
use crate::codes::Code;
use crate::command::CommandId;
use crate::name::SessionId;
use crate::reply::{DirectMessage, Limits, Member, Members, Reply};

/// The frame of a reply, without the framing of a wire.
pub fn encode_reply(codec: Codec, reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    write_reply(codec, &mut out, reply);
    out
}

/// Appends the frame of a reply.
pub(crate) fn write_reply(codec: Codec, out: &mut Vec<u8>, reply: &Reply) {
    match codec {
        Codec::Json => write::<Json>(out, reply),
        Codec::MessagePack => write::<MessagePack>(out, reply),
    }
}

/// Writes the fields that several frames have, then those of its own.
fn write<N: Notation>(out: &mut Vec<u8>, reply: &Reply) {
    let frame = Object::<N>::frame(out, reply.type_name())
        .optional(reply.id(), write_id)
        .optional(reply.channel(), |frame, channel| {
            frame.text("channel", channel.as_str())
        });
    match reply {
        Reply::Welcome {
            session,
            heartbeat_ms,
            limits,
        } => write_welcome(frame, session, *heartbeat_ms, *limits),
        Reply::AuthRequired { reason, .. } => frame.text("reason", reason),
        Reply::Authenticated {
            user, expires_at, ..
        } => frame
            .optional(user.as_ref(), |frame, user| frame.text("user", user))
            .optional(*expires_at, |frame, at| frame.number("expires_at", at)),
        Reply::Subscribed {
            cursor,
            recovered,
            ephemeral,
            members,
            ..
        } => {
            let frame = frame
                .shown("cursor", cursor)
                .boolean("recovered", *recovered);
            write_ephemeral(frame, *ephemeral).optional(members.as_ref(), write_members)
        }
        Reply::Unsubscribed { code, .. } => {
            frame.optional(*code, |frame, code| frame.text("code", code.as_str()))
        }
        Reply::Published {
            offset,
            epoch,
            duplicate,
            ..
        } => frame
            .number("offset", offset.0)
            .shown("epoch", epoch)
            .boolean("duplicate", *duplicate),
        Reply::Batch { results, .. } => frame.array("results", results, |out, result| {
            write::<N>(out, result);
        }),
        Reply::Join { member, .. } | Reply::Leave { member, .. } => {
            frame.field("member", |out| write_member::<N>(out, member))
        }
        Reply::Presence { members, .. } => write_members(frame, members),
        Reply::History {
            messages, cursor, ..
        } => frame
            .array("messages", messages, |out, message| {
                write_message::<N>(out, message, |out| N::payload(out, &message.payload));
            })
            .shown("cursor", cursor),
        Reply::Direct(message) => write_direct(frame, message),
        Reply::Gap { cursor, .. } => frame.shown("cursor", cursor).boolean("recovered", false),
        Reply::Pong { .. } => frame,
        Reply::Error {
            code,
            message,
            retry_after_ms,
            ..
        } => write_error(frame, *code, message).optional(*retry_after_ms, |frame, after_ms| {
            frame.number("retry_after_ms", after_ms)
        }),
        Reply::Goodbye {
            code,
            reason,
            reconnect_after_ms,
        } => frame
            .text("code", code.as_str())
            .text("reason", reason)
            .boolean("reconnect", reconnect_after_ms.is_some())
            .optional(*reconnect_after_ms, |frame, after_ms| {
                frame.number("reconnect_after_ms", after_ms)
            }),
    }
    .end();
}

fn write_error<'o, N: Notation>(frame: Object<'o, N>, code: Code, message: &str) -> Object<'o, N> {
    frame
        .text("code", code.as_str())
        .text("message", message)
        .boolean("retryable", code.retryable())
}

fn write_id<'o, N: Notation>(frame: Object<'o, N>, id: &CommandId) -> Object<'o, N> {
    match id {
        CommandId::Number(number) => frame.number("id", *number),
        CommandId::Text(text) => frame.text("id", text),
    }
}

fn write_limits<N: Notation>(out: &mut Vec<u8>, limits: Limits) {
    Object::<N>::begin(out)
        .number("message_bytes", limits.message_bytes)
        .number("channels", limits.channels)
        .end();
}

fn write_welcome<'o, N: Notation>(
    frame: Object<'o, N>,
    session: &SessionId,
    heartbeat_ms: u64,
    limits: Limits,
) -> Object<'o, N> {
    frame
        .text("session", session.as_str())
        .number("heartbeat_ms", heartbeat_ms)
        .field("limits", |out| write_limits::<N>(out, limits))
}

fn write_ephemeral<N: Notation>(frame: Object<'_, N>, is_ephemeral: bool) -> Object<'_, N> {
    let yes = is_ephemeral.then_some(true);
    frame.optional(yes, |frame, yes| frame.boolean("ephemeral", yes))
}

fn write_members<'o, N: Notation>(frame: Object<'o, N>, members: &Members) -> Object<'o, N> {
    frame
        .array("members", &members.members, write_member::<N>)
        .optional(members.next.as_ref(), |frame, next| {
            frame.text("next", next)
        })
}

fn write_direct<'o, N: Notation>(frame: Object<'o, N>, message: &DirectMessage) -> Object<'o, N> {
    frame
        .field("data", |out| N::payload(out, &message.payload))
        .optional(message.event.as_ref(), |frame, event| {
            frame.text("event", event.as_str())
        })
        .optional(message.id.as_ref(), |frame, id| {
            frame.text("message_id", id.as_str())
        })
        .text("origin", message.origin.as_str())
        .number("timestamp", message.timestamp_ms)
}

fn write_member<N: Notation>(out: &mut Vec<u8>, member: &Member) {
    Object::<N>::begin(out)
        .text("id", &member.id)
        .field("data", |out| N::payload(out, &member.data))
        .end();
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cursor::Position;
    use crate::message::{Epoch, Message, Offset, Origin};
    use crate::name::{ChannelName, EventName, MessageId, SessionId};
    use crate::payload::Payload;

    fn news() -> ChannelName {
        ChannelName::parse("news").unwrap()
    }

    const NUMBER: Option<CommandId> = Some(CommandId::Number(7));

    fn cursor() -> Position {
        Position {
            epoch: Epoch(35),
            offset: Offset(7),
        }
    }

    fn member(data: Payload) -> Member {
        Member {
            id: "m1".to_owned(),
            data,
        }
    }

    fn message(payload: Payload) -> Message {
        Message {
            channel: news(),
            payload,
            event: None,
            id: None,
            origin: Origin::unknown(),
            offset: Offset(7),
            epoch: Epoch(35),
            timestamp_ms: 1,
            sender: None,
        }
    }

    /// The frame in both codecs.
    fn shown(reply: &Reply) -> String {
        let json = String::from_utf8(encode_reply(Codec::Json, reply)).unwrap();
        let msgpack = encode_reply(Codec::MessagePack, reply);
        let same = Payload::from_msgpack(msgpack.clone()).unwrap().to_json();
        assert_eq!(same, json, "the codecs say different things");
        format!("{json}\n{}", msgpack.escape_ascii())
    }

    #[test]
    fn greetings() {
        insta::assert_snapshot!(shown(&Reply::Welcome {
            session: SessionId::parse("s1").unwrap(),
            heartbeat_ms: 25_000,
            limits: Limits { message_bytes: 1_048_576, channels: 256 },
        }), @r#"
        {"type":"welcome","session":"s1","heartbeat_ms":25000,"limits":{"message_bytes":1048576,"channels":256}}
        \x84\xa4type\xa7welcome\xa7session\xa2s1\xacheartbeat_ms\xcda\xa8\xa6limits\x82\xadmessage_bytes\xce\x00\x10\x00\x00\xa8channels\xcd\x01\x00
        "#);
        let reason = "no \"token\"".to_owned();
        insta::assert_snapshot!(shown(&Reply::AuthRequired { channel: None, reason: reason.clone() }), @r#"
        {"type":"auth_required","reason":"no \"token\""}
        \x82\xa4type\xadauth_required\xa6reason\xaano \"token\"
        "#);
        insta::assert_snapshot!(shown(&Reply::AuthRequired { channel: Some(news()), reason }), @r#"
        {"type":"auth_required","channel":"news","reason":"no \"token\""}
        \x83\xa4type\xadauth_required\xa7channel\xa4news\xa6reason\xaano \"token\"
        "#);
        insta::assert_snapshot!(shown(&Reply::Authenticated {
            id: Some(CommandId::Text("a".to_owned())),
            user: Some("ann".to_owned()),
            expires_at: Some(1_700_000_000),
        }), @r#"
        {"type":"authenticated","id":"a","user":"ann","expires_at":1700000000}
        \x84\xa4type\xadauthenticated\xa2id\xa1a\xa4user\xa3ann\xaaexpires_at\xceeS\xf1\x00
        "#);
        insta::assert_snapshot!(shown(&Reply::Authenticated { id: None, user: None, expires_at: None }), @r#"
        {"type":"authenticated"}
        \x81\xa4type\xadauthenticated
        "#);
        insta::assert_snapshot!(shown(&Reply::Pong { id: NUMBER }), @r#"
        {"type":"pong","id":7}
        \x82\xa4type\xa4pong\xa2id\x07
        "#);
    }

    #[test]
    fn memberships() {
        insta::assert_snapshot!(shown(&Reply::Subscribed {
            id: NUMBER,
            channel: news(),
            cursor: cursor(),
            recovered: true,
            ephemeral: false,
            members: None,
        }), @r#"
        {"type":"subscribed","id":7,"channel":"news","cursor":"z-7","recovered":true}
        \x85\xa4type\xaasubscribed\xa2id\x07\xa7channel\xa4news\xa6cursor\xa3z-7\xa9recovered\xc3
        "#);
        insta::assert_snapshot!(shown(&Reply::Subscribed {
            id: None,
            channel: news(),
            cursor: Position { epoch: Epoch(u64::MAX), offset: Offset(u64::MAX) },
            recovered: false,
            ephemeral: false,
            members: Some(Members {
                members: vec![member(Payload::null()), member(Payload::text("Ann"))],
                next: Some("m1".to_owned()),
            }),
        }), @r#"
        {"type":"subscribed","channel":"news","cursor":"3w5e11264sgsf-18446744073709551615","recovered":false,"members":[{"id":"m1","data":null},{"id":"m1","data":"Ann"}],"next":"m1"}
        \x86\xa4type\xaasubscribed\xa7channel\xa4news\xa6cursor\xd9\"3w5e11264sgsf-18446744073709551615\xa9recovered\xc2\xa7members\x92\x82\xa2id\xa2m1\xa4data\xc0\x82\xa2id\xa2m1\xa4data\xa3Ann\xa4next\xa2m1
        "#);
        insta::assert_snapshot!(shown(&Reply::Subscribed {
            id: None,
            channel: news(),
            cursor: cursor(),
            recovered: true,
            ephemeral: true,
            members: None,
        }), @r#"
        {"type":"subscribed","channel":"news","cursor":"z-7","recovered":true,"ephemeral":true}
        \x85\xa4type\xaasubscribed\xa7channel\xa4news\xa6cursor\xa3z-7\xa9recovered\xc3\xa9ephemeral\xc3
        "#);
        insta::assert_snapshot!(shown(&Reply::Unsubscribed { id: NUMBER, channel: news(), code: None }), @r#"
        {"type":"unsubscribed","id":7,"channel":"news"}
        \x83\xa4type\xacunsubscribed\xa2id\x07\xa7channel\xa4news
        "#);
        insta::assert_snapshot!(shown(&Reply::Unsubscribed {
            id: None,
            channel: news(),
            code: Some(Code::Forbidden),
        }), @r#"
        {"type":"unsubscribed","channel":"news","code":"forbidden"}
        \x83\xa4type\xacunsubscribed\xa7channel\xa4news\xa4code\xa9forbidden
        "#);
        insta::assert_snapshot!(shown(&Reply::Join { channel: news(), member: member(Payload::null()) }), @r#"
        {"type":"join","channel":"news","member":{"id":"m1","data":null}}
        \x83\xa4type\xa4join\xa7channel\xa4news\xa6member\x82\xa2id\xa2m1\xa4data\xc0
        "#);
        insta::assert_snapshot!(shown(&Reply::Leave {
            channel: news(),
            member: member(Payload::from_json("{\"a\":1}").unwrap()),
        }), @r#"
        {"type":"leave","channel":"news","member":{"id":"m1","data":{"a":1}}}
        \x83\xa4type\xa5leave\xa7channel\xa4news\xa6member\x82\xa2id\xa2m1\xa4data\x81\xa1a\x01
        "#);
        insta::assert_snapshot!(shown(&Reply::Presence {
            id: NUMBER,
            channel: news(),
            members: Members {
                members: vec![member(Payload::binary(Bytes::from_static(b"\0")))],
                next: None,
            },
        }), @r#"
        {"type":"presence","id":7,"channel":"news","members":[{"id":"m1","data":{"$type":"binary","value":"AA=="}}]}
        \x84\xa4type\xa8presence\xa2id\x07\xa7channel\xa4news\xa7members\x91\x82\xa2id\xa2m1\xa4data\xc4\x01\x00
        "#);
        insta::assert_snapshot!(shown(&Reply::Gap { channel: news(), cursor: cursor() }), @r#"
        {"type":"gap","channel":"news","cursor":"z-7","recovered":false}
        \x84\xa4type\xa3gap\xa7channel\xa4news\xa6cursor\xa3z-7\xa9recovered\xc2
        "#);
    }

    #[test]
    fn publications() {
        let published = Reply::Published {
            id: None,
            channel: news(),
            offset: Offset(300),
            epoch: Epoch(35),
            duplicate: false,
        };
        let error = Reply::Error {
            id: None,
            code: Code::ShuttingDown,
            message: "wait".to_owned(),
            retry_after_ms: None,
        };
        let exceeded = Reply::Error {
            id: NUMBER,
            code: Code::ShareExceeded,
            message: "wait".to_owned(),
            retry_after_ms: Some(500),
        };
        insta::assert_snapshot!(shown(&exceeded), @r#"
        {"type":"error","id":7,"code":"share_exceeded","message":"wait","retryable":true,"retry_after_ms":500}
        \x86\xa4type\xa5error\xa2id\x07\xa4code\xaeshare_exceeded\xa7message\xa4wait\xa9retryable\xc3\xaeretry_after_ms\xcd\x01\xf4
        "#);
        insta::assert_snapshot!(shown(&published), @r#"
        {"type":"published","channel":"news","offset":300,"epoch":"z","duplicate":false}
        \x85\xa4type\xa9published\xa7channel\xa4news\xa6offset\xcd\x01,\xa5epoch\xa1z\xa9duplicate\xc2
        "#);
        insta::assert_snapshot!(shown(&error), @r#"
        {"type":"error","code":"shutting_down","message":"wait","retryable":true}
        \x84\xa4type\xa5error\xa4code\xadshutting_down\xa7message\xa4wait\xa9retryable\xc3
        "#);
        insta::assert_snapshot!(shown(&Reply::Batch { id: NUMBER, results: vec![published, error] }), @r#"
        {"type":"batch","id":7,"results":[{"type":"published","channel":"news","offset":300,"epoch":"z","duplicate":false},{"type":"error","code":"shutting_down","message":"wait","retryable":true}]}
        \x83\xa4type\xa5batch\xa2id\x07\xa7results\x92\x85\xa4type\xa9published\xa7channel\xa4news\xa6offset\xcd\x01,\xa5epoch\xa1z\xa9duplicate\xc2\x84\xa4type\xa5error\xa4code\xadshutting_down\xa7message\xa4wait\xa9retryable\xc3
        "#);
        insta::assert_snapshot!(shown(&Reply::History {
            id: NUMBER,
            channel: news(),
            messages: vec![
                message(Payload::from_json("[1]").unwrap()),
                message(Payload::from_msgpack(Bytes::from_static(b"\x81\x01\x02")).unwrap()),
            ],
            cursor: cursor(),
        }), @r#"
        {"type":"history","id":7,"channel":"news","messages":[{"type":"message","channel":"news","data":[1],"origin":"","offset":7,"epoch":"z","timestamp":1},{"type":"message","channel":"news","data":{"$type":"map","value":[[1,2]]},"origin":"","offset":7,"epoch":"z","timestamp":1}],"cursor":"z-7"}
        \x85\xa4type\xa7history\xa2id\x07\xa7channel\xa4news\xa8messages\x92\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\x91\x01\xa6origin\xa0\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\x01\x87\xa4type\xa7message\xa7channel\xa4news\xa4data\x81\x01\x02\xa6origin\xa0\xa6offset\x07\xa5epoch\xa1z\xa9timestamp\x01\xa6cursor\xa3z-7
        "#);
    }

    #[test]
    fn messages_for_one_user() {
        let message = DirectMessage {
            payload: Payload::from_json("[1]").unwrap(),
            event: None,
            id: None,
            origin: Origin::unknown(),
            timestamp_ms: 1,
        };
        insta::assert_snapshot!(shown(&Reply::Direct(message.clone())), @r#"
        {"type":"direct","data":[1],"origin":"","timestamp":1}
        \x84\xa4type\xa6direct\xa4data\x91\x01\xa6origin\xa0\xa9timestamp\x01
        "#);
        let named = DirectMessage {
            event: Some(EventName::parse("e").unwrap()),
            id: Some(MessageId::parse("m").unwrap()),
            ..message
        };
        insta::assert_snapshot!(shown(&Reply::Direct(named)), @r#"
        {"type":"direct","data":[1],"event":"e","message_id":"m","origin":"","timestamp":1}
        \x86\xa4type\xa6direct\xa4data\x91\x01\xa5event\xa1e\xaamessage_id\xa1m\xa6origin\xa0\xa9timestamp\x01
        "#);
    }

    #[test]
    fn goodbyes() {
        insta::assert_snapshot!(shown(&Reply::Goodbye {
            code: Code::ShuttingDown,
            reason: "bye".to_owned(),
            reconnect_after_ms: Some(1500),
        }), @r#"
        {"type":"goodbye","code":"shutting_down","reason":"bye","reconnect":true,"reconnect_after_ms":1500}
        \x85\xa4type\xa7goodbye\xa4code\xadshutting_down\xa6reason\xa3bye\xa9reconnect\xc3\xb2reconnect_after_ms\xcd\x05\xdc
        "#);
        insta::assert_snapshot!(shown(&Reply::Goodbye {
            code: Code::Unauthorized,
            reason: "expired".to_owned(),
            reconnect_after_ms: None,
        }), @r#"
        {"type":"goodbye","code":"unauthorized","reason":"expired","reconnect":false}
        \x84\xa4type\xa7goodbye\xa4code\xacunauthorized\xa6reason\xa7expired\xa9reconnect\xc2
        "#);
    }
}
