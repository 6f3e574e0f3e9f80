//! An answer in pieces, which it shares with others.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use widecast_protocol::framing::pieces::Pieces;

/// The body of an answer whose large pieces are not copied.
#[derive(Debug)]
pub struct PiecesBody(pub Pieces);

impl MessageBody for PiecesBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.bytes() as u64)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        // A piece of no bytes would end the body.
        let pieces = &mut self.get_mut().0;
        Poll::Ready(pieces.find(|piece| !piece.is_empty()).map(Ok))
    }
}
