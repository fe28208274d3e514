//! Measures the store through the client that Roundtable uses, both in this process.
//!
//! `cargo run --release -p event-store --example measure -- FOLDER`; the folder decides which disk
//! is measured. Figures are only worth something on an idle machine.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use event_store::{Config, EventStore};
use eventstore::{
    AppendToStreamOptions, Client, EventData, ReadAllOptions, StreamPosition, StreamState,
    SubscribeToAllOptions, SubscriptionEvent,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const WRITERS: usize = 256;
const SPAN: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map(PathBuf::from).context("a folder is wanted")?;
    let data = tempfile::tempdir_in(folder)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("esdb://{}?tls=false&discoveryInterval=1", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let store = EventStore::open(Config::new(data.path()))?;
    let served = tokio::spawn(store.serve(listener, shutdown.clone()));
    let client = Client::new(url.parse()?).map_err(|error| anyhow::anyhow!("{error}"))?;

    one_at_a_time(&client).await?;
    to_a_subscriber(&client).await?;
    concurrent_appends(&client).await?;
    concurrent_batches(&client).await?;
    read_all(&client).await?;
    drop(client);
    shutdown.cancel();
    served.await??;

    let opening = Instant::now();
    drop(EventStore::open(Config::new(data.path()))?);
    println!("open: {:?}", opening.elapsed());
    Ok(())
}

fn event() -> EventData {
    EventData::binary("message-sent", vec![b'x'; 300].into())
}

fn no_stream() -> AppendToStreamOptions {
    AppendToStreamOptions::default().stream_state(StreamState::NoStream)
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{name}: p50 {:?}, p99 {:?}, {} times", at(50), at(99), times.len());
}

async fn one_at_a_time(client: &Client) -> Result<()> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < SPAN {
        let start = Instant::now();
        let stream = format!("single-{}", times.len());
        client.append_to_stream(stream, &no_stream(), event()).await?;
        times.push(start.elapsed());
    }
    report("append one at a time", times);
    Ok(())
}

async fn to_a_subscriber(client: &Client) -> Result<()> {
    let options = SubscribeToAllOptions::default().position(StreamPosition::End);
    let mut subscription = client.subscribe_to_all(&options).await;
    loop {
        let said = subscription.next_subscription_event().await?;
        if matches!(said, SubscriptionEvent::CaughtUp(_)) {
            break;
        }
    }
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < SPAN {
        let stream = format!("seen-{}", times.len());
        let start = Instant::now();
        let options = no_stream();
        let (written, seen) =
            tokio::join!(client.append_to_stream(stream, &options, event()), async {
                let event = subscription.next().await;
                (event, start.elapsed())
            });
        written?;
        seen.0?;
        times.push(seen.1);
    }
    report("from the call of append to the subscriber", times);
    Ok(())
}

async fn concurrent_appends(client: &Client) -> Result<()> {
    let begun = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut count = 0;
            while begun.elapsed() < SPAN {
                let stream = format!("many-{writer}-{count}");
                client.append_to_stream(stream, &no_stream(), event()).await?;
                count += 1;
            }
            Ok::<usize, eventstore::Error>(count)
        })
    });
    total("concurrent appends", begun, writers).await
}

async fn concurrent_batches(client: &Client) -> Result<()> {
    let batch = std::sync::Arc::new(client.batch_append(&Default::default()).await?);
    let begun = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let batch = batch.clone();
        tokio::spawn(async move {
            let mut count = 0;
            while begun.elapsed() < SPAN {
                let stream = format!("batch-{writer}-{count}");
                batch.append_to_stream(stream, StreamState::NoStream, vec![event()]).await?;
                count += 1;
            }
            Ok::<usize, eventstore::Error>(count)
        })
    });
    total("concurrent batch appends", begun, writers).await
}

async fn total(
    name: &str,
    begun: Instant,
    writers: impl Iterator<Item = tokio::task::JoinHandle<eventstore::Result<usize>>>,
) -> Result<()> {
    let mut count = 0;
    for writer in futures::future::join_all(writers).await {
        count += writer??;
    }
    println!("{name}: {:.0} a second", count as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}

async fn read_all(client: &Client) -> Result<()> {
    let begun = Instant::now();
    let mut read = client.read_all(&ReadAllOptions::default()).await?;
    let mut count = 0;
    while read.next().await?.is_some() {
        count += 1;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    println!("read all: {count} events, {rate:.0} a second");
    Ok(())
}
