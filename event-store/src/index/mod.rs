//! Where each stream's events are in the log: recent ones in memory, the rest in sorted runs on disk.
//!
//! The index follows from the log. New places go to a table in memory; a full table is *frozen* and
//! written as a run by the keeper, who also merges runs, so that there are few (a log-structured
//! merge tree: O'Neil et al. 1996). The checkpoint names the runs and the position they cover; at
//! open only the log behind it is read. An index that is missing, damaged or of another log is
//! built anew.

mod bloom;
mod checkpoint;
pub(crate) mod entry;
pub(crate) mod keeper;
pub(crate) mod key;
mod memory;
mod page;
pub(crate) mod recent;
mod run;
#[cfg(test)]
mod tests;
mod write;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use uuid::Uuid;

use self::{
    checkpoint::Checkpoint,
    entry::{Entry, Range, State},
    key::{Keys, StreamKey},
    memory::Memory,
    recent::Recent,
    run::Run,
};

/// How far the index reaches into the log, as the one who fills it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Everything below this position is in the index.
    pub(crate) covered: u64,
    /// The event that ended there, by its id and position, to know the log again.
    pub(crate) last: (Uuid, u64),
    /// The oldest event that is remembered by its id.
    pub(crate) recent_from: u64,
}

/// The index of durable events. The committer fills it, readers and the keeper share it.
#[derive(Debug)]
pub(crate) struct Index {
    folder: PathBuf,
    pub(crate) keys: Keys,
    tables: RwLock<Tables>,
    /// The number of the next run. None is used twice, whatever failed: a checkpoint that was thought
    /// lost may name it.
    next_number: AtomicU64,
    /// Something in the files is not what was written: no checkpoint is stored any more.
    damaged: AtomicBool,
}

#[derive(Debug)]
struct Tables {
    active: Memory,
    frozen: Option<Frozen>,
    /// In the order of the log.
    runs: Arc<Vec<(u64, Arc<Run>)>>,
    checkpoint: Checkpoint,
}

#[derive(Clone, Debug)]
struct Frozen {
    memory: Arc<Memory>,
    reach: Reach,
}

/// So much of the log behind the oldest remembered event is read again at open, and no more.
const RECENT_BYTES: u64 = 128 << 20;

impl Reach {
    pub(crate) fn new(covered: u64, last: (Uuid, u64), recent: &Recent) -> Self {
        let recent_from = recent.from(covered.saturating_sub(RECENT_BYTES)).unwrap_or(covered);
        Self { covered, last, recent_from }
    }
}

/// An index as it was found.
pub(crate) struct Opened {
    pub(crate) index: Index,
    /// What it covers; `None` when it has to be filled from the start of the log.
    pub(crate) reach: Option<Reach>,
}

impl Index {
    /// Opens the index in the folder, or begins an empty one.
    pub(crate) fn open(folder: &Path) -> io::Result<Opened> {
        fs::create_dir_all(folder)?;
        if let Some(checkpoint) = Checkpoint::load(folder) {
            match open_runs(folder, &checkpoint) {
                Ok(runs) => {
                    checkpoint.clean(folder)?;
                    let Checkpoint { covered, last, recent_from, .. } = checkpoint;
                    let reach = Reach { covered, last, recent_from };
                    return Ok(Opened {
                        index: Self::with(folder, checkpoint, runs),
                        reach: (covered > 0).then_some(reach),
                    });
                }
                Err(error) if is_damage(&error) => {
                    tracing::warn!(%error, "the index is damaged and is built anew");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Opened { index: Self::anew(folder)?, reach: None })
    }

    /// Begins an empty index in the place of whatever is there.
    pub(crate) fn anew(folder: &Path) -> io::Result<Self> {
        let checkpoint = Checkpoint::empty(Uuid::from_u128(rand::random()));
        checkpoint.store(folder)?;
        checkpoint.clean(folder)?;
        Ok(Self::with(folder, checkpoint, Vec::new()))
    }

    fn with(folder: &Path, checkpoint: Checkpoint, runs: Vec<(u64, Arc<Run>)>) -> Self {
        let keys = Keys::new(checkpoint.secret.as_bytes());
        let runs = Arc::new(runs);
        let next = checkpoint.runs.iter().max().map_or(1, |number| number + 1);
        let tables = Tables { active: Memory::default(), frozen: None, runs, checkpoint };
        Self {
            folder: folder.to_owned(),
            keys,
            tables: RwLock::new(tables),
            next_number: AtomicU64::new(next),
            damaged: AtomicBool::new(false),
        }
    }

    /// What is known of the stream.
    pub(crate) fn state(&self, key: StreamKey) -> io::Result<State> {
        let (mut state, frozen, runs) = {
            let tables = self.read();
            (tables.active.state(key), tables.frozen.clone(), Arc::clone(&tables.runs))
        };
        if let Some(frozen) = frozen {
            state = state.or_older(frozen.memory.state(key));
        }
        for (_, run) in runs.iter().rev().filter(|(_, run)| run.may_hold(key)) {
            state = state.or_older(run.state(key).map_err(|error| self.note(error))?);
        }
        Ok(state)
    }

    /// Revisions and positions of the stream's events within the range, in order. Revisions may be
    /// missing where events were scavenged, and so may the event at a position.
    pub(crate) fn places(&self, key: StreamKey, range: Range) -> io::Result<Vec<(u64, u64)>> {
        let (mut newest, mut found) = (Vec::new(), Vec::new());
        let (frozen, runs) = {
            let tables = self.read();
            tables.active.places(key, range, &mut newest);
            (tables.frozen.clone(), Arc::clone(&tables.runs))
        };
        for (_, run) in runs.iter().filter(|(_, run)| run.may_hold(key)) {
            run.places(key, range, &mut found).map_err(|error| self.note(error))?;
        }
        if let Some(frozen) = &frozen {
            frozen.memory.places(key, range, &mut found);
        }
        found.append(&mut newest);
        found.truncate(range.most);
        Ok(found)
    }

    /// The position of the event at this revision.
    pub(crate) fn position(&self, key: StreamKey, revision: u64) -> io::Result<Option<u64>> {
        let range = Range { from: revision, to: revision, most: 1 };
        Ok(self.places(key, range)?.first().map(|(_, position)| *position))
    }

    /// Takes entries in. `then` is done before anybody can look at the index again.
    pub(crate) fn insert(&self, entries: impl Iterator<Item = Entry>, then: impl FnOnce()) {
        let mut tables = self.write();
        entries.for_each(|entry| tables.active.insert(entry));
        then();
    }

    /// Hands the table in memory over to the keeper when it has grown to the limit, or when so many
    /// bytes of the log are not covered. False when nothing was handed over.
    pub(crate) fn freeze(&self, reach: Reach, entries: usize, bytes: u64) -> bool {
        let mut tables = self.write();
        let uncovered = reach.covered - tables.checkpoint.covered;
        let full = tables.active.len() >= entries || uncovered >= bytes;
        let freezes = full && tables.frozen.is_none() && tables.active.len() > 0;
        if freezes {
            let memory = Arc::new(std::mem::take(&mut tables.active));
            tables.frozen = Some(Frozen { memory, reach });
        }
        freezes
    }

    /// How many entries wait in memory for the keeper to write them.
    pub(crate) fn waiting(&self) -> usize {
        self.read().active.len()
    }

    /// Whether something in the files is not what was written.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// A damaged index must not be trusted at the next start either.
    pub(crate) fn note(&self, error: io::Error) -> io::Error {
        if is_damage(&error) && !self.damaged.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "the index is damaged; a restart builds it anew from the log");
            if let Err(error) = checkpoint::discard(&self.folder) {
                tracing::error!(%error, "the checkpoint of the index cannot be removed");
            }
        }
        error
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().expect("no panic while the index is locked")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().expect("no panic while the index is locked")
    }
}

/// Whether files are not what was written, rather than out of reach.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | NotFound | UnexpectedEof)
}

fn open_runs(folder: &Path, checkpoint: &Checkpoint) -> io::Result<Vec<(u64, Arc<Run>)>> {
    let open = |number: &u64| {
        let run = Run::open(&checkpoint::run_path(folder, *number))?;
        Ok((*number, Arc::new(run)))
    };
    checkpoint.runs.iter().map(open).collect()
}
