//! Polling: clients that ask again as soon as they are answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::exchange::Exchange;
use crate::form::{MARK, get};
use crate::poller::{Events, Poller};

/// How long nothing may happen before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The token of the publisher; pollers count from zero.
const PUBLISHER: usize = usize::MAX;

/// How clients poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polling {
    /// `timeout=0`: every poll is answered at once, with nothing.
    Short,
    /// Every poll waits until a message is published, which it is when all wait.
    Long,
}

/// How a run goes.
#[derive(Debug, Clone, Copy)]
pub struct PollPlan {
    /// The server, on the loopback address.
    pub target: SocketAddr,
    /// How many clients poll at the same time.
    pub pollers: usize,
    /// How they poll.
    pub polling: Polling,
    /// The run ends after so many answers, or after `time`.
    pub answers: u64,
    /// The run ends after so long, or after `answers`.
    pub time: Duration,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub struct PollOutcome {
    /// How many polls were answered.
    pub answers: u64,
    /// From the first poll to the last answer.
    pub elapsed: Duration,
}

/// Polls one channel until the plan is done.
///
/// # Errors
/// When a poll or a publication fails, or ten seconds pass without an answer.
pub fn poll(plan: &PollPlan) -> Result<PollOutcome> {
    let mut run = Run::connect(*plan)?;
    let start = Instant::now();
    for index in 0..plan.pollers {
        run.ask(index)?;
    }
    let mut events = Events::default();
    loop {
        let more = run.answers < plan.answers && start.elapsed() < plan.time;
        if !more && run.owed == 0 {
            break;
        }
        run.go_on(more)?;
        run.poller.wait(&mut events, Some(PATIENCE))?;
        if events.is_empty() {
            bail!("{} polls are unanswered for ten seconds", run.owed);
        }
        for token in events.tokens() {
            run.read(token, more)?;
        }
    }
    Ok(PollOutcome {
        answers: run.answers,
        elapsed: start.elapsed(),
    })
}

struct Run {
    plan: PollPlan,
    poller: Poller,
    pollers: Vec<Exchange>,
    cursors: Vec<String>,
    publisher: Exchange,
    buffer: Vec<u8>,
    answers: u64,
    /// Answers that are due without a further publication.
    owed: usize,
    /// How many polls wait for the next message.
    waiting: usize,
}

impl Run {
    fn connect(plan: PollPlan) -> Result<Self> {
        let poller = Poller::new()?;
        let mut pollers = Vec::with_capacity(plan.pollers);
        for index in 0..plan.pollers {
            let exchange = Exchange::connect(plan.target)?;
            poller.add(&exchange, index)?;
            pollers.push(exchange);
        }
        let publisher = Exchange::connect(plan.target)?;
        poller.add(&publisher, PUBLISHER)?;
        Ok(Self {
            plan,
            poller,
            cursors: vec![String::new(); pollers.len()],
            pollers,
            publisher,
            buffer: vec![0; 64 * 1024],
            answers: 0,
            owed: 0,
            waiting: 0,
        })
    }

    /// Sends a poll. The first one has no cursor, so it is answered at once with the present one.
    fn ask(&mut self, index: usize) -> Result<()> {
        let cursor = &self.cursors[index];
        let waits = !cursor.is_empty() && self.plan.polling == Polling::Long;
        let query = match (cursor.is_empty(), self.plan.polling) {
            (true, _) => "timeout=0".to_owned(),
            (false, Polling::Short) => format!("timeout=0&cursor={cursor}"),
            (false, Polling::Long) => format!("timeout=30&cursor={cursor}"),
        };
        let request = get(&format!("/channels/bench-poll/poll?{query}"), "");
        self.pollers[index].send(request.as_bytes())?;
        if waits {
            self.waiting += 1;
        } else {
            self.owed += 1;
        }
        Ok(())
    }

    /// Publishes when every poll waits; ends the waiting ones with a last message when the plan is done.
    fn go_on(&mut self, more: bool) -> Result<()> {
        let all_wait = self.waiting == self.pollers.len();
        if !more || !all_wait || self.publisher.is_busy() {
            return Ok(());
        }
        let payload = [&[b'x'; 127][..], &[MARK]].concat();
        let head = format!(
            "POST /channels/bench-poll/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n",
            payload.len()
        );
        self.publisher.send(&[head.as_bytes(), &payload].concat())?;
        self.owed += self.waiting;
        self.waiting = 0;
        Ok(())
    }

    fn read(&mut self, token: usize, more: bool) -> Result<()> {
        if token == PUBLISHER {
            self.publisher.receive(&mut self.buffer)?;
            return Ok(());
        }
        let Some(body) = self.pollers[token].receive(&mut self.buffer)? else {
            return Ok(());
        };
        let has_message = body.contains(&MARK);
        let waited = self.plan.polling == Polling::Long && !self.cursors[token].is_empty();
        if waited && !has_message {
            bail!("a poll that should wait for a message was answered without one");
        }
        cursor(body)
            .context("a poll's answer has no cursor")?
            .clone_into(&mut self.cursors[token]);
        self.owed -= 1;
        self.answers += 1;
        if more {
            self.ask(token)?;
        }
        Ok(())
    }
}

/// The cursor of an answer; that of the last message means the same.
fn cursor(body: &[u8]) -> Option<&str> {
    const KEY: &str = r#""cursor":""#;
    let body = std::str::from_utf8(body).ok()?;
    let at = body.rfind(KEY)? + KEY.len();
    body[at..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::cursor;

    #[test]
    fn the_last_cursor_is_the_one_to_go_on_with() {
        let body = br#"{"messages":[{"cursor":"a-1","data":1}],"cursor":"a-2","recovered":true}"#;
        assert_eq!(cursor(body), Some("a-2"));
        assert_eq!(cursor(b"{}"), None);
    }
}
