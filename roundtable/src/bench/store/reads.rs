//! Reads: the whole log, a long stream, and one stream of many.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use eventstore::{Client, ReadAllOptions, ReadStreamOptions};
use rand::Rng;

use super::{
    events::{event, stream},
    load::{Numbers, Outcome, Window, closed_loop},
};

/// Events of one append while a long stream is written.
const PAGE: u64 = 1_000;

/// Reads the whole log forwards, and returns how many events it has and how many it read a second.
pub(super) async fn all(client: &Client) -> Result<(u64, f64)> {
    let begun = Instant::now();
    let mut read = client.read_all(&ReadAllOptions::default()).await?;
    let mut count = 0;
    while read.next().await?.is_some() {
        count += 1;
    }
    Ok((count, per_second(count, begun.elapsed())))
}

/// Writes a stream of so many events, and returns its name.
pub(super) async fn write_long(client: &Client, events: u64, numbers: &Numbers) -> Result<String> {
    let stream = stream(numbers.next());
    let mut left = events;
    while left > 0 {
        let page = left.min(PAGE);
        let events: Vec<_> = (0..page).map(|_| event()).collect();
        client.append_to_stream(stream.as_str(), &Default::default(), events).await?;
        left -= page;
    }
    Ok(stream)
}

/// Reads a stream of so many events forwards, and returns how many it read a second.
pub(super) async fn long(client: &Client, stream: &str, events: u64) -> Result<f64> {
    let begun = Instant::now();
    let mut read = client.read_stream(stream, &ReadStreamOptions::default()).await?;
    let mut count = 0;
    while read.next().await?.is_some() {
        count += 1;
    }
    ensure!(count == events, "a stream of {events} events was read as one of {count}");
    Ok(per_second(count, begun.elapsed()))
}

/// Reads streams at random, one after the other, of those with a number below `streams`.
pub(super) async fn random(client: &Client, streams: u64, window: Window) -> Result<Outcome> {
    let client = client.clone();
    let read = move |_| {
        let (client, number) = (client.clone(), rand::rng().random_range(0..streams));
        async move {
            let options = ReadStreamOptions::default();
            let mut read = client.read_stream(stream(number), &options).await?;
            ensure!(read.next().await?.is_some(), "stream {number} of {streams} is empty");
            while read.next().await?.is_some() {}
            Ok(())
        }
    };
    closed_loop(1, window, &Numbers::default(), read).await
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}
