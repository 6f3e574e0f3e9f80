//! How subscribers are connected: each transport takes a request, opens a session for it, and carries its bytes.
//!
//! What a transport owes a session: the channels of the URL are joined before the head of the answer is written, so that
//! a client that has the head hears every later message; then the socket is the session's. A new transport is a new
//! file and one line in [`configure`].

mod commands;
mod event_stream;
mod http_stream;
mod jsonp;
mod long_poll;
mod messages;
mod one_way;
mod opening;
mod query;
mod session_poll;
mod streaming;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod websocket;
#[cfg(test)]
mod world;

use actix_web::web::ServiceConfig;

use crate::http::Endpoint;

use event_stream::EventStream;
use http_stream::HttpStream;

pub use messages::{Message, Messages};

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
        .stream(one_way::one::<EventStream>)
        .mount(app);
    Endpoint::at("/channels/{channel}/stream")
        .stream(one_way::one::<HttpStream>)
        .mount(app);
    Endpoint::at("/channels/{channel}/poll")
        .get(long_poll::one)
        .mount(app);
    Endpoint::at("/v1/ws")
        .stream(websocket::envelope)
        .mount(app);
    Endpoint::at("/v1/sse")
        .stream(one_way::several::<EventStream>)
        .mount(app);
    Endpoint::at("/v1/stream")
        .stream(one_way::several::<HttpStream>)
        .mount(app);
    Endpoint::at("/v1/poll")
        .get(long_poll::several)
        .post(session_poll::post)
        .mount(app);
    Endpoint::at("/v1/sessions/{session}/commands")
        .get(commands::get)
        .post(commands::post)
        .mount(app);
}
