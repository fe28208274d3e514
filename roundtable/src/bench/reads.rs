//! `roundtable bench reads`: what the read endpoints give at a million messages.
//!
//! One person reads, who is in half of the groups and so may see about half of the messages. Every
//! endpoint is asked twice: at a steady rate, for its latency, and by callers who do not pause, for
//! how much it bears.

mod endpoints;
pub(super) mod library;
mod report;
mod words;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use hdrhistogram::Histogram;
use reqwest::{Method, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::{
    machine::{self, Machine},
    report::{Latency, rounded},
};
use crate::{
    client::Session,
    stack::{Stack, StackConfig},
};
use endpoints::Endpoint;
use library::Library;
pub use report::ReadsReport;

const MESSAGES: u32 = 1_000_000;
const QUICK_MESSAGES: u32 = 10_000;

/// How often an endpoint is asked a second while its latency is measured.
const OFFERED_PER_S: u32 = 50;

/// How many ask without a pause.
const CALLERS: usize = 8;

/// Below this a latency is noise, beyond it lost: microseconds.
const LONGEST_US: u64 = 60_000_000;

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Fewer messages for a shorter time: at most 40 s.
    pub quick: bool,
    /// How many messages, if not the usual number.
    pub messages: Option<u32>,
}

/// How long an endpoint is asked.
struct Times {
    warm: Duration,
    latency: Duration,
    rate: Duration,
}

impl Times {
    fn of(quick: bool) -> Self {
        let ms = Duration::from_millis;
        match quick {
            true => Self { warm: ms(20), latency: ms(300), rate: ms(100) },
            false => Self { warm: ms(500), latency: ms(8000), rate: ms(3000) },
        }
    }
}

/// Measures, and tells on standard error what is being done.
///
/// # Errors
/// When the stack does not start, or a read is not answered with 200.
pub async fn run(reads: &Reads) -> Result<ReadsReport> {
    let (begun, date) = (Instant::now(), machine::date());
    let messages = reads.messages.unwrap_or(if reads.quick { QUICK_MESSAGES } else { MESSAGES });
    eprintln!("starting a stack");
    let folder = tempfile::Builder::new().prefix("roundtable-bench-").tempdir()?;
    let mut config = StackConfig::new(folder.path().join("data"));
    config.limits = Some("all=1000000/s".to_owned());
    let stack = Stack::start(config).await?;
    let measured = measure(&stack, messages, reads.quick).await;
    stack.destroy().await?;
    let (library, answers) = measured?;
    let figures = |answers: &[Answers]| answers.iter().map(|it| (it.name, it.per_s)).collect();
    Ok(ReadsReport {
        bench: "reads",
        machine: Machine::this(),
        date,
        commit: crate::COMMIT,
        seconds: rounded(begun.elapsed().as_secs_f64(), 1),
        messages,
        readable_messages: library.readable,
        groups: library.groups.len(),
        people: library.people.len(),
        filled_per_s: rounded(f64::from(messages) / library.filled.as_secs_f64(), 0),
        shown_after_s: rounded(library.shown.as_secs_f64(), 1),
        offered_per_s: OFFERED_PER_S,
        callers: CALLERS,
        per_s: figures(&answers),
        latency: answers.iter().map(|it| (it.name, it.latency)).collect(),
    })
}

/// What one endpoint gave.
struct Answers {
    name: &'static str,
    latency: Latency,
    per_s: f64,
}

async fn measure(stack: &Stack, messages: u32, quick: bool) -> Result<(Library, Vec<Answers>)> {
    let library = Library::write(stack, messages).await?;
    let times = Times::of(quick);
    let mut answers = Vec::new();
    for Endpoint { name, path } in endpoints::all(&library).await? {
        let reader = library.reader();
        let asked = async {
            busy(reader, &path, times.warm).await?;
            let latency = steady(reader, &path, times.latency).await?;
            anyhow::Ok((latency, busy(reader, &path, times.rate).await?))
        };
        let (latency, per_s) = asked.await.with_context(|| format!("GET {path}"))?;
        eprintln!("{name}: {per_s:.0}/s, p50 {} ms, p99 {} ms", latency.p50, latency.p99);
        answers.push(Answers { name, latency, per_s: rounded(per_s, 0) });
    }
    Ok((library, answers))
}

/// Asks at a steady rate. Latencies count from the moment a question was due.
async fn steady(reader: &Session, path: &str, time: Duration) -> Result<Latency> {
    let count = (time.as_secs_f64() * f64::from(OFFERED_PER_S)).ceil() as u32;
    let start = Instant::now();
    let answered = stream::iter(0..count).map(|number| {
        let due = start + Duration::from_secs(1) * number / OFFERED_PER_S;
        async move {
            sleep_until(due).await;
            ask(reader, path).await?;
            anyhow::Ok(due.elapsed())
        }
    });
    // All of them wait for their time at once: a slow answer delays no later question.
    let mut answered = answered.buffer_unordered(count as usize);
    let mut latencies = Histogram::<u64>::new_with_max(LONGEST_US, 3)?;
    while let Some(latency) = answered.next().await {
        latencies.saturating_record(u64::try_from(latency?.as_micros())?);
    }
    Ok(Latency::of(&latencies))
}

/// Asks without a pause. Answers a second.
async fn busy(reader: &Session, path: &str, time: Duration) -> Result<f64> {
    let start = Instant::now();
    let callers = (0..CALLERS).map(|_| async move {
        let mut answers = 0_u32;
        while start.elapsed() < time {
            ask(reader, path).await?;
            answers += 1;
        }
        anyhow::Ok(answers)
    });
    let answers = futures::future::try_join_all(callers).await?;
    Ok(f64::from(answers.iter().sum::<u32>()) / start.elapsed().as_secs_f64())
}

async fn ask(reader: &Session, path: &str) -> Result<()> {
    let answer = reader.request(Method::GET, path).send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    ensure!(status == StatusCode::OK, "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}
