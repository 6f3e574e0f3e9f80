//! Who hears a channel, and what is waiting to be written to them.

use crate::form::Form;

/// One subscriber of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subscriber {
    /// Its connection.
    pub(super) connection: usize,
    /// What it reads.
    pub(super) form: Form,
}

/// A name and its subscribers.
#[derive(Debug, Default)]
pub(super) struct Channel {
    name: Vec<u8>,
    subscribers: Vec<Subscriber>,
    /// Polls to be answered by the next message.
    waiting: Vec<usize>,
    /// How many messages there have been: the cursor of a poll.
    offset: u64,
    /// The newest message, for a poll that comes late.
    newest: Vec<u8>,
    /// Published, and not yet written to anybody.
    pending: Vec<Vec<u8>>,
}

impl Channel {
    /// A channel nobody hears.
    pub(super) fn new(name: &[u8]) -> Self {
        Self {
            name: name.to_vec(),
            ..Self::default()
        }
    }

    /// Adds a subscriber; tells its place, which stays until another leaves.
    pub(super) fn join(&mut self, subscriber: Subscriber) -> usize {
        self.subscribers.push(subscriber);
        self.subscribers.len() - 1
    }

    /// Removes the subscriber at a place; tells which connection has that place now, if another moved there.
    pub(super) fn leave(&mut self, place: usize) -> Option<usize> {
        self.subscribers.swap_remove(place);
        self.subscribers.get(place).map(|moved| moved.connection)
    }

    /// Takes a message, to be written by the next flush.
    pub(super) fn publish(&mut self, data: &[u8]) {
        self.offset += 1;
        self.newest.clear();
        self.newest.extend_from_slice(data);
        self.pending.push(data.to_vec());
    }

    /// Whether a flush has nothing to do.
    pub(super) fn is_flushed(&self) -> bool {
        self.pending.is_empty()
    }

    /// The messages that are waiting, which the caller now owes to the subscribers.
    pub(super) fn take_pending(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pending)
    }

    /// Everybody who hears the channel.
    pub(super) fn subscribers(&self) -> &[Subscriber] {
        &self.subscribers
    }

    /// The bytes of some messages in one form.
    pub(super) fn deliveries(&self, form: Form, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let encode = |data: &Vec<u8>| form.delivery(&self.name, data);
        messages.iter().map(encode).collect()
    }

    /// The forms that subscribers read, each once.
    pub(super) fn forms(&self) -> Vec<Form> {
        let mut forms = Vec::new();
        for subscriber in &self.subscribers {
            if !forms.contains(&subscriber.form) {
                forms.push(subscriber.form);
                if forms.len() == Form::ALL.len() {
                    break;
                }
            }
        }
        forms
    }

    /// Answers a poll: at once with the newest message when the cursor is older, or else with the next one.
    pub(super) fn poll(&mut self, connection: usize, cursor: Option<u64>) -> Option<Vec<u8>> {
        match cursor {
            None => Some(self.poll_answer(false)),
            Some(cursor) if cursor < self.offset => Some(self.poll_answer(true)),
            Some(_) => {
                self.waiting.push(connection);
                None
            }
        }
    }

    /// Forgets a poll whose connection has gone.
    pub(super) fn abandon(&mut self, connection: usize) {
        self.waiting.retain(|&waiting| waiting != connection);
    }

    /// The polls that the newest message answers, and the answer.
    pub(super) fn answer_polls(&mut self) -> Option<(Vec<usize>, Vec<u8>)> {
        if self.waiting.is_empty() {
            return None;
        }
        Some((std::mem::take(&mut self.waiting), self.poll_answer(true)))
    }

    fn poll_answer(&self, with_message: bool) -> Vec<u8> {
        let item = if with_message {
            let line = Form::Ndjson.delivery(&self.name, &self.newest);
            String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
        } else {
            String::new()
        };
        let offset = self.offset;
        let body = format!(r#"{{"messages":[{item}],"cursor":"0-{offset}","recovered":true}}"#);
        answer(&body)
    }
}

/// An HTTP answer with a JSON body.
pub(super) fn answer(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(connection: usize) -> Subscriber {
        Subscriber {
            connection,
            form: Form::Sse,
        }
    }

    #[test]
    fn the_last_subscriber_takes_the_place_of_the_one_that_leaves() {
        let mut channel = Channel::new(b"a");
        for connection in 10..13 {
            channel.join(subscriber(connection));
        }
        assert_eq!(channel.leave(0), Some(12));
        assert_eq!(channel.leave(1), None);
        assert_eq!(channel.subscribers(), [subscriber(12)]);
    }

    #[test]
    fn a_poll_that_is_behind_is_answered_at_once() {
        let mut channel = Channel::new(b"a");
        assert!(channel.poll(1, Some(0)).is_none());
        channel.publish(b"x");
        let (waiting, answer) = channel.answer_polls().unwrap();
        assert_eq!(waiting, [1]);
        assert_eq!(channel.poll(2, Some(0)), Some(answer));
        assert!(channel.poll(1, Some(1)).is_none());
        channel.abandon(1);
        assert_eq!(channel.answer_polls(), None);
    }
}
