//! Several servers that know nothing of each other and share the channels.
//!
//! Each is an engine of its own, with its own connections, leases and epochs: one that fails concerns its own channels alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::RedisStartError;
use super::placement::Servers;
use super::topology::Topology;
use super::{RedisEngine, RedisSettings};
use crate::engine::{Deliver, Engine, EngineRouter};

impl RedisEngine {
    /// Connects to all servers of `urls`, which share the channels. One that is not there yet is waited for, while the others
    /// are used.
    ///
    /// # Errors
    /// When one cannot be used and waiting does not help.
    pub async fn start_several(
        settings: &RedisSettings,
        urls: &[String],
        deliver: &Arc<dyn Deliver>,
    ) -> Result<EngineRouter, RedisStartError> {
        let of_each = urls.iter().map(|url| RedisSettings {
            url: url.clone(),
            ..settings.clone()
        });
        let mut of_each: Vec<_> = of_each.collect();
        let mut names = Vec::new();
        for settings in &of_each {
            names.push(Topology::new(settings)?.name().to_owned());
        }
        if let Some(twice) = twice(&names) {
            return Err(twice);
        }
        let servers = Servers::new(names);
        let mut engines: Vec<Arc<dyn Engine>> = Vec::new();
        for settings in &mut of_each {
            settings.servers = servers.agreed();
            let engine = Self::start(settings.clone(), Arc::clone(deliver)).await?;
            engines.push(Arc::new(engine));
        }
        let placement = move |channel: &_| servers.index(channel);
        Ok(EngineRouter::alike(engines, Box::new(placement)))
    }
}

/// What is wrong if two servers have one name.
pub(super) fn twice(names: &[String]) -> Option<RedisStartError> {
    let mut known = BTreeSet::new();
    let twice = names.iter().find(|&name| !known.insert(name))?;
    Some(RedisStartError::Twice {
        name: twice.clone(),
    })
}
