//! Reading the commands that clients send, in a frame or a body.

use actix_web::{HttpMessage, HttpRequest, web};
use bytes::Bytes;
use widecast_protocol::Command;
use widecast_protocol::codec::{Codec, DecodeError, RefusedCommand, decode_commands};

use crate::http::{BodyLimit, Problem, read_body, take_turn};
use crate::offload::offload;
use crate::session::{Inbound, Services};

/// About what a command takes besides its bytes in the body.
const COMMAND_BYTES: usize = 256;

/// The commands of one request.
pub(in crate::transports) struct SentCommands {
    pub(in crate::transports) inbound: Vec<Inbound>,
    /// How many there are.
    pub(in crate::transports) count: usize,
    /// How many bytes they take while they wait for their session.
    pub(in crate::transports) bytes: usize,
}

type Decoded = Result<Vec<Result<Command, RefusedCommand>>, DecodeError>;

/// Turns the commands of one frame or body into what a session is to do.
pub(in crate::transports) fn inbound_of(decoded: Decoded, most: usize) -> Vec<Inbound> {
    let commands = match decoded.and_then(|commands| no_more_than(most, commands)) {
        Ok(commands) => commands,
        Err(error) => {
            return vec![Inbound::Unreadable(RefusedCommand {
                id: None,
                error,
                is_message: false,
            })];
        }
    };
    commands.into_iter().map(inbound_one).collect()
}

/// Turns one command into what a session is to do.
pub(in crate::transports) fn inbound_one(command: Result<Command, RefusedCommand>) -> Inbound {
    match command {
        Ok(command) => Inbound::Command(command),
        Err(refused) => Inbound::Unreadable(refused),
    }
}

fn no_more_than<T>(most: usize, commands: Vec<T>) -> Result<Vec<T>, DecodeError> {
    if commands.len() <= most {
        return Ok(commands);
    }
    Err(DecodeError::TooMany {
        what: "commands at once (limits.commands_per_frame)",
        limit: most,
    })
}

/// Reads the commands of a body. A body that is not made of commands is answered with a problem; a single bad command is
/// answered by a frame.
pub(in crate::transports) async fn body_commands(
    request: &HttpRequest,
    body: web::Payload,
    services: &Services,
) -> Result<SentCommands, Problem> {
    let body = body_bytes(request, body, services).await?;
    commands_in(request, body, services).await
}

/// Reads the commands of a body; an empty body has none.
pub(in crate::transports) async fn body_commands_if_any(
    request: &HttpRequest,
    body: web::Payload,
    services: &Services,
) -> Result<Option<SentCommands>, Problem> {
    let body = body_bytes(request, body, services).await?;
    if body.is_empty() {
        return Ok(None);
    }
    commands_in(request, body, services).await.map(Some)
}

async fn body_bytes(
    request: &HttpRequest,
    body: web::Payload,
    services: &Services,
) -> Result<Bytes, Problem> {
    let limit = BodyLimit::request(&services.config);
    read_body(request, body, limit).await
}

async fn commands_in(
    request: &HttpRequest,
    body: Bytes,
    services: &Services,
) -> Result<SentCommands, Problem> {
    let codec = match request.content_type() {
        "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => {
            Codec::MessagePack
        }
        _ => Codec::Json,
    };
    let sent = commands_of(codec, body, services).await?;
    // They are carried out as the client takes the answers, and count there.
    drop(take_turn(request));
    Ok(sent)
}

/// Reads commands in this codec.
pub(in crate::transports) async fn commands_of(
    codec: Codec,
    bytes: Bytes,
    services: &Services,
) -> Result<SentCommands, Problem> {
    let most = services.config.limits.commands_per_frame;
    let length = bytes.len();
    let decoded = offload(length, move || decode_commands(codec, &bytes)).await;
    let commands = no_more_than(most, decoded?)?;
    let count = commands.len();
    Ok(SentCommands {
        inbound: inbound_of(Ok(commands), most),
        count,
        bytes: length + count * COMMAND_BYTES,
    })
}
