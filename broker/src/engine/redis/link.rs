//! How the engine asks its server: with a bounded queue, and a deadline for each command, also while there is no connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};

use super::connection::{Server, has_lost_its_server, has_not_begun, keys_are_moving, load};
use super::figures::RedisFigures;
use super::scripts::Scripts;
use super::settings::RedisSettings;
use crate::engine::deadline::timeout;
use crate::engine::{EngineError, EngineFuture, retry_intervals, with_patience};

/// The shortest and the longest interval between two attempts while the keys move to another node of the cluster; half of it is left
/// to chance.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST_INTERVAL: Duration = Duration::from_millis(250);

/// Why a command was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum Refusal {
    #[error("more commands wait for their answers than the queue of the Redis engine takes")]
    QueueFull,
    #[error("the Redis server has not answered in time")]
    NoAnswer,
    #[error("there is no connection to the Redis server")]
    NotConnected,
    #[error(
        "too few replicas of the Redis server have the message in time; nobody knows whether it outlives the server"
    )]
    TooFewReplicas,
}

/// What the server says, or the way to it, without the cause: that has the same words once more.
#[derive(Debug, Error)]
#[error("{0}")]
struct Said(RedisError);

/// Whether a command whose answer was lost is sent again on the next connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It does no harm to do it twice.
    Yes,
    /// It would be done twice.
    No,
}

/// How a command that has failed is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Once the scripts are loaded: somebody has flushed them, and nothing of the command was done.
    Loaded,
    /// On the next connection.
    Elsewhere,
    /// After a while.
    Later,
}

impl Again {
    /// How a command is sent again that has failed so, if it is.
    fn after(error: &RedisError, repeat: Repeat) -> Option<Self> {
        if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) {
            Some(Self::Loaded)
        } else if has_not_begun(error) || repeat == Repeat::Yes && has_lost_its_server(error) {
            Some(Self::Elsewhere)
        } else if keys_are_moving(error) {
            Some(Self::Later)
        } else {
            None
        }
    }
}

/// What has become of several commands.
struct Answered<T> {
    /// Of the first ones.
    answers: Vec<RedisResult<T>>,
    /// What has happened to all others, if there are some: they may have been done.
    of_others: Option<RedisError>,
}

/// The way to the server.
pub(super) struct Link {
    current: watch::Sender<Option<Arc<Server>>>,
    places: Semaphore,
    queue: usize,
    timeout: Duration,
    pub(super) scripts: Scripts,
    pub(super) figures: RedisFigures,
}

impl Link {
    pub(super) fn new(settings: &RedisSettings, scripts: Scripts) -> Self {
        Self {
            current: watch::Sender::new(None),
            places: Semaphore::new(settings.queue),
            queue: settings.queue,
            timeout: settings.timeout,
            scripts,
            figures: RedisFigures::default(),
        }
    }

    /// From now on this is the server; or there is none.
    pub(super) fn set(&self, server: Option<Arc<Server>>) {
        self.current.send_replace(server);
    }

    /// Whether there is a connection.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        match &*self.current.borrow() {
            Some(_) => Ok(()),
            None => Err(EngineError::unavailable(Refusal::NotConnected)),
        }
    }

    /// The server process that there is a connection to.
    pub(super) fn process(&self) -> Option<String> {
        let server = self.current.borrow();
        server.as_ref().map(|server| server.process.clone())
    }

    /// How many commands wait for their answers.
    pub(super) fn waiting(&self) -> usize {
        self.queue - self.places.available_permits()
    }

    /// Sends the command that `make` makes for the server process of this name, and waits for its answer.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        repeat: Repeat,
        make: impl Fn(&str) -> Cmd,
    ) -> Result<T, EngineError> {
        let asked = async { self.ask_on(repeat, make).await.map(|(answer, _)| answer) };
        self.in_queue(asked).await?.map_err(meaning)
    }

    /// The same, for what replicas have to have, too, where that is wanted.
    pub(super) async fn ask_for_good<T: FromRedisValue>(
        &self,
        repeat: Repeat,
        make: impl Fn(&str) -> Cmd,
    ) -> Result<T, EngineError> {
        let asked = async {
            let (answer, server) = self.ask_on(repeat, make).await?;
            let have_all = match &server.replicas {
                Some(replicas) => replicas.have_all().await?,
                None => true,
            };
            Ok((answer, have_all))
        };
        match self.in_queue(asked).await?.map_err(meaning)? {
            (answer, true) => Ok(answer),
            _ => Err(EngineError::unavailable(Refusal::TooFewReplicas)),
        }
    }

    /// The same with several commands, which are sent together, and are done in their order or not at all.
    pub(super) async fn ask_in_order_for_good<T: FromRedisValue>(
        &self,
        repeat: Repeat,
        makes: &[impl Fn(&str) -> Cmd],
    ) -> Result<Vec<Result<T, EngineError>>, EngineError> {
        let asked = async {
            let (answered, server) = self.ask_each_on(repeat, makes).await?;
            let have_all = match &server.replicas {
                Some(replicas) => replicas.have_all().await?,
                None => true,
            };
            Ok((answered, have_all))
        };
        let (answered, have_all) = self.in_queue(asked).await?.map_err(meaning)?;
        let answers = answered.answers.into_iter().map(|answer| match answer {
            Ok(_) if !have_all => Err(EngineError::unavailable(Refusal::TooFewReplicas)),
            answer => answer.map_err(meaning),
        });
        let mut answers: Vec<_> = answers.collect();
        if let Some(error) = answered.of_others.map(meaning) {
            answers.resize_with(makes.len(), || Err(error.clone()));
        }
        Ok(answers)
    }

    /// Does what the engine is asked for, however many commands it takes, in the time of one.
    pub(super) fn in_time<'a, T: 'a>(
        &self,
        work: impl Future<Output = Result<T, EngineError>> + Send + 'a,
    ) -> EngineFuture<'a, T> {
        Box::pin(with_patience(Some(self.timeout), work))
    }

    /// Takes a place in the queue for this, and waits as long as a command may.
    async fn in_queue<T>(&self, work: impl Future<Output = T>) -> Result<T, EngineError> {
        let place = self.places.try_acquire();
        let _place = place.map_err(|_| EngineError::unavailable(Refusal::QueueFull))?;
        let began = Instant::now();
        let answer = self.within_deadline(work).await;
        self.figures.asked(began.elapsed());
        answer
    }

    /// Gives up the present connection, as if it were lost.
    pub(super) fn leave(&self) {
        if let Some(server) = &*self.current.borrow() {
            server.broken.notify_one();
        }
    }

    /// Sends several commands that do no harm when they are done twice.
    pub(super) async fn ask_all<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, EngineError> {
        let place = self.places.try_acquire();
        let _place = place.map_err(|_| EngineError::unavailable(Refusal::QueueFull))?;
        let asked = async {
            let server = self.server_other_than(None).await;
            server.ask_all(commands).await
        };
        self.within_deadline(asked).await?.map_err(meaning)
    }

    /// Waits as long as a command may, all that it is a part of included.
    pub(super) async fn within_deadline<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, EngineError> {
        let done = timeout(self.timeout, work).await;
        done.map_err(|_| {
            let connected = self.current.borrow().is_some();
            EngineError::unavailable(if connected {
                Refusal::NoAnswer
            } else {
                Refusal::NotConnected
            })
        })
    }

    async fn ask_on<T: FromRedisValue>(
        &self,
        repeat: Repeat,
        make: impl Fn(&str) -> Cmd,
    ) -> Result<(T, Arc<Server>), RedisError> {
        let mut failed: Option<Arc<Server>> = None;
        let mut intervals = retry_intervals(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        loop {
            let server = self.server_other_than(failed.as_ref()).await;
            let error = match server.ask(&make(&server.process)).await {
                Ok(answer) => return Ok((answer, server)),
                Err(error) => error,
            };
            match Again::after(&error, repeat) {
                Some(Again::Loaded) => load(&self.scripts, &server.commands).await?,
                Some(Again::Elsewhere) => failed = Some(server),
                Some(Again::Later) => {
                    tokio::time::sleep(intervals.next().unwrap_or(LONGEST_INTERVAL)).await;
                }
                None => return Err(error),
            }
        }
    }

    /// Asks until each command is answered. What has failed before one that was done is not sent again: it would come behind that.
    async fn ask_each_on<T: FromRedisValue>(
        &self,
        repeat: Repeat,
        makes: &[impl Fn(&str) -> Cmd],
    ) -> Result<(Answered<T>, Arc<Server>), RedisError> {
        let mut answers = Vec::with_capacity(makes.len());
        let mut failed: Option<Arc<Server>> = None;
        let mut intervals = retry_intervals(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        loop {
            let server = self.server_other_than(failed.as_ref()).await;
            let mut commands = redis::pipe();
            commands.ignore_errors();
            for make in &makes[answers.len()..] {
                commands.add_command(make(&server.process));
            }
            let answered = match server.ask_each(&commands).await {
                Err(error) if repeat == Repeat::Yes && has_lost_its_server(&error) => {
                    failed = Some(server);
                    continue;
                }
                Err(error) if !answers.is_empty() => {
                    let of_others = Some(error);
                    return Ok((Answered { answers, of_others }, server));
                }
                answered => answered?,
            };
            let again = |answer: &RedisResult<T>| match answer {
                Ok(_) => None,
                Err(error) => Again::after(error, repeat),
            };
            let is_final = |answer: &RedisResult<T>| again(answer).is_none();
            let count = answered
                .iter()
                .rposition(is_final)
                .map_or(0, |last| last + 1);
            let next = answered.get(count).and_then(again);
            answers.extend(answered.into_iter().take(count));
            match next {
                Some(Again::Loaded) => {
                    if let Err(error) = load(&self.scripts, &server.commands).await {
                        let of_others = Some(error);
                        return Ok((Answered { answers, of_others }, server));
                    }
                }
                Some(Again::Elsewhere) => failed = Some(server),
                Some(Again::Later) => {
                    tokio::time::sleep(intervals.next().unwrap_or(LONGEST_INTERVAL)).await;
                }
                None => {
                    let of_others = None;
                    return Ok((Answered { answers, of_others }, server));
                }
            }
        }
    }

    async fn server_other_than(&self, failed: Option<&Arc<Server>>) -> Arc<Server> {
        let mut current = self.current.subscribe();
        loop {
            if let Some(server) = &*current.borrow_and_update()
                && failed.is_none_or(|failed| !Arc::ptr_eq(server, failed))
            {
                return Arc::clone(server);
            }
            // The sender lives as long as this.
            let _ = current.changed().await;
        }
    }
}

/// What an error of the client means for who asked the engine.
pub(super) fn meaning(error: RedisError) -> EngineError {
    match error.kind() {
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => EngineError::Corrupt {
            expected: "answers as this release's scripts give them",
        },
        _ => EngineError::unavailable(Said(error)),
    }
}
