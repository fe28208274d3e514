//! What a group writes and reads besides the events it follows: checkpoints and parked messages.

use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    EventSource, GroupId,
    group::{Found, Place, ToPark},
    source::found,
};
use crate::{
    committer::{Action, Refusal},
    engine::Engine,
    expected::Expected,
    log::{
        frame::{Proposed, Record},
        reader::{LogReader, RANDOM, ReadError},
    },
    metadata::{self, LINK_TYPE, METADATA_TYPE},
    read::{
        Failure, Resolved, Resolver,
        stream::{self, Look},
    },
};

const CHECKPOINT_TYPE: &[u8] = b"$SubscriptionCheckpoint";
/// Checkpoints that stay readable.
const CHECKPOINTS: u64 = 5;
/// How often a write is tried when somebody else writes the same stream.
const TRIES: usize = 16;

/// The place of the last checkpoint.
pub(crate) fn last_checkpoint(engine: &Engine, id: &GroupId) -> Result<Option<u64>, Failure> {
    let name = id.checkpoint_stream();
    let mut reader = engine.reader();
    let Look::Present { last, .. } = stream::look(engine, name.as_bytes(), &mut reader)? else {
        return Ok(None);
    };
    let record = at_revision(engine, name.as_bytes(), last)?;
    let place = record.and_then(|record| {
        let text: String = serde_json::from_slice(&record.data).ok()?;
        id.source.parse(&text)
    });
    if place.is_none() {
        tracing::warn!(stream = name, "a checkpoint says nothing; its group begins again");
    }
    Ok(place)
}

/// Makes the checkpoint durable.
pub(crate) async fn record(engine: &Engine, id: &GroupId, place: u64) -> Result<(), Refusal> {
    let name = id.checkpoint_stream();
    let is_first = engine.last_revision(name.as_bytes())?.is_none();
    if is_first {
        let rules = Bytes::from(json!({ "$maxCount": CHECKPOINTS }).to_string());
        let name = metadata::metadata_stream(name.as_bytes());
        append(engine, name, Expected::Any, vec![event(METADATA_TYPE, true, rules)]).await?;
    }
    let text = Bytes::from(Value::from(id.source.show(place)).to_string());
    append(engine, name, Expected::Any, vec![event(CHECKPOINT_TYPE, true, text)]).await
}

/// The links to these messages that will stand among the parked ones. Those whose event is gone
/// from the log are left out. It blocks.
pub(crate) fn links(
    engine: &Engine,
    id: &GroupId,
    resolve_links: bool,
    messages: &[ToPark],
) -> Result<Vec<Proposed>, Failure> {
    let mut links = Vec::with_capacity(messages.len());
    for message in messages {
        let record = at_place(engine, id, message.place)?;
        let Some(record) = record.filter(|record| record.id == message.id) else { continue };
        let follow = resolve_links || matches!(message.place, Place::Parked(_));
        let target = if follow && record.event_type == LINK_TYPE {
            record.data
        } else {
            [format!("{}@", record.revision).as_bytes(), &record.stream].concat().into()
        };
        let added = prost_types::Timestamp::from(SystemTime::now()).to_string();
        let why = json!({ "added": added, "reason": message.reason }).to_string();
        links.push(Proposed { custom_metadata: why.into(), ..event(LINK_TYPE, false, target) });
    }
    Ok(links)
}

/// Makes the links durable among the parked messages.
pub(crate) async fn park(
    engine: &Engine,
    id: &GroupId,
    links: Vec<Proposed>,
) -> Result<(), Refusal> {
    if links.is_empty() {
        return Ok(());
    }
    append(engine, id.parked_stream(), Expected::Any, links).await
}

/// The revisions of the parked messages.
pub(crate) fn parked(engine: &Engine, id: &GroupId) -> Result<std::ops::Range<u64>, Failure> {
    let mut reader = engine.reader();
    match stream::look(engine, id.parked_stream().as_bytes(), &mut reader)? {
        Look::Present { first, last, .. } if first <= last => Ok(first..last + 1),
        _ => Ok(0..0),
    }
}

/// Reads parked messages of the range, as many as fit in a page; also tells which is the next.
pub(crate) fn read_parked(
    engine: &Engine,
    id: &GroupId,
    by_correlation: bool,
    range: std::ops::Range<u64>,
) -> Result<(Vec<Found<Resolved>>, u64), Failure> {
    let there = parked(engine, id)?;
    let (from, to) = (range.start.max(there.start), range.end.min(there.end));
    if from >= to {
        return Ok((Vec::new(), range.end));
    }
    let key = engine.catalog.key(id.parked_stream().as_bytes());
    let mut reader = engine.reader();
    let mut resolver = Resolver::new(engine, true);
    let page = stream::records(engine, key, (from, to - 1), false, u64::MAX, &mut reader)?;
    let next = page.next.unwrap_or(range.end);
    let mut messages = Vec::with_capacity(page.records.len());
    for record in page.records {
        let revision = record.revision;
        messages.push(found(revision, resolver.resolve(engine, record)?, by_correlation));
    }
    Ok((messages, next))
}

/// Hides the parked messages before the revision.
pub(crate) async fn cut(engine: &Engine, id: &GroupId, before: u64) -> Result<(), String> {
    let name = metadata::metadata_stream(id.parked_stream().as_bytes());
    for _ in 0..TRIES {
        let last = engine.last_revision(&name).map_err(|error| error.to_string())?;
        let json = match last {
            Some(last) => at_revision(engine, &name, last).map_err(|error| error.to_string())?,
            None => None,
        };
        let json = json.map_or(Bytes::new(), |record| record.data);
        let json = metadata::with_truncate_before(&json, before);
        let expected = last.map_or(Expected::NoStream, Expected::Exact);
        let events = vec![event(METADATA_TYPE, true, json.into())];
        match append(engine, name.clone(), expected, events).await {
            Err(Refusal::WrongVersion { .. }) => {}
            other => return other.map_err(describe),
        }
    }
    Err("others keep changing the metadata of the parked messages".to_owned())
}

/// Hides all of a stream, if there is anything in it.
pub(crate) async fn clear(engine: &Engine, stream: String) -> Result<(), Refusal> {
    match engine.write(stream.into(), Expected::Any, Action::SoftDelete(new_id())).await {
        Ok(_) | Err(Refusal::WrongVersion { .. }) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Reads a message's event again; `None` when it is gone from the log.
pub(crate) fn read_again(
    engine: &Engine,
    id: &GroupId,
    resolve_links: bool,
    place: Place,
) -> Result<Option<Resolved>, Failure> {
    let Some(record) = at_place(engine, id, place)? else { return Ok(None) };
    let resolve = resolve_links || matches!(place, Place::Parked(_));
    Resolver::new(engine, resolve).resolve(engine, record).map(Some)
}

fn at_place(engine: &Engine, id: &GroupId, place: Place) -> Result<Option<Record>, Failure> {
    match (place, &id.source) {
        (Place::Parked(revision), _) => {
            at_revision(engine, id.parked_stream().as_bytes(), revision)
        }
        (Place::Source(revision), EventSource::Stream(name)) => {
            at_revision(engine, name.as_bytes(), revision)
        }
        (Place::Source(position), EventSource::All) => at(&mut engine.reader(), position),
    }
}

fn at_revision(engine: &Engine, stream: &[u8], revision: u64) -> Result<Option<Record>, Failure> {
    let position = engine.catalog.position(engine.catalog.key(stream), revision)?;
    let mut reader = engine.reader();
    position.map_or(Ok(None), |position| at(&mut reader, position))
}

fn at(reader: &mut LogReader, position: u64) -> Result<Option<Record>, Failure> {
    match reader.at(position, RANDOM) {
        Ok(record) => Ok(record.filter(|record| record.position == position)),
        Err(ReadError::NotARecord { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn append(
    engine: &Engine,
    stream: impl Into<Bytes>,
    expected: Expected,
    events: Vec<Proposed>,
) -> Result<(), Refusal> {
    engine.write(stream.into(), expected, Action::Append(events)).await.map(drop)
}

/// Appends one JSON event, whatever the stream holds.
pub(crate) async fn append_json(
    engine: &Engine,
    stream: &'static str,
    event_type: &'static [u8],
    json: Vec<u8>,
) -> Result<(), Refusal> {
    append(engine, stream, Expected::Any, vec![event(event_type, true, json.into())]).await
}

fn event(event_type: &'static [u8], is_json: bool, data: Bytes) -> Proposed {
    let event_type = Bytes::from_static(event_type);
    Proposed { id: new_id(), event_type, is_json, custom_metadata: Bytes::new(), data }
}

/// Why a write was refused, for the log.
pub(crate) fn describe(refusal: Refusal) -> String {
    match refusal {
        Refusal::WrongVersion { .. } => "somebody else wrote the stream".to_owned(),
        Refusal::Deleted => "the stream is deleted".to_owned(),
        Refusal::TooBig => "the event is too long".to_owned(),
        Refusal::Storage(message) => message,
        Refusal::Stopped => "the store is closed".to_owned(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the server is the edge that makes these events")]
fn new_id() -> Uuid {
    Uuid::new_v4()
}
