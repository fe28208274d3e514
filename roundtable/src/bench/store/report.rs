//! What `bench event-store` prints: one JSON object, or tables for people.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    super::{machine::Machine, report::Latency},
    server::Memory,
};

/// The result of `roundtable bench event-store`.
#[derive(Clone, Debug, Serialize)]
pub struct StoreReport {
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
    /// Which program served the store; always a process of its own.
    pub store: String,
    /// The type of the file system that the data were on.
    pub file_system: String,
    /// Connections to PostgreSQL that its appends shared.
    pub postgres_connections: u32,
    /// How often each figure was taken; the median is reported.
    pub rounds: usize,
    /// For how long at a time, in seconds.
    pub span_s: f64,
    /// By name with `_per_s` at its end: calls a second of the echo and of `fdatasync`, events a
    /// second of all others.
    #[serde(flatten)]
    pub rates: BTreeMap<String, f64>,
    /// The figures of each round, in order: how far they are apart tells how much a median says.
    pub by_round: BTreeMap<String, Vec<f64>>,
    /// Medians of the ratios of two figures of the same round.
    pub ratios: BTreeMap<&'static str, f64>,
    /// From a call until its answer, of all rounds together.
    pub latency_ms: BTreeMap<&'static str, Latency>,
    /// From the call of append until a subscriber of `$all` has the event; one each 5 ms.
    pub subscriber: Latency,
    /// The same from the answer to the append; zero where the event came first.
    pub subscriber_from_answer: Latency,
    /// From the call of append until its answer, of the same events.
    pub subscriber_append: Latency,
    /// From the call of append on the echo until its answer, at the same pace: nothing is stored.
    pub subscriber_echo: Latency,
    /// `fdatasync` of a record at the same pace, without any server.
    pub subscriber_sync: Latency,
    /// As `subscriber`, at 2,000 appends a second.
    pub subscriber_at_2000_per_s: Latency,
    /// From the start of the store's process on the data, after a clean stop, until it answered a
    /// read, in milliseconds.
    pub open_ms: f64,
    /// Events in the log in the end.
    pub events: u64,
    /// Disk space of the store's folder after a clean stop, for each event.
    pub bytes_per_event: f64,
    /// The store's memory after all of this.
    pub memory_after_load: Memory,
    /// The store's memory after it was opened again.
    pub memory_after_open: Memory,
}

/// The result of `roundtable bench event-store --sizes`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SizesReport {
    /// Which bench it is.
    pub bench: String,
    /// Where it was measured.
    pub machine: Machine,
    /// When (RFC 3339).
    pub date: String,
    /// What was measured: the commit of this program.
    pub commit: String,
    /// How long all of it took.
    pub seconds: f64,
    /// Which program served the store; always a process of its own.
    pub store: String,
    /// The type of the file system that the data were on.
    pub file_system: String,
    /// One entry for each size, from the smallest on.
    pub sizes: Vec<Size>,
}

/// What the store costs at one size.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Size {
    /// Events in the log, each in a stream of its own.
    pub events: u64,
    /// Events a second in a batch session with 256 writes under way, over the last fifth of the
    /// way to this size.
    pub batch_append_256_per_s: f64,
    /// Events a second of 256 callers, on top of this size.
    pub append_256_per_s: f64,
    /// From the start of the process until it answered, after a clean stop; milliseconds.
    pub open_ms: f64,
    /// The same after SIGKILL.
    pub open_after_kill_ms: f64,
    /// Reads of one stream at random, one after the other, after a clean stop and start.
    pub read: Latency,
    /// Memory after the log had grown to this size.
    pub memory_after_load: Memory,
    /// Memory after a clean stop and start.
    pub memory_after_open: Memory,
    /// Memory after SIGKILL and start.
    pub memory_after_kill: Memory,
    /// Disk space after a clean stop, for each event.
    pub bytes_per_event: f64,
}

impl StoreReport {
    fn row(&self, f: &mut fmt::Formatter<'_>, title: &str, names: [&str; 5]) -> fmt::Result {
        write!(f, "{title:<22}")?;
        for name in names {
            match self.rates.get(&format!("{name}_per_s")) {
                Some(rate) => write!(f, "{rate:>13.0}")?,
                None => write!(f, "{:>13}", "-")?,
            }
        }
        writeln!(f)
    }

    fn rate(&self, name: &str) -> f64 {
        self.rates.get(&format!("{name}_per_s")).copied().unwrap_or_default()
    }
}

impl fmt::Display for StoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.machine, self.file_system)?;
        writeln!(f, "commit {}, {}, {:.0} s", self.commit, self.date, self.seconds)?;
        writeln!(
            f,
            "{}; medians of {} rounds of {} s; client and server on the same machine\n\n\
             events/s, 300 bytes each, each write to a new stream, durable before acknowledged",
            self.store, self.rounds, self.span_s
        )?;
        let columns = ["1 caller", "16 callers", "256 callers", "batch", "batch by 10"];
        write!(f, "{:<22}", "")?;
        columns.iter().try_for_each(|column| write!(f, "{column:>13}"))?;
        writeln!(f)?;
        let names = ["append_1", "append_16", "append_256", "batch_append_256"];
        let of = |prefix: &str| {
            let mut row = names.map(|name| format!("{prefix}{name}")).to_vec();
            row.push(format!("{prefix}batch_append_256_by_10"));
            row
        };
        for (title, prefix) in
            [("event store", ""), ("PostgreSQL", "postgres_"), ("nothing (echo)", "grpc_echo_")]
        {
            let row = of(prefix);
            self.row(f, title, [&row[0], &row[1], &row[2], &row[3], &row[4]])?;
        }
        writeln!(
            f,
            "\nfdatasync {:.0}/s; empty gRPC calls of 256 callers {:.0}/s; 256 callers over 4 \
             connections {:.0} events/s",
            self.rate("fdatasync"),
            self.rate("grpc_echo_256"),
            self.rate("append_256_by_4_connections"),
        )?;
        for (name, ratio) in &self.ratios {
            writeln!(f, "{name:<34} {ratio:>6.2}")?;
        }
        writeln!(
            f,
            "\nread: {:.0} events/s of $all, {:.0} of a stream; open {:.1} ms; \
             {:.0} bytes an event, {} events",
            self.rate("read_all"),
            self.rate("read_stream"),
            self.open_ms,
            self.bytes_per_event,
            self.events
        )?;
        writeln!(
            f,
            "memory: after load {}; after open {}",
            self.memory_after_load, self.memory_after_open
        )?;
        writeln!(f, "\nmilliseconds                    p50      p95      p99    p99.9      max")?;
        let latencies = [
            ("append to subscriber", self.subscriber),
            ("  from the answer", self.subscriber_from_answer),
            ("  the call alone (echo)", self.subscriber_echo),
            ("  the sync alone", self.subscriber_sync),
            ("  at 2,000 a second", self.subscriber_at_2000_per_s),
        ];
        let latencies = latencies.into_iter().chain(self.latency_ms.iter().map(|(n, l)| (*n, *l)));
        latencies.into_iter().try_for_each(|(name, latency)| line(f, name, latency))
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, latency: Latency) -> fmt::Result {
    let Latency { p50, p95, p99, p999, max } = latency;
    writeln!(f, "{name:<26}{p50:>9.3}{p95:>9.3}{p99:>9.3}{p999:>9.3}{max:>9.3}")
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rss_mb, anonymous_mb, peak_mb } = self;
        write!(
            f,
            "{rss_mb:.0} MiB resident, {anonymous_mb:.0} of it anonymous, {peak_mb:.0} at most"
        )
    }
}

impl fmt::Display for SizesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}", self.machine, self.file_system)?;
        writeln!(f, "commit {}, {}, {:.0} s", self.commit, self.date, self.seconds)?;
        writeln!(f, "{}; each event of 300 bytes in a stream of its own\n", self.store)?;
        writeln!(
            f,
            "     events | events/s batch   256 callers | open ms clean    killed | \
             read ms p50     p99 | MiB loaded  opened | bytes/event"
        )?;
        for size in &self.sizes {
            writeln!(
                f,
                "{:>11} | {:>14.0} {:>13.0} | {:>13.1} {:>9.1} | {:>11.3} {:>7.3} | {:>10.0} \
                 {:>7.0} | {:>11.0}",
                size.events,
                size.batch_append_256_per_s,
                size.append_256_per_s,
                size.open_ms,
                size.open_after_kill_ms,
                size.read.p50,
                size.read.p99,
                size.memory_after_load.rss_mb,
                size.memory_after_open.rss_mb,
                size.bytes_per_event,
            )?;
        }
        Ok(())
    }
}
