//! Taking a socket back from the HTTP dispatcher.
//!
//! The answer to a subscription has a body that never yields a byte. Its first poll tells the connection to wait for the
//! head to be written; the next poll after that gives the socket to the session, with what the client has already sent,
//! and ends the body. The dispatcher then reads an end of stream, writes into nothing, and frees its buffers.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use super::connection::Connection;

/// A socket that belongs to the receiver, and what the client had already sent.
pub struct Detached {
    /// The socket.
    pub connection: Rc<Connection>,
    /// Bytes that came right behind the request.
    pub early: Bytes,
}

/// The body that hands the request's socket to `receiver` once the head of the answer is written.
///
/// The answer must be one without a length: 101, or one with `Connection: close` and no chunking.
/// `None` when the request did not come through [`super::serve`], as in a test without sockets, or came behind one whose
/// answer has taken the socket: nobody would hear what it is answered
/// ([RFC 9112, section 9.6](https://www.rfc-editor.org/rfc/rfc9112#section-9.6)).
pub fn detach<R: FnOnce(Detached) + 'static>(
    request: &HttpRequest,
    receiver: R,
) -> Option<impl MessageBody<Error = Infallible> + use<R>> {
    let connection = Rc::clone(request.conn_data::<Rc<Connection>>()?);
    if !connection.is_attached() {
        return None;
    }
    Some(DetachBody {
        connection,
        leaving: false,
        receiver: Some(Box::new(receiver)),
    })
}

struct DetachBody {
    connection: Rc<Connection>,
    leaving: bool,
    receiver: Option<Box<dyn FnOnce(Detached)>>,
}

impl MessageBody for DetachBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        if !self.leaving {
            self.leaving = true;
            self.connection.begin_leaving();
        }
        let early = std::task::ready!(self.connection.poll_left(context));
        let connection = Rc::clone(&self.connection);
        if let Some(receiver) = self.receiver.take() {
            receiver(Detached { connection, early });
        }
        Poll::Ready(None)
    }
}
