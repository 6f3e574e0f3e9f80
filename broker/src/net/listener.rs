//! Binding addresses and running actix's HTTP/1 dispatcher over our connections, one set of services per worker thread.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service, map_config,
};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, ServiceRequest, ServiceResponse};
use actix_web::{App, Error};
use futures_util::future::{Either, pending};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error as ThisError;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection::{Connection, Connections};
use super::connection_io::{ConnectionIo, Terms};
use super::exchange::exchange;
use super::proxy_protocol::read_client;
use crate::auth::LastCredential;
use crate::limits::Shares;
use crate::log_limit::LogLimit;
use crate::metrics::Slowness;

/// Why an address could not be listened on.
#[derive(Debug, ThisError)]
#[error("cannot listen on {address}: {}", reason(.source))]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// The error of the system.
    pub source: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program uses this port; stop it, or choose another with --listen".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; choose a port above 1023 with --listen".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have this address; choose another with --listen".to_owned()
        }
        _ => error.to_string(),
    }
}

/// How to listen.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// How many worker threads.
    pub workers: usize,
    /// How many bytes the kernel buffers towards each client.
    pub send_buffer_bytes: usize,
    /// The count of connections, with its limit.
    pub connections: Connections,
    /// What the clients of each address may have.
    pub shares: Arc<Shares>,
    /// Whether the connections of trusted proxies begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The terms that each connection is granted.
    pub terms: Terms,
}

/// Listens on an address.
///
/// # Errors
/// When the system refuses; the error says what to do.
pub fn bind(address: SocketAddr, backlog: u32) -> Result<TcpListener, ListenError> {
    let bind = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // Without this a restart would have to wait for the old connections' TIME-WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
        Ok(TcpListener::from(socket))
    };
    bind().map_err(|source| ListenError { address, source })
}

/// The address of the client, who has connected or for whom a trusted proxy has; none if the connection is of no use.
async fn client_of(stream: &mut TcpStream, options: &ListenerOptions) -> Option<SocketAddr> {
    let peer = stream.peer_addr().ok()?;
    if !options.proxy_protocol || !options.shares.trusts(peer.ip()) {
        return Some(peer);
    }
    let patience = options.terms.timeouts.head;
    match timeout(patience, read_client(stream)).await {
        Ok(Ok(client)) => Some(client.unwrap_or(peer)),
        Ok(Err(error)) => {
            static LINE: LogLimit = LogLimit::new();
            if let Some(times) = LINE.due() {
                tracing::warn!(
                    times, %peer, %error,
                    "server.proxy_protocol is on, and a connection of one of server.trusted_proxies does not begin with a PROXY protocol header: \
                     turn it on at the proxy (HAProxy: send-proxy-v2, nginx: proxy_protocol on)"
                );
            }
            None
        }
        Err(_) => {
            options.connections.gave_up(Slowness::ProxyHeader);
            tracing::debug!(%peer, "no PROXY protocol header came within timeouts.head_ms");
            None
        }
    }
}

async fn accept(
    mut stream: TcpStream,
    options: ListenerOptions,
) -> Result<(ConnectionIo, Option<SocketAddr>), ()> {
    let socket = SockRef::from(&stream);
    // A socket that is already gone fails here; the dispatcher finds out by itself.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_send_buffer_size(options.send_buffer_bytes);
    let Some(client) = client_of(&mut stream, &options).await else {
        return Err(());
    };
    let ListenerOptions {
        connections,
        shares,
        terms,
        ..
    } = options;
    match Connection::accept(stream, client, &connections, &shares, terms) {
        Ok(connection) => Ok((ConnectionIo(connection), Some(client))),
        Err((mut stream, refusal)) => {
            // The client may already be gone, and then nobody is left to be told.
            let _ = stream.write_all(&refusal.answer()).await;
            let _ = stream.shutdown().await;
            Err(())
        }
    }
}

/// Serves the app on the listeners; `app` makes it once per worker, on the worker's own thread. Once the future that
/// `leaving` makes is ready, idle connections are closed, and requests under way are the last of their connections. Who connects
/// after [`Connections::leave`] is answered one request: the app says what.
///
/// # Errors
/// When a listener cannot be registered.
pub fn serve<F, S, B, L, W>(
    listeners: Vec<TcpListener>,
    options: &ListenerOptions,
    leaving: L,
    app: F,
) -> io::Result<actix_server::Server>
where
    F: Fn() -> App<S> + Clone + Send + 'static,
    L: Fn() -> W + Clone + Send + 'static,
    W: Future<Output = ()> + 'static,
    S: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
    S::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let mut server = actix_server::Server::build()
        .workers(options.workers)
        .disable_signals()
        .shutdown_timeout(1);
    for listener in listeners {
        let app = app.clone();
        let leaving = leaving.clone();
        let options = options.clone();
        server = server.listen("http", listener, move || {
            let accepting = options.clone();
            let (leaving, connections) = (leaving.clone(), options.connections.clone());
            // The dispatcher would close a connection that is new before it reads anything.
            let closing = move || {
                if connections.is_leaving() {
                    Either::Right(pending())
                } else {
                    Either::Left(leaving())
                }
            };
            let http = HttpService::build()
                // The gate has all timeouts.
                .client_request_timeout(Duration::ZERO)
                .keep_alive(KeepAlive::Os)
                // The lingering of the dispatcher only delays a close that the client waits for (RFC 6455, section 7.1.1).
                .client_disconnect_timeout(Duration::ZERO)
                // A poll whose client is gone must end.
                .h1_allow_half_closed(false)
                .graceful_shutdown_signal(closing)
                .on_connect_ext(|io: &ConnectionIo, data: &mut actix_http::Extensions| {
                    data.insert(Rc::clone(&io.0));
                    data.insert(LastCredential::default());
                })
                .h1(apply_fn_factory(
                    map_config(app().into_factory(), |()| AppConfig::default()),
                    exchange,
                ))
                .map_err(|error| tracing::debug!(%error, "a connection ended with an error"));
            fn_service(move |stream| accept(stream, accepting.clone())).and_then(http)
        })?;
    }
    Ok(server.run())
}
