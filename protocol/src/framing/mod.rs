//! From frames to complete bytes on the wire, one module per framing.

pub mod websocket;
