//! How subscribers are connected: each transport takes a request, opens a session for it, and carries its bytes.
//!
//! Each transport keeps to one rule: the channels of the URL are joined before the head of the answer is written, so that a
//! client that has the head hears every later message. Then the socket belongs to the session. A new transport is a new file
//! and one line in [`configure`].

mod common;
mod event_stream;
mod http_stream;
mod jsonp;
mod long_poll;
mod session_commands;
mod session_poll;
#[cfg(test)]
mod simulated_client;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod websocket;

use actix_web::web::ServiceConfig;

use crate::http::Endpoint;

use event_stream::EventStream;
use http_stream::HttpStream;

pub use common::websocket_messages::{WebSocketMessage, WebSocketMessages};

/// Whether a WebSocket may begin at a path.
pub fn takes_upgrade(path: &str) -> bool {
    path.ends_with("/ws")
}

/// Mounts the transports.
pub fn configure(app: &mut ServiceConfig) {
    Endpoint::at("/channels/{channel}/ws")
        .stream(websocket::raw)
        .mount(app);
    Endpoint::at("/channels/{channel}/sse")
        .stream(common::one_way::one::<EventStream>)
        .mount(app);
    Endpoint::at("/channels/{channel}/stream")
        .stream(common::one_way::one::<HttpStream>)
        .mount(app);
    Endpoint::at("/channels/{channel}/poll")
        .get(long_poll::one)
        .mount(app);
    Endpoint::at("/v1/ws")
        .stream(websocket::envelope)
        .mount(app);
    Endpoint::at("/v1/sse")
        .stream(common::one_way::several::<EventStream>)
        .mount(app);
    Endpoint::at("/v1/stream")
        .stream(common::one_way::several::<HttpStream>)
        .mount(app);
    Endpoint::at("/v1/poll")
        .get(long_poll::several)
        .post(session_poll::post)
        .mount(app);
    Endpoint::at("/v1/sessions/{session}/commands")
        .get(session_commands::get)
        .post(session_commands::post)
        .mount(app);
}
