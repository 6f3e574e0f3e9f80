//! What this node tells the others.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::content::{self, Content, NodeRecord};
use crate::auth::RevocationNote;
use crate::engine::{Announcement, EngineError};
use crate::session::order::{Action, Order};
use crate::session::services::Services;

/// For how long an order is kept for nodes that are cut off from the engine. A message to a user is not: it would come as a
/// surprise.
const KEEP_ORDERS: Duration = Duration::from_secs(10);

/// How long the end may wait until the other nodes are told of it: they notice it by themselves, if later.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// How long the start may wait for what was announced before. An engine that is not there by then tells when it is.
const RECALL_TIME: Duration = Duration::from_secs(2);

/// A node does not announce itself more often than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Keeps a revocation until it is over, and tells the other nodes.
///
/// # Errors
/// When an engine cannot be reached.
pub(in crate::session) async fn announce_revocation(
    services: &Services,
    note: RevocationNote,
) -> Result<(), EngineError> {
    let keep_for = note.revocation.expires_at.duration_since(SystemTime::now());
    let (key, version) = (key_of(&note), note.version);
    let Some(content) = content::encode(Content::Revocation(note)) else {
        return Ok(());
    };
    let announcement = Announcement {
        key,
        version,
        given: Instant::now(),
        content,
    };
    let keep_for = keep_for.unwrap_or_default();
    services.engine.announce(announcement, keep_for).await
}

fn key_of(note: &RevocationNote) -> String {
    format!("revocation:{}", note.revocation.tokens)
}

/// Tells the other nodes of an order.
///
/// # Errors
/// When the engine cannot be reached.
pub(in crate::session) async fn announce_order(
    services: &Services,
    order: Order,
) -> Result<(), EngineError> {
    if !services.engine.is_shared() {
        return Ok(());
    }
    let keep_for = match order.action {
        Action::Tell(_) => Duration::ZERO,
        _ => KEEP_ORDERS,
    };
    let given = order.given;
    let Some(content) = content::encode(Content::Order(order)) else {
        return Ok(());
    };
    let nodes = &services.nodes;
    let number = {
        let mut known = nodes.known();
        known.announced_orders += 1;
        known.announced_orders
    };
    let announcement = Announcement {
        key: format!("order:{}:{number}", nodes.id),
        version: 0,
        given,
        content,
    };
    services.engine.announce(announcement, keep_for).await
}

/// Tells the other nodes of this one, for as long as it runs, and at once when it begins to take leave of its clients.
pub async fn announce_node(services: Arc<Services>) {
    let interval = (services.lease() / 4).max(SHORTEST_INTERVAL);
    loop {
        services.tell_of_itself().await;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = services.leave_begins(), if !services.is_draining() => {}
        }
    }
}

impl Services {
    /// Tells the other nodes of this one.
    pub(super) async fn tell_of_itself(&self) {
        let lease = self.lease();
        let lease_end = Instant::now() + lease;
        let told = self.tell_node(self.node_record(), lease).await;
        match told {
            Ok(()) => self.nodes.known().lease_end = Some(lease_end),
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the other nodes could not be told of this one"
            ),
        }
    }

    async fn tell_node(&self, record: NodeRecord, keep_for: Duration) -> Result<(), EngineError> {
        let key = format!("node:{}", record.id);
        let Some(content) = content::encode(Content::Node(record)) else {
            return Ok(());
        };
        // Not by a clock that may be set back: the others would not believe the later one.
        let since = self.nodes.begun.elapsed();
        let announcement = Announcement {
            key,
            version: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            given: Instant::now(),
            content,
        };
        self.engine.announce(announcement, keep_for).await
    }

    /// Reads what the engine keeps, and announces what it lacks.
    ///
    /// # Errors
    /// When the engine cannot be reached.
    pub(super) async fn compare_announcements(&self) -> Result<(), EngineError> {
        let announced = self.engine.announced_to_others().await?;
        let mut owed = self.auth.revocations().notes();
        for announcement in announced {
            // What is older there than here is owed, too.
            if let Some(Content::Revocation(note)) = content::decode(&announcement)
                && let Some(own) = owed.get(&note.revocation.tokens)
                && own.version <= note.version
            {
                owed.remove(&note.revocation.tokens);
            }
            self.take_announcement(announcement).await;
        }
        for note in owed.into_values() {
            announce_revocation(self, note).await?;
        }
        Ok(())
    }
}

/// Takes what was announced before this node was started.
pub async fn recall(services: &Services) {
    let recalled = tokio::time::timeout(RECALL_TIME, services.engine.announced()).await;
    match recalled {
        Ok(Ok(announced)) => {
            for announcement in announced {
                services.take_announcement(announcement).await;
            }
        }
        Ok(Err(error)) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "revocations could not be read; they are when the engine can be reached"
        ),
        Err(_) => {
            tracing::warn!(
                "revocations could not be read in time; they are when the engine can be reached"
            );
        }
    }
}

/// This node ends: the others need not wait until its lease is over.
pub async fn leave_nodes(services: &Services) {
    if !services.engine.is_shared() {
        return;
    }
    let record = NodeRecord {
        lease_ms: 0,
        ..services.node_record()
    };
    let told = services.tell_node(record, Duration::ZERO);
    let told = tokio::time::timeout(LEAVE_TIME, told).await;
    if !matches!(told, Ok(Ok(()))) {
        tracing::debug!("the other nodes could not be told that this one ends");
    }
}
