//! The things that all HTTP handlers share, those of streams included: how a request is read, and the one form of errors.
//!
//! A handler reads the request into valid types with these extractors and answers every error as a [`Problem`]. The
//! application wraps all of it in [`edge()`].

mod accept;
mod body;
mod caller;
mod channel_path;
mod client_share;
mod credential;
mod edge;
mod endpoint;
mod foreign;
mod header;
mod host;
mod media_type;
mod path_segment;
mod pieces_body;
mod problem;
pub mod query;
mod refused_origins;

pub use accept::prefers;
pub use body::{
    BodyLimit, UnfinishedPiece, next_part, read_body, refuse_compressed, take_turn, turn_of,
};
pub use caller::{Caller, sender_key};
pub use channel_path::ChannelPath;
pub use client_share::client_share;
pub use credential::{TOKEN_PROTOCOL, proven, shown_headers};
pub use edge::edge;
pub use endpoint::{Endpoint, elsewhere};
pub use foreign::refuse_foreign_load;
pub use header::CURSOR_HEADER;
pub use host::host;
pub use media_type::MediaType;
pub use path_segment::path_segment;
pub use pieces_body::PiecesBody;
pub use problem::Problem;
pub use query::Query;
