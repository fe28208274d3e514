//! What the bench of idle sockets prints.

use std::fmt;

use serde::Serialize;

use crate::bench::machine::Machine;

/// The result of `roundtable bench idle`.
#[derive(Clone, Debug, Serialize)]
pub struct IdleReport {
    /// Which bench it is.
    pub bench: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// When (RFC 3339).
    pub date: String,
    /// What was measured: the commit of this program.
    pub commit: &'static str,
    /// How long all of it took.
    pub seconds: f64,
    /// How many sockets were open, at one gateway.
    pub sockets: usize,
    /// Of how many people.
    pub people: usize,
    /// Why they were fewer than wanted, if they were.
    pub limited_by: Option<String>,
    /// Resident memory of the gateway for each socket, without what it takes with none.
    pub bytes_per_socket: u64,
    /// Processor time of the gateway while nothing happened but heartbeats, of one core.
    pub cpu_percent: f64,
    /// How long that was.
    pub idle_seconds: f64,
    /// How often a socket and its presence were renewed.
    pub heartbeat_seconds: f64,
    /// Resident memory of the gateway before the sockets.
    pub rss_before_mb: f64,
    /// And with them.
    pub rss_after_mb: f64,
}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "commit {}, {}, {:.0} s", self.commit, self.date, self.seconds)?;
        writeln!(
            f,
            "{} idle sockets of as many people, in groups of ten, at one gateway\n",
            self.sockets
        )?;
        if let Some(limit) = &self.limited_by {
            writeln!(f, "more were wanted; the limit is {limit}")?;
        }
        writeln!(
            f,
            "memory: {} bytes a socket ({:.1} MiB before, {:.1} MiB with them)",
            self.bytes_per_socket, self.rss_before_mb, self.rss_after_mb
        )?;
        writeln!(
            f,
            "processor: {:.2} % of one core over {:.0} s, with heartbeats every {:.0} s",
            self.cpu_percent, self.idle_seconds, self.heartbeat_seconds
        )
    }
}
