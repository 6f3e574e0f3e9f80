//! One GET over a connection of its own, with the body as a stream.
//!
//! Not awc: it takes a body that only the end of the connection ends, as all streams of the broker are, for an empty one
//! ([actix-web, issue 2287](https://github.com/actix/actix-web/issues/2287)). The codec is awc's.

use std::error::Error;
use std::sync::Arc;

use actix_codec::Framed;
use actix_http::body::BodySize;
use actix_http::h1::{ClientCodec, Message, MessageType};
use actix_http::header::{ACCEPT, CONTENT_LENGTH, HOST, HeaderValue};
use actix_http::{ConnectionType, RequestHead, RequestHeadType, ResponseHead, Uri};
use bytes::Bytes;
use futures_util::stream::{LocalBoxStream, empty, unfold};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cli::tls::Tls;

/// Why a connection failed.
pub(super) type Failure = Box<dyn Error>;

/// The body of an answer, piece by piece.
pub(super) type Body = LocalBoxStream<'static, Result<Bytes, Failure>>;

/// How much is read at once.
const PIECE_BYTES: usize = 16 * 1024;
/// The header that tells the place that the answer begins at.
const CURSOR: &str = "widecast-cursor";
/// The ports of HTTP and of HTTP over TLS.
const PORTS: [u16; 2] = [80, 443];

/// What carries the bytes: TCP, or TLS over it.
trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

/// An answer whose head has come.
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// The place that the answer begins at, if the broker tells it.
    pub(super) cursor: Option<String>,
    /// The body.
    pub(super) body: Body,
}

/// Asks for an address, over TLS if that is given, and waits for the head of the answer.
pub(super) async fn get(
    address: &str,
    accept: &'static str,
    tls: Option<&Tls>,
) -> Result<Answer, Failure> {
    let uri: Uri = address.parse()?;
    let host = uri.host().ok_or("the address has no host")?;
    // A URI has an IPv6 address in brackets, a socket has it without.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(PORTS[usize::from(tls.is_some())]);
    let socket = TcpStream::connect((name, port)).await?;
    let wire: Box<dyn Wire> = match tls {
        Some(tls) => {
            let name = ServerName::try_from(name.to_owned())?;
            let connector = TlsConnector::from(Arc::clone(tls));
            Box::new(connector.connect(name, socket).await?)
        }
        None => Box::new(socket),
    };
    let mut framed = Framed::new(wire, ClientCodec::default());
    let request = RequestHeadType::Owned(request(uri, accept)?);
    framed
        .send(Message::Item((request, BodySize::None)))
        .await?;
    let head = framed.next().await.ok_or("the connection ended")??;
    let cursor = head
        .headers
        .get(CURSOR)
        .and_then(|value| value.to_str().ok());
    Ok(Answer {
        status: head.status.as_u16(),
        cursor: cursor.map(str::to_owned),
        body: body(&head, framed),
    })
}

fn request(uri: Uri, accept: &'static str) -> Result<RequestHead, Failure> {
    let host = uri.authority().ok_or("the address has no host")?.as_str();
    let host = HeaderValue::from_str(host)?;
    // Only the path and the query of the address go into the request line; the method is GET.
    let mut head = RequestHead::default();
    head.headers.insert(HOST, host);
    head.headers
        .insert(ACCEPT, HeaderValue::from_static(accept));
    head.set_connection_type(ConnectionType::Close);
    head.uri = uri;
    Ok(head)
}

/// The body, by the rules of [RFC 9112, section 6.3](https://www.rfc-editor.org/rfc/rfc9112#section-6.3).
fn body(head: &ResponseHead, framed: Framed<Box<dyn Wire>, ClientCodec>) -> Body {
    let is_framed = !matches!(framed.codec_ref().message_type(), MessageType::None);
    if is_framed {
        let pieces = framed.into_map_codec(ClientCodec::into_payload_codec);
        return unfold(pieces, |mut pieces| async {
            match pieces.next().await? {
                Ok(piece) => Some((Ok(piece?), pieces)),
                Err(error) => Some((Err(error.into()), pieces)),
            }
        })
        .boxed_local();
    }
    let has_none =
        head.headers.contains_key(CONTENT_LENGTH) || matches!(head.status.as_u16(), 204 | 304);
    if has_none {
        return empty().boxed_local();
    }
    let parts = framed.into_parts();
    unfold(
        (parts.io, parts.read_buf),
        |(mut socket, mut waiting)| async {
            if waiting.is_empty() {
                waiting.reserve(PIECE_BYTES);
                match socket.read_buf(&mut waiting).await {
                    Ok(0) => return None,
                    Ok(_) => {}
                    Err(error) => return Some((Err(error.into()), (socket, waiting))),
                }
            }
            Some((Ok(waiting.split().freeze()), (socket, waiting)))
        },
    )
    .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    /// What is read when a server answers with these bytes and closes the connection, and the lines of the request.
    fn exchange(answer: &'static str) -> (u16, Vec<u8>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/a%20b?c=d", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let lines = BufReader::new(socket.try_clone().unwrap()).lines();
            let lines = lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty());
            let lines = lines.collect();
            socket.write_all(answer.as_bytes()).unwrap();
            lines
        });
        let (status, body) = actix_rt::System::new().block_on(async {
            let mut answer = get(&address, "text/plain", None).await.unwrap();
            let mut body = Vec::new();
            while let Some(piece) = answer.body.next().await {
                body.extend_from_slice(&piece.unwrap());
            }
            (answer.status, body)
        });
        (status, body, server.join().unwrap())
    }

    #[test]
    fn a_body_ends_by_its_length_by_its_last_chunk_or_with_the_connection() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "HTTP/1.0 200 OK\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello, not this",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ] {
            let (status, body, _) = exchange(head);
            assert_eq!((status, body.as_slice()), (200, &b"hello"[..]), "{head}");
        }
        let (status, body, _) = exchange("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        assert_eq!((status, body.len()), (404, 0));
    }

    #[test]
    fn the_request_names_the_path_the_query_and_the_host() {
        let (_, _, lines) = exchange("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(lines[0], "GET /a%20b?c=d HTTP/1.1");
        let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
        assert!(
            has("host: 127.0.0.1:") && has("accept: text/plain") && has("connection: close"),
            "{lines:?}"
        );
    }
}
