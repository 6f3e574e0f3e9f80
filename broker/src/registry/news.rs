//! Who came and went in a channel since its watchers were last told, and the frames that tell of it.
//!
//! Changes that come quickly are told together, and of each member only what they come to: whoever joined and left again before
//! anybody was told was never there. Otherwise each change would cost a frame for each watcher.

use std::collections::HashMap;

use bytes::Bytes;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, Payload, Reply};

use crate::engine::{NumberedChange, PresenceChange};

/// The changes that nobody has been told of yet, in their order.
#[derive(Debug, Default)]
pub(super) struct Pending(Vec<NumberedChange>);

impl Pending {
    /// Adds a change, unless it has come before. Returns whether it is the first that waits.
    pub(super) fn add(&mut self, change: NumberedChange) -> bool {
        let is_new = self.0.last().is_none_or(|last| last.number < change.number);
        if is_new {
            self.0.push(change);
        }
        is_new && self.0.len() == 1
    }

    /// Takes all of them, to tell them.
    pub(super) fn take(&mut self) -> Vec<NumberedChange> {
        std::mem::take(&mut self.0)
    }
}

/// Changes of a channel in their order, and the frames that tell of what they come to: each is made at most once for all watchers.
pub(super) struct News<'a> {
    channel: &'a ChannelName,
    changes: &'a [NumberedChange],
    items: Vec<NewsItem>,
}

impl<'a> News<'a> {
    /// News of these changes, of which there is one at least.
    pub(super) fn new(channel: &'a ChannelName, changes: &'a [NumberedChange]) -> Self {
        let net = net(changes.iter().map(|change| &change.change));
        Self {
            channel,
            changes,
            items: net.into_iter().map(NewsItem::new).collect(),
        }
    }

    /// The channel.
    pub(super) fn channel(&self) -> &'a ChannelName {
        self.channel
    }

    /// All changes.
    pub(super) fn changes(&self) -> &'a [NumberedChange] {
        self.changes
    }

    /// What is to be told.
    pub(super) fn items(&mut self) -> impl Iterator<Item = (&'a ChannelName, &mut NewsItem)> {
        let channel = self.channel;
        self.items.iter_mut().map(move |item| (channel, item))
    }
}

/// One change that is told, and its frames.
pub(super) struct NewsItem {
    change: PresenceChange,
    encoded: Vec<(Wire, Bytes)>,
}

impl NewsItem {
    pub(super) fn new(change: PresenceChange) -> Self {
        Self {
            change,
            encoded: Vec::new(),
        }
    }

    /// Whom it is about.
    pub(super) fn member_id(&self) -> &str {
        &self.change.member().id
    }

    /// The frame on a wire.
    pub(super) fn encoded(&mut self, channel: &ChannelName, wire: Wire) -> Bytes {
        let known = self.encoded.iter().find(|(known, _)| *known == wire);
        if let Some((_, bytes)) = known {
            return bytes.clone();
        }
        let bytes = wire.encode(&self.frame(channel));
        self.encoded.push((wire, bytes.clone()));
        bytes
    }

    fn frame(&self, channel: &ChannelName) -> Reply {
        let channel = channel.clone();
        match self.change.clone() {
            PresenceChange::Joined(member) | PresenceChange::Changed(member) => {
                Reply::Join { channel, member }
            }
            PresenceChange::Left(member) => Reply::Leave { channel, member },
        }
    }
}

/// What somebody knows of a member who was told of nothing yet.
enum Before<'a> {
    Absent,
    Present,
    /// With this data.
    Showing(&'a Payload),
}

/// The changes of one member.
struct Course<'a> {
    before: Before<'a>,
    last: &'a PresenceChange,
    /// Which of all changes the last is.
    at: usize,
}

impl Course<'_> {
    /// The one change that they come to, if they come to any.
    fn net(&self) -> Option<PresenceChange> {
        let member = self.last.member();
        let is_here = !matches!(self.last, PresenceChange::Left(_));
        match (&self.before, is_here) {
            (Before::Absent, false) => None,
            (Before::Absent, true) => Some(PresenceChange::Joined(member.clone())),
            (Before::Showing(data), true) if **data == member.data => None,
            (Before::Present | Before::Showing(_), true) => {
                Some(PresenceChange::Changed(member.clone()))
            }
            (Before::Present | Before::Showing(_), false) => Some(self.last.clone()),
        }
    }
}

/// What changes come to for somebody who knows of none of them: at most one for each member, in the order of the last of each.
pub(super) fn net<'a>(changes: impl Iterator<Item = &'a PresenceChange>) -> Vec<PresenceChange> {
    let mut courses: HashMap<&str, Course<'a>> = HashMap::new();
    for (at, change) in changes.enumerate() {
        let course = courses
            .entry(&change.member().id)
            .or_insert_with(|| Course {
                before: match change {
                    PresenceChange::Joined(_) => Before::Absent,
                    PresenceChange::Changed(_) => Before::Present,
                    PresenceChange::Left(member) => Before::Showing(&member.data),
                },
                last: change,
                at,
            });
        course.last = change;
        course.at = at;
    }
    let mut courses: Vec<_> = courses.into_values().collect();
    courses.sort_unstable_by_key(|course| course.at);
    courses.iter().filter_map(Course::net).collect()
}
