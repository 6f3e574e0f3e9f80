//! The channels of a session, and how far each has been heard. Sans-io: frames come in, events and commands go out.

mod own;

use indexmap::IndexMap;
use serde_json::value::RawValue;
use widecast_protocol::{ChannelName, CursorVector, Epoch, Offset, Position};

use self::own::OwnMessages;
use super::command::Command;
use crate::error::Error;
use crate::event::{Event, Gap, Presence, PresenceChange, Unsubscribed};
use crate::frame::Frame;
use crate::message::Member;
use crate::queue::{Item, Place, Queue};

/// A channel that the session has joined, or is to join.
#[derive(Debug, Clone, Default)]
struct Channel {
    /// Where it began.
    start: Option<Position>,
    /// Everything up to here has been heard.
    place: Option<Position>,
    /// What the session has published and will not hear, further on.
    own: OwnMessages,
    /// What the session says of itself, if it is listed.
    presence: Option<Box<RawValue>>,
    /// The token that was shown for it alone.
    token: Option<String>,
    /// Whether the broker has joined it because the session's token names it.
    is_named: bool,
}

/// The channels of a session.
#[derive(Debug, Default)]
pub(super) struct Channels(IndexMap<ChannelName, Channel>);

impl Channels {
    /// Has a channel joined with the next connection.
    pub(super) fn add(
        &mut self,
        name: ChannelName,
        place: Option<Position>,
        presence: Option<Box<RawValue>>,
    ) {
        let start = place;
        let channel = Channel {
            start,
            place,
            presence,
            ..Channel::default()
        };
        self.0.insert(name, channel);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn starts(&self) -> IndexMap<ChannelName, Position> {
        let starts = self.0.iter();
        starts
            .filter_map(|(name, channel)| Some((name.clone(), channel.start?)))
            .collect()
    }

    /// The places of the channels that the broker joins by itself once it is shown the token.
    pub(super) fn places_of_named(&self) -> Option<String> {
        let mut places = CursorVector::new();
        let named = self.0.iter().filter(|(_, channel)| channel.is_named);
        for (name, channel) in named.take(CursorVector::MAX_CHANNELS) {
            if let Some(place) = channel.place {
                places.set(name, place);
            }
        }
        places.first().is_some().then(|| places.to_string())
    }

    /// The commands that join every channel at its place, but for those that the broker joins by itself.
    pub(super) fn commands(&self) -> Vec<(ChannelName, Command)> {
        let asked_for = self.0.iter().filter(|(_, channel)| !channel.is_named);
        let commands = asked_for.map(|(name, channel)| {
            let command = Command {
                cursor: channel.place.map(|place| place.to_string()),
                presence: channel.presence.clone(),
                token: channel.token.clone(),
                ..Command::about("subscribe", name)
            };
            (name.clone(), command)
        });
        commands.collect()
    }

    /// The broker has let a channel be joined anew.
    pub(super) fn rejoined(&mut self, name: &ChannelName, frame: Frame, queue: &Queue) {
        self.joined(name, &frame, queue);
        self.tell_members(name, frame.members, queue);
    }

    /// The broker does not let a channel be joined anew.
    pub(super) fn refused(&mut self, name: &ChannelName, error: Error, queue: &Queue) {
        self.left(name, Some(error), queue);
    }

    /// The answer to a command of the user's, which gets it, too.
    pub(super) fn answered(&mut self, command: Command, frame: &mut Frame, queue: &Queue) {
        let name = command.channel.as_deref().map(ChannelName::parse);
        let Some(Ok(name)) = name else { return };
        match frame.kind.as_deref() {
            Some("subscribed") => {
                let asked = command.cursor.as_deref().map(Position::parse);
                let asked = asked.and_then(Result::ok);
                let known = self.0.entry(name.clone()).or_default();
                // A command without either leaves the session where it is in the channel, and as it is listed.
                let begins_anew = asked.is_some() || command.history.is_some();
                if begins_anew {
                    (known.start, known.place) = (asked, asked);
                }
                known.is_named = false;
                if begins_anew || command.presence.is_some() {
                    known.presence = command.presence;
                }
                if command.token.is_some() {
                    known.token = command.token;
                }
                self.joined(&name, frame, queue);
            }
            Some("unsubscribed") => {
                self.0.shift_remove(&name);
                queue.push(Item::place(Place::Left(name)));
            }
            _ => {}
        }
    }

    /// Takes the places of the session's own messages from an answer, if it has some. The broker does not send them, so the session
    /// is behind them once it has heard everything before them.
    pub(super) fn published(&mut self, answer: &Frame, queue: &Queue) {
        let results = answer.results.iter().flatten();
        for published in results.chain([answer]) {
            if let Some((name, position)) = own_place(published)
                && let Some(channel) = self.0.get_mut(&name)
            {
                channel.own.add(position);
                if channel.pass_own() {
                    queue.move_to(Place::In(name, position));
                }
            }
        }
    }

    /// Takes over where the broker says a channel is heard from. A channel that was resumed without loss stays where it is,
    /// because its past messages are still to come.
    fn joined(&mut self, name: &ChannelName, frame: &Frame, queue: &Queue) {
        let channel = self.0.entry(name.clone()).or_default();
        let cursor = frame.cursor.as_deref().map(Position::parse);
        let Some(Ok(position)) = cursor else { return };
        let is_lost = frame.recovered == Some(false);
        if !is_lost && channel.place.is_some() {
            return;
        }
        channel.place = Some(position);
        channel.start.get_or_insert(position);
        let place = Place::In(name.clone(), position);
        queue.push(if is_lost {
            Item::at(Event::Gap(gap(name, position)), place)
        } else {
            Item::place(place)
        });
    }

    /// Deals with a frame that answers no command.
    pub(super) fn take(&mut self, mut frame: Frame, queue: &Queue) -> Result<(), Error> {
        let name = frame.channel.as_deref().map(ChannelName::parse);
        let Some(Ok(name)) = name else {
            return Ok(());
        };
        let member = frame.member.take();
        match (frame.kind.as_deref(), member) {
            (Some("message"), _) => {
                let message = frame.into_message()?;
                let position = Position::parse(&message.cursor());
                let position = position.map_err(Error::BadCursor)?;
                let place = self.moved(name, position);
                queue.push(Item::at(Event::Message(message), place));
            }
            (Some("gap"), _) => {
                let position = frame.cursor.as_deref().map(Position::parse);
                let Some(Ok(position)) = position else {
                    return Err(Error::Protocol("a gap with its place"));
                };
                let gap = Event::Gap(gap(&name, position));
                let place = self.moved(name, position);
                queue.push(Item::at(gap, place));
            }
            // Because the token names the channel, or to a command that nobody waits for any more.
            (Some("subscribed"), _) => {
                let is_named = frame.id.is_none();
                let known = self.0.entry(name.clone());
                known.or_insert_with(|| Channel {
                    is_named,
                    ..Channel::default()
                });
                self.joined(&name, &frame, queue);
            }
            (Some("join"), Some(member)) => tell(&name, PresenceChange::Joined(member), queue),
            (Some("leave"), Some(member)) => tell(&name, PresenceChange::Left(member), queue),
            (Some("unsubscribed"), _) => {
                let is_told = frame.code.is_some();
                let error = is_told.then(|| Error::Refused(frame.into_refusal()));
                self.left(&name, error, queue);
            }
            _ => {}
        }
        Ok(())
    }

    fn moved(&mut self, name: ChannelName, position: Position) -> Place {
        match self.0.get_mut(&name) {
            Some(channel) => {
                channel.place = Some(position);
                channel.pass_own();
                Place::In(name, channel.place.unwrap_or(position))
            }
            None => Place::Same,
        }
    }

    fn left(&mut self, name: &ChannelName, error: Option<Error>, queue: &Queue) {
        let place = self.0.shift_remove(name).and_then(|known| known.place);
        let event = Event::Unsubscribed(Unsubscribed {
            channel: name.to_string(),
            cursor: place.map(|place| place.to_string()),
            error,
        });
        queue.push(Item::at(event, Place::Left(name.clone())));
    }

    fn tell_members(&self, name: &ChannelName, members: Option<Vec<Member>>, queue: &Queue) {
        let is_listed = self.0.get(name).is_some_and(|c| c.presence.is_some());
        if let Some(members) = members.filter(|_| is_listed) {
            tell(name, PresenceChange::Members(members), queue);
        }
    }
}

impl Channel {
    /// Moves behind the session's own messages, if nothing of others comes before them. Returns whether the place has moved.
    fn pass_own(&mut self) -> bool {
        let further = self.place.and_then(|place| self.own.behind(place));
        self.place = further.or(self.place);
        further.is_some()
    }
}

/// The place of a message that this answer says was published now. One that was published before may be of somebody else, and may not
/// have been heard yet.
fn own_place(published: &Frame) -> Option<(ChannelName, Position)> {
    if !published.is("published") || published.duplicate != Some(false) {
        return None;
    }
    let name = ChannelName::parse(published.channel.as_deref()?).ok()?;
    let position = Position {
        epoch: Epoch::parse(published.epoch.as_deref()?)?,
        offset: Offset(published.offset?),
    };
    Some((name, position))
}

fn gap(name: &ChannelName, position: Position) -> Gap {
    Gap {
        channel: Some(name.to_string()),
        cursor: position.to_string(),
    }
}

fn tell(name: &ChannelName, change: PresenceChange, queue: &Queue) {
    let channel = name.to_string();
    let presence = Presence { channel, change };
    queue.push(Item::here(Event::Presence(presence)));
}

#[cfg(test)]
mod tests;
