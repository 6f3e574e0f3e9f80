//! One request and its answer, between the HTTP dispatcher and the application: tells the connection when the answer has
//! ended, the client to send its body when somebody wants to read it, and who reads the body what is wrong with it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::{BoxedPayloadStream, ConnectionType, Payload, Request, Response};
use actix_service::Service;
use actix_web::body::{BodySize, MessageBody};
use actix_web::error::PayloadError;
use actix_web::http::Version;
use bytes::Bytes;
use futures_util::Stream;
use pin_project_lite::pin_project;

use super::connection::Connection;

/// How many bytes of an answer the dispatcher is handed at once, because it copies them. The size that a body states is
/// always that of the rest.
const PIECE_BYTES: usize = 32 << 10;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Hands a request to the application, and the answer to the dispatcher.
pub(super) fn exchange<S, B>(
    mut request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<AnswerBody<B>>, S::Error>> + use<S, B>
where
    S: Service<Request>,
    S::Response: Into<Response<B>>,
    B: MessageBody,
{
    let connection = request.conn_data::<Rc<Connection>>().cloned();
    if let Some(connection) = &connection
        && !matches!(request.payload(), Payload::None)
    {
        request = with_care(request, Rc::clone(connection));
    }
    // Whatever becomes of the answer, dropping this tells the connection that it has ended.
    let end = connection.map(AnswerEnd);
    let is_old = request.head().version < Version::HTTP_11;
    let answer = service.call(request);
    async move {
        let response: Response<B> = answer.await?.into();
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        if is_error && end.as_ref().is_some_and(|end| !end.0.is_in_request()) {
            // The application may have refused a request by its head whose body is here: the dispatcher takes it in now, and can keep
            // the connection.
            tokio::task::yield_now().await;
        }
        let mut response = response.map_body(|_, body| AnswerBody {
            body,
            end,
            rest: Bytes::new(),
        });
        if is_old && response.body().size() == BodySize::Stream {
            // HTTP/1.0 knows no chunks: such an answer ends with the connection.
            let head = response.head_mut();
            head.no_chunking(true);
            head.set_connection_type(ConnectionType::Close);
        }
        // Where the rest of the body is not read, the next request could not be told from it.
        if response.body().is_early() || response.body().is_last() && !response.head().upgrade() {
            let head = response.head_mut();
            head.set_connection_type(ConnectionType::Close);
        }
        Ok(response)
    }
}

/// Tells the connection that the answer has ended.
struct AnswerEnd(Rc<Connection>);

impl Drop for AnswerEnd {
    fn drop(&mut self) {
        self.0.answer_ends();
    }
}

pin_project! {
    /// The body of an answer, which tells the connection of its end.
    pub(super) struct AnswerBody<B> {
        #[pin]
        body: B,
        end: Option<AnswerEnd>,
        // The rest of a piece that is handed on in several parts.
        rest: Bytes,
    }
}

impl<B> AnswerBody<B> {
    /// Whether the application has answered before the whole request has come.
    fn is_early(&self) -> bool {
        let end = self.end.as_ref();
        end.is_some_and(|AnswerEnd(connection)| connection.is_in_request())
    }

    /// Whether nothing more is answered on the connection.
    fn is_last(&self) -> bool {
        let end = self.end.as_ref();
        end.is_some_and(|AnswerEnd(connection)| connection.has_last_answer())
    }
}

impl<B: MessageBody> MessageBody for AnswerBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let mut this = self.project();
        if this.rest.is_empty() {
            match ready!(this.body.as_mut().poll_next(context)) {
                Some(Ok(piece)) => *this.rest = piece,
                other => return Poll::Ready(other),
            }
        }
        let piece = this.rest.split_to(PIECE_BYTES.min(this.rest.len()));
        let later = match this.body.size() {
            BodySize::Sized(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            BodySize::None | BodySize::Stream => 0,
        };
        let left = this.rest.len().saturating_add(later);
        if let Some(AnswerEnd(connection)) = this.end.as_ref().filter(|_| left > 0) {
            connection.hold_answer(left);
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

fn with_care(mut request: Request, connection: Rc<Connection>) -> Request {
    let body = IncomingBody {
        body: request.take_payload(),
        connection,
        left: None,
        is_cut: false,
    };
    let payload: BoxedPayloadStream = Box::pin(body);
    request.replace_payload(Payload::Stream { payload }).0
}

/// A body whose client is told to send it when it is first read, if it waits for that
/// ([RFC 9110, section 10.1.1](https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1)): by then the request has not been refused
/// because of its head. Who reads it is told where its chunks are not valid, of which the dispatcher is shown nothing. It has no end when
/// the client ends the connection before: a request that is not whole is none, and the dispatcher drops whoever waits for the rest.
struct IncomingBody {
    body: Payload,
    connection: Rc<Connection>,
    /// What of the word to go on is yet to be written.
    left: Option<&'static [u8]>,
    is_cut: bool,
}

impl IncomingBody {
    fn poll_told(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let connection = &self.connection;
        let left = self.left.get_or_insert_with(|| {
            if connection.take_expectation() {
                CONTINUE
            } else {
                &[]
            }
        });
        while !left.is_empty() {
            // If the connection has failed, reading the body says so.
            let Ok(count) = ready!(connection.poll_write_beside(context, left)) else {
                *left = &[];
                break;
            };
            *left = &left[count..];
        }
        Poll::Ready(())
    }
}

impl Stream for IncomingBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.poll_told(context));
        if self.is_cut {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Err(PayloadError::Incomplete(_)))) = polled {
            // The dispatcher would say that the body ends here when it is asked again.
            self.is_cut = true;
            return Poll::Pending;
        }
        // Nobody has to be woken: the dispatcher polls the application whenever it has tried to read.
        if polled.is_pending()
            && let Some(fault) = self.connection.body_fault()
        {
            let fault = io::Error::new(io::ErrorKind::InvalidData, fault);
            return Poll::Ready(Some(Err(PayloadError::Io(fault))));
        }
        polled
    }
}
