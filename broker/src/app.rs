//! The composition root: the only file that knows every component.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use thiserror::Error;
use widecast_protocol::error::chain;

use crate::auth::{Authenticator, KeyFileErrors};
use crate::config::Config;
use crate::engine::{self, Clock, Deliver, EngineStartError, SystemClock};
use crate::memory_budget::{self, Bounds, CHANNEL_BYTES, Level, Part, Pressure};
use crate::metrics::Metrics;
use crate::net::{self, Connections, ListenError, ListenerOptions, Terms};
use crate::outbound_http::{Hook, HookError};
use crate::registry::{Routes, Shard};
use crate::session::{self, OrderActor, Services, Worker, relieve};
use crate::shutdown;
use crate::{api, greeting, health, http, outbound_http, pages, transports};

/// Why the broker could not be started, or had to stop.
#[derive(Debug, Error)]
pub enum RunError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The keys for tokens cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileErrors),
    /// The authorisation hook cannot be asked.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// An engine cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineStartError),
    /// The system refused something else.
    #[error("the system refused")]
    System(#[from] io::Error),
}

/// All that is known to be wrong with a broker that cannot be started, or why it had to stop; there is at least one error.
#[derive(Debug)]
pub struct RunErrors(Vec<RunError>);

impl fmt::Display for RunErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = self.0.iter().map(|error| chain(error)).collect();
        f.write_str(&all.join("\n"))
    }
}

impl std::error::Error for RunErrors {}

impl IntoIterator for RunErrors {
    type Item = RunError;
    type IntoIter = std::vec::IntoIter<RunError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<RunError> for RunErrors {
    fn from(error: RunError) -> Self {
        Self(vec![error])
    }
}

/// Looks at all that the settings name: keys and secrets in files, URLs, and directories. Nothing is connected to, made or kept from
/// others, so that it can be done beside a broker that runs with the same settings.
///
/// # Errors
/// When something cannot be used: all of that.
pub fn check(config: &Config) -> Result<(), RunErrors> {
    let mut errors = Vec::new();
    if let Err(of_files) = Authenticator::new(config) {
        let each = of_files.into_iter().map(KeyFileErrors::from);
        errors.extend(each.map(RunError::Keys));
    }
    let unused = Metrics::new().outbound_http;
    errors.extend(Hook::new(config, &unused).err().map(RunError::Hook));
    errors.extend(engine::check(config).into_iter().map(RunError::Engine));
    if errors.is_empty() {
        return Ok(());
    }
    Err(RunErrors(errors))
}

/// Runs the broker until it is told to stop by SIGTERM or SIGINT. The settings file is only told of in the log.
///
/// # Errors
/// When it cannot be started.
pub fn run(config: Config, settings_file: Option<&Path>) -> Result<(), RunErrors> {
    check(&config)?;
    Ok(actix_rt::System::new().block_on(serve(config, settings_file))?)
}

async fn serve(config: Config, settings_file: Option<&Path>) -> Result<(), RunError> {
    shutdown::outlive_hangup()?;
    let few_files = net::raise_file_limit(config.server.max_connections);
    let config = config.with_demos();
    let config = Arc::new(Bounds::of(&config).applied_to(config));
    let metrics = Arc::new(Metrics::of(&config));
    let connections = Connections::new(config.server.max_connections, metrics.connections.clone());
    let backlog = config.server.backlog;
    let addresses = config.server.listen.iter();
    let listeners = addresses
        .map(|&address| net::bind(address, backlog))
        .collect::<Result<Vec<_>, _>>()?;
    let bound = listeners
        .iter()
        .map(std::net::TcpListener::local_addr)
        .collect::<io::Result<Vec<SocketAddr>>>()?;

    let hook = Hook::new(&config, &metrics.outbound_http)?;
    let auth = Authenticator::new(&config)?;
    let services = services(&config, auth, metrics, hook, &bound).await?;
    let (sets, figures) = (services.auth.key_sets(), &services.metrics.outbound_http);
    actix_rt::spawn(outbound_http::keep_key_sets(sets.to_vec(), figures.clone()));
    session::recall(&services).await;
    actix_rt::spawn(session::hear_nodes(Arc::clone(&services)));
    if services.engine.is_shared() {
        actix_rt::spawn(session::announce_node(Arc::clone(&services)));
    }
    let options = ListenerOptions {
        workers: config.server.workers.count(),
        send_buffer_bytes: config.outbox.send_buffer_bytes.as_usize(),
        connections: connections.clone(),
        shares: Arc::clone(&services.shares),
        proxy_protocol: config.server.proxy_protocol,
        terms: Terms {
            timeouts: config.timeouts.clone(),
            bounds: services.bounds,
            takes_upgrade: transports::takes_upgrade,
        },
    };
    let for_workers = Arc::clone(&services);
    let leaving = Arc::clone(&services);
    let leave_begins = move || leaving.leave_begins();
    let server = net::serve(listeners, &options, leave_begins, move || {
        application(&for_workers)
    })?;
    // Before anybody can know that the broker is there: whoever stops it at once finds it prepared.
    let signal = shutdown::signal()?;
    for warning in config.warnings().into_iter().chain(few_files) {
        tracing::warn!("{warning}");
    }
    actix_rt::spawn(watch_memory(Arc::clone(&services), connections.clone()));
    greeting::greet(&config, settings_file, &bound);

    let handle = server.handle();
    let running = actix_rt::spawn(server);
    let signal = signal.await;
    tracing::info!(
        "{signal}: taking leave of {} connections",
        connections.open()
    );
    shutdown::take_leave(&services, &connections).await;
    handle.stop(false).await;
    session::leave_nodes(&services).await;
    if let Err(error) = services.engine.close().await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the engine could not be closed: it is as after a crash when the broker starts again"
        );
    }
    if let Ok(ended) = running.await {
        ended?;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Counts what nobody counts as it changes, and has the history give way when all of it is too much.
async fn watch_memory(services: Arc<Services>, connections: Connections) {
    /// About what a connection, a session and a subscription take.
    const CONNECTION_BYTES: u64 = 1024;
    const SESSION_BYTES: u64 = 2048;
    const SUBSCRIPTION_BYTES: u64 = 640;
    let bounds = services.bounds;
    let pressure = Pressure::new(bounds.ceiling);
    let tend = move |level| {
        let figures = services.engine.figures();
        let history = figures.history_bytes;
        memory_budget::set(Part::History, history);
        memory_budget::set(
            Part::Channels,
            (figures.channels + figures.idle_channels) * CHANNEL_BYTES,
        );
        let sessions = &services.metrics.sessions;
        let sessions = connections.open() as u64 * CONNECTION_BYTES
            + sessions.open() * SESSION_BYTES
            + sessions.subscriptions.get().cast_unsigned() * SUBSCRIPTION_BYTES;
        memory_budget::set(Part::Sessions, sessions);
        services.engine.bound_history(match level {
            Level::Calm => bounds.history,
            // A part of what is held at each look, so that it takes no longer than some seconds.
            Level::Tight | Level::Full => {
                (history / 16 * 15).clamp(bounds.history / 8, bounds.history)
            }
        });
    };
    pressure.watch(tend).await;
}

async fn services(
    config: &Arc<Config>,
    auth: Authenticator,
    metrics: Arc<Metrics>,
    hook: Option<Hook>,
    bound: &[SocketAddr],
) -> Result<Arc<Services>, EngineStartError> {
    let routes = Routes::new();
    let deliver = Arc::clone(&routes) as Arc<dyn Deliver>;
    let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
    let started = engine::start(config, &clock, &deliver).await?;
    let name = config.server.node.given().map(str::to_owned);
    let name = name.unwrap_or_else(|| node_name(bound));
    let config = Arc::clone(config);
    let services = Services::new(config, auth, started.engine, metrics, routes);
    let services = services.with_engines(started.each);
    Ok(Arc::new(services.asking(hook).named(name)))
}

/// The name of a node that was given none: its machine, and its port there.
fn node_name(bound: &[SocketAddr]) -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let machine = machine.or_else(|_| std::env::var("HOSTNAME"));
    let machine = machine.unwrap_or_else(|_| "widecast".to_owned());
    let port = bound.first().map_or(0, SocketAddr::port);
    format!("{}:{port}", machine.trim())
}

thread_local! {
    /// One for all listeners of a worker thread.
    static WORKER: OnceCell<Worker> = const { OnceCell::new() };
}

fn worker(services: &Arc<Services>) -> Worker {
    WORKER.with(|worker| {
        let start = || {
            let Services {
                config,
                routes,
                engine,
                metrics,
                ..
            } = &**services;
            let shard = Shard::start(routes, engine, metrics, config.heartbeat.timeout);
            let worker = Worker::new(Arc::clone(services), shard);
            OrderActor::start(&worker);
            actix_rt::spawn(metrics.workers.clone().watch());
            actix_rt::spawn(relieve(worker.clone()));
            actix_rt::spawn(shutdown::send_away(worker.clone()));
            worker
        };
        worker.get_or_init(start).clone()
    })
}

/// The services of one worker thread.
fn application(
    services: &Arc<Services>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    App::new()
        .app_data(web::Data::from(Arc::clone(services)))
        .app_data(web::Data::new(worker(services)))
        .configure(api::configure)
        .configure(transports::configure)
        .configure(pages::configure)
        .configure(health::configure)
        .wrap(from_fn(http::edge))
}
