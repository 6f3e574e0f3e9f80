//! How far a subscription that is behind has come. This module only decides. [`super::catch_up_reader`] reads the history and asks
//! here.
//!
//! A subscription is behind when it was joined at a place in the past, or when its messages came faster than its client
//! read. Messages that come meanwhile are not handed to it: it reads them from the history when their turn comes. So a
//! subscription that is behind holds no messages, however far behind it is.

use widecast_protocol::Position;

/// Why a subscription is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// It was joined at a place in the past.
    Resumed,
    /// Its outbox was full.
    Slow,
}

/// Which messages have passed a subscription by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Nothing.
    Nothing,
    /// Messages up to here.
    UpTo(Position),
    /// It is not known which: a message may have been lost on the way to this shard.
    Unknown,
}

/// A subscription that is behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CatchUp {
    /// Everything up to here has been sent.
    at: Position,
    passed: Passed,
    cause: Cause,
}

impl CatchUp {
    /// A subscription that has been sent everything up to `at`.
    pub(super) const fn new(at: Position, passed: Passed, cause: Cause) -> Self {
        Self { at, passed, cause }
    }

    /// Everything up to here has been sent.
    pub(super) const fn at(&self) -> Position {
        self.at
    }

    pub(super) const fn cause(&self) -> Cause {
        self.cause
    }

    /// A message has come, and is left to be read from the history.
    pub(super) fn pass(&mut self, position: Position) {
        if self.passed != Passed::Unknown {
            self.passed = Passed::UpTo(position);
        }
    }

    /// Messages may have been lost on the way to this shard.
    pub(super) fn suspect_gap(&mut self) {
        self.passed = Passed::Unknown;
    }

    /// The history is read from now on, after the place that is returned. Messages that may have been lost before are in it.
    pub(super) fn begin_reading(&mut self) -> Position {
        if self.passed == Passed::Unknown {
            self.passed = Passed::Nothing;
        }
        self.at
    }

    /// Everything up to `position` has been sent.
    pub(super) fn sent(&mut self, position: Position) {
        self.at = position;
    }

    /// Whether nothing is missing when the history ended at the place up to which everything has been sent.
    pub(super) fn is_over(&self) -> bool {
        match self.passed {
            Passed::Nothing => true,
            Passed::UpTo(newest) => {
                newest.epoch == self.at.epoch && newest.offset <= self.at.offset
            }
            Passed::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use widecast_protocol::{Epoch, Offset};

    fn at(offset: u64) -> Position {
        Position {
            epoch: Epoch(1),
            offset: Offset(offset),
        }
    }

    fn behind(offset: u64) -> CatchUp {
        CatchUp::new(at(offset), Passed::Nothing, Cause::Resumed)
    }

    #[test]
    fn a_catch_up_is_over_when_the_history_has_been_sent_and_nothing_newer_has_passed_by() {
        let mut catch_up = behind(1);
        assert_eq!(catch_up.begin_reading(), at(1));
        catch_up.sent(at(3));
        assert!(catch_up.is_over());
    }

    #[test]
    fn messages_of_the_history_may_pass_by_before_or_after_it_is_read() {
        let mut catch_up = behind(1);
        catch_up.pass(at(2));
        catch_up.begin_reading();
        catch_up.pass(at(3));
        catch_up.sent(at(3));
        assert!(catch_up.is_over());
    }

    #[test]
    fn messages_that_pass_by_after_the_history_was_read_are_read_too() {
        let mut catch_up = behind(1);
        catch_up.begin_reading();
        catch_up.pass(at(4));
        catch_up.sent(at(3));
        assert!(!catch_up.is_over());
        assert_eq!(catch_up.begin_reading(), at(3));
        catch_up.sent(at(4));
        assert!(catch_up.is_over());
    }

    #[test]
    fn a_doubt_is_settled_by_what_is_read_after_it() {
        let mut catch_up = behind(1);
        catch_up.suspect_gap();
        catch_up.pass(at(2));
        catch_up.begin_reading();
        catch_up.sent(at(3));
        assert!(catch_up.is_over());
        catch_up.begin_reading();
        catch_up.suspect_gap();
        assert!(!catch_up.is_over());
    }

    #[test]
    fn a_message_of_another_epoch_is_read_too() {
        let mut catch_up = behind(7);
        catch_up.begin_reading();
        let epoch = Epoch(2);
        catch_up.pass(Position { epoch, ..at(1) });
        assert!(!catch_up.is_over());
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A message is published.
        Publish,
        /// The oldest message that is on its way reaches the shard.
        Arrive,
        /// The oldest message that is on its way is lost, and the shard is told.
        Lose,
        /// The history is read.
        Read,
        /// One message of what was read is sent, or the end is looked at.
        Send,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Publish),
            3 => Just(Step::Arrive),
            1 => Just(Step::Lose),
            2 => Just(Step::Read),
            4 => Just(Step::Send),
        ]
    }

    proptest! {
        /// In whatever order messages come, are lost, are read and are sent: it is not over before everything that will
        /// not come any more has been sent.
        #[test]
        fn nothing_is_missed_in_any_order_of_events(steps in prop::collection::vec(step(), 1..60)) {
            let mut catch_up = behind(0);
            // Published, come or lost so far, and what was read: (the newest in the history then).
            let (mut published, mut come) = (0_u64, 0_u64);
            let mut read: Option<u64> = None;
            for step in steps {
                match step {
                    Step::Publish => published += 1,
                    Step::Arrive | Step::Lose if come == published => {}
                    Step::Arrive => {
                        come += 1;
                        catch_up.pass(at(come));
                    }
                    Step::Lose => {
                        come += 1;
                        catch_up.suspect_gap();
                    }
                    Step::Read => {
                        catch_up.begin_reading();
                        read = Some(published);
                    }
                    Step::Send => {
                        let Some(end) = read else { continue };
                        let sent = catch_up.at().offset.0;
                        if sent < end {
                            catch_up.sent(at(sent + 1));
                        } else if catch_up.is_over() {
                            prop_assert!(sent >= come, "{come} came, {sent} were sent");
                            return Ok(());
                        } else {
                            read = None;
                        }
                    }
                }
            }
        }
    }
}
