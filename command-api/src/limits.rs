//! How much of everything: nothing that a client can ask for is without a bound.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::gateway::Bounds;

/// Heartbeats that make sense: no proxy lets a socket be silent for longer.
const HEARTBEATS: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_mins(5);

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
            heartbeat: Duration::from_secs(25),
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
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            limits,
            argon2_memory_kib: 19 * 1024,
            receipts_flush: Duration::from_secs(2),
            namespace: String::new(),
        }
    }
}

impl Settings {
    /// The usual ones, but for what the environment says.
    ///
    /// # Errors
    /// When a variable is wrong; the message names it.
    pub fn from_env() -> anyhow::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "read once, at the start")]
        let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let mut settings = Self::default();
        if let Some(text) = variable("ROUNDTABLE_ARGON2_KIB") {
            settings.argon2_memory_kib = text.parse().map_err(|_| {
                anyhow::anyhow!("ROUNDTABLE_ARGON2_KIB is wrong: it must be a number of KiB")
            })?;
        }
        if let Some(text) = variable("ROUNDTABLE_RECEIPTS_FLUSH_MS") {
            let flush = text.parse().ok().filter(|ms| (10..=10_000).contains(ms));
            settings.receipts_flush = flush.map(Duration::from_millis).ok_or_else(|| {
                anyhow::anyhow!(
                    "ROUNDTABLE_RECEIPTS_FLUSH_MS is wrong: it must be 10 to 10000 milliseconds"
                )
            })?;
        }
        if let Some(text) = variable("ROUNDTABLE_HEARTBEAT_MS") {
            let heartbeat = text.parse().ok().map(Duration::from_millis);
            let heartbeat = heartbeat.filter(|heartbeat| HEARTBEATS.contains(heartbeat));
            settings.limits.heartbeat = heartbeat.ok_or_else(|| {
                anyhow::anyhow!("ROUNDTABLE_HEARTBEAT_MS is wrong: it must be 500 to 300000")
            })?;
        }
        Ok(settings)
    }
}
