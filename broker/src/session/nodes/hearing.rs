//! What other nodes tell this one.

use std::sync::Arc;
use std::time::Duration;

use super::content::{self, Content};
use crate::engine::Announcement;
use crate::session::operate::check_order;
use crate::session::services::Services;

/// How long to wait before all that the engine keeps is read again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Takes what other nodes announce, for as long as the broker runs.
pub async fn hear_nodes(services: Arc<Services>) {
    loop {
        let arrived = services.routes.announcements().take().await;
        for announcement in arrived.announcements {
            services.take_announcement(announcement).await;
        }
        if arrived.are_lost {
            // Aside, since what is announced meanwhile need not wait for an engine that does not answer.
            tokio::spawn(compare(Arc::clone(&services)));
        }
    }
}

async fn compare(services: Arc<Services>) {
    if let Err(error) = services.compare_announcements().await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "what other nodes have announced could not be read"
        );
        tokio::time::sleep(AGAIN_AFTER).await;
        services.routes.announcements().note_lost();
        return;
    }
    services.tell_of_itself().await;
}

impl Services {
    /// Does what an announcement of another node asks for, unless that has been done.
    pub(super) async fn take_announcement(&self, announcement: Announcement) {
        match content::decode(&announcement) {
            Some(Content::Node(record)) => self.nodes.note(record),
            Some(Content::Revocation(note)) => {
                let order = check_order(&note.revocation.tokens);
                let is_in_force = !note.is_taken_back;
                if self.auth.revocations().learn(note) && is_in_force {
                    self.workers.carry_out(&order).await;
                }
            }
            Some(Content::Order(order)) => {
                if self.nodes.is_new_order(&announcement.key) {
                    self.workers.carry_out(&order).await;
                }
            }
            None => tracing::debug!(
                "{} was announced, which this release does not know",
                announcement.key.split(':').next().unwrap_or_default()
            ),
        }
    }
}
