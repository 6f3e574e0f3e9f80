//! A cluster: a fixed number of parts that share the channels.
//!
//! Each part is an engine of its own, with its own connections, leases and epochs, at the primary that has the part's slot: a primary
//! that fails concerns the channels of its parts alone, and a slot that moves is to its part as if another server had become the primary.

use std::sync::Arc;

use futures_util::future::try_join_all;

use super::cluster::{Cluster, SCHEMES};
use super::error::RedisStartError;
use super::parts::{PARTS, part_of, tag_of};
use super::scripts::{CLOCK, Scripts};
use super::server_url::{ServerUrl, UrlError};
use super::topology::{Topology, password};
use super::{RedisEngine, RedisSettings};
use crate::engine::{Deliver, Engine, EngineRouter};

/// Three parts, whose slots are far from each other, pass on what is announced: one would be too few when its primary fails, and with all
/// of them each broker would hear everything so many times.
const ANNOUNCING: [usize; 3] = [0, PARTS / 3, 2 * PARTS / 3];

impl RedisSettings {
    /// Whether `url` names a cluster.
    pub fn names_cluster(&self) -> bool {
        SCHEMES.fit(&self.url)
    }

    /// The same for a part of a cluster: its keys and topics are in one slot.
    pub(super) fn of_part(&self, part: usize) -> Self {
        Self {
            key_prefix: format!("{}:{{{}}}", self.key_prefix, tag_of(part)),
            servers: format!("a cluster of {PARTS} parts"),
            ..self.clone()
        }
    }

    /// The cluster of `url`.
    pub(super) fn cluster(&self) -> Result<Arc<Cluster>, RedisStartError> {
        let of_url = |reason| RedisStartError::of_url(&self.url, reason);
        let ServerUrl { url, name } = ServerUrl::read(&self.url).map_err(of_url)?;
        let password = password(self.password_file.as_deref())?;
        let cluster = Cluster::parse(&url, password.as_deref(), name);
        let cluster = cluster.map_err(|source| of_url(UrlError::Client(source)))?;
        Ok(Arc::new(cluster))
    }
}

impl RedisEngine {
    /// Connects to all parts of the cluster of `url`. One whose primary is not there yet is waited for, while the others are used.
    ///
    /// # Errors
    /// When one cannot be used and waiting does not help.
    pub async fn start_cluster(
        settings: &RedisSettings,
        deliver: &Arc<dyn Deliver>,
    ) -> Result<EngineRouter, RedisStartError> {
        let cluster = settings.cluster()?;
        let parts = (0..PARTS).map(|part| {
            let deliver = Arc::clone(deliver);
            Self::start_part(settings, &cluster, part, deliver, Scripts::new(CLOCK))
        });
        let engines = try_join_all(parts).await?.into_iter();
        let engines = engines.map(|engine| Arc::new(engine) as Arc<dyn Engine>);
        let router = EngineRouter::alike(engines.collect(), Box::new(part_of));
        Ok(router.announcing_by(&ANNOUNCING))
    }

    pub(super) async fn start_part(
        settings: &RedisSettings,
        cluster: &Arc<Cluster>,
        part: usize,
        deliver: Arc<dyn Deliver>,
        scripts: Scripts,
    ) -> Result<Self, RedisStartError> {
        let topology = Topology::of_part(settings, cluster, part);
        Self::start_at(topology, settings.of_part(part), deliver, scripts).await
    }
}
