//! The headers that are the broker's own.

/// The cursor at which a subscription begins, or that of a message.
pub const CURSOR_HEADER: &str = "widecast-cursor";

/// The key of the sender of a request.
pub(super) const SENDER_HEADER: &str = "widecast-sender";
