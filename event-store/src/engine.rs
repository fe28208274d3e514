//! The store without the network: one committer behind a queue, and any number of readers.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Config, Error,
    catalog::{self, Catalog},
    committer::{Action, Answer, Command, Committer, Refusal},
    expected::Expected,
    index::{Index, Opened, Reach, keeper::Keeper, recent::Recent},
    log::{
        reader::LogReader,
        recovery::{Log, Recovered},
        segment::{Segments, sync_folder},
        writer::Writer,
    },
};

/// Writes that may wait for the committer; a full queue holds the callers back.
const QUEUE: usize = 16 << 10;

/// The index in memory goes to disk when it covers so many bytes of the log, however few its events.
const INDEX_MEMORY_BYTES: u64 = 128 << 20;

/// What requests share.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) catalog: Arc<Catalog>,
    segments: Arc<Segments>,
    head: watch::Receiver<u64>,
    commands: mpsc::Sender<Command>,
}

impl Engine {
    /// The position behind the last durable event.
    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Tells when the head has moved.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    /// A reader of all that is durable now.
    pub(crate) fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.segments), self.head())
    }

    /// Queues a write; the answer comes when it is durable.
    pub(crate) async fn submit(
        &self,
        stream: Bytes,
        expected: Expected,
        action: Action,
    ) -> Result<oneshot::Receiver<Answer>, Refusal> {
        let (answer, receiver) = oneshot::channel();
        let command = Command::Write { stream, expected, action, answer };
        self.commands.send(command).await.map_err(|_| Refusal::Stopped)?;
        Ok(receiver)
    }

    /// Queues a write and waits until it is durable.
    pub(crate) async fn write(&self, stream: Bytes, expected: Expected, action: Action) -> Answer {
        let answer = self.submit(stream, expected, action).await?;
        answer.await.unwrap_or(Err(Refusal::Stopped))
    }
}

/// An open engine. Dropping it finishes what was begun, and frees the folder.
pub(crate) struct Running {
    pub(crate) engine: Arc<Engine>,
    stop: Arc<AtomicBool>,
    committer: Option<JoinHandle<()>>,
    _keeper: Keeper,
    _lock: File,
}

impl Running {
    /// Opens the folder: takes its lock, recovers the log and starts the committer.
    pub(crate) fn open(config: Config) -> Result<Self, Error> {
        make_folder(&config.data)?;
        let lock = lock(&config.data)?;
        let Filled { index, recent, recovered } = fill(&config)?;
        let Recovered { segments, head, last_created } = recovered;
        let index = Arc::new(index);
        let keeper = Keeper::start(Arc::clone(&index))?;
        let (head_sender, head_receiver) = watch::channel(head);
        let catalog = Catalog::new(index, Arc::clone(&segments), head_receiver.clone());
        let catalog = Arc::new(catalog);
        let (commands, queue) = mpsc::channel(QUEUE);
        let stop = Arc::new(AtomicBool::new(false));
        let committer = Committer {
            catalog: Arc::clone(&catalog),
            recent,
            writer: Writer::new(&config.data, Arc::clone(&segments), config.segment_bytes, head),
            head: head_sender,
            last_created,
            keeper: keeper.tasks(),
            memory: (config.index_memory_events, INDEX_MEMORY_BYTES),
            stop: Arc::clone(&stop),
        };
        let committer = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run(queue))
            .map_err(Error::Thread)?;
        let engine = Engine { config, catalog, segments, head: head_receiver, commands };
        let (engine, committer) = (Arc::new(engine), Some(committer));
        Ok(Self { engine, stop, committer, _keeper: keeper, _lock: lock })
    }
}

/// What opening reads from the disk.
struct Filled {
    index: Index,
    recent: Recent,
    recovered: Recovered,
}

/// Opens index and log, and reads what of the log the index does not cover; all of it when the
/// index is not of this log.
fn fill(config: &Config) -> Result<Filled, Error> {
    let folder = config.data.join("index");
    let failed = |source| Error::Io { what: "write the index in", path: folder.clone(), source };
    let log = Log::open(&config.data)?;
    let Opened { mut index, mut reach } = Index::open(&folder).map_err(failed)?;
    if let Some(known) = reach
        && !log.continues(&known)?
    {
        tracing::warn!("the index is not of this log and is built anew");
        index = Index::anew(&folder).map_err(failed)?;
        reach = None;
    }
    let covered = reach.map_or(0, |reach| reach.covered);
    let mut recent = Recent::new(config.recent_events);
    let recovered = log.replay(reach.as_ref(), |record| {
        let key = index.keys.key(&record.stream);
        recent.insert(key, record.id, record.position);
        if record.position < covered {
            return Ok(());
        }
        let stream = (&record.stream[..], key);
        let (revision, position) = (record.revision, record.position);
        let entries = catalog::entries(&index.keys, stream, &record.event_type, revision, position);
        index.insert(entries, || ());
        // Only between two appends, so that a replay never begins inside of one.
        if record.following == 0 {
            let reach = Reach::new(record.next, record.id, &recent);
            if index.freeze(reach, config.index_memory_events, INDEX_MEMORY_BYTES) {
                index.write_frozen().map_err(failed)?;
                index.merge_due(&AtomicBool::new(false)).map_err(failed)?;
            }
        }
        Ok(())
    })?;
    Ok(Filled { index, recent, recovered })
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A full queue needs no wake-up: the committer is at work and sees the flag.
        let _ = self.engine.commands.try_send(Command::Stop);
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the committer ended with a panic");
        }
    }
}

fn make_folder(data: &Path) -> Result<(), Error> {
    if data.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(data).map_err(Error::io("create", data))?;
    match data.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_folder(parent),
        None => sync_folder(Path::new(".")),
    }
}

/// Takes the folder for this process; the system frees it when the process ends, however it does.
fn lock(data: &Path) -> Result<File, Error> {
    let path = data.join("lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Taken(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}
