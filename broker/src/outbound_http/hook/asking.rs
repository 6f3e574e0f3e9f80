//! Asks the hook: a bounded number of questions at a time, each with a deadline.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::CONTENT_TYPE;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::{Permission, Verdict};
use super::cache::{Cache, QuestionKey};
use super::question::Question;
use super::signature::{SecretError, Signer};
use crate::config::{Config, HookEvent, OnFailure};
use crate::log_limit::LogLimit;
use crate::metrics::{HookOutcome, OutboundHttp};
use crate::outbound_http::http::{CallError, HttpClient};

/// The questions that requests ask beside a first one each may take all the room divided by this, so that there is room for the first
/// questions of others.
const MORE_PART: usize = 4;

/// The largest answer in bytes, without the data of a message.
const ANSWER_BYTES: usize = 16 * 1024;

/// The headers that a request is signed by.
const TIMESTAMP_HEADER: &str = "widecast-timestamp";
const SIGNATURE_HEADER: &str = "widecast-signature";

/// Why the hook of the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Its requests cannot be signed.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It cannot be called.
    #[error("the authorisation hook cannot be called")]
    Call(#[from] CallError),
}

/// Why nobody knows whether something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// As many questions wait for their answers as may.
    Busy,
    /// There was no answer that could be used.
    Failed,
}

/// A hook that can be asked.
pub struct Hook {
    url: String,
    client: HttpClient,
    signer: Signer,
    events: Vec<HookEvent>,
    data_bytes: usize,
    on_failure: OnFailure,
    room: Semaphore,
    /// For how many questions there is room.
    most: usize,
    /// Room for questions of one request beside its first.
    more: Semaphore,
    /// None if each question is asked.
    cache: Option<Cache>,
    /// Whether the log has been told that the hook fails.
    fails: AtomicBool,
    metrics: OutboundHttp,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({})", self.url)
    }
}

impl Hook {
    /// The hook of the settings, if there is one.
    ///
    /// # Errors
    /// When it cannot be as the settings want it.
    pub fn new(config: &Config, metrics: &OutboundHttp) -> Result<Option<Self>, HookError> {
        let settings = &config.hook;
        let Some(url) = settings.url.url() else {
            return Ok(None);
        };
        // The data of a message may be longer as JSON than as it came.
        let most_bytes = 2 * config.limits.message_bytes.as_usize() + ANSWER_BYTES;
        Ok(Some(Self {
            url: url.to_owned(),
            client: HttpClient::new(&settings.url, settings.timeout, most_bytes)?,
            signer: Signer::new(&settings.secret_file)?,
            events: settings.events.clone(),
            data_bytes: settings.data_bytes.as_usize(),
            on_failure: settings.on_failure,
            room: Semaphore::new(settings.concurrent_requests),
            most: settings.concurrent_requests,
            more: Semaphore::new(settings.concurrent_requests / MORE_PART),
            cache: (!settings.cache.is_zero()).then(|| Cache::new(settings.cache)),
            fails: AtomicBool::new(false),
            metrics: metrics.clone(),
        }))
    }

    /// Whether it is to be asked about this.
    pub fn asks_at(&self, event: HookEvent) -> bool {
        self.events.contains(&event)
    }

    /// Room for so many questions beside a first one, or for fewer; none while half of all that may be asked is. Whoever has it asks them
    /// at once, and is refused no more than if it asked one after the other.
    pub fn room_for_more(&self, wanted: usize) -> Option<SemaphorePermit<'_>> {
        if self.room.available_permits() <= self.most / 2 {
            return None;
        }
        let wanted = wanted.min(self.more.available_permits());
        self.more.try_acquire_many(u32::try_from(wanted).ok()?).ok()
    }

    /// Asks a question.
    ///
    /// # Errors
    /// When there is no usable answer, and `auth.hook.on_failure` is `refuse`.
    pub async fn ask(&self, question: Question<'_>) -> Result<Verdict, NoAnswer> {
        let event = question.event;
        let key = self.cache_for(event).map(|cache| {
            let question = question.without_session().to_json(self.data_bytes);
            (cache, QuestionKey::of(&question))
        });
        if let Some((cache, key)) = &key
            && let Some(permission) = cache.get(key)
        {
            self.metrics.hook(event, HookOutcome::Cached);
            return Ok(Verdict::Allowed(permission));
        }
        let Ok(_room) = self.room.try_acquire() else {
            self.metrics.hook(event, HookOutcome::Busy);
            return Err(NoAnswer::Busy);
        };
        let began = Instant::now();
        let answer = self.answer(question).await;
        self.metrics.hook_took(began.elapsed());
        match answer {
            Ok(verdict) => {
                self.answered();
                if let (Verdict::Allowed(permission), Some((cache, key))) = (&verdict, key) {
                    cache.keep(key, permission.clone());
                }
                let is_allowed = matches!(verdict, Verdict::Allowed(_));
                let outcome = if is_allowed {
                    HookOutcome::Allowed
                } else {
                    HookOutcome::Refused
                };
                self.metrics.hook(event, outcome);
                Ok(verdict)
            }
            Err(error) => {
                self.metrics.hook(event, HookOutcome::Failed);
                self.failed(event, &error);
                match self.on_failure {
                    OnFailure::Refuse => Err(NoAnswer::Failed),
                    OnFailure::Allow => Ok(Verdict::Allowed(Permission::default())),
                }
            }
        }
    }

    fn cache_for(&self, event: HookEvent) -> Option<&Cache> {
        self.cache.as_ref().filter(|_| event != HookEvent::Publish)
    }

    async fn answer(&self, question: Question<'_>) -> Result<Verdict, FailedAnswer> {
        let body = question.to_json(self.data_bytes);
        let signature = self.signer.sign_now(&body);
        let request = Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header(TIMESTAMP_HEADER, signature.timestamp)
            .header(SIGNATURE_HEADER, signature.digest)
            .body(Full::from(Bytes::from(body)));
        let answer = self.client.call(request.map_err(CallError::from)?).await?;
        let user = question.principal.user();
        Verdict::read(question.event, user, &answer.body).map_err(FailedAnswer::Unreadable)
    }

    fn failed(&self, event: HookEvent, error: &FailedAnswer) {
        // One that fails for some questions and answers others would be told of again and again.
        static LINE: LogLimit = LogLimit::new();
        if self.fails.load(Ordering::Relaxed) || LINE.due().is_none() {
            return;
        }
        self.fails.store(true, Ordering::Relaxed);
        let consequence = match self.on_failure {
            OnFailure::Refuse => "what it is asked for is refused",
            OnFailure::Allow => "what tokens and namespaces allow is allowed",
        };
        tracing::warn!(
            url = self.url,
            event = event.as_str(),
            error = error as &dyn std::error::Error,
            "the authorisation hook fails: {consequence} (not logged again until it answers; widecast_hook_requests_total counts)"
        );
    }

    fn answered(&self) {
        // Nearly always it was not failing, and nothing has to be written.
        if self.fails.load(Ordering::Relaxed) && self.fails.swap(false, Ordering::Relaxed) {
            tracing::info!(url = self.url, "the authorisation hook answers again");
        }
    }
}

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
enum FailedAnswer {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer {0}")]
    Unreadable(String),
}
