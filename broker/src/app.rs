//! The composition root: the only file that knows every component.

use std::cell::OnceCell;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use thiserror::Error;

use crate::config::Config;
use crate::engine::{Engine, MemoryEngine, MemorySettings, SystemClock};
use crate::metrics::Metrics;
use crate::net::{self, Connections, ListenError, ListenerOptions, Terms};
use crate::registry::{Routes, Shard};
use crate::session::{Heart, Services, Worker};
use crate::shutdown;
use crate::{api, greeting, health, http, transports};

/// Why the broker could not be started, or had to stop.
#[derive(Debug, Error)]
pub enum RunError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system refused something else.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// Runs the broker until it is told to stop by SIGTERM or SIGINT. The settings file is only told of in the log.
///
/// # Errors
/// When it cannot be started.
pub fn run(config: Config, settings_file: Option<&Path>) -> Result<(), RunError> {
    actix_rt::System::new().block_on(serve(config, settings_file))
}

async fn serve(config: Config, settings_file: Option<&Path>) -> Result<(), RunError> {
    shutdown::outlive_hangup()?;
    let config = Arc::new(config.with_demos());
    let metrics = Arc::new(Metrics::new());
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

    let services = services(&config, metrics);
    let options = ListenerOptions {
        workers: config.server.workers.count(),
        send_buffer_bytes: config.outbox.send_buffer_bytes.as_usize(),
        connections: connections.clone(),
        terms: Terms {
            timeouts: config.timeouts.clone(),
            unfinished_bytes: config.limits.unfinished_bytes.as_usize(),
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
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    greeting::greet(&config.server, settings_file, &bound);

    let handle = server.handle();
    let running = actix_rt::spawn(server);
    let signal = signal.await;
    tracing::info!(
        "{signal}: taking leave of {} connections",
        connections.open()
    );
    handle.pause().await;
    shutdown::take_leave(&services, &connections).await;
    handle.stop(false).await;
    if let Ok(ended) = running.await {
        ended?;
    }
    tracing::info!("stopped");
    Ok(())
}

fn services(config: &Arc<Config>, metrics: Arc<Metrics>) -> Arc<Services> {
    let routes = Routes::new();
    let settings = MemorySettings {
        history_bytes: config.history.total_bytes.get(),
        presence_grace: config.presence.grace,
        ..MemorySettings::default()
    };
    let clock = Arc::new(SystemClock);
    let deliver = Arc::clone(&routes) as Arc<dyn crate::engine::Deliver>;
    let engine = Arc::new(MemoryEngine::new(settings, clock, deliver));
    actix_rt::spawn(engine.tend());
    let engine: Arc<dyn Engine> = engine;
    Arc::new(Services::new(Arc::clone(config), engine, metrics, routes))
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
            let worker = Worker {
                services: Arc::clone(services),
                shard: Shard::start(routes, engine, metrics, config.heartbeat.timeout),
                heart: Heart::start(),
            };
            actix_rt::spawn(metrics.workers.clone().watch());
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
        .configure(health::configure)
        .wrap(from_fn(http::edge))
}
