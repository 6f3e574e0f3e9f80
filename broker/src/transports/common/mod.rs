//! What several transports are made of: a request that is read, a session that is opened for it, commands that come in, and answers
//! that go on.

pub(super) mod inbound_commands;
pub(super) mod one_way;
pub(super) mod opened_session;
pub(super) mod stream_request;
pub(super) mod streaming;
pub(super) mod websocket_messages;
pub(super) mod worker;
