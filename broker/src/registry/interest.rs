//! What the engine is told of a channel: that somebody on this node hears it, or that nobody does any more.
//!
//! The registry counts the subscribers, so that the engine need not: it is told once per channel, one call after the other, and
//! in the end what is true. A call that has begun goes on, whatever happens to the session that caused it.

use tokio::sync::oneshot;

use crate::engine::EngineError;

/// The answer to a subscriber that waits until its channel is delivered to this node.
pub(super) type InterestAnswer = Result<(), EngineError>;

/// A call that the engine has to be given next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InterestCall {
    /// Somebody hears the channel.
    Interested,
    /// Nobody does any more.
    Uninterested,
}

/// What a subscriber has to do so that its channel is delivered to this node.
pub(super) enum Wanted {
    /// Nothing: it is delivered.
    Told,
    /// It has to wait for the answer. With `must_call` it has to see to it that the engine's calls are made.
    Wait {
        answer: oneshot::Receiver<InterestAnswer>,
        must_call: bool,
    },
}

/// How far the engine knows that a channel is heard on this node.
#[derive(Debug, Default)]
pub(super) struct ChannelInterest {
    /// The engine delivers the channel to this node.
    is_told: bool,
    /// Somebody makes the engine's calls.
    is_calling: bool,
    waiting: Vec<oneshot::Sender<InterestAnswer>>,
}

impl ChannelInterest {
    /// A subscriber wants the channel to be delivered.
    pub(super) fn want(&mut self) -> Wanted {
        if self.is_told && !self.is_calling {
            return Wanted::Told;
        }
        let (sender, answer) = oneshot::channel();
        self.waiting.push(sender);
        let must_call = !std::mem::replace(&mut self.is_calling, true);
        Wanted::Wait { answer, must_call }
    }

    /// The last subscriber has left. Returns whether somebody has to see to it that the engine's calls are made.
    pub(super) fn unwant(&mut self) -> bool {
        self.is_told && !std::mem::replace(&mut self.is_calling, true)
    }

    /// The call that whoever makes them has to make next; `None` when the engine knows what is true, and nothing is to be
    /// called any more.
    pub(super) fn next_call(&mut self, has_subscribers: bool) -> Option<InterestCall> {
        match (has_subscribers, self.is_told) {
            (true, false) => Some(InterestCall::Interested),
            (false, true) => Some(InterestCall::Uninterested),
            (_, is_told) => {
                self.is_calling = false;
                // Without subscribers nobody waits who still wants an answer.
                for waiting in std::mem::take(&mut self.waiting) {
                    if is_told {
                        let _ = waiting.send(Ok(()));
                    }
                }
                None
            }
        }
    }

    /// The engine has been called. Returns whether there may be something else to call.
    pub(super) fn called(&mut self, call: InterestCall, answer: InterestAnswer) -> bool {
        match (call, answer) {
            (InterestCall::Interested, Ok(())) => self.is_told = true,
            (InterestCall::Uninterested, _) => self.is_told = false,
            (InterestCall::Interested, Err(error)) => {
                self.is_calling = false;
                for waiting in std::mem::take(&mut self.waiting) {
                    let _ = waiting.send(Err(error.clone()));
                }
                return false;
            }
        }
        true
    }

    /// Whether there is nothing to remember of the channel once nobody hears it.
    pub(super) fn is_over(&self) -> bool {
        !self.is_told && !self.is_calling
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens to a channel.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Join,
        Leave,
        /// The engine is given its next call, if one is due.
        Call,
        /// It answers the call, or fails.
        Answer {
            fails: bool,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Join),
            3 => Just(Step::Leave),
            4 => Just(Step::Call),
            4 => prop::bool::weighted(0.2).prop_map(|fails| Step::Answer { fails }),
        ]
    }

    /// A channel with its subscribers, and an engine that remembers what it was told.
    #[derive(Default)]
    struct Model {
        interest: ChannelInterest,
        subscribers: Vec<Option<oneshot::Receiver<InterestAnswer>>>,
        somebody_calls: bool,
        under_way: Option<InterestCall>,
        engine_delivers: bool,
    }

    impl Model {
        fn take(&mut self, step: Step) {
            match step {
                Step::Join => match self.interest.want() {
                    Wanted::Told => {
                        assert!(self.engine_delivers, "nobody is told too early");
                        self.subscribers.push(None);
                    }
                    Wanted::Wait { answer, must_call } => {
                        assert!(!(must_call && self.somebody_calls), "one caller at a time");
                        self.somebody_calls |= must_call;
                        self.subscribers.push(Some(answer));
                    }
                },
                Step::Leave => {
                    if self.subscribers.pop().is_some() && self.subscribers.is_empty() {
                        let must_call = self.interest.unwant();
                        assert!(!(must_call && self.somebody_calls), "one caller at a time");
                        self.somebody_calls |= must_call;
                    }
                }
                Step::Call if self.somebody_calls && self.under_way.is_none() => {
                    self.under_way = self.interest.next_call(!self.subscribers.is_empty());
                    self.somebody_calls = self.under_way.is_some();
                    if self.under_way == Some(InterestCall::Uninterested) {
                        self.answer(false);
                    }
                }
                Step::Call => {}
                Step::Answer { fails } => self.answer(fails),
            }
            self.hear_answers();
        }

        fn answer(&mut self, fails: bool) {
            let Some(call) = self.under_way.take() else {
                return;
            };
            if !fails {
                self.engine_delivers = call == InterestCall::Interested;
            }
            let answer = if fails {
                Err(EngineError::unavailable("no answer"))
            } else {
                Ok(())
            };
            self.somebody_calls = self.interest.called(call, answer);
        }

        /// A subscriber whose channel cannot be delivered leaves.
        fn hear_answers(&mut self) {
            let delivers = self.engine_delivers;
            self.subscribers.retain_mut(|subscriber| {
                let answer = subscriber.as_mut().map(oneshot::Receiver::try_recv);
                match answer {
                    Some(Ok(Ok(()))) => {
                        assert!(delivers, "nobody is answered too early");
                        *subscriber = None;
                        true
                    }
                    Some(Ok(Err(_))) => false,
                    Some(Err(oneshot::error::TryRecvError::Closed)) => {
                        panic!("a subscriber is left without an answer")
                    }
                    Some(Err(oneshot::error::TryRecvError::Empty)) | None => true,
                }
            });
        }
    }

    proptest! {
        #[test]
        fn in_the_end_the_engine_knows_what_is_true(steps in prop::collection::vec(step(), 0..60)) {
            let mut model = Model::default();
            for step in steps {
                model.take(step);
            }
            // The engine answers whatever is asked of it from now on.
            for _ in 0..4 {
                model.take(Step::Answer { fails: false });
                model.take(Step::Call);
            }
            prop_assert!(!model.somebody_calls && model.under_way.is_none());
            prop_assert!(model.subscribers.iter().all(Option::is_none));
            prop_assert_eq!(model.engine_delivers, !model.subscribers.is_empty());
            prop_assert_eq!(model.interest.is_over(), model.subscribers.is_empty());
        }
    }
}
