//! `roundtable bench receipts`: how many receipts come in, and how little is written for them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use events::{ConversationId, Position};
use futures::future::try_join_all;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

use super::{child::ChildStack, machine, machine::Machine, people, report::rounded};
use crate::client::{Client, Incoming, Session, Socket, key};

const MEMBERS: usize = 50;
/// Messages a second; each member acknowledges and reads each of them.
const MESSAGES_PER_S: u32 = 40;

/// How long the last receipts may take to be written, which is some periods of the flusher.
const SETTLE: Duration = Duration::from_secs(30);
/// Nothing was written for so long: all is written.
const QUIET: Duration = Duration::from_secs(5);

/// The metric that counts the rows.
const ROWS: &str = "roundtable_receipt_rows_total";

/// How to measure.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    /// 8 s of load instead of 30.
    pub quick: bool,
    /// A running stack to measure, instead of one of our own; it should have nothing else to do.
    pub url: Option<String>,
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct ReceiptsReport {
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
    /// How many people are in the group.
    pub members: usize,
    /// How many messages were sent.
    pub messages: u64,
    /// Receipts that were sent and accepted.
    pub receipts_in: u64,
    /// Receipts a second.
    pub receipts_per_s: f64,
    /// Events of receipts in the log.
    pub events_written: u64,
    /// Rows of the read model written for receipts.
    pub rows_written: u64,
    /// How much less is written than came in, in percent: of events.
    pub fewer_events_percent: f64,
    /// The same, of rows.
    pub fewer_rows_percent: f64,
}

impl fmt::Display for ReceiptsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "{} at {}, {} s\n", self.date, self.commit, self.seconds)?;
        writeln!(f, "{:>9}  messages to a group of {}", self.messages, self.members)?;
        writeln!(f, "{:>9}  receipts in, {} a second", self.receipts_in, self.receipts_per_s)?;
        let (events, rows) = (self.fewer_events_percent, self.fewer_rows_percent);
        writeln!(f, "{:>9}  events written, {events} % fewer", self.events_written)?;
        writeln!(f, "{:>9}  rows written, {rows} % fewer", self.rows_written)
    }
}

/// Measures.
///
/// # Errors
/// When the stack does not start, somebody cannot connect, or a receipt is refused.
pub async fn run(bench: &Receipts) -> Result<ReceiptsReport> {
    let begun = Instant::now();
    let date = machine::date();
    let (stack, url) = match &bench.url {
        Some(url) => (None, url.clone()),
        None => {
            eprintln!("starting a stack in a process of its own");
            let stack = ChildStack::start().await?;
            let url = stack.url().to_owned();
            (Some(stack), url)
        }
    };
    let load = Duration::from_secs(if bench.quick { 8 } else { 30 });
    let counts = counts(&url, load).await;
    if let Some(stack) = stack {
        stack.stop().await?;
    }
    let Counts { messages, receipts_in, events_written, rows_written } = counts?;
    let fewer = |written: u64| rounded(100.0 - 100.0 * written as f64 / receipts_in as f64, 2);
    Ok(ReceiptsReport {
        bench: "receipts",
        machine: Machine::this(),
        date,
        commit: crate::COMMIT,
        seconds: rounded(begun.elapsed().as_secs_f64(), 1),
        members: MEMBERS,
        messages,
        receipts_in,
        receipts_per_s: rounded(receipts_in as f64 / load.as_secs_f64(), 0),
        events_written,
        rows_written,
        fewer_events_percent: fewer(events_written),
        fewer_rows_percent: fewer(rows_written),
    })
}

struct Counts {
    messages: u64,
    receipts_in: u64,
    events_written: u64,
    rows_written: u64,
}

async fn counts(url: &str, load: Duration) -> Result<Counts> {
    eprintln!("{MEMBERS} people sign up and open a socket");
    let client = Client::new(url)?;
    let people = people::sign_up(&client, MEMBERS).await?;
    let others: Vec<_> = people[1..].iter().map(Session::user).collect();
    let group = people[0].open_group("Bench", &others).await.context("no conversation")?;
    let sockets = try_join_all(people.iter().map(|person| person.socket(None))).await?;
    let rows_before = rows(&client).await?;
    let accepted = Arc::new(AtomicU64::new(0));
    let mut readers = JoinSet::new();
    for socket in sockets {
        readers.spawn(acknowledge(socket, group.id, Arc::clone(&accepted)));
    }
    let messages = talk(&people[0], group.id, load).await?;
    let receipts_in = 2 * messages * MEMBERS as u64;
    eprintln!("{messages} messages are sent; waiting for the last of {receipts_in} receipts");
    let deadline = Instant::now() + SETTLE;
    while accepted.load(Ordering::Relaxed) < receipts_in {
        ensure!(Instant::now() < deadline, "{accepted:?} of {receipts_in} receipts were accepted");
        if let Some(ended) = readers.try_join_next() {
            ended??;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let rows_written = settled(&client, rows_before).await?;
    let events_written = receipts_in_the_log(&people[0], group.position).await?;
    Ok(Counts { messages, receipts_in, events_written, rows_written })
}

/// Says something at a steady rate. Says how often.
async fn talk(person: &Session, conversation: ConversationId, load: Duration) -> Result<u64> {
    let socket = person.socket(None).await?;
    let mut beat = interval(Duration::from_secs(1) / MESSAGES_PER_S);
    let end = Instant::now() + load;
    let mut said = 0;
    while Instant::now() < end {
        beat.tick().await;
        let fields = json!({ "conversation": conversation, "text": format!("number {said}") });
        socket.command("message.send", fields).await?;
        said += 1;
    }
    Ok(said)
}

/// Acknowledges and reads every message that comes.
async fn acknowledge(
    mut socket: Socket,
    conversation: ConversationId,
    accepted: Arc<AtomicU64>,
) -> Result<()> {
    loop {
        let event = match socket.next(Duration::from_secs(60)).await? {
            Incoming::Event(event) if event.kind == "message.sent" => event,
            Incoming::Event(_) | Incoming::Ready(_) => continue,
            ended => anyhow::bail!("a socket ended: {ended:?}"),
        };
        let fields = json!({ "conversation": conversation, "message": event.data("message") });
        for kind in ["message.delivered", "message.read"] {
            socket.command_with_key(key(), kind, fields.clone()).await?;
            accepted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many rows were written, once no more are.
async fn settled(client: &Client, before: u64) -> Result<u64> {
    let mut last = (rows(client).await?, Instant::now());
    while last.1.elapsed() < QUIET {
        sleep(Duration::from_millis(200)).await;
        let now = rows(client).await?;
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    Ok(last.0 - before)
}

async fn rows(client: &Client) -> Result<u64> {
    let metrics = client.request(Method::GET, "/metrics").send().await?.text().await?;
    let lines = metrics.lines().filter(|line| line.starts_with(ROWS));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum::<f64>() as u64)
}

/// Counts them as a member of the group sees them.
async fn receipts_in_the_log(person: &Session, since: Position) -> Result<u64> {
    let (mut count, mut since) = (0, since);
    loop {
        let path = format!("/v1/feed?limit=100&after_position={since}");
        let page: Value = person.read(&path, None).await?;
        let items = page["items"].as_array().context("a page of the feed has items")?;
        if items.is_empty() {
            return Ok(count);
        }
        let is_receipt =
            |item: &&Value| item["type"].as_str().is_some_and(|kind| kind.starts_with("receipt."));
        count += items.iter().filter(is_receipt).count() as u64;
        since = serde_json::from_value(page["next"].clone())?;
    }
}
