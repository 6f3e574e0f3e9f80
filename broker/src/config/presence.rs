//! `[presence]`: who is in a channel.

use std::time::Duration;

use super::section::settings;

settings! {
    /// The list of a channel's members.
    pub struct PresenceSettings {
        /// How long a member whose connection ended counts as present, so that a quick reconnect is no leave.
        grace: Duration, "grace_ms" = Duration::from_secs(5), within 0..=3_600_000;
    }
}
