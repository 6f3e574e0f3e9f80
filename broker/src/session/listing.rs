//! Being listed as a member of a channel. What a session does to one channel's list is done in its order: it has left before
//! it enters again.

use widecast_protocol::command::Listing;
use widecast_protocol::reply::Member;
use widecast_protocol::{ChannelName, Code, Payload};

use crate::engine::{MemberList, PresenceEntry};
use crate::registry::PresenceWatch;

use super::access::Right;
use super::refusal::Refusal;
use super::session::Session;

impl Session {
    /// Makes sure that the session may be listed with this data.
    pub(super) fn check_listing(
        &self,
        channel: &ChannelName,
        data: &Payload,
    ) -> Result<(), Refusal> {
        let limit = self.services().config.limits.presence_bytes;
        let actual = data.size_bytes();
        if actual > limit.as_usize() {
            let detail = format!(
                "the presence data has {actual} bytes, limits.presence_bytes allows {}",
                limit.get()
            );
            return Err(Refusal::new(Code::MessageTooLarge, detail));
        }
        self.require(channel, Right::Presence)
    }

    /// What hears for the session who comes and goes, if it has frames to be told in.
    pub(super) fn watch(&self) -> Option<PresenceWatch> {
        let wire = self.dialect().frames()?;
        Some(PresenceWatch::new(wire, self.identity().member_id()))
    }

    /// Lists the session, and gives who is here then.
    pub(super) async fn appear(
        &self,
        channel: &ChannelName,
        data: Payload,
    ) -> Result<MemberList, Refusal> {
        self.note_listed(channel);
        let engine = &self.services().engine;
        let member = Member {
            id: self.identity().member_id(),
            data,
        };
        let entry = PresenceEntry {
            connection: self.connection(),
            member,
        };
        engine.enter(channel, entry).await?;
        Ok(engine.members(channel).await?)
    }

    /// Takes the session from the list, if it is on it.
    pub(super) async fn disappear(&self, channel: &ChannelName) {
        if self.forget_listed(channel) {
            // The answer does not come only when the thread ends.
            let _ = self.shard().exit(channel, self.connection()).await;
        }
    }

    /// Changes whether a session that has joined the channel is listed, and how; gives who is here if it is.
    pub(super) async fn change_listing(
        &self,
        channel: &ChannelName,
        listing: Listing,
    ) -> Result<Option<MemberList>, Refusal> {
        let Listing::Listed(data) = listing else {
            self.set_watch(channel, None);
            self.disappear(channel).await;
            return Ok(None);
        };
        self.check_listing(channel, &data)?;
        self.set_watch(channel, self.watch());
        match self.appear(channel, data).await {
            Ok(list) => Ok(Some(list)),
            Err(refusal) => {
                self.set_watch(channel, None);
                self.disappear(channel).await;
                Err(refusal)
            }
        }
    }

    fn set_watch(&self, channel: &ChannelName, watch: Option<PresenceWatch>) {
        if let Some(membership) = self.channels.borrow().membership(channel) {
            membership.set_watch(watch);
        }
    }

    /// The session has been told who is here.
    pub(super) fn begin_watch(&self, channel: &ChannelName, list: &MemberList) {
        if let Some(membership) = self.channels.borrow().membership(channel) {
            membership.begin_watch(list.changes);
        }
    }
}
