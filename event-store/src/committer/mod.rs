//! The one thread that appends: takes what is queued, writes it, syncs once, answers all.

mod command;
mod view;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::command::Reply;
pub(crate) use self::{
    command::{Action, Answer, Command, Refusal, Room, Written},
    view::{Metadata, View},
};
use crate::{
    batch::{Batch, Part},
    catalog::Catalog,
    expected::{self, Decision, Expected, Known},
    index::{Reach, keeper::Tasks, recent::Recent},
    log::{frame::Proposed, writer::Writer},
    metadata::{SOFT_DELETED, TOMBSTONE_REVISION, TOMBSTONE_TYPE},
    wake::Waker,
};

/// A batch is closed when its bytes reach this many.
const BATCH_BYTES: usize = 8 << 20;
/// A batch is closed when it holds this many commands.
const BATCH_COMMANDS: usize = 8192;

/// When so many times what the index holds in memory waits to be written, appends are refused.
const OVERDUE: usize = 16;
/// Below so many entries they never are.
const LEAST_OVERDUE: usize = 1 << 16;

/// When so many commands came at once, more are on their way, and a sync for few of them would take
/// the processor from those who bring them.
const CROWD: usize = 4;
/// How long the committer then waits for the next command before it goes on, and how many times:
/// a sync takes about as long as all of them.
const SLICE: Duration = Duration::from_micros(100);
const SLICES: u32 = 10;

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
    /// The last field: it is dropped after the head, so whoever it wakes sees that all has ended.
    pub(crate) waker: Waker,
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
            match command {
                Command::Write { answer, .. } => drop(answer.send(Err(Refusal::Stopped))),
                Command::Transact { answer, .. } => {
                    drop(answer.send(Err(Refusal::Stopped.into())));
                }
                Command::Stop => {}
            }
        }
    }

    fn round(
        &mut self,
        first: Command,
        commands: &mut mpsc::Receiver<Command>,
        batch: &mut Batch,
        answers: &mut Vec<Reply>,
    ) {
        let begun = self.ready();
        self.last_created = self.last_created.max(ticks(SystemTime::now()));
        batch.reset(self.writer.head(), self.last_created);
        let mut next = Some(first);
        let mut slices = 0;
        while let Some(command) = next {
            match command {
                Command::Write { stream, expected, action, answer, room: _room } => {
                    let result = if begun.is_ok() {
                        self.stage(batch, &stream, expected, action)
                    } else {
                        Err(Refusal::Stopped)
                    };
                    answers.push(Reply::Write(answer, result));
                }
                Command::Transact { transaction, answer, room: _room } => {
                    let result = if begun.is_ok() {
                        self.transact(batch, &transaction)
                    } else {
                        Err(Refusal::Stopped.into())
                    };
                    answers.push(Reply::Transact(answer, result));
                }
                Command::Stop => {}
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
        for answer in answers.drain(..) {
            answer.send(failure.clone());
        }
    }

    /// Makes ready for a batch, unless the index has not been written for so long that it would take
    /// all the memory.
    fn ready(&mut self) -> Result<u64, crate::Error> {
        let most = self.memory.0.saturating_mul(OVERDUE).max(LEAST_OVERDUE);
        if self.catalog.index().waiting() > most {
            return Err(crate::Error::IndexOverdue);
        }
        self.writer.begin()
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<(), crate::Error> {
        if batch.bytes().is_empty() {
            return Ok(());
        }
        let head = self.writer.commit(batch.bytes())?;
        let last = batch.remember(&mut self.recent).expect("a batch has an event");
        let index = self.catalog.index();
        // The head moves while the index is locked: whoever is woken by it finds the index moved,
        // and whoever looks at the head after the index finds all of the index below it.
        index.insert(batch.entries(), || {
            self.head.send_replace(head);
        });
        self.waker.0.wake(batch.touched());
        let (events, bytes) = self.memory;
        let reach = Reach::new(head, last, &self.recent);
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

fn event(id: Uuid, event_type: &'static [u8], is_json: bool, data: Vec<u8>) -> Proposed {
    let event_type = Bytes::from_static(event_type);
    Proposed { id, event_type, is_json, custom_metadata: Bytes::new(), data: data.into() }
}

/// The id of the metadata event that revives a stream, from the first event that does: no
/// randomness is needed in the committer.
pub(crate) fn new_id(first: &Proposed) -> Uuid {
    Uuid::from_u128(first.id.as_u128().rotate_left(64) ^ 1)
}

/// 100 ns ticks since 1970, which the protocol counts time in.
pub(crate) fn ticks(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX)
}
