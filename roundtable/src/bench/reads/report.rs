//! What the bench of the reads prints.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::bench::{machine::Machine, report::Latency};

/// The result of `roundtable bench reads`.
#[derive(Clone, Debug, Serialize)]
pub struct ReadsReport {
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
    /// How many messages there are.
    pub messages: u32,
    /// How many of them the reader may read.
    pub readable_messages: u32,
    /// In how many groups they are; the reader is in half of them.
    pub groups: usize,
    /// Of how many people.
    pub people: usize,
    /// Messages a second that were appended, one by one.
    pub filled_per_s: f64,
    /// Seconds after the last of them until every read model showed it.
    pub shown_after_s: f64,
    /// How often an endpoint was asked a second while its latency was measured.
    pub offered_per_s: u32,
    /// How many asked without a pause while its rate was measured.
    pub callers: usize,
    /// Answers a second to callers who do not pause, by endpoint.
    pub per_s: BTreeMap<&'static str, f64>,
    /// From the moment a question was due until the whole answer was there, by endpoint.
    pub latency: BTreeMap<&'static str, Latency>,
}

impl fmt::Display for ReadsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "commit {}, {}, {:.0} s", self.commit, self.date, self.seconds)?;
        writeln!(
            f,
            "{} messages in {} groups; the reader may read {} of them",
            self.messages, self.groups, self.readable_messages
        )?;
        writeln!(
            f,
            "appended one by one at {}/s; shown by every read model {} s later\n",
            self.filled_per_s, self.shown_after_s
        )?;
        writeln!(
            f,
            "{:<24} {:>9} | at {}/s, ms: p50     p95     p99     max",
            "read",
            format!("by {} /s", self.callers),
            self.offered_per_s
        )?;
        for (name, Latency { p50, p95, p99, max, .. }) in &self.latency {
            let per_s = self.per_s.get(name).copied().unwrap_or_default();
            writeln!(f, "{name:<24} {per_s:>9.0} | {p50:>15.2} {p95:>7.2} {p99:>7.2} {max:>7.2}")?;
        }
        Ok(())
    }
}
