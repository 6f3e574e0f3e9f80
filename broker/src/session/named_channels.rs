//! Server-side subscriptions: the channels that a session joins without asking, because its token names them (`subscribe_to`).

use std::collections::BTreeSet;
use std::rc::Rc;

use widecast_protocol::framing::Content;
use widecast_protocol::{ChannelName, Code, Cursor, Reply};

use super::join::JoinRequest;
use super::refusal::Refusal;
use super::session::Session;
use crate::engine::renew;

impl Session {
    /// Joins the channels that the session's token names, from where the cursor says, or else from their end; leaves those that only an
    /// older token has named. The client hears of each.
    pub async fn join_named_channels(self: &Rc<Self>, cursor: Option<&Cursor>) {
        // Only frames can tell of several channels.
        if !matches!(self.dialect().wire().content(), Content::Frame(_)) {
            return;
        }
        let joining = self.join_each_named(cursor);
        self.services().with_patience(joining).await;
    }

    async fn join_each_named(self: &Rc<Self>, cursor: Option<&Cursor>) {
        let named: BTreeSet<ChannelName> = self.principal().subscriptions().cloned().collect();
        let stale = self.channels.borrow().named_by_token(&named);
        for channel in stale {
            self.put_out(&channel, Code::Forbidden).await;
        }
        // With the cursor of one channel, what the others have missed would be lost without a word.
        let is_bad = matches!(cursor, Some(Cursor::One(_))) && named.len() > 1;
        for channel in named {
            if self.place(&channel).is_some() {
                continue;
            }
            let outcome = if is_bad {
                Err(Code::BadCursor)
            } else {
                let joined = self.join_named(channel.clone(), cursor).await;
                joined.map_err(|refusal| refusal.code)
            };
            match outcome {
                Ok(()) => renew(),
                Err(code) => self.reply(&Reply::Unsubscribed {
                    id: None,
                    channel,
                    code: Some(code),
                }),
            }
        }
    }

    async fn join_named(
        self: &Rc<Self>,
        channel: ChannelName,
        cursor: Option<&Cursor>,
    ) -> Result<(), Refusal> {
        let request = JoinRequest {
            since: cursor.and_then(|cursor| cursor.position(&channel)),
            channel: channel.clone(),
            history: None,
            presence: None,
        };
        let outcome = self.join(request).await?;
        self.channels.borrow_mut().note_named(&channel);
        self.reply(&Reply::Subscribed {
            id: None,
            channel,
            cursor: outcome.cursor,
            recovered: outcome.recovered,
            ephemeral: self.services().is_ephemeral(outcome.channel()),
            members: None,
        });
        self.let_flow(outcome).await;
        Ok(())
    }
}
