//! The one thread that appends: takes what is queued, writes it, syncs once, answers all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use crate::{
    batch::{Batch, Part},
    catalog::Catalog,
    expected::{self, Current, Decision, Expected, Known, Lookup},
    index::{Reach, entry::State, keeper::Tasks, key::StreamKey, recent::Recent},
    log::{
        frame::{Proposed, Record},
        reader::ReadError,
        writer::Writer,
    },
    metadata::{self, METADATA_TYPE, Rules, SOFT_DELETED, TOMBSTONE_REVISION, TOMBSTONE_TYPE},
};

/// A batch is closed when its bytes reach this many.
const BATCH_BYTES: usize = 8 << 20;
/// A batch is closed when it holds this many commands.
const BATCH_COMMANDS: usize = 8192;

/// When so many commands came at once, more are on their way, and a sync for few of them would take
/// the processor from those who bring them.
const CROWD: usize = 4;
/// How long the committer then waits for the next command before it goes on, and how many times:
/// a sync takes about as long as all of them.
const SLICE: Duration = Duration::from_micros(100);
const SLICES: u32 = 10;

/// What is to be written to a stream.
pub(crate) enum Action {
    Append(Vec<Proposed>),
    /// Hides everything written so far; the id is for the event that says so.
    SoftDelete(Uuid),
    /// Ends the stream for ever.
    Tombstone(Uuid),
}

/// A write, and where its answer goes once it is durable.
pub(crate) enum Command {
    Write { stream: Bytes, expected: Expected, action: Action, answer: oneshot::Sender<Answer> },
    Stop,
}

pub(crate) type Answer = Result<Written, Refusal>;

/// A write that is durable, or was before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) revision: Option<u64>,
    pub(crate) position: Option<u64>,
}

/// Why nothing was written.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    WrongVersion { expected: Expected, current: Option<u64> },
    Deleted,
    Storage(String),
    Stopped,
}

/// Everything the thread owns or shares.
pub(crate) struct Committer {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) recent: Recent,
    pub(crate) writer: Writer,
    pub(crate) head: watch::Sender<u64>,
    pub(crate) last_created: u64,
    pub(crate) keeper: Tasks,
    /// How many events, and bytes of the log, the index holds in memory before they go to disk.
    pub(crate) memory: (usize, u64),
    pub(crate) stop: Arc<AtomicBool>,
}

impl Committer {
    /// Works until the command to stop.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut batch = Batch::default();
        let mut answers = Vec::new();
        while let Some(first) = commands.blocking_recv() {
            self.round(first, &mut commands, &mut batch, &mut answers);
            if self.stop.load(Ordering::Acquire) {
                break;
            }
        }
        commands.close();
        while let Ok(command) = commands.try_recv() {
            if let Command::Write { answer, .. } = command {
                let _ = answer.send(Err(Refusal::Stopped));
            }
        }
    }

    fn round(
        &mut self,
        first: Command,
        commands: &mut mpsc::Receiver<Command>,
        batch: &mut Batch,
        answers: &mut Vec<(oneshot::Sender<Answer>, Answer)>,
    ) {
        let begun = self.writer.begin();
        self.last_created = self.last_created.max(ticks(SystemTime::now()));
        batch.reset(self.writer.head(), self.last_created);
        let mut next = Some(first);
        let mut slices = 0;
        while let Some(command) = next {
            if let Command::Write { stream, expected, action, answer } = command {
                let result = if begun.is_ok() {
                    self.stage(batch, &stream, expected, action)
                } else {
                    Err(Refusal::Stopped)
                };
                answers.push((answer, result));
            }
            let full = batch.bytes().len() >= BATCH_BYTES || answers.len() >= BATCH_COMMANDS;
            next = if full { None } else { commands.try_recv().ok() };
            if next.is_none() && answers.len() >= CROWD && slices < SLICES && !full {
                slices += 1;
                std::thread::sleep(SLICE);
                next = commands.try_recv().ok();
            }
        }
        let committed = begun.and_then(|_| self.commit(batch));
        let failure = committed.err().map(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "appends are refused");
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            Refusal::Storage(format!("{error}: {}", cause.unwrap_or_default()))
        });
        for (answer, result) in answers.drain(..) {
            // A caller that has gone away has no interest in the answer.
            let _ = answer.send(failure.clone().map_or(result, Err));
        }
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<(), crate::Error> {
        if batch.bytes().is_empty() {
            return Ok(());
        }
        let head = self.writer.commit(batch.bytes())?;
        let last_id = batch.remember(&mut self.recent).expect("a batch has an event");
        let index = self.catalog.index();
        // The head moves while the index is locked: whoever is woken by it finds the index moved,
        // and whoever looks at the head after the index finds all of the index below it.
        index.insert(batch.entries(), || {
            self.head.send_replace(head);
        });
        let (events, bytes) = self.memory;
        let reach = Reach::new(head, last_id, &self.recent);
        if index.freeze(reach, events, bytes) {
            self.keeper.write();
        }
        Ok(())
    }

    /// Decides one write and puts what it writes into the batch.
    fn stage(
        &self,
        batch: &mut Batch,
        stream: &[u8],
        expected: Expected,
        action: Action,
    ) -> Answer {
        let key = self.catalog.key(stream);
        let mut view = View { committer: self, batch, key };
        let current = view.current(stream, expected)?;
        let decision = match &action {
            Action::Append(events) => {
                let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
                expected::decide(expected, current, &ids, &mut view)?
            }
            Action::SoftDelete(_) => expected::decide_delete(expected, current),
            Action::Tombstone(_) => expected::decide_tombstone(expected, current),
        };
        match decision {
            Decision::Write => {}
            Decision::Repeated(known) => {
                let Known { revision, position, .. } = known;
                return Ok(Written { revision: Some(revision), position: Some(position) });
            }
            Decision::Nothing => return Ok(Written { revision: current.last, position: None }),
            Decision::WrongVersion => {
                return Err(Refusal::WrongVersion { expected, current: current.last });
            }
            Decision::Deleted => return Err(Refusal::Deleted),
        }
        let revision = current.last.map_or(0, |last| last + 1);
        match action {
            Action::Append(events) => {
                let part = Part { stream, revision, events: &events };
                let last = revision + events.len() as u64 - 1;
                let position = if current.soft_deleted {
                    // The events written before stay hidden; only the new ones come to life.
                    view.with_metadata(stream, revision, new_id(&events[0]), Some(part))?
                } else {
                    batch.append(&self.catalog.index().keys, &[part])
                };
                Ok(Written { revision: Some(last), position: Some(position) })
            }
            Action::SoftDelete(id) => {
                let position = view.with_metadata(stream, SOFT_DELETED, id, None)?;
                Ok(Written { revision: current.last, position: Some(position) })
            }
            Action::Tombstone(id) => {
                let events = [event(id, TOMBSTONE_TYPE, false, Vec::new())];
                let part = Part { stream, revision: TOMBSTONE_REVISION, events: &events };
                let position = batch.append(&self.catalog.index().keys, &[part]);
                Ok(Written { revision: Some(TOMBSTONE_REVISION), position: Some(position) })
            }
        }
    }
}

/// The streams as they will be when the batch is durable, seen from one of them.
struct View<'a> {
    committer: &'a Committer,
    batch: &'a mut Batch,
    key: StreamKey,
}

impl View<'_> {
    fn state(&self, key: StreamKey) -> Result<State, Refusal> {
        Ok(self.batch.state(key).or_older(self.committer.catalog.state(key)?))
    }

    fn current(&self, stream: &[u8], expected: Expected) -> Result<Current, Refusal> {
        let state = self.state(self.key)?;
        let rules = match self.batch.metadata(self.key) {
            Some(json) => Rules::read(json),
            None => self.committer.catalog.rules(&state)?,
        };
        // Only one expectation asks whether a stream without events has metadata.
        let has_metadata = expected == Expected::StreamExists && state.last.is_none() && {
            let metadata = self.committer.catalog.key(&metadata::metadata_stream(stream));
            self.state(metadata)?.last.is_some()
        };
        Ok(Current {
            last: state.last,
            tombstoned: state.tombstone.is_some(),
            soft_deleted: rules.is_soft_deleted(),
            has_metadata,
        })
    }

    /// Appends metadata with a new `$tb`, and the events that go with it, as one append.
    fn with_metadata(
        &mut self,
        stream: &[u8],
        truncate_before: u64,
        id: Uuid,
        events: Option<Part<'_>>,
    ) -> Result<u64, Refusal> {
        let name = metadata::metadata_stream(stream);
        let last = self.state(self.committer.catalog.key(&name))?.last;
        let json = match (self.batch.metadata(self.key), self.state(self.key)?.metadata) {
            (Some(json), _) => json.clone(),
            (None, Some(position)) => self.committer.record(position)?.data,
            (None, None) => Bytes::new(),
        };
        let json = metadata::with_truncate_before(&json, truncate_before);
        let metadata = [event(id, METADATA_TYPE, true, json)];
        let revision = last.map_or(0, |last| last + 1);
        let mut parts = vec![Part { stream: &name, revision, events: &metadata }];
        parts.extend(events);
        Ok(self.batch.append(&self.committer.catalog.index().keys, &parts))
    }
}

impl Lookup for View<'_> {
    type Error = Refusal;

    fn by_id(&mut self, id: Uuid) -> Result<Option<Known>, Refusal> {
        if let Some(known) = self.batch.by_id(self.key, id) {
            return Ok(Some(known));
        }
        let Some(position) = self.committer.recent.get(self.key, id) else { return Ok(None) };
        // The event may have been scavenged since it was remembered.
        let record = self.committer.catalog.record(position)?;
        let record = record.filter(|record| {
            record.id == id && self.committer.catalog.key(&record.stream) == self.key
        });
        Ok(record.map(|record| Known { id, revision: record.revision, position }))
    }

    fn by_revision(&mut self, revision: u64) -> Result<Option<Known>, Refusal> {
        if let Some(known) = self.batch.by_revision(self.key, revision) {
            return Ok(Some(known));
        }
        let catalog = &self.committer.catalog;
        let Some(position) = catalog.position(self.key, revision)? else { return Ok(None) };
        let record = catalog.record(position)?;
        Ok(record.map(|record| Known { id: record.id, revision, position }))
    }
}

impl Committer {
    fn record(&self, position: u64) -> Result<Record, Refusal> {
        let lost = ReadError::NotARecord { position, reason: "the index points elsewhere" };
        Ok(self.catalog.record(position)?.ok_or(lost)?)
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::Storage(error.to_string())
    }
}

fn event(id: Uuid, event_type: &'static [u8], is_json: bool, data: Vec<u8>) -> Proposed {
    let event_type = Bytes::from_static(event_type);
    Proposed { id, event_type, is_json, custom_metadata: Bytes::new(), data: data.into() }
}

/// The id of the metadata event that revives a stream, from the first event that does: no
/// randomness is needed in the committer.
fn new_id(first: &Proposed) -> Uuid {
    Uuid::from_u128(first.id.as_u128().rotate_left(64) ^ 1)
}

/// 100 ns ticks since 1970, which the protocol counts time in.
pub(crate) fn ticks(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX)
}
