//! `roundtable bench rebuild`: how fast read models are built anew while the stack serves.
//!
//! The library of the bench of reads is written; then read models are rebuilt, compared and switched,
//! while two people go on talking: every message counts from the moment it was due until it is at the
//! other's socket.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use events::ConversationId;
use hdrhistogram::Histogram;
use projector::rebuild::{Compared, Job, Slot, models};
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    machine::{self, Machine},
    past::Past,
    reads::library::Library,
    report::{Latency, rounded},
};
use crate::{
    client::{Session, Socket},
    stack::{Stack, StackConfig},
};

const MESSAGES: u32 = 1_000_000;
const QUICK_MESSAGES: u32 = 20_000;
/// How often somebody says something live.
const EVERY: Duration = Duration::from_millis(50);
/// A delivery that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long deliveries are measured with nothing beside them.
const BEFORE: Duration = Duration::from_secs(5);
/// Microseconds, as the longest latency.
const LONGEST_US: u64 = 60_000_000;

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Rebuild {
    /// Fewer messages for a shorter time: at most 40 s.
    pub quick: bool,
    /// How many messages, if not the usual number.
    pub messages: Option<u32>,
    /// The read models, or `all`; `message` if none is named.
    pub projections: Vec<String>,
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct RebuildReport {
    /// Which bench it is.
    pub bench: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// When (RFC 3339).
    pub date: String,
    /// What was measured: the commit of this program.
    pub commit: &'static str,
    /// The read models that were rebuilt.
    pub projections: Vec<&'static str>,
    /// How many events were read.
    pub events: u64,
    /// How long the build took, to the last index.
    pub seconds: f64,
    /// Events a second, of the build.
    pub events_per_s: f64,
    /// How long the comparison took, row by row.
    pub compare_seconds: f64,
    /// How many rows were compared.
    pub compared_rows: i64,
    /// How many of them differed.
    pub different_rows: u64,
    /// How long the switch took, with what came meanwhile.
    pub switch_seconds: f64,
    /// Live deliveries with nothing beside them, in milliseconds.
    pub live_delivery_before: Latency,
    /// Live deliveries from the begin of the build until after the switch.
    pub live_delivery_during: Latency,
    /// How many these were.
    pub live_deliveries_during: u64,
}

impl fmt::Display for RebuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "commit {}, {}\n", self.commit, self.date)?;
        writeln!(f, "{} from {} events:", self.projections.join(", "), self.events)?;
        writeln!(f, "  built in {} s, {} events/s", self.seconds, self.events_per_s)?;
        let (rows, different) = (self.compared_rows, self.different_rows);
        writeln!(f, "  {rows} rows compared in {} s, {different} differ", self.compare_seconds)?;
        writeln!(f, "  switched in {} s", self.switch_seconds)?;
        for (when, it) in
            [("before", &self.live_delivery_before), ("during", &self.live_delivery_during)]
        {
            let Latency { p50, p99, max, .. } = it;
            writeln!(f, "live delivery {when}, ms: p50 {p50}, p99 {p99}, max {max}")?;
        }
        Ok(())
    }
}

/// Measures, and tells on standard error what is being done.
///
/// # Errors
/// When the stack does not start, a message is not delivered, or a row differs.
pub async fn run(rebuild: &Rebuild) -> Result<RebuildReport> {
    let usual = if rebuild.quick { QUICK_MESSAGES } else { MESSAGES };
    let messages = rebuild.messages.unwrap_or(usual);
    eprintln!("starting a stack");
    let folder = tempfile::Builder::new().prefix("roundtable-bench-").tempdir()?;
    let mut config = StackConfig::new(folder.path().join("data"));
    config.limits = Some("all=1000000/s".to_owned());
    let stack = Stack::start(config).await?;
    let measured = measure(&stack, messages, &names(&rebuild.projections)?).await;
    stack.destroy().await?;
    measured
}

fn names(asked: &[String]) -> Result<Vec<&'static str>> {
    let all: Vec<&str> = models().iter().map(|model| model.name).collect();
    if asked.iter().any(|name| name == "all") {
        return Ok(all);
    }
    let wanted = |name: &str| match asked.is_empty() {
        true => name == "message",
        false => asked.iter().any(|asked| asked == name),
    };
    let names: Vec<&str> = all.into_iter().filter(|name| wanted(name)).collect();
    ensure!(!names.is_empty(), "there are no such read models");
    Ok(names)
}

async fn measure(stack: &Stack, messages: u32, names: &[&'static str]) -> Result<RebuildReport> {
    let date = machine::date();
    let library = Library::write(stack, messages).await?;
    let past = Past::of(stack).await?;
    let (speaker, listener) = (&library.people[0], &library.people[1]);
    let live = speaker.open_group("Live", &[listener.user()]).await?.id;
    let mut socket = listener.socket(None).await?;
    let quiet = AtomicBool::new(false);
    let (before, ()) = tokio::try_join!(talk(speaker, &mut socket, live, &quiet), async {
        sleep(BEFORE).await;
        quiet.store(true, Ordering::Relaxed);
        Ok(())
    })?;
    let options = PgConnectOptions::from_str(&stack.urls().postgres)?;
    let mut job = Job::open(options, past.log.clone(), names, Slot::Next).await?;
    let ended = AtomicBool::new(false);
    let work = async {
        let done = rebuilt(&mut job).await;
        let switched = Instant::now();
        let done = match done {
            Ok(done) => job.switch().await.map(|()| (done, switched.elapsed())),
            Err(error) => Err(error),
        };
        ended.store(true, Ordering::Relaxed);
        done
    };
    let (during, (built, switched)) =
        tokio::try_join!(talk(speaker, &mut socket, live, &ended), work)?;
    let seconds = built.build.as_secs_f64();
    let sum = |of: fn(&Compared) -> u64| built.compared.iter().map(of).sum::<u64>();
    Ok(RebuildReport {
        bench: "rebuild",
        machine: Machine::this(),
        date,
        commit: crate::COMMIT,
        projections: names.to_vec(),
        events: built.events,
        seconds: rounded(seconds, 2),
        events_per_s: rounded(built.events as f64 / seconds, 0),
        compare_seconds: rounded(built.compare.as_secs_f64(), 2),
        compared_rows: built.compared.iter().map(|table| table.live_rows).sum(),
        different_rows: sum(|table| table.only_live + table.only_next + table.different),
        switch_seconds: rounded(switched.as_secs_f64(), 2),
        live_delivery_before: Latency::of(&before),
        live_delivery_during: Latency::of(&during),
        live_deliveries_during: during.len(),
    })
}

/// What came of the rebuild.
struct Built {
    events: u64,
    build: Duration,
    compare: Duration,
    compared: Vec<Compared>,
}

async fn rebuilt(job: &mut Job) -> Result<Built> {
    let begun = Instant::now();
    job.build().await?;
    let build = begun.elapsed();
    let events = job.progress().borrow().events;
    eprintln!("{events} events are built after {:.1} s", build.as_secs_f64());
    let begun = Instant::now();
    let compared = job.compare(&mut |difference| eprintln!("{difference:?}")).await?;
    Ok(Built { events, build, compare: begun.elapsed(), compared })
}

/// One speaks at a steady rate, until it is enough; how long each message took to the other. Latencies
/// count from the moment a message was due.
async fn talk(
    speaker: &Session,
    listener: &mut Socket,
    live: ConversationId,
    enough: &AtomicBool,
) -> Result<Histogram<u64>> {
    let start = Instant::now();
    let due = |number: u32| start + EVERY * number;
    let speak = async {
        let mut number = 0;
        while !enough.load(Ordering::Relaxed) {
            sleep_until(due(number)).await;
            speaker.send(live, &number.to_string()).await?;
            number += 1;
        }
        speaker.send(live, "enough").await?;
        anyhow::Ok(())
    };
    let listen = async {
        let mut latencies = Histogram::<u64>::new_with_max(LONGEST_US, 3)?;
        loop {
            let event = listener.next_of("message.sent", PATIENCE).await?;
            let text = event.data("text").as_str().context("a message has a text")?;
            let Ok(number) = text.parse() else { return anyhow::Ok(latencies) };
            latencies.saturating_record(u64::try_from(due(number).elapsed().as_micros())?);
        }
    };
    let ((), latencies) = tokio::try_join!(speak, listen)?;
    Ok(latencies)
}
