//! Sessions that are told who comes and goes in a channel.
//!
//! A session learns from a list who is here, and then it is told of each change. List and changes come by different ways, so
//! that an older change may come after the list. Therefore changes have numbers, and the list says how many changes are in
//! it.

use std::rc::Rc;

use widecast_protocol::ChannelName;
use widecast_protocol::framing::Wire;

use crate::engine::{NumberedChange, PresenceChange};

use super::news::{News, NewsItem, net};
use super::outbox::Outbox;

/// Which changes a session knows of.
enum Known {
    /// The changes in a list that is on its way. Changes that come before the list are kept.
    OnItsWay(Vec<NumberedChange>),
    /// The changes up to this number.
    UpTo(u64),
}

/// A session that hears who comes and goes.
pub struct PresenceWatch {
    wire: Wire,
    /// The member that the session itself is, whose coming and going it is not told.
    own_id: String,
    known: Known,
    /// The changes up to this number are told one by one: a page of the list may show what was between two of them, so that what
    /// they come to is not all that the session has to know.
    singly: u64,
}

impl PresenceWatch {
    /// A session with these frames, which is this member itself. It hears nothing before `begin`.
    pub fn new(wire: Wire, own_id: String) -> Self {
        Self {
            wire,
            own_id,
            known: Known::OnItsWay(Vec::new()),
            singly: 0,
        }
    }

    /// The session has been told who is here after so many changes, and hears what changes from then on.
    pub(super) fn begin(&mut self, changes: u64, channel: &ChannelName, outbox: &Rc<Outbox>) {
        let known = std::mem::replace(&mut self.known, Known::UpTo(changes));
        if let Known::OnItsWay(kept) = known {
            self.tell_after(changes, &kept, channel, outbox);
        }
    }

    /// The session is shown another page of the list, of after so many changes.
    pub(super) fn shows_page(&mut self, changes: u64) {
        self.singly = self.singly.max(changes);
    }

    /// Tells the session of the changes that it does not know of.
    pub(super) fn tell(&mut self, news: &mut News<'_>, outbox: &Rc<Outbox>) {
        let changes = news.changes();
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
            return;
        };
        match &mut self.known {
            Known::OnItsWay(kept) => kept.extend_from_slice(changes),
            Known::UpTo(known) if (*known).max(self.singly) < first.number => {
                *known = last.number;
                for (channel, item) in news.items() {
                    self.push(item, channel, outbox);
                }
            }
            Known::UpTo(known) => {
                let known = *known;
                self.tell_after(known, changes, news.channel(), outbox);
            }
        }
    }

    /// Tells what no other session has to be told in the same way.
    fn tell_after(
        &mut self,
        mut known: u64,
        changes: &[NumberedChange],
        channel: &ChannelName,
        outbox: &Rc<Outbox>,
    ) {
        let mut together: Vec<&PresenceChange> = Vec::new();
        for change in changes {
            if change.number <= known {
                continue;
            }
            known = change.number;
            if change.number <= self.singly {
                self.push(&mut NewsItem::new(change.change.clone()), channel, outbox);
            } else {
                together.push(&change.change);
            }
        }
        for change in net(together.into_iter()) {
            self.push(&mut NewsItem::new(change), channel, outbox);
        }
        self.known = Known::UpTo(known);
    }

    fn push(&self, item: &mut NewsItem, channel: &ChannelName, outbox: &Rc<Outbox>) {
        if item.member_id() != self.own_id {
            outbox.push_frame(item.encoded(channel, self.wire));
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
