//! Being listed as a member of a channel. What a session does to one channel's list is done in its order: it has left before
//! it enters again.

use widecast_protocol::command::Listing;
use widecast_protocol::reply::Member;
use widecast_protocol::{ChannelName, Code, Payload};

use crate::config::Right;
use crate::engine::{MemberList, MemberQuery, PresenceEntry, renew};
use crate::limits::{Exceeded, ListedMember};
use crate::memory_budget::{Part, held};
use crate::metrics::Limit;
use crate::registry::PresenceWatch;

use super::join::has_left;
use super::refusal::Refusal;
use super::session::Session;

/// The channels in which a session is listed as a member, or may be: each once, in the order of their names.
#[derive(Default)]
pub(super) struct ListedChannels(Vec<ListedChannel>);

struct ListedChannel {
    name: ChannelName,
    /// What the session says of itself.
    said: Payload,
    /// What the others are shown.
    shown: Payload,
    places: Places,
}

/// Counts a member as one of its address, and as one of the user who listed it.
type Places = [ListedMember; 2];

impl ListedChannels {
    fn find(&self, channel: &ChannelName) -> Result<usize, usize> {
        self.0.binary_search_by(|listed| listed.name.cmp(channel))
    }

    fn get(&self, channel: &ChannelName) -> Option<&ListedChannel> {
        Some(&self.0[self.find(channel).ok()?])
    }

    /// Takes the places of the session in a channel where it is listed already.
    fn take_places(&mut self, channel: &ChannelName) -> Option<Places> {
        let index = self.find(channel).ok()?;
        Some(std::mem::take(&mut self.0[index].places))
    }

    /// Gives the session its places back in a channel where it is listed still.
    fn give_places(&mut self, channel: &ChannelName, places: Places) {
        if let Ok(index) = self.find(channel) {
            self.0[index].places = places;
        }
    }

    /// The session is, or may be, listed from now on.
    fn put(&mut self, listed: ListedChannel) {
        match self.find(&listed.name) {
            Ok(index) => self.0[index] = listed,
            Err(index) => self.0.insert(index, listed),
        }
    }

    pub(super) fn has(&self, channel: &ChannelName) -> bool {
        self.find(channel).is_ok()
    }

    /// The session is listed no longer. Returns whether it was.
    fn remove(&mut self, channel: &ChannelName) -> bool {
        let found = self.find(channel);
        found.map(|index| self.0.remove(index)).is_ok()
    }

    /// Takes all of them.
    pub(super) fn drain(&mut self) -> Vec<ChannelName> {
        let listed = std::mem::take(&mut self.0).into_iter();
        listed.map(|listed| listed.name).collect()
    }
}

impl Session {
    /// Makes sure that the session may be listed with this data.
    pub(super) fn check_listing(
        &self,
        channel: &ChannelName,
        data: &Payload,
    ) -> Result<(), Refusal> {
        self.require(channel, Right::Presence)?;
        self.check_shown(channel, data)
    }

    /// Makes sure that there is room for what the others would be shown.
    fn check_shown(&self, channel: &ChannelName, data: &Payload) -> Result<(), Refusal> {
        let limit = self.services().config.limits.presence_bytes;
        let actual = self.shown(channel, data).size_bytes();
        if actual > limit.as_usize() {
            let detail = format!(
                "the presence data has {actual} bytes, limits.presence_bytes allows {}",
                limit.get()
            );
            let services = self.services();
            return Err(services.beyond(Limit::Presence, Code::MessageTooLarge, detail));
        }
        let limit = self.services().bounds.presence;
        if held(Part::Presence) >= limit {
            let detail = format!(
                "the members of all channels take {limit} bytes, their part of limits.memory_bytes"
            );
            let services = self.services();
            return Err(services.beyond(Limit::Memory, Code::Overloaded, detail));
        }
        Ok(())
    }

    /// The watch that tells the session who comes and goes, if it has frames to be told in.
    pub(super) fn watch(&self) -> Option<PresenceWatch> {
        let wire = self.dialect().frames()?;
        Some(PresenceWatch::new(wire, self.member_id()))
    }

    /// Makes sure that the session may be a member of a channel, if it is not listed there yet.
    pub(super) fn check_places(&self, channel: &ChannelName) -> Result<(), Refusal> {
        if !self.listed.borrow().has(channel) {
            // What is not shown is given back at once.
            drop(self.share().list_member()?);
            drop(self.list_for_user(channel)?);
        }
        Ok(())
    }

    /// Counts the session as a member of another channel.
    fn take_places(&self, channel: &ChannelName) -> Result<Places, Refusal> {
        let mut places = [self.share().list_member()?, self.list_for_user(channel)?];
        for place in &mut places {
            place.is_shown(self.services().config.presence.grace);
        }
        Ok(places)
    }

    /// Counts the session as a member that its user lists, or the user of its token for this channel.
    fn list_for_user(&self, channel: &ChannelName) -> Result<ListedMember, Exceeded> {
        let principal = self.principal_on(channel);
        let quotas = &self.services().quotas;
        quotas.list_member(principal.charged_user(channel))
    }

    /// Counts the session as a member of the user for whom it acts now, and no longer of the one who listed it.
    fn charge_anew(
        &self,
        channel: &ChannelName,
        [address, user]: Places,
    ) -> Result<Places, Refusal> {
        let services = self.services();
        let principal = self.principal_on(channel);
        let quotas = &services.quotas;
        let mut user = quotas.list_member_anew(user, principal.charged_user(channel))?;
        user.is_shown(services.config.presence.grace);
        Ok([address, user])
    }

    /// Lists the session.
    pub(super) async fn enter(&self, channel: &ChannelName, data: Payload) -> Result<(), Refusal> {
        let present = self.listed.borrow_mut().take_places(channel);
        let places = match present {
            Some(places) => self.charge_anew(channel, places)?,
            None => self.take_places(channel)?,
        };
        // It outlives the frame in which it came.
        let said = data.detached();
        let shown = self.shown(channel, &said);
        let member = Member {
            id: self.member_id(),
            data: shown.clone(),
        };
        self.listed.borrow_mut().put(ListedChannel {
            name: channel.clone(),
            said,
            shown,
            places,
        });
        let entry = PresenceEntry {
            connection: self.connection(),
            member,
        };
        self.services().engine.enter(channel, entry).await?;
        if !self.listed.borrow().has(channel) {
            // The session lost its right to it meanwhile, and was taken from the list perhaps before it was on it.
            let _ = self.shard().exit(channel, self.connection()).await;
            let detail = "the session may no longer be listed in the channel";
            return Err(Refusal::new(Code::Forbidden, detail));
        }
        Ok(())
    }

    /// Finds out who is here, as much of it as one answer may have.
    pub(super) async fn list_members(&self, channel: &ChannelName) -> Result<MemberList, Refusal> {
        let query = self.member_query(channel, None, None);
        Ok(self.services().engine.members(channel, &query).await?)
    }

    /// As [`Services::member_query`], for this session.
    ///
    /// [`Services::member_query`]: super::services::Services::member_query
    pub(super) fn member_query(
        &self,
        channel: &ChannelName,
        after: Option<String>,
        limit: Option<usize>,
    ) -> MemberQuery {
        let is_listed = self.listed.borrow().has(channel);
        MemberQuery {
            watcher: is_listed.then(|| self.member_id()),
            ..self.services().member_query(after, limit)
        }
    }

    async fn appear(&self, channel: &ChannelName, data: Payload) -> Result<MemberList, Refusal> {
        self.enter(channel, data).await?;
        self.list_members(channel).await
    }

    /// Shows the others what the session's tokens say of it now, if that is not what they are shown and it is listed, and counts it as a
    /// member of its user. Where it cannot be shown, the session ends: it must not be listed as somebody else.
    pub(super) async fn show_anew(&self, channel: &ChannelName) {
        let said = {
            let listed = self.listed.borrow();
            let Some(listed) = listed.get(channel) else {
                return;
            };
            let is_shown = listed.shown == self.shown(channel, &listed.said);
            (!is_shown).then(|| listed.said.clone())
        };
        let Some(said) = said else {
            let places = self.listed.borrow_mut().take_places(channel);
            match places.map(|places| self.charge_anew(channel, places)) {
                Some(Ok(places)) => self.listed.borrow_mut().give_places(channel, places),
                Some(Err(refusal)) => self.fail(refusal),
                None => {}
            }
            return;
        };
        let may_be = self.require_to_go_on(channel, Right::Presence);
        let shown = match may_be.and_then(|()| self.check_shown(channel, &said)) {
            Ok(()) => self.enter(channel, said).await,
            Err(refusal) => Err(refusal),
        };
        match shown {
            Ok(()) => renew(),
            // It has left the list meanwhile.
            Err(_) if !self.listed.borrow().has(channel) => {}
            Err(refusal) => self.fail(refusal),
        }
    }

    /// What the others in a channel are shown: what the session's token says of the user, or that for this channel alone, rather than
    /// what it says itself.
    fn shown(&self, channel: &ChannelName, said: &Payload) -> Payload {
        let principal = self.principal_on(channel);
        principal.info().unwrap_or(said).clone()
    }

    /// Takes the session from the list, if it is on it.
    pub(super) async fn disappear(&self, channel: &ChannelName) {
        let is_listed = self.listed.borrow_mut().remove(channel);
        if is_listed {
            // The answer fails to come only if the thread is ending.
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
            self.unlist_member(channel).await;
            return Ok(None);
        };
        self.check_listing(channel, &data)?;
        self.ask_to_read(channel, &[Right::Presence]).await?;
        if self.place(channel).is_none() {
            return Err(has_left());
        }
        self.set_watch(channel, self.watch());
        match self.appear(channel, data).await {
            Ok(list) => Ok(Some(list)),
            Err(refusal) => {
                self.unlist_member(channel).await;
                Err(refusal)
            }
        }
    }

    /// Takes the session from the list of a channel that it goes on to hear: it is no longer told who comes and goes.
    pub(super) async fn unlist_member(&self, channel: &ChannelName) {
        self.set_watch(channel, None);
        self.disappear(channel).await;
    }

    fn set_watch(&self, channel: &ChannelName, watch: Option<PresenceWatch>) {
        if let Some(handle) = self.channels.borrow().handle(channel) {
            handle.set_watch(watch);
        }
    }

    /// The session is shown a page of the list, and hears what changes after it.
    pub(super) fn shows_page(&self, channel: &ChannelName, list: &MemberList) {
        if let Some(handle) = self.channels.borrow().handle(channel) {
            handle.shows_page(list.changes);
        }
    }

    /// The session has been told who is here.
    pub(super) fn begin_watch(&self, channel: &ChannelName, list: &MemberList) {
        if let Some(handle) = self.channels.borrow().handle(channel) {
            handle.begin_watch(list.changes);
        }
    }
}
