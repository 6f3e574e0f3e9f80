//! For how long one server process has a part of a cluster.
//!
//! An epoch belongs to one process of the server, and a part may leave a process and come back to it: with data of an earlier time, if
//! the process that had it meanwhile has lost what was published there. So the process has another name in each tenure. The tenure
//! stands among the keys of the part, and goes with them; and each broker knows the latest that it has seen.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::RedisResult;

use super::connection::Server;
use super::keys::Keys;
use super::scripts::{Scripts, call};

/// The latest tenure of a part that this broker has seen.
#[derive(Debug, Default)]
pub(super) struct Tenure(AtomicU64);

impl Tenure {
    /// Begins the tenure of a server process that has come to have the part, or joins the present one.
    pub(super) async fn join(
        &self,
        server: &mut Server,
        keys: &Keys,
        scripts: &Scripts,
    ) -> RedisResult<()> {
        let key = keys.tenure();
        let mut command = call(&scripts.tenure, &[&key]);
        command.arg(&server.process);
        command.arg(self.0.load(Ordering::Relaxed));
        let number: u64 = command.query_async(&mut server.commands).await?;
        self.0.fetch_max(number, Ordering::Relaxed);
        let said = format!("{number} {}", server.process);
        server.process = format!("{}#{number}", server.process);
        server.tenure = Some(JoinedTenure { key, said });
        Ok(())
    }
}

/// What stands among the keys of a part while this tenure lasts.
pub(super) struct JoinedTenure {
    key: String,
    said: String,
}

impl JoinedTenure {
    /// Whether it lasts.
    pub(super) async fn lasts(&self, server: &Server) -> RedisResult<bool> {
        let mut get = redis::cmd("GET");
        let get = get.arg(&self.key);
        let said: Option<String> = get.query_async(&mut server.commands.clone()).await?;
        Ok(said.as_ref() == Some(&self.said))
    }
}
