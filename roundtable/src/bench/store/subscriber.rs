//! From an append to a subscriber of `$all` that has caught up.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use eventstore::{
    Client, EventData, StreamPosition, SubscribeToAllOptions, Subscription, SubscriptionEvent,
};
use hdrhistogram::Histogram;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    events::{DATA, no_stream, stream},
    load::{Numbers, histogram, record},
};

/// How long after the last append its event may come, before it counts as lost.
const DRAIN: Duration = Duration::from_secs(15);

/// What marks the events of this measurement.
const KIND: &str = "paced";

/// A rate at which events are appended, whether or not earlier ones were answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) between: Duration,
    pub(super) count: u32,
}

/// Latencies in microseconds.
pub(super) struct Seen {
    /// From the call of append; from the moment it was due where that was earlier.
    pub(super) from_call: Histogram<u64>,
    /// From its answer; zero where the event came first.
    pub(super) from_answer: Histogram<u64>,
    /// From the call of append until its answer.
    pub(super) answers: Histogram<u64>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { from_call: histogram(), from_answer: histogram(), answers: histogram() }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let parts = [
            (&mut self.from_call, &other.from_call),
            (&mut self.from_answer, &other.from_answer),
            (&mut self.answers, &other.answers),
        ];
        for (all, part) in parts {
            all.add(part).expect("the bounds are the same");
        }
    }
}

/// When an append was called and answered.
type Appended = JoinHandle<Result<(Instant, Instant)>>;

/// Appends at a pace while another connection follows the log.
///
/// # Errors
/// When an append fails, or an event never comes.
pub(super) async fn follow(
    appender: &Client,
    follower: &Client,
    pace: Pace,
    numbers: &Numbers,
) -> Result<Seen> {
    let from_the_end = SubscribeToAllOptions::default().position(StreamPosition::End);
    let mut subscription = follower.subscribe_to_all(&from_the_end).await;
    while !matches!(subscription.next_subscription_event().await?, SubscriptionEvent::CaughtUp(_)) {
    }
    let following = tokio::spawn(watch(subscription, pace.count));
    let appends = append_all(appender, pace, numbers).await?;
    let mut answered = Vec::with_capacity(appends.len());
    for append in appends {
        answered.push(append.await.context("an append was dropped")??);
    }
    let Ok(seen) = timeout(DRAIN, following).await else {
        bail!("an event that was acknowledged did not come to a subscriber");
    };
    let mut all = Seen::new();
    for ((called, answered), seen) in answered.into_iter().zip(seen??) {
        record(&mut all.from_call, seen.saturating_duration_since(called));
        record(&mut all.from_answer, seen.saturating_duration_since(answered));
        record(&mut all.answers, answered.saturating_duration_since(called));
    }
    Ok(all)
}

/// Appends to the echo at the same pace: what of the latency is the call's, and not the store's.
///
/// # Errors
/// When a call fails.
pub(super) async fn echo(client: &Client, pace: Pace, numbers: &Numbers) -> Result<Histogram<u64>> {
    let mut answers = histogram();
    for append in append_all(client, pace, numbers).await? {
        let (called, answered) = append.await.context("a call was dropped")??;
        record(&mut answers, answered.saturating_duration_since(called));
    }
    Ok(answers)
}

/// Starts each append when it is due. A thread keeps time: timers of the runtime are a millisecond
/// coarse.
async fn append_all(client: &Client, pace: Pace, numbers: &Numbers) -> Result<Vec<Appended>> {
    let (runtime, client, numbers) =
        (tokio::runtime::Handle::current(), client.clone(), numbers.clone());
    let (done, appends) = tokio::sync::oneshot::channel();
    thread::Builder::new().name("pace".to_owned()).spawn(move || {
        let begun = Instant::now();
        let mut appends = Vec::with_capacity(pace.count as usize);
        for number in 0..pace.count {
            let due = begun + pace.between * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let (client, stream) = (client.clone(), stream(numbers.next()));
            // The thread wakes a little after it is due, which is not the store's doing; one that
            // was held up for long is a stall, which must not be hidden.
            let late = due.elapsed();
            let due = (late > Duration::from_millis(1)).then_some(due);
            appends.push(runtime.spawn(append(client, stream, number, due)));
        }
        // Nobody listens when the measurement was given up.
        let _ = done.send(appends);
    })?;
    appends.await.context("the thread that keeps the pace ended")
}

async fn append(
    client: Client,
    stream: String,
    number: u32,
    due: Option<Instant>,
) -> Result<(Instant, Instant)> {
    let mut data = vec![b'x'; DATA];
    data[..4].copy_from_slice(&number.to_be_bytes());
    let event = EventData::binary(KIND, data.into());
    let options = no_stream();
    let called = due.unwrap_or_else(Instant::now);
    client.append_to_stream(stream, &options, event).await?;
    Ok((called, Instant::now()))
}

/// When each event came, by its number.
async fn watch(mut subscription: Subscription, count: u32) -> Result<Vec<Instant>> {
    let mut seen = vec![None; count as usize];
    for _ in 0..count {
        let number = loop {
            let event = subscription.next().await?;
            let event = event.event.context("an event of $all has an original")?;
            if event.event_type == KIND {
                break event.data.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
            }
        };
        let now = Instant::now();
        let place = number.and_then(|number| seen.get_mut(number as usize));
        let place = place.context("an event came that was not appended")?;
        ensure!(place.is_none(), "an event came twice");
        *place = Some(now);
    }
    seen.into_iter().collect::<Option<_>>().context("an event did not come")
}
