//! The scripts that run on the server, each an own file, and each called by its hash.

use redis::{Cmd, Script};

/// The time of the server.
pub(super) const CLOCK: &str = include_str!("scripts/clock.lua");

const CHANNEL: &str = include_str!("scripts/channel.lua");
const ROSTER: &str = include_str!("scripts/roster.lua");
const RUNNING: &str = include_str!("scripts/running.lua");
const WHOLE: &str = include_str!("scripts/whole.lua");

/// A script for each thing that has to be done in one step.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) publish: Script,
    pub(super) once: Script,
    pub(super) position: Script,
    pub(super) read: Script,
    pub(super) info: Script,
    pub(super) touch: Script,
    pub(super) enter: Script,
    pub(super) exit: Script,
    pub(super) sweep: Script,
    pub(super) bury: Script,
    pub(super) members: Script,
    pub(super) lease: Script,
    pub(super) announce: Script,
    pub(super) forget: Script,
    pub(super) agree: Script,
    pub(super) tenure: Script,
    pub(super) probe: Script,
}

impl Scripts {
    /// The scripts, with this definition of the time: tests have another.
    pub(super) fn new(clock: &str) -> Self {
        let of = |parts: &[&str]| Script::new(&parts.concat());
        let of_channel = |body: &str| of(&[clock, CHANNEL, body]);
        let of_roster = |body: &str| of(&[clock, RUNNING, WHOLE, ROSTER, body]);
        let of_nodes = |body: &str| of(&[clock, RUNNING, body]);
        Self {
            publish: of_channel(include_str!("scripts/publish.lua")),
            once: of(&[include_str!("scripts/once.lua")]),
            position: of_channel(include_str!("scripts/position.lua")),
            read: of_channel(include_str!("scripts/read.lua")),
            info: of_channel(include_str!("scripts/info.lua")),
            touch: of(&[include_str!("scripts/touch.lua")]),
            enter: of_roster(include_str!("scripts/enter.lua")),
            exit: of_roster(include_str!("scripts/exit.lua")),
            sweep: of_roster(include_str!("scripts/sweep.lua")),
            bury: of_nodes(include_str!("scripts/bury.lua")),
            members: of(&[clock, WHOLE, include_str!("scripts/members.lua")]),
            lease: of_nodes(include_str!("scripts/lease.lua")),
            announce: of(&[clock, include_str!("scripts/announce.lua")]),
            forget: of(&[clock, include_str!("scripts/forget.lua")]),
            probe: of(&[include_str!("scripts/probe.lua")]),
            agree: of(&[include_str!("scripts/agree.lua")]),
            tenure: of(&[include_str!("scripts/tenure.lua")]),
        }
    }

    /// All of them, to be loaded into a server.
    pub(super) fn all(&self) -> [&Script; 17] {
        [
            &self.publish,
            &self.once,
            &self.position,
            &self.read,
            &self.info,
            &self.touch,
            &self.enter,
            &self.exit,
            &self.sweep,
            &self.bury,
            &self.members,
            &self.lease,
            &self.announce,
            &self.forget,
            &self.agree,
            &self.tenure,
            &self.probe,
        ]
    }
}

/// The call of a script with these keys; its arguments are still to be added.
pub(super) fn call(script: &Script, keys: &[impl AsRef<[u8]>]) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(key.as_ref());
    }
    command
}
