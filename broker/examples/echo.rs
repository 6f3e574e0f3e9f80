//! A WebSocket that sends back what it is sent, for the Autobahn test suite (`tests/autobahn/run`).
//!
//! Everything but the echo is the broker's own: the listener, the socket taken from the HTTP dispatcher, the session, its
//! reading of frames, its outbox and its farewells. A channel would not do as the echo: a client that breaks the
//! standard right after a message is closed before that message has come back through the channel.

use std::io::{self, Write};
use std::sync::Arc;

use actix_web::{App, Error, HttpRequest, HttpResponse, error, web};
use actix_web_actors::ws;
use widecast::auth::{Authenticator, KeyFileError, Principal, Subject};
use widecast::config::{ByteCount, Config, LimitSettings, TimeoutSettings};
use widecast::engine::{Deliver, Engine, MemoryEngine, MemorySettings, SystemClock};
use widecast::limits::{Held, Share};
use widecast::metrics::Metrics;
use widecast::net::{self, Connections, ListenerOptions, Terms};
use widecast::registry::{Routes, Shard};
use widecast::session::{
    Carrier, Dialect, Echo, Identity, Inbound, InboundDecoder, Services, Session, SessionActor,
    Transport, Worker, random_sender,
};
use widecast::transports::{WebSocketMessage, WebSocketMessages};
use widecast_protocol::Origin;
use widecast_protocol::framing::Wire;
use widecast_protocol::framing::websocket::{binary, text};

/// Group 9 of the suite sends 16 MiB in one message, and 4 MiB in fragments of 64 bytes.
fn limits() -> LimitSettings {
    LimitSettings {
        message_bytes: ByteCount::mebibytes(16),
        fragments_per_message: 100_000,
        ..LimitSettings::default()
    }
}

/// Answers each message with itself.
struct EchoReader(WebSocketMessages);

impl InboundDecoder for EchoReader {
    fn read(&mut self, bytes: &[u8]) -> Vec<Inbound> {
        self.0.read(bytes, |message, inbound| {
            inbound.push(Inbound::Answer(match message {
                WebSocketMessage::Text(bytes) => text(&bytes),
                WebSocketMessage::Binary(bytes) => binary(&bytes),
            }));
        })
    }
}

async fn echo(request: HttpRequest, worker: web::Data<Worker>) -> Result<HttpResponse, Error> {
    let mut head = ws::handshake(&request)?;
    let identity = Identity {
        sender: Some(random_sender()),
        echo: Echo::Off,
        principal: Principal::new(Subject::Anybody, Origin::unknown()),
        share: Share::default(),
        headers: Vec::new(),
    };
    let carrier = Carrier {
        dialect: Dialect::connected(Wire::RawWebSocket),
        transport: Transport::WebSocket,
    };
    let session = Session::new(&worker, identity, Held::default(), carrier);
    let decoder = Box::new(EchoReader(WebSocketMessages::of_one(&limits())));
    let body = net::detach(&request, |detached| {
        SessionActor::start_connected(session, detached, decoder);
    });
    let body = body.ok_or_else(|| error::ErrorInternalServerError("not a connection of ours"))?;
    Ok(head.body(body))
}

fn services() -> Result<Arc<Services>, KeyFileError> {
    let mut config = Config::default();
    let auth = Authenticator::new(&config)?;
    // An echo is queued whole.
    config.outbox.bytes = ByteCount::mebibytes(64);
    let routes = Routes::new();
    let deliver = Arc::clone(&routes) as Arc<dyn Deliver>;
    let clock = Arc::new(SystemClock);
    let engine: Arc<dyn Engine> =
        Arc::new(MemoryEngine::new(MemorySettings::default(), clock, deliver));
    let metrics = Arc::new(Metrics::new());
    Ok(Arc::new(Services::new(
        Arc::new(config),
        auth,
        engine,
        metrics,
        routes,
    )))
}

fn worker(services: Arc<Services>) -> Worker {
    let shard = Shard::start(
        &services.routes,
        &services.engine,
        &services.metrics,
        services.config.heartbeat.timeout,
    );
    Worker::new(services, shard)
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let services = services()?;
    let listener = net::bind("127.0.0.1:0".parse()?, 1024)?;
    writeln!(io::stdout(), "ws://{}", listener.local_addr()?)?;
    let options = ListenerOptions {
        workers: 1,
        send_buffer_bytes: services.config.outbox.send_buffer_bytes.as_usize(),
        connections: Connections::new(1024, services.metrics.connections.clone()),
        shares: Arc::clone(&services.shares),
        proxy_protocol: false,
        terms: Terms {
            timeouts: TimeoutSettings::default(),
            bounds: widecast::memory_budget::Bounds::of(&widecast::config::Config::default()),
            takes_upgrade: |_| true,
        },
    };
    let app = move || {
        App::new()
            .app_data(web::Data::new(worker(Arc::clone(&services))))
            .route("/", web::get().to(echo))
    };
    net::serve(vec![listener], &options, std::future::pending, app)?.await?;
    Ok(())
}
