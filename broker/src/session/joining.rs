//! Decides what joining a channel needs next, and where the session begins. [`super::join`] asks the engine, in this order:
//!
//! 1. The subscription is in the registry and holds what comes, before anything is asked: so no message falls between.
//! 2. The engine delivers to this node.
//! 3. It is found out where the session begins.
//! 4. The session is listed as a member, if it wants to be; only then it is asked who is here, so that the session is among them.

use widecast_protocol::{Offset, Payload, Position};

use crate::engine::{MemberList, Replay};

/// The step that has to be done next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum JoinStep {
    /// Have the engine deliver to this node.
    Subscribe,
    /// Ask whether everything after this place can be had.
    CheckPlace(Position),
    /// Ask where the channel ends.
    FindEnd,
    /// Read so many of the newest messages of the channel.
    ReadNewest {
        /// At most so many.
        limit: u32,
        /// Where the channel ended.
        end: Position,
    },
    /// List the session as a member with this data.
    Enter(JoinStart, Payload),
    /// Ask who is here.
    ListMembers(JoinStart),
    /// Nothing: the session has joined. It is told who is here, if it is listed, and then its messages may flow.
    Joined(JoinStart, Option<MemberList>),
}

/// The outcome of a step.
#[derive(Debug, Clone)]
pub(super) enum JoinAnswer {
    /// The engine delivers to this node.
    Subscribed,
    /// Whether everything after the place can be had.
    Checked(Replay),
    /// Where the channel ends.
    End(Position),
    /// The place of the oldest of the newest messages, if there are any.
    Oldest(Option<Position>),
    /// The session is listed.
    Entered,
    /// The members of the channel.
    Members(MemberList),
}

/// Where a session begins to hear a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JoinStart {
    /// The place after which everything will be heard.
    pub(super) cursor: Position,
    /// Whether nothing was lost between the place that was asked for and `cursor`.
    pub(super) recovered: bool,
    /// Whether nothing had been published after `cursor` when it was found out.
    pub(super) nothing_past: bool,
}

/// A session that joins a channel.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    since: Option<Position>,
    history: Option<u32>,
    presence: Option<Payload>,
    step: JoinStep,
}

impl Joining {
    /// Begins, once the subscription is in the registry. The session resumes from `since`, or is sent as many of the newest messages
    /// as `history` says; with `presence` it is listed.
    pub(super) fn new(
        since: Option<Position>,
        history: Option<u32>,
        presence: Option<Payload>,
    ) -> Self {
        Self {
            since,
            history,
            presence,
            step: JoinStep::Subscribe,
        }
    }

    /// The step that has to be done next.
    pub(super) fn next(&self) -> JoinStep {
        self.step.clone()
    }

    /// The step that was next has been done. The answer to another step changes nothing.
    pub(super) fn done(&mut self, answer: JoinAnswer) {
        self.step = match (self.next(), answer) {
            (JoinStep::Subscribe, JoinAnswer::Subscribed) => {
                self.since.map_or(JoinStep::FindEnd, JoinStep::CheckPlace)
            }
            (JoinStep::CheckPlace(_), JoinAnswer::Checked(replay)) => self.enter(JoinStart {
                cursor: replay.position,
                recovered: replay.recovered,
                nothing_past: replay.complete,
            }),
            (JoinStep::FindEnd, JoinAnswer::End(end)) => match self.history {
                Some(limit) => JoinStep::ReadNewest { limit, end },
                None => self.enter(JoinStart::at_end(end)),
            },
            // Messages that were published since the end was found out are held.
            (JoinStep::ReadNewest { end, .. }, JoinAnswer::Oldest(oldest)) => {
                self.enter(oldest.map_or(JoinStart::at_end(end), JoinStart::before))
            }
            (JoinStep::Enter(start, _), JoinAnswer::Entered) => JoinStep::ListMembers(start),
            (JoinStep::ListMembers(start), JoinAnswer::Members(members)) => {
                JoinStep::Joined(start, Some(members))
            }
            (step, _) => step,
        };
    }

    fn enter(&self, start: JoinStart) -> JoinStep {
        match self.presence.clone() {
            Some(data) => JoinStep::Enter(start, data),
            None => JoinStep::Joined(start, None),
        }
    }
}

impl JoinStart {
    /// At the end of the channel.
    fn at_end(cursor: Position) -> Self {
        Self {
            cursor,
            recovered: true,
            nothing_past: true,
        }
    }

    /// Before a message that the history has.
    fn before(message: Position) -> Self {
        let Position { epoch, offset } = message;
        // Offsets count from 1.
        let offset = Offset(offset.0.saturating_sub(1));
        Self {
            cursor: Position { epoch, offset },
            recovered: true,
            nothing_past: false,
        }
    }

    /// The place that the client may be given before it is told of a loss: until then, the one that it asked for. Without
    /// `tells_gaps` it is told of the loss and of the place in one.
    pub(super) fn known(&self, since: Option<Position>, tells_gaps: bool) -> Position {
        let lost_since = since.filter(|_| !self.recovered && tells_gaps);
        lost_since.unwrap_or(self.cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use widecast_protocol::Epoch;

    fn at(offset: u64) -> Position {
        Position {
            epoch: Epoch(1),
            offset: Offset(offset),
        }
    }

    fn data() -> Payload {
        Payload::text("me".to_owned())
    }

    fn start(offset: u64, nothing_past: bool) -> JoinStart {
        JoinStart {
            cursor: at(offset),
            recovered: true,
            nothing_past,
        }
    }

    /// A start at the end of the channel, after a loss.
    fn lost() -> JoinStart {
        JoinStart {
            recovered: false,
            ..start(9, true)
        }
    }

    /// Every way in which the engine may answer a step. The channel ends at 9.
    fn answers(step: &JoinStep) -> Vec<JoinAnswer> {
        let replay = |start: JoinStart| Replay {
            messages: Vec::new(),
            recovered: start.recovered,
            position: start.cursor,
            complete: start.nothing_past,
        };
        match step {
            JoinStep::Subscribe => vec![JoinAnswer::Subscribed],
            JoinStep::CheckPlace(since) => [
                replay(start(since.offset.0, false)),
                replay(start(since.offset.0, true)),
                replay(lost()),
            ]
            .map(JoinAnswer::Checked)
            .to_vec(),
            JoinStep::FindEnd => vec![JoinAnswer::End(at(9))],
            JoinStep::ReadNewest { .. } => {
                vec![JoinAnswer::Oldest(None), JoinAnswer::Oldest(Some(at(7)))]
            }
            JoinStep::Enter(..) => vec![JoinAnswer::Entered],
            JoinStep::ListMembers(_) => vec![JoinAnswer::Members(MemberList::default())],
            JoinStep::Joined(..) => Vec::new(),
        }
    }

    /// Every path from a request to where it has joined: the steps of each.
    fn paths(joining: &Joining) -> Vec<Vec<JoinStep>> {
        let step = joining.next();
        let answers = answers(&step);
        if answers.is_empty() {
            return vec![vec![step]];
        }
        let mut paths = Vec::new();
        for answer in answers {
            let mut next = joining.clone();
            next.done(answer);
            assert_ne!(next.next(), step, "an answer leads on");
            for path in self::paths(&next) {
                paths.push([vec![step.clone()], path].concat());
            }
        }
        paths
    }

    fn requests() -> impl Iterator<Item = Joining> {
        let some_or_none = |some| [None, Some(some)];
        let places = some_or_none(at(5)).into_iter();
        places.flat_map(move |since| {
            [None, Some(3)].into_iter().flat_map(move |history| {
                let listings = [None, Some(data())].into_iter();
                listings.map(move |presence| Joining::new(since, history, presence))
            })
        })
    }

    fn word(step: &JoinStep) -> &'static str {
        match step {
            JoinStep::Subscribe => "subscribe",
            JoinStep::CheckPlace(_) => "check",
            JoinStep::FindEnd => "end",
            JoinStep::ReadNewest { .. } => "newest",
            JoinStep::Enter(..) => "enter",
            JoinStep::ListMembers(_) => "members",
            JoinStep::Joined(..) => "joined",
        }
    }

    #[test]
    fn each_request_asks_for_what_it_needs_in_an_order_in_which_nothing_is_missed() {
        for request in requests() {
            let mut expected = vec!["subscribe"];
            expected.extend(match (request.since, request.history) {
                (Some(_), _) => vec!["check"],
                (None, None) => vec!["end"],
                (None, Some(_)) => vec!["end", "newest"],
            });
            if request.presence.is_some() {
                expected.extend(["enter", "members"]);
            }
            expected.push("joined");
            for path in paths(&request) {
                assert_eq!(path.iter().map(word).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn a_session_begins_where_the_engine_says_whatever_else_it_wants() {
        for request in requests() {
            let starts: Vec<JoinStart> = paths(&request)
                .iter()
                .map(|path| match path.last() {
                    Some(JoinStep::Joined(start, members)) => {
                        assert_eq!(members.is_some(), request.presence.is_some());
                        *start
                    }
                    step => panic!("{step:?} is no end"),
                })
                .collect();
            let expected = match (request.since, request.history) {
                (Some(_), _) => vec![start(5, false), start(5, true), lost()],
                (None, None) => vec![start(9, true)],
                (None, Some(_)) => vec![start(9, true), start(6, false)],
            };
            assert_eq!(starts, expected);
        }
    }

    #[test]
    fn the_answer_to_another_step_changes_nothing() {
        for request in requests() {
            let mut seen = vec![request];
            while let Some(joining) = seen.pop() {
                let step = joining.next();
                let own = answers(&step);
                let all = [
                    JoinStep::Subscribe,
                    JoinStep::CheckPlace(at(5)),
                    JoinStep::FindEnd,
                    JoinStep::ReadNewest {
                        limit: 1,
                        end: at(9),
                    },
                    JoinStep::Enter(start(9, true), data()),
                    JoinStep::ListMembers(start(9, true)),
                ];
                for other in all.iter().filter(|other| word(other) != word(&step)) {
                    for answer in answers(other) {
                        let mut joining = joining.clone();
                        joining.done(answer);
                        assert_eq!(joining.next(), step);
                    }
                }
                for answer in own {
                    let mut next = joining.clone();
                    next.done(answer);
                    seen.push(next);
                }
            }
        }
    }

    #[test]
    fn until_it_is_told_of_a_loss_a_client_keeps_the_place_that_it_asked_for() {
        let lost = lost();
        assert_eq!(lost.known(Some(at(5)), true), at(5));
        assert_eq!(lost.known(Some(at(5)), false), at(9));
        assert_eq!(start(6, false).known(Some(at(5)), true), at(6));
        assert_eq!(start(9, true).known(None, true), at(9));
    }
}
