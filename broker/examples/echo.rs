//! A WebSocket that sends back what it is sent, over the broker's own connections and frames: what the Autobahn test
//! suite talks to (`tests/autobahn/run`). Prints its address.

use std::future::poll_fn;
use std::io::{self, Write};
use std::time::Duration;

use actix_web::{App, Error, HttpRequest, HttpResponse, error, web};
use actix_web_actors::ws;
use bytes::Bytes;
use widecast::net::{self, Connection, Connections, Detached, ListenerOptions};
use widecast_protocol::framing::websocket::{self, Decoder, DecoderLimits, Event, FrameError};

/// The suite's group 9 sends 16 MiB, whole and in fragments of 64 bytes.
const LIMITS: DecoderLimits = DecoderLimits {
    message_bytes: 16 << 20,
    fragments: 16 << 20,
};

/// What a frame of the client calls for.
enum Answer {
    Send(Bytes),
    SendAndClose(Bytes),
    Nothing,
}

impl From<Result<Event, FrameError>> for Answer {
    fn from(event: Result<Event, FrameError>) -> Self {
        match event {
            Ok(Event::Text(text)) => Self::Send(websocket::text(&text)),
            Ok(Event::Binary(bytes)) => Self::Send(websocket::binary(&bytes)),
            Ok(Event::Ping(payload)) => Self::Send(websocket::pong(&payload)),
            Ok(Event::Pong(_)) => Self::Nothing,
            Ok(Event::Close { code, .. }) => Self::SendAndClose(websocket::close_reply(code)),
            Err(error) => {
                let code = error.code().close_code();
                Self::SendAndClose(websocket::close(code, &error.to_string()))
            }
        }
    }
}

async fn write(connection: &Connection, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match connection.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.writable().await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for bytes and reads them; 0 at the end.
async fn read(connection: &Connection, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        poll_fn(|context| connection.poll_readable(context)).await?;
        match connection.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

async fn talk(Detached { connection, early }: Detached) -> io::Result<()> {
    let mut decoder = Decoder::new(LIMITS);
    let mut buffer = early.to_vec();
    let mut filled = buffer.len();
    buffer.resize(filled.max(65_536), 0);
    loop {
        let mut input = &buffer[..filled];
        while let Some(event) = decoder.feed(&mut input).transpose() {
            match Answer::from(event) {
                Answer::Send(bytes) => write(&connection, &bytes).await?,
                Answer::SendAndClose(bytes) => {
                    write(&connection, &bytes).await?;
                    connection.finish_writing();
                    return Ok(());
                }
                Answer::Nothing => {}
            }
        }
        filled = read(&connection, &mut buffer).await?;
        if filled == 0 {
            return Ok(());
        }
    }
}

async fn echo(request: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Error> {
    let mut response = ws::handshake(&request)?;
    let body = net::detach(&request, payload.into_inner(), |detached| {
        actix_web::rt::spawn(async {
            // The suite also breaks connections off: it judges, not we.
            let _ = talk(detached).await;
        });
    });
    let body = body.ok_or_else(|| error::ErrorInternalServerError("not a connection of ours"))?;
    Ok(response.body(body))
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let listener = net::bind("127.0.0.1:0".parse()?, 1024)?;
    writeln!(io::stdout(), "ws://{}", listener.local_addr()?)?;
    let options = ListenerOptions {
        workers: 1,
        send_buffer_bytes: 65_536,
        connections: Connections::new(1024),
        head_timeout: Duration::from_secs(5),
    };
    let app = || App::new().route("/", web::get().to(echo));
    net::serve(vec![listener], &options, app)?.await?;
    Ok(())
}
