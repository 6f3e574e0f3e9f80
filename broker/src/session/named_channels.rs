//! Server-side subscriptions: the channels that a session joins without asking, because its token names them (`subscribe_to`).

use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;

use futures_util::StreamExt;
use widecast_protocol::framing::Content;
use widecast_protocol::{ChannelName, Code, Cursor, Reply};

use super::at_once::at_once;
use super::hook::hook_for;
use super::join::{JoinOutcome, JoinRequest};
use super::refusal::Refusal;
use super::session::Session;
use super::under_way::JoinUnderWay;
use crate::config::HookEvent;
use crate::engine::renew;

impl Session {
    /// Joins the channels that the session's token names, from where the cursor says, or else from their end; leaves those that only an
    /// older token has named. The client hears of each.
    pub async fn join_named_channels(self: &Rc<Self>, cursor: Option<&Cursor>) {
        // Only frames can tell of several channels.
        if !matches!(self.dialect().wire().content(), Content::Frame(_)) {
            return;
        }
        let joining = self.join_each_named(cursor);
        self.services().with_patience(joining).await;
    }

    async fn join_each_named(self: &Rc<Self>, cursor: Option<&Cursor>) {
        let named: BTreeSet<ChannelName> = self.principal().subscriptions().cloned().collect();
        let stale = self.channels.borrow().named_by_token(&named);
        for channel in stale {
            self.put_out(&channel, Code::Forbidden).await;
        }
        // With the cursor of one channel, what the others have missed would be lost without a word.
        let is_bad = matches!(cursor, Some(Cursor::One(_))) && named.len() > 1;
        let is_new = |channel: &ChannelName| self.place(channel).is_none();
        let new: Vec<ChannelName> = named.into_iter().filter(is_new).collect();
        let under_way = new.iter().map(|channel| self.is_about_to_join(channel));
        let _under_way: Vec<JoinUnderWay<'_>> = under_way.collect();
        let new = new.iter().cloned();
        let joins = new.map(async |channel: ChannelName| {
            let outcome = if is_bad {
                Err(Code::BadCursor)
            } else {
                let joined = self.join_named(channel.clone(), cursor).await;
                joined.map_err(|refusal| refusal.code)
            };
            (channel, outcome)
        });
        let principal = self.principal();
        let hook = hook_for(self.services(), HookEvent::Subscribe, &principal);
        let mut joining = pin!(at_once(hook, joins));
        while let Some((channel, outcome)) = joining.next().await {
            match outcome {
                Ok(outcome) => self.greet_named(outcome),
                // Whoever has called it off has said so.
                Err(Code::NotSubscribed) => {}
                Err(code) => self.reply(&Reply::Unsubscribed {
                    id: None,
                    channel,
                    code: Some(code),
                }),
            }
        }
        self.catch_up().await;
    }

    async fn join_named(
        self: &Rc<Self>,
        channel: ChannelName,
        cursor: Option<&Cursor>,
    ) -> Result<JoinOutcome, Refusal> {
        let request = JoinRequest {
            since: cursor.and_then(|cursor| cursor.position(&channel)),
            channel: channel.clone(),
            history: None,
            presence: None,
        };
        let outcome = self.join(request).await?;
        // The others have as long as this one had.
        renew();
        self.channels.borrow_mut().note_named(&channel);
        Ok(outcome)
    }

    /// Tells the client that it has joined a channel, unless it has left it while others were joined.
    fn greet_named(&self, outcome: JoinOutcome) {
        if !self.is_in(&outcome) {
            return;
        }
        self.reply(&Reply::Subscribed {
            id: None,
            channel: outcome.channel().clone(),
            cursor: outcome.cursor,
            recovered: outcome.recovered,
            ephemeral: self.services().is_ephemeral(outcome.channel()),
            members: None,
        });
        self.begin_to_hear(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, SystemTime};

    use futures_util::future::join;

    use super::*;
    use crate::auth::{Grant, Proof, Subject};
    use crate::engine::flaky::Fault;
    use crate::session::trial::Trial;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn naming() -> Subject {
        let names = NAMES.map(|name| ChannelName::parse(name).unwrap());
        Subject::User(Arc::new(Proof {
            user: None,
            name: None,
            info: None,
            issued_at: None,
            expires_at: SystemTime::now() + Duration::from_hours(1),
            grant: Grant::default().subscribing(names.into()),
        }))
    }

    #[actix_web::test]
    async fn the_channels_are_joined_at_once_and_told_of_in_their_order() {
        let trial = Trial::new();
        let session = trial.session_of(naming());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        // The first one takes longer than the others.
        trial.engine.set_faults(move |call| {
            let is_first = call == "position" && counted.fetch_add(1, Ordering::Relaxed) == 0;
            is_first.then_some(Fault::WaitsBefore)
        });
        let others = async {
            trial.engine.reached.notified().await;
            for _ in 0..24 {
                tokio::task::yield_now().await;
            }
            assert_eq!(asked.load(Ordering::Relaxed), NAMES.len());
            assert_eq!(session.outbox().queued_bytes(), 0);
            trial.engine.go_on.notify_one();
        };
        join(session.join_named_channels(None), others).await;
        let told = session.outbox().take();
        assert_eq!(told.len(), NAMES.len());
        for (frame, name) in told.iter().zip(NAMES) {
            let frame = String::from_utf8_lossy(frame);
            let start = format!("{{\"type\":\"subscribed\",\"channel\":\"{name}\"");
            assert!(frame.contains(&start), "{frame}");
        }
    }
}
