//! Replies as frames.

use super::Codec;
use super::notation::{Json, MessagePack, Notation, Object};
use crate::command::CommandId;
use crate::encoded::EncodedMessage;
use crate::reply::{Limits, Member, Reply};

/// The frame of a reply, without the framing of a wire.
pub fn encode_reply(codec: Codec, reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    write_reply(codec, &mut out, reply);
    out
}

/// Appends the frame of a reply.
pub(crate) fn write_reply(codec: Codec, out: &mut Vec<u8>, reply: &Reply) {
    match codec {
        Codec::Json => write::<Json>(out, reply, EncodedMessage::write_json_frame),
        Codec::MessagePack => write::<MessagePack>(out, reply, EncodedMessage::write_msgpack_frame),
    }
}

/// Writes a message of a history in the notation of the frame.
type WriteMessage = fn(&EncodedMessage, &mut Vec<u8>);

/// Writes the fields that several frames have, then those of its own.
fn write<N: Notation>(out: &mut Vec<u8>, reply: &Reply, write_message: WriteMessage) {
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
        } => frame
            .text("session", session.as_str())
            .number("heartbeat_ms", *heartbeat_ms)
            .field("limits", |out| write_limits::<N>(out, *limits)),
        Reply::AuthRequired { reason } => frame.text("reason", reason),
        Reply::Authenticated {
            user, expires_at, ..
        } => frame
            .optional(user.as_ref(), |frame, user| frame.text("user", user))
            .optional(*expires_at, |frame, at| frame.number("expires_at", at)),
        Reply::Subscribed {
            cursor,
            recovered,
            members,
            ..
        } => frame
            .shown("cursor", cursor)
            .boolean("recovered", *recovered)
            .optional(members.as_ref(), |frame, members| {
                frame.array("members", members, write_member::<N>)
            }),
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
            write::<N>(out, result, write_message);
        }),
        Reply::Join { member, .. } | Reply::Leave { member, .. } => {
            frame.field("member", |out| write_member::<N>(out, member))
        }
        Reply::Presence { members, .. } => frame.array("members", members, write_member::<N>),
        Reply::History {
            messages, cursor, ..
        } => frame
            .array("messages", messages, |out, message| {
                write_message(message, out);
            })
            .shown("cursor", cursor),
        Reply::Gap { cursor, .. } => frame.shown("cursor", cursor).boolean("recovered", false),
        Reply::Pong { .. } => frame,
        Reply::Error { code, message, .. } => frame
            .text("code", code.as_str())
            .text("message", message)
            .boolean("retryable", code.retryable()),
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

fn write_member<N: Notation>(out: &mut Vec<u8>, member: &Member) {
    Object::<N>::begin(out)
        .text("id", &member.id)
        .field("data", |out| N::payload(out, &member.data))
        .end();
}
