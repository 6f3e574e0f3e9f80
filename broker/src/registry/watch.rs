//! Sessions that are told who comes and goes in a channel.
//!
//! A session learns from a list who is here, and then it is told of each change. List and changes come by different ways, so
//! that an older change may come after the list. Therefore changes have numbers, and the list says how many changes are in
//! it.

use std::rc::Rc;

use bytes::Bytes;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Reply};

use crate::engine::{NumberedChange, PresenceChange};

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
}

impl PresenceWatch {
    /// A session with these frames, which is this member itself. It hears nothing before `begin`.
    pub fn new(wire: Wire, own_id: String) -> Self {
        Self {
            wire,
            own_id,
            known: Known::OnItsWay(Vec::new()),
        }
    }

    /// The session has been told who is here after so many changes, and hears what changes from then on.
    pub(super) fn begin(&mut self, changes: u64, channel: &ChannelName, outbox: &Rc<Outbox>) {
        let known = std::mem::replace(&mut self.known, Known::UpTo(changes));
        if let Known::OnItsWay(kept) = known {
            for change in &kept {
                self.tell(&mut News::new(channel, change), outbox);
            }
        }
    }

    /// Tells the session of a change, unless it knows of it.
    pub(super) fn tell(&mut self, news: &mut News<'_>, outbox: &Rc<Outbox>) {
        match &mut self.known {
            Known::OnItsWay(kept) => kept.push(news.change.clone()),
            Known::UpTo(known) if news.change.number <= *known => {}
            Known::UpTo(known) => {
                *known = news.change.number;
                if news.member_id() != self.own_id {
                    outbox.push_frame(news.encoded(self.wire));
                }
            }
        }
    }
}

/// A change, and the frames that tell of it: each is made at most once.
pub(super) struct News<'a> {
    channel: &'a ChannelName,
    change: &'a NumberedChange,
    encoded: Vec<(Wire, Bytes)>,
}

impl<'a> News<'a> {
    pub(super) fn new(channel: &'a ChannelName, change: &'a NumberedChange) -> Self {
        Self {
            channel,
            change,
            encoded: Vec::new(),
        }
    }

    fn member_id(&self) -> &str {
        let (PresenceChange::Joined(member) | PresenceChange::Left(member)) = &self.change.change;
        &member.id
    }

    fn encoded(&mut self, wire: Wire) -> Bytes {
        let known = self.encoded.iter().find(|(known, _)| *known == wire);
        if let Some((_, bytes)) = known {
            return bytes.clone();
        }
        let bytes = wire.encode(&self.frame());
        self.encoded.push((wire, bytes.clone()));
        bytes
    }

    fn frame(&self) -> Reply {
        let channel = self.channel.clone();
        match self.change.change.clone() {
            PresenceChange::Joined(member) => Reply::Join { channel, member },
            PresenceChange::Left(member) => Reply::Leave { channel, member },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ConnectionId;
    use crate::metrics::Metrics;
    use crate::registry::{CursorForm, FlushList, GapForm, OutboxForm};
    use widecast_protocol::{Member, Payload};

    fn outbox() -> Rc<Outbox> {
        let form = OutboxForm {
            wire: Wire::JsonNdjson,
            gap: GapForm::Closes,
            cursors: CursorForm::OfEach,
        };
        Outbox::new(
            FlushList::new(Metrics::new().deliveries),
            1 << 20,
            form,
            ConnectionId(1),
        )
    }

    fn joined(number: u64, id: &str) -> NumberedChange {
        let id = id.to_owned();
        let data = Payload::null();
        let change = PresenceChange::Joined(Member { id, data });
        NumberedChange { number, change }
    }

    fn told(outbox: &Outbox) -> Vec<String> {
        let id = |bytes: &Bytes| {
            let frame: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            frame["member"]["id"].as_str().unwrap().to_owned()
        };
        outbox.take().iter().map(id).collect()
    }

    #[test]
    fn changes_that_are_in_the_list_are_not_told_whether_they_come_before_or_after_it() {
        let channel = ChannelName::parse("room").unwrap();
        let outbox = outbox();
        let mut watch = PresenceWatch::new(Wire::JsonNdjson, "me".to_owned());
        let hear = |watch: &mut PresenceWatch, change: &NumberedChange| {
            watch.tell(&mut News::new(&channel, change), &outbox);
            told(&outbox)
        };
        for (number, id) in [(1, "ann"), (3, "bob"), (4, "me")] {
            assert!(hear(&mut watch, &joined(number, id)).is_empty());
        }
        watch.begin(2, &channel, &outbox);
        assert_eq!(told(&outbox), ["bob"]);
        assert!(hear(&mut watch, &joined(2, "cid")).is_empty());
        assert_eq!(hear(&mut watch, &joined(5, "dan")), ["dan"]);
    }
}
