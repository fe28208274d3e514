//! How much of everything: nothing that a client can ask for is without a bound.

use std::time::Duration;

use service::numbers;
use service::sfu_registry::Times;

use crate::gateway::Bounds;

/// The bounds of one process.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `ROUNDTABLE_HEARTBEAT_MS`: how often the server pings a socket; one that is silent for twice
    /// as long is closed. The people of a node that dies are offline after as long and a few seconds.
    pub heartbeat: Duration,
    /// How long a new socket may take to say who it is.
    pub greeting: Duration,
    /// How long one write to a socket may be stuck.
    pub stall: Duration,
    /// How many sockets there may be.
    pub sockets: usize,
    /// How many commands of one socket may be in flight.
    pub commands: usize,
    /// How many frames may wait for one socket.
    pub queued_frames: usize,
    /// How many bytes may wait for one socket.
    pub queued_bytes: usize,
    /// Over how long the clients of a node that shuts down come again.
    pub going_away: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(numbers::HEARTBEAT_MS.default),
            greeting: Duration::from_secs(10),
            stall: Duration::from_secs(10),
            sockets: 50_000,
            commands: 64,
            queued_frames: 1024,
            queued_bytes: 1024 * 1024,
            going_away: Duration::from_secs(5),
        }
    }
}

impl Limits {
    pub(crate) const fn outbox(&self) -> Bounds {
        Bounds { frames: self.queued_frames, bytes: self.queued_bytes }
    }
}

/// What this service alone is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bounds.
    pub limits: Limits,
    /// `ROUNDTABLE_ARGON2_KIB`: memory of a password hash, 19 MiB by default; tests lower it.
    pub argon2_memory_kib: u32,
    /// `ROUNDTABLE_RECEIPTS_FLUSH_MS`: how often receipts are appended to the log, 2,000 ms by
    /// default, 10,000 at the most.
    pub receipts_flush: Duration,
    /// What NATS subjects and Redis keys begin with, so that tests share a server. Nothing, outside of tests.
    pub namespace: String,
    /// How long Redis may take for an answer before one does without it; tests wait longer.
    pub redis_patience: Duration,
    /// How long SFU nodes are believed, and NATS is waited for; tests wait longer.
    pub sfu_registry: Times,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            limits,
            argon2_memory_kib: 19 * 1024,
            receipts_flush: Duration::from_millis(numbers::RECEIPTS_FLUSH_MS.default),
            namespace: String::new(),
            redis_patience: service::redis::PATIENCE,
            sfu_registry: Times::default(),
        }
    }
}

impl Settings {
    /// The usual ones, but for what the environment says.
    ///
    /// # Errors
    /// When a variable is wrong; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        let heartbeat = Duration::from_millis(numbers::HEARTBEAT_MS.from_env()?);
        Ok(Self {
            limits: Limits { heartbeat, ..Limits::default() },
            argon2_memory_kib: u32::try_from(numbers::ARGON2_KIB.from_env()?)?,
            receipts_flush: Duration::from_millis(numbers::RECEIPTS_FLUSH_MS.from_env()?),
            ..Self::default()
        })
    }
}
