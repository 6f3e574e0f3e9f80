//! The channels that are heard on this node, and how far each has been heard.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use tokio::sync::{Notify, oneshot, watch};
use widecast_protocol::{ChannelName, EncodedMessage, Member, Payload, Position};

use super::listener::{HeardAt, Listener, answer};
use super::picture::Picture;
use super::wire::Heard;
use crate::engine::{Deliver, MemberList, MemberQuery, NumberedChange};
use crate::log_limit::LogLimit;

/// The channels that are heard on this node.
#[derive(Debug)]
pub(super) struct Listening {
    channels: DashMap<ChannelName, Listener>,
    /// Channels whose topics have to be subscribed to, or unsubscribed from.
    changed: Mutex<HashSet<ChannelName>>,
    /// Whether there are any, or some are being attended to.
    is_busy: watch::Sender<bool>,
    wake: Notify,
    /// The tag of the next message that has one: no other node has the same.
    next_tag: AtomicU64,
    /// Whether the log says that brokers have different settings. Once is enough: they stay so until one is started anew.
    says_they_differ: AtomicBool,
}

impl Default for Listening {
    fn default() -> Self {
        Self {
            channels: DashMap::new(),
            changed: Mutex::default(),
            is_busy: watch::Sender::new(false),
            wake: Notify::new(),
            next_tag: AtomicU64::new(rand::random()),
            says_they_differ: AtomicBool::new(false),
        }
    }
}

/// What has to be done for a channel's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It has to be heard.
    Hear,
    /// It has to be heard, and compared with what was heard on the connection before.
    HearAndCompare(Option<Position>),
    /// Nobody hears it any more.
    Forget,
}

impl Listening {
    /// Somebody on this node hears the channel: answered once that is so.
    pub(super) fn want(&self, channel: &ChannelName) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut listener = self.channels.entry(channel.clone()).or_default();
        if listener.is_live {
            let _ = sender.send(());
        } else {
            listener.wanting.push(sender);
            drop(listener);
            self.attend_to(channel);
        }
        receiver
    }

    /// Nobody on this node hears the channel any more.
    pub(super) fn unwant(&self, channel: &ChannelName) {
        if self.channels.remove(channel).is_some() {
            self.attend_to(channel);
        }
    }

    fn attend_to(&self, channel: &ChannelName) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.insert(channel.clone());
        self.is_busy.send_replace(true);
        self.wake.notify_one();
    }

    /// Ready when some channel needs attention.
    pub(super) async fn changes(&self) {
        self.wake.notified().await;
    }

    /// Some of the channels that need attention; none when all have been attended to.
    pub(super) fn take_changed(&self, most: usize) -> Vec<ChannelName> {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let some: Vec<_> = changed.iter().take(most).cloned().collect();
        for channel in &some {
            changed.remove(channel);
        }
        if some.is_empty() {
            self.is_busy.send_replace(false);
        }
        some
    }

    /// Ready when all channels have been attended to.
    pub(super) async fn settled(&self) {
        let mut is_busy = self.is_busy.subscribe();
        // The sender lives as long as this.
        let _ = is_busy.wait_for(|busy| !busy).await;
    }

    /// What a channel that was taken needs.
    pub(super) fn need(&self, channel: &ChannelName) -> Need {
        match self.channels.get(channel) {
            None => Need::Forget,
            Some(listener) if listener.is_stale => Need::HearAndCompare(listener.reached()),
            Some(_) => Need::Hear,
        }
    }

    /// The channel's topic is subscribed to.
    pub(super) fn live(&self, channel: &ChannelName) {
        if let Some(mut listener) = self.channels.get_mut(channel) {
            listener.is_live = true;
            listener.is_stale = false;
            for wanting in std::mem::take(&mut listener.wanting) {
                let _ = wanting.send(());
            }
        }
    }

    /// After a loss the channel was compared: it had been heard until `before`, and its end is `now`. What lies between them is read
    /// from the history, and nobody waits to hear it.
    pub(super) fn compared(&self, channel: &ChannelName, before: Option<Position>, now: Position) {
        if let Some(mut listener) = self.channels.get_mut(channel)
            && listener.reached() == before
        {
            let subscribers = listener.subscribers;
            listener.heard(now, subscribers);
        }
    }

    /// The connection is lost: nothing is heard, and nobody waits for it any longer.
    pub(super) fn cut(&self) {
        let mut all = HashSet::new();
        for mut entry in self.channels.iter_mut() {
            let channel = entry.key().clone();
            let listener = entry.value_mut();
            listener.is_stale |= listener.is_live;
            listener.is_live = false;
            listener.messages.clear();
            listener.changes.clear();
            listener.tagged.clear();
            all.insert(channel);
        }
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.is_empty() {
            self.is_busy.send_replace(true);
        }
        *changed = all;
        self.wake.notify_one();
    }

    /// A reader begins here: while nothing has been heard, this is where the channel was.
    pub(super) fn begins_at(&self, channel: &ChannelName, position: Position) {
        if let Some(mut listener) = self.channels.get_mut(channel) {
            listener.start.get_or_insert(position);
        }
    }

    /// Hands over what was heard. Under the channel's entry, so that those who wait are answered afterwards.
    ///
    /// To another broker the channel may be ephemeral where `is_ephemeral` says that it is not, or the other way round. The places of
    /// both kinds never mix: a message that is heard in a place of another would be taken for it, and that would be missed silently.
    pub(super) fn hear(
        &self,
        channel: &ChannelName,
        bytes: &[u8],
        is_ephemeral: bool,
        deliver: &dyn Deliver,
    ) {
        let Some(mut listener) = self.channels.get_mut(channel) else {
            return;
        };
        match Heard::parse(bytes, channel) {
            Ok(Heard::Message(message)) => {
                let message = if is_ephemeral {
                    self.say_they_differ(channel);
                    listener.place(message)
                } else {
                    message
                };
                let message = Arc::new(EncodedMessage::new(message));
                let position = message.position();
                let subscribers = deliver.deliver(message);
                listener.heard(position, subscribers);
            }
            // It has no place among messages that are kept.
            Ok(Heard::Ephemeral { .. }) if !is_ephemeral => self.say_they_differ(channel),
            Ok(Heard::Ephemeral { tag, message }) => {
                let message = Arc::new(EncodedMessage::new(listener.place(message)));
                let position = message.position();
                let subscribers = deliver.deliver(message);
                listener.heard(position, subscribers);
                if let Some(waiting) = listener.tagged.remove(&tag) {
                    let _ = waiting.send((position, subscribers));
                }
            }
            Ok(Heard::Change(change)) => {
                let number = change.number;
                let told = match &mut listener.picture {
                    Some(picture) => picture.hear(change),
                    None => Some(change),
                };
                if let Some(change) = told {
                    deliver.presence(channel, change);
                }
                listener.change = listener.change.max(number);
                answer(&mut listener.changes, number, 0);
            }
            Err(error) => {
                static LINE: LogLimit = LogLimit::new();
                if let Some(times) = LINE.due() {
                    tracing::error!(
                        times,
                        channel.name = channel.as_str(),
                        error = &error as &dyn std::error::Error,
                        "what was heard on a topic cannot be read"
                    );
                }
                deliver.lost(channel);
            }
        }
    }

    fn say_they_differ(&self, channel: &ChannelName) {
        if !self.says_they_differ.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                channel.name = channel.as_str(),
                "another broker has a different setting `ephemeral` for the namespace of this channel: it is heard here only in part"
            );
        }
    }

    /// Waits until a message has been heard here, and tells how many subscribers have it. None is waited for when the channel
    /// is not heard here, or no longer.
    pub(super) async fn until_message(&self, channel: &ChannelName, position: Position) -> u64 {
        let receiver = {
            let Some(mut listener) = self.channels.get_mut(channel) else {
                return 0;
            };
            let is_here = listener
                .last
                .is_some_and(|last| last.epoch == position.epoch && last.offset >= position.offset);
            if is_here || !listener.is_live {
                return listener.subscribers;
            }
            let (sender, receiver) = oneshot::channel();
            let waiting = listener.messages.entry(position.offset.0).or_default();
            waiting.push(sender);
            receiver
        };
        receiver.await.unwrap_or_default()
    }

    /// A tag for a message that has its place from each node.
    pub(super) fn next_tag(&self) -> u64 {
        self.next_tag.fetch_add(1, Ordering::Relaxed)
    }

    /// Somebody is about to publish a message of this tag: answered when it is heard here, if the channel is.
    pub(super) fn expect(
        &self,
        channel: &ChannelName,
        tag: u64,
    ) -> Option<oneshot::Receiver<HeardAt>> {
        let mut listener = self.channels.get_mut(channel)?;
        listener.is_live.then(|| {
            let (sender, receiver) = oneshot::channel();
            listener.tagged.insert(tag, sender);
            receiver
        })
    }

    /// The message of this tag was not published.
    pub(super) fn expect_no_longer(&self, channel: &ChannelName, tag: u64) {
        if let Some(mut listener) = self.channels.get_mut(channel) {
            listener.tagged.remove(&tag);
        }
    }

    /// How far a channel has been heard whose messages have their places from this node, if it is heard.
    pub(super) fn end_of_ephemeral(&self, channel: &ChannelName) -> Option<Position> {
        Some(self.channels.get_mut(channel)?.end())
    }

    /// Waits until a change of members has been heard here, if the channel is.
    pub(super) async fn until_change(&self, channel: &ChannelName, number: u64) {
        let receiver = {
            let Some(mut listener) = self.channels.get_mut(channel) else {
                return;
            };
            if listener.change >= number || !listener.is_live {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            listener.changes.entry(number).or_default().push(sender);
            receiver
        };
        let _ = receiver.await;
    }

    /// Does something with what the watchers of a channel know of its members, if it is heard.
    pub(super) fn with_picture<T>(
        &self,
        channel: &ChannelName,
        work: impl FnOnce(&mut Option<Picture>) -> T,
    ) -> Option<T> {
        let mut listener = self.channels.get_mut(channel)?;
        Some(work(&mut listener.picture))
    }

    /// Changes what the watchers of a channel know of its members, and hands over what they are to be told. Under the channel's entry, so
    /// that what is heard meanwhile comes afterwards.
    pub(super) fn tell_watchers(
        &self,
        channel: &ChannelName,
        deliver: &dyn Deliver,
        change: impl FnOnce(&mut Picture) -> Vec<NumberedChange>,
    ) {
        self.with_picture(channel, |picture| {
            let told = picture.as_mut().map(change);
            for change in told.into_iter().flatten() {
                deliver.presence(channel, change);
            }
        });
    }

    /// What is to be shown instead of a page of the members of after so many changes ([`Picture::page_instead`]).
    pub(super) fn members_instead(
        &self,
        channel: &ChannelName,
        changes: u64,
        query: &MemberQuery,
        here: impl FnOnce() -> Vec<Member>,
    ) -> Option<MemberList> {
        let listener = self.channels.get(channel)?;
        let picture = listener.picture.as_ref()?;
        picture.page_instead(changes, query, here)
    }

    /// The data that a member of a channel shows, as its watchers on this node know it.
    pub(super) fn shown_data(&self, channel: &ChannelName, id: &str) -> Option<Payload> {
        let listener = self.channels.get(channel)?;
        listener.picture.as_ref()?.data_of(id).cloned()
    }

    /// Somebody on this node is shown a list of the members of after so many changes.
    pub(super) fn note_listed(&self, channel: &ChannelName, changes: u64) {
        if let Some(mut listener) = self.channels.get_mut(channel) {
            listener.listed = listener.listed.max(changes);
        }
    }

    /// The highest number of a change of members that anybody on this node knows.
    pub(super) fn highest_change(&self, channel: &ChannelName) -> u64 {
        self.channels.get(channel).map_or(0, |listener| {
            let known = listener.picture.as_ref().map_or(0, Picture::newest);
            known.max(listener.change).max(listener.listed)
        })
    }

    /// The number of the newest change that the watchers of a channel know of, if it is watched.
    pub(super) fn newest_change(&self, channel: &ChannelName) -> Option<u64> {
        let listener = self.channels.get(channel)?;
        listener.picture.as_ref().map(Picture::newest)
    }

    /// How many channels are heard.
    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    /// All that are heard.
    pub(super) fn channels(&self) -> Vec<ChannelName> {
        let channels = self.channels.iter();
        channels.map(|entry| entry.key().clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use widecast_protocol::{Epoch, Offset};

    use super::*;

    #[test]
    fn nobody_waits_for_what_was_published_before_the_topic_was_subscribed_to_again() {
        let listening = Listening::default();
        let channel = ChannelName::parse("news").unwrap();
        let at = |offset| Position {
            epoch: Epoch(1),
            offset: Offset(offset),
        };
        let is_answered = |offset| {
            let waiting = listening.until_message(&channel, at(offset));
            waiting.now_or_never().is_some()
        };
        drop(listening.want(&channel));
        listening.live(&channel);
        listening.begins_at(&channel, at(1));
        listening.cut();
        assert_eq!(listening.need(&channel), Need::HearAndCompare(Some(at(1))));
        listening.compared(&channel, Some(at(1)), at(2));
        listening.live(&channel);
        assert!(is_answered(2));
        assert!(!is_answered(3));
        // What was heard meanwhile counts more than what was compared.
        listening.compared(&channel, Some(at(1)), at(3));
        assert!(!is_answered(3));
    }
}
