//! What those who watch the members of a channel are told when changes were not heard.
//!
//! Only who is a member watches, so that a node keeps a [`Picture`] of those channels alone in which it has members.

use std::time::{Duration, Instant};

use widecast_protocol::{ChannelName, Member};

use super::Shared;
use super::picture::Picture;
use crate::engine::{EngineError, MemberList, MemberQuery, PresenceEntry};

/// How much of a list is read with one command.
const MEMBERS_AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: usize = 1 << 20;

impl Shared {
    /// The channel has a member on this node.
    pub(super) fn begin_watching(&self, channel: &ChannelName) {
        self.listening.with_picture(channel, |picture| {
            picture.get_or_insert_with(Picture::new);
        });
        self.book.look_after(channel, Duration::ZERO);
    }

    /// The channel has no member on this node any more, if nobody has come meanwhile.
    pub(super) fn stop_watching(&self, channel: &ChannelName) {
        self.listening.with_picture(channel, |picture| {
            if !self.book.has_any(channel) {
                *picture = None;
            }
        });
    }

    /// Changes of members may not have been heard: the list has to be read, but not before others have had so long to tell the server
    /// again who is here.
    pub(super) fn doubt_members(&self, channel: &ChannelName, wait: Duration) {
        self.listening.with_picture(channel, |picture| {
            if let Some(picture) = picture {
                picture.doubt(Instant::now() + wait);
            }
        });
        self.book.look_after(channel, wait);
    }

    /// The same for all channels that are watched.
    pub(super) fn doubt_all_members(&self, wait: Duration) {
        for channel in self.book.channels() {
            self.doubt_members(&channel, wait);
        }
    }

    /// Reads who is in a channel if that is due, and tells the watchers what they have not heard.
    pub(super) async fn look_again(&self, channel: &ChannelName) -> Result<(), EngineError> {
        let now = Instant::now();
        let due = self.listening.with_picture(channel, |picture| {
            let picture = picture.as_mut()?;
            let due = picture.due()?;
            if due <= now {
                picture.begin_reading();
            }
            Some(due)
        });
        let Some(due) = due.flatten() else {
            return Ok(());
        };
        if due > now {
            self.book.look_after(channel, due - now);
            return Ok(());
        }
        let read = self.all_members(channel).await;
        let (read, failed) = match read {
            Ok(read) => (Some(read), Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.listening
            .tell_watchers(channel, &*self.deliver, |picture| match read {
                Some((list, changes)) => {
                    picture.read(list, changes, |id| self.book.has_member(channel, id))
                }
                None => picture.give_up_reading(),
            });
        failed
    }

    /// What is shown of a page of the members that the server has given.
    pub(super) fn shown(
        &self,
        channel: &ChannelName,
        query: &MemberQuery,
        page: MemberList,
    ) -> MemberList {
        let here = || self.book.members(channel);
        let listening = &self.listening;
        let instead = listening.members_instead(channel, page.changes, query, here);
        let shown = instead.unwrap_or(page);
        listening.note_listed(channel, shown.changes);
        shown
    }

    /// A connection with the data that its member shows: another connection, perhaps at another node, may have newer data.
    pub(super) fn as_shown(&self, channel: &ChannelName, entry: PresenceEntry) -> PresenceEntry {
        let PresenceEntry { connection, member } = entry;
        let data = self.listening.shown_data(channel, &member.id);
        let data = data.unwrap_or(member.data);
        PresenceEntry {
            connection,
            member: Member { data, ..member },
        }
    }

    /// Everybody who is in a channel, and how many changes have led to that at least.
    async fn all_members(&self, channel: &ChannelName) -> Result<(Vec<Member>, u64), EngineError> {
        let mut query = MemberQuery {
            after: None,
            limit: MEMBERS_AT_ONCE,
            bytes: BYTES_AT_ONCE,
            watcher: None,
        };
        let first = self.members(channel, &query).await?;
        let (mut list, changes) = (first.list, first.changes);
        let mut members = list.members;
        while list.next.is_some() {
            query.after = list.next;
            list = self.members(channel, &query).await?.list;
            members.extend(std::mem::take(&mut list.members));
        }
        Ok((members, changes))
    }
}
