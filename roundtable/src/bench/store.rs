//! `roundtable bench event-store`: the store through the official client, beside what it could be
//! at best and what it could be replaced with.

mod disk;
mod events;
mod graph;
mod load;
mod proto;
mod reads;
mod report;
mod serve;
mod server;
mod shim;
mod site;
mod sizes;
mod steps;
mod subscriber;
mod table;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use hdrhistogram::Histogram;
use tokio::task;
use tokio_util::sync::CancellationToken;

pub use graph::draw;
pub use report::{Size, SizesReport, StoreReport};
pub use serve::{Serve, serve};
pub(super) use serve::{announce, ready_at};
pub use server::Memory;
pub use sizes::run as sizes;

use self::{
    load::{Window, histogram},
    site::Site,
    steps::{On, RATIOS, STEPS},
    subscriber::{Pace, Seen},
};
use super::{
    machine::{self, Machine},
    report::{Latency, rounded},
};

/// Events of the stream that is read.
const LONG_STREAM: u64 = 100_000;
/// How often the store is stopped and started.
const STARTS: usize = 3;
/// Between the appends that an idle store's latency is measured with.
const IDLE: Duration = Duration::from_millis(5);
/// The same at 2,000 a second, which is what Roundtable writes at its best.
const BUSY: Duration = Duration::from_micros(500);

/// How to measure.
#[derive(Clone, Debug)]
pub struct Store {
    /// Shorter spans: at most 40 s in all.
    pub quick: bool,
    /// Where the temporary folder with all data is made: it decides which disk is measured.
    pub data: Option<PathBuf>,
    /// The most events that one measurement writes, and that the long stream has.
    pub events: Option<u64>,
    /// Connections to PostgreSQL that its appends share.
    pub postgres_connections: u32,
}

impl Store {
    fn rounds(&self) -> usize {
        3
    }

    fn window(&self) -> Window {
        let span = if self.quick { Duration::from_millis(200) } else { Duration::from_secs(3) };
        Window { span, calls: self.events.unwrap_or(u64::MAX) }
    }
}

/// Measures, and tells the figures on standard error as they come.
///
/// # Errors
/// When a server does not start or refuses a write, when the log does not hold what was
/// acknowledged, or when `enough` is cancelled.
pub async fn run(bench: &Store, enough: CancellationToken) -> Result<StoreReport> {
    let begun = Instant::now();
    eprintln!("starting the event store, an echo and PostgreSQL in processes of their own");
    let mut site = Site::start(bench.data.as_deref(), bench.postgres_connections).await?;
    let measured = tokio::select! {
        measured = measure(bench, &mut site) => measured,
        () = enough.cancelled() => Err(anyhow::anyhow!("ended by a signal")),
    };
    let ended = site.end().await;
    let mut report = measured?;
    ended?;
    report.seconds = rounded(begun.elapsed().as_secs_f64(), 1);
    Ok(report)
}

/// What was seen in all rounds.
#[derive(Default)]
struct Figures {
    by_round: BTreeMap<&'static str, Vec<f64>>,
    latency: BTreeMap<&'static str, Histogram<u64>>,
}

impl Figures {
    fn add(&mut self, name: &'static str, per_second: f64) {
        eprintln!("{name:>34}: {per_second:>9.0}/s");
        self.by_round.entry(name).or_default().push(rounded(per_second, 1));
    }

    fn latency(&mut self, name: &'static str, latency: &Histogram<u64>) {
        let all = self.latency.entry(name).or_insert_with(histogram);
        all.add(latency).expect("the bounds are the same");
    }

    fn ratios(&self) -> BTreeMap<&'static str, f64> {
        let ratios = RATIOS.iter().map(|(name, above, below)| {
            let pairs = self.by_round[above].iter().zip(&self.by_round[below]);
            (*name, rounded(median(pairs.map(|(above, below)| above / below).collect()), 3))
        });
        ratios.collect()
    }
}

async fn measure(bench: &Store, site: &mut Site) -> Result<StoreReport> {
    let file_system = disk::file_system(&site.store_folder());
    if file_system == "tmpfs" {
        eprintln!("the data are in memory, where nothing is synced: choose a disk with --data");
    }
    let (window, mut figures) = (bench.window(), Figures::default());
    let (mut idle, mut busy) = (Seen::new(), Seen::new());
    let (mut echo, mut syncs) = (histogram(), histogram());
    for round in 1..=bench.rounds() {
        eprintln!("round {round} of {}", bench.rounds());
        for step in STEPS {
            let outcome = step.run(site, window).await?;
            figures.add(step.name, outcome.per_second());
            figures.latency(step.name, &outcome.latency);
        }
        site.settle().await?;
        idle.add(&follow(site, window, IDLE).await?);
        let pace = pace(window, IDLE)?;
        let echoed = subscriber::echo(&site.clients(On::Echo)[0], pace, &site.numbers).await?;
        echo.add(&echoed).expect("the bounds are the same");
        let folder = site.store_folder();
        let synced = task::spawn_blocking(move || disk::paced_syncs(&folder, pace)).await??;
        syncs.add(&synced).expect("the bounds are the same");
        busy.add(&follow(site, window, BUSY).await?);
    }
    read(bench, site, &mut figures).await?;
    let memory_after_load = site.server(On::Store).memory();
    let (open_ms, bytes) = open(site).await?;
    Ok(StoreReport {
        bench: "event-store",
        machine: Machine::this(),
        date: machine::date(),
        commit: crate::COMMIT,
        seconds: 0.0,
        store: server::store_name()?,
        file_system,
        postgres_connections: bench.postgres_connections,
        rounds: bench.rounds(),
        span_s: window.span.as_secs_f64(),
        ratios: figures.ratios(),
        rates: medians(&figures.by_round),
        by_round: figures.by_round.into_iter().map(|(n, of)| (n.to_owned(), of)).collect(),
        latency_ms: figures.latency.iter().map(|(name, of)| (*name, Latency::of(of))).collect(),
        subscriber: Latency::of(&idle.from_call),
        subscriber_from_answer: Latency::of(&idle.from_answer),
        subscriber_append: Latency::of(&idle.answers),
        subscriber_echo: Latency::of(&echo),
        subscriber_sync: Latency::of(&syncs),
        subscriber_at_2000_per_s: Latency::of(&busy.from_call),
        open_ms,
        events: site.written,
        bytes_per_event: rounded(bytes as f64 / site.written as f64, 1),
        memory_after_load,
        memory_after_open: site.server(On::Store).memory(),
    })
}

/// Appends at a pace and follows; the follower has a connection of its own.
async fn follow(site: &mut Site, window: Window, between: Duration) -> Result<Seen> {
    let clients = site.clients(On::Store);
    let pace = pace(window, between)?;
    let seen = subscriber::follow(&clients[0], &clients[1], pace, &site.numbers).await?;
    site.written += u64::from(pace.count);
    Ok(seen)
}

fn pace(window: Window, between: Duration) -> Result<Pace> {
    let due = window.span.as_nanos() / between.as_nanos();
    let count = u32::try_from(due.min(u128::from(window.calls)))?.max(1);
    Ok(Pace { between, count })
}

/// Reads the whole log and a long stream, and holds the log against what was acknowledged.
async fn read(bench: &Store, site: &mut Site, figures: &mut Figures) -> Result<()> {
    let client = site.clients(On::Store)[0].clone();
    let length = bench.events.unwrap_or(LONG_STREAM).min(LONG_STREAM);
    let stream = reads::write_long(&client, length, &site.numbers).await?;
    site.written += length;
    for _ in 0..bench.rounds() {
        let (count, rate) = reads::all(&client).await?;
        if count != site.written {
            bail!("{} events were acknowledged and {count} are in the log", site.written);
        }
        figures.add("read_all", rate);
        figures.add("read_stream", reads::long(&client, &stream, length).await?);
    }
    Ok(())
}

/// How long the store takes to open, and the bytes of its folder while it is stopped.
async fn open(site: &mut Site) -> Result<(f64, u64)> {
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..STARTS {
        site.stop_store().await?;
        bytes = disk::bytes(&site.store_folder())?;
        times.push(site.start_store().await?.as_secs_f64() * 1e3);
    }
    ensure!(bytes > 0, "the store keeps its data elsewhere");
    Ok((rounded(median(times), 1), bytes))
}

fn medians(by_round: &BTreeMap<&'static str, Vec<f64>>) -> BTreeMap<String, f64> {
    let of = by_round.iter();
    of.map(|(name, rates)| (format!("{name}_per_s"), median(rates.clone()))).collect()
}

/// The one in the middle; of an even number the higher of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_one_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn a_ratio_is_of_figures_of_the_same_round() {
        let mut figures = Figures::default();
        for (_, above, below) in RATIOS {
            figures.by_round.insert(above, vec![10.0, 40.0, 30.0]);
            figures.by_round.insert(below, vec![5.0, 10.0, 10.0]);
        }
        figures.by_round.insert("append_256", vec![10.0, 40.0, 30.0]);
        assert_eq!(figures.ratios()["append_256_over_echo"], 3.0);
    }
}
