//! Sockets below the clients: WebSockets that can be reset, and bare connections that speak any bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::broker::Broker;
use crate::deadline::within;

/// A WebSocket, with the socket below it at hand.
pub type WebSocket = WebSocketStream<TcpStream>;

/// Opens a WebSocket; gives it with the headers of the answer.
///
/// # Errors
/// When the broker refuses: the error holds [`tokio_tungstenite::tungstenite::Error::Http`] with its answer.
pub async fn open_websocket(
    url: &Url,
    headers: &[(&'static str, &str)],
) -> Result<(WebSocket, HeaderMap)> {
    let mut request = url
        .as_str()
        .replacen("http", "ws", 1)
        .into_client_request()?;
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(*name, HeaderValue::from_str(value)?);
    }
    let host = url.host_str().context("no host")?;
    let port = url.port_or_known_default().context("no port")?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let (socket, response) = handshake.await?;
    Ok((socket, response.headers().clone()))
}

/// Ends a connection with a reset, so that the other side learns it at once and without a close frame.
pub fn reset(stream: &TcpStream) {
    // When this fails the connection is gone already.
    let _ = stream.set_zero_linger();
}

/// A connection that sends whatever bytes it is told to.
pub struct Bare {
    stream: TcpStream,
    received: BytesMut,
}

impl Bare {
    /// Connects.
    ///
    /// # Errors
    /// When the broker takes no connection.
    pub async fn connect(broker: &Broker) -> Result<Self> {
        Ok(Self::on(TcpStream::connect(broker.socket_address()).await?))
    }

    /// Connects from an address of this machine, such as 127.0.0.2: for the broker another client.
    ///
    /// # Errors
    /// When the broker takes no connection.
    pub async fn connect_from(broker: &Broker, address: Ipv4Addr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((address, 0).into())?;
        Ok(Self::on(socket.connect(broker.socket_address()).await?))
    }

    /// Connects with a receive buffer as small as the kernel allows: a client that soon takes nothing more.
    ///
    /// # Errors
    /// When the broker takes no connection.
    pub async fn connect_narrow(broker: &Broker) -> Result<Self> {
        Self::connect_narrow_to(broker.socket_address()).await
    }

    /// The same over some way to a broker.
    ///
    /// # Errors
    /// When nobody takes the connection.
    pub async fn connect_narrow_to(address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        Ok(Self::on(socket.connect(address).await?))
    }

    fn on(stream: TcpStream) -> Self {
        let received = BytesMut::new();
        Self { stream, received }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends a GET request without a body; further header lines end with CR LF each.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn get(&mut self, target: &str, headers: &str) -> Result<()> {
        let head = format!("GET {target} HTTP/1.1\r\nHost: broker\r\n{headers}\r\n");
        self.send(head.as_bytes()).await
    }

    /// Asks for a WebSocket and waits for the answer's head.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn upgrade(&mut self, target: &str) -> Result<()> {
        let headers = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        self.get(target, headers).await?;
        let head = self.until(b"\r\n\r\n").await?;
        if !head.starts_with(b"HTTP/1.1 101") {
            bail!("no upgrade: {}", String::from_utf8_lossy(&head));
        }
        Ok(())
    }

    /// Everything up to and including the end mark.
    ///
    /// # Errors
    /// When the connection ends before, or it does not come in time.
    pub async fn until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        let reading = async {
            loop {
                let mut windows = self.received.windows(end.len());
                if let Some(at) = windows.position(|window| window == end) {
                    return Ok(self.received.split_to(at + end.len()).to_vec());
                }
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    bail!(
                        "the end after {:?}",
                        String::from_utf8_lossy(&self.received)
                    );
                }
            }
        };
        within("reading", reading).await
    }

    /// Exactly so many bytes.
    ///
    /// # Errors
    /// When the connection ends before, or they do not come in time.
    pub async fn exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        let reading = async {
            while self.received.len() < count {
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    bail!("the end after {} bytes", self.received.len());
                }
            }
            Ok(self.received.split_to(count).to_vec())
        };
        within("reading", reading).await
    }

    /// Everything until the broker ends the connection, in whatever way.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn to_end(&mut self) -> Result<Vec<u8>> {
        let reading = async {
            // A reset is an end too.
            while matches!(self.stream.read_buf(&mut self.received).await, Ok(1..)) {}
            Ok(self.received.split().to_vec())
        };
        within("the end of the connection", reading).await
    }

    /// Whether the broker still keeps the connection open after a while without saying anything.
    pub async fn stays_open(&mut self, duration: Duration) -> bool {
        let mut byte = [0];
        let read = tokio::time::timeout(duration, self.stream.read(&mut byte)).await;
        matches!(read, Err(_) | Ok(Ok(1)))
    }

    /// Sends nothing more, and still reads.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn finish(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        reset(&self.stream);
    }
}

/// A masked client frame, as [RFC 6455, section 5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2) has it; the first
/// byte is FIN, RSV and opcode. The mask is zero, so that the payload is what it looks like.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = client_frame_header(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of a masked client frame that announces so many bytes.
pub fn client_frame_header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => header.push(0x80 | short),
        (_, Ok(medium)) => {
            header.push(0xfe);
            header.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            header.push(0xff);
            header.extend_from_slice(&length.to_be_bytes());
        }
    }
    header.extend_from_slice(&[0; 4]);
    header
}
