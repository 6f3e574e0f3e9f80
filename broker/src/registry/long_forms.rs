//! Large messages are put into the forms that their subscribers need away from the worker, which serves others meanwhile.
//!
//! What comes behind such a message in its channel waits until it has been delivered, so that the order stays the same. It still
//! counts as waiting for the worker, which makes publishers wait when it becomes much.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use widecast_protocol::framing::Wire;
use widecast_protocol::{ChannelName, EncodedMessage};

use crate::offload::{LARGE_BYTES, offload};

use super::fanout::Fanout;
use super::shard::Shard;

/// No more of the past than this is made at once for the subscribers of a channel.
const PAST_BYTES: usize = 16 << 20;

/// A message, and the wires whose forms of it take long to make.
pub(super) struct Unmade {
    message: Arc<EncodedMessage>,
    wires: Vec<Wire>,
}

/// The messages that wait in each channel behind one whose forms are being made.
#[derive(Default)]
pub(super) struct Waiting(RefCell<HashMap<ChannelName, VecDeque<Arc<EncodedMessage>>>>);

impl Waiting {
    /// Keeps a message if it has to wait.
    fn keep(&self, message: &Arc<EncodedMessage>) -> bool {
        let mut waiting = self.0.borrow_mut();
        // Nearly always nothing waits, and then no name is looked up.
        if waiting.is_empty() {
            return false;
        }
        let behind = waiting.get_mut(&message.message().channel);
        behind
            .map(|behind| behind.push_back(Arc::clone(message)))
            .is_some()
    }

    /// From now on messages of the channel wait.
    fn begin(&self, channel: &ChannelName) {
        self.0.borrow_mut().entry(channel.clone()).or_default();
    }

    /// Takes the message that has waited longest in a channel; if there is none, the next does not wait.
    fn next(&self, channel: &ChannelName) -> Option<Arc<EncodedMessage>> {
        let mut waiting = self.0.borrow_mut();
        let next = waiting.get_mut(channel)?.pop_front();
        if next.is_none() {
            waiting.remove(channel);
        }
        next
    }
}

impl Shard {
    /// A message has come: delivers it, now or once its forms have been made.
    pub(super) fn deliver_in_turn(self: &Rc<Self>, message: &Arc<EncodedMessage>) {
        if self.waiting.keep(message) {
            return;
        }
        match self.unmade(message) {
            None => self.deliver(message),
            Some(unmade) => {
                self.waiting.begin(&message.message().channel);
                actix_rt::spawn(Rc::clone(self).deliver_made(unmade));
            }
        }
    }

    /// The forms that take long to make, if the message has to be put into some for the subscribers of its channel.
    fn unmade(&self, message: &Arc<EncodedMessage>) -> Option<Unmade> {
        if message.weight_bytes() < LARGE_BYTES {
            return None;
        }
        let channels = self.channels.borrow();
        let wires = channels.get(&message.message().channel)?.wires();
        let wires: Vec<_> = wires
            .into_iter()
            .filter(|wire| message.is_rewritten_on(*wire))
            .collect();
        (!wires.is_empty()).then(|| Unmade {
            message: Arc::clone(message),
            wires,
        })
    }

    /// Delivers a message when its forms have been made, and then those that have come behind it.
    async fn deliver_made(self: Rc<Self>, mut unmade: Unmade) {
        let channel = unmade.message.message().channel.clone();
        loop {
            let message = std::slice::from_ref(&unmade.message);
            let made = make(message, &unmade.wires, usize::MAX).await;
            self.deliver(&unmade.message);
            drop(made);
            unmade = loop {
                let Some(next) = self.waiting.next(&channel) else {
                    return;
                };
                match self.unmade(&next) {
                    Some(unmade) => break unmade,
                    None => self.deliver(&next),
                }
            };
        }
    }

    /// Makes the forms of messages of the past that the channel's subscribers need, as far as that takes long.
    pub(super) async fn make_past(
        &self,
        channel: &ChannelName,
        messages: &[Arc<EncodedMessage>],
    ) -> Vec<Bytes> {
        let wires = self.channels.borrow().get(channel).map(Fanout::wires);
        make(messages, &wires.unwrap_or_default(), PAST_BYTES).await
    }
}

/// Makes the forms of messages on some wires, away from the worker if that takes long; none behind the one with which they have
/// `most` bytes. Until they are dropped, whoever asks for the same forms has them at once.
pub(super) async fn make(
    messages: &[Arc<EncodedMessage>],
    wires: &[Wire],
    most: usize,
) -> Vec<Bytes> {
    let mut rewritten = Vec::new();
    for message in messages {
        let wires = wires.iter().copied();
        let wires: Vec<_> = wires
            .filter(|wire| message.is_rewritten_on(*wire))
            .collect();
        if !wires.is_empty() {
            let message = Arc::clone(message);
            rewritten.push(Unmade { message, wires });
        }
    }
    let weight = rewritten.iter().map(|unmade| unmade.message.weight_bytes());
    let weight = weight.sum();
    if weight < LARGE_BYTES {
        // They are made as they are needed.
        return Vec::new();
    }
    offload(weight, move || make_now(&rewritten, most)).await
}

fn make_now(rewritten: &[Unmade], most: usize) -> Vec<Bytes> {
    let (mut made, mut bytes) = (Vec::new(), 0);
    for Unmade { message, wires } in rewritten {
        if bytes >= most {
            break;
        }
        let forms = message.forms();
        for wire in wires {
            let form = forms.bytes(*wire);
            bytes += form.len();
            made.push(form);
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use widecast_protocol::{Epoch, Message, Offset, Origin, Payload};

    fn message(offset: u64, payload: Payload) -> Arc<EncodedMessage> {
        Arc::new(EncodedMessage::new(Message {
            channel: ChannelName::parse("news").unwrap(),
            payload,
            event: None,
            id: None,
            origin: Origin::verified("https://example.org"),
            offset: Offset(offset),
            epoch: Epoch(1),
            timestamp_ms: 0,
            sender: None,
        }))
    }

    fn numbers(count: usize) -> Payload {
        Payload::from_json(format!("[{}1]", "1,".repeat(count))).unwrap()
    }

    #[actix_web::test]
    async fn long_forms_are_at_hand_until_they_are_dropped_and_short_ones_are_left() {
        let wires = [Wire::MessagePackWebSocket, Wire::JsonWebSocket];
        let (large, small) = (message(1, numbers(LARGE_BYTES)), message(2, numbers(10)));
        let made = make(
            &[Arc::clone(&large), Arc::clone(&small)],
            &wires,
            usize::MAX,
        )
        .await;
        // JSON is copied.
        let shared = large.bytes(Wire::MessagePackWebSocket);
        assert_eq!(made[0].as_ptr(), shared.as_ptr());
        assert_eq!(made.len(), 2);
        let first_of_two = make(&[Arc::clone(&large), message(3, numbers(10))], &wires, 1).await;
        assert_eq!(first_of_two.len(), 1);
        assert!(make(&[small], &wires, usize::MAX).await.is_empty());
        assert!(make(&[large], &wires[1..], usize::MAX).await.is_empty());
    }

    #[test]
    fn messages_wait_only_behind_one_of_their_channel() {
        let waiting = Waiting::default();
        let (one, two) = (message(1, numbers(1)), message(2, numbers(1)));
        let channel = &one.message().channel;
        assert!(!waiting.keep(&one));
        waiting.begin(&ChannelName::parse("other").unwrap());
        assert!(!waiting.keep(&one));
        waiting.begin(channel);
        assert!(waiting.keep(&one) && waiting.keep(&two));
        assert_eq!(waiting.next(channel).unwrap().position(), one.position());
        assert_eq!(waiting.next(channel).unwrap().position(), two.position());
        assert!(waiting.next(channel).is_none());
        assert!(!waiting.keep(&one));
    }
}
