//! What tests of whole folders share: small logs, the program's commands, frames taken apart.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use event_store::Config;
use eventstore::{AppendToStreamOptions, Client, EventData, ReadAllOptions, RecordedEvent};

use crate::serving::{PROGRAM, Served};

/// Bytes of a segment's header.
pub(crate) const HEADER: usize = 20;

pub(crate) fn client(url: &str) -> Client {
    Client::new(url.parse().expect("a URL")).expect("a client")
}

/// Tries until it succeeds, for a minute: a health check gives up after seconds, and a busy machine
/// may stand still for as long.
pub(crate) async fn within_a_minute<E: std::fmt::Debug>(attempt: impl AsyncFn() -> Result<(), E>) {
    let until = Instant::now() + Duration::from_secs(60);
    while let Err(error) = attempt().await {
        assert!(Instant::now() < until, "{error:?}");
    }
}

/// Every event of the log.
pub(crate) async fn all(url: &str) -> Vec<RecordedEvent> {
    let mut read = client(url).read_all(&ReadAllOptions::default()).await.expect("a read");
    let mut events = Vec::new();
    while let Some(event) = read.next().await.expect("an event") {
        events.push(event.link.or(event.event).expect("an event"));
    }
    events
}

pub(crate) async fn append(client: &Client, stream: &str, events: Vec<EventData>) -> u64 {
    let any = AppendToStreamOptions::default().stream_state(eventstore::StreamState::Any);
    client.append_to_stream(stream, &any, events).await.expect("written").position.commit
}

pub(crate) fn binary(size: usize) -> EventData {
    EventData::binary("kind", vec![7; size].into())
}

/// Appends of one to three events, with metadata, a soft deletion and a tombstone, in segments of
/// that many bytes.
pub(crate) async fn small_log(data: &Path, segment_bytes: u64) -> usize {
    let config = Config { segment_bytes, ..Config::new(data) };
    let served = Served::with(config).await.expect("it opens");
    let client = client(&served.url());
    for round in 0..3 {
        append(&client, "a", vec![binary(3)]).await;
        append(&client, "b", vec![binary(0), binary(40), binary(9)]).await;
        append(&client, &format!("c-{round}"), vec![binary(5), binary(6)]).await;
    }
    let rules = EventData::json("$metadata", &serde_json::json!({ "$maxCount": 2 })).expect("JSON");
    append(&client, "$$a", vec![rules]).await;
    client.delete_stream("b", &Default::default()).await.expect("deleted");
    client.tombstone_stream("c-0", &Default::default()).await.expect("ended");
    append(&client, "a", vec![binary(1), binary(2)]).await;
    served.stop().await;
    3 * 6 + 5
}

/// The segment files of a folder, in order.
pub(crate) fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).expect("a folder");
    let mut found: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains("/log-"))
        .collect();
    found.sort();
    found
}

/// The position a segment starts at, which its name says.
pub(crate) fn base(segment: &Path) -> u64 {
    let name = segment.file_name().and_then(OsStr::to_str).expect("a name");
    u64::from_str_radix(&name[4..], 16).expect("a base")
}

/// Where the records of a segment start.
pub(crate) fn records(bytes: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = HEADER;
    while at < bytes.len() {
        found.push(at);
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        at += length as usize + 12;
    }
    found
}

/// Where each append ends.
pub(crate) fn append_ends(bytes: &[u8]) -> Vec<usize> {
    let starts = records(bytes);
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let is_last = |start: &usize| bytes[start + 12..start + 16] == [0; 4];
    starts.iter().zip(ends).filter(|(start, _)| is_last(start)).map(|(_, end)| end).collect()
}

/// Makes the checksum of a changed record right again.
pub(crate) fn seal(bytes: &mut [u8], base: u64, at: usize) {
    let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let position = base + at as u64;
    let place = [&position.to_le_bytes()[..], &length.to_le_bytes()[..]].concat();
    let crc = crc32c::crc32c(&place);
    let crc = crc32c::crc32c_append(crc, &bytes[at + 8..at + 8 + length as usize]);
    bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
}

/// What a command of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn last_line(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }
}

/// A command of the program: its name, and flags with their folders.
pub(crate) fn command(name: &str, folders: &[(&str, &Path)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(name);
    for (flag, folder) in folders {
        command.arg(flag).arg(folder);
    }
    command
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("it says text");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
