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
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::{
    Config, Error,
    catalog::{self, Catalog},
    committer::{Action, Answer, Command, Committer, Refusal, Room},
    expected::Expected,
    index::{
        Index, Opened, Reach,
        keeper::{Keeper, Tasks},
        recent::Recent,
    },
    log::{
        frame,
        reader::{LogReader, ReadError},
        recovery::{Log, Recovered},
        segment::{Segments, sync_folder},
        writer::Writer,
    },
    metadata,
    scavenge::{self, Scavenger},
    transaction::{self, Transaction},
    wake::{Registration, Waker, Wakes},
};

/// Writes that may wait for the committer; a full queue holds the callers back.
const QUEUE: usize = 16 << 10;
/// KiB of events that may wait for the committer; when there is no room, the callers are held back.
const ROOM: usize = 256 << 10;

/// The index in memory goes to disk when it covers so many bytes of the log, however few its events.
const INDEX_MEMORY_BYTES: u64 = 128 << 20;

/// What requests share.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) catalog: Arc<Catalog>,
    segments: Arc<Segments>,
    head: watch::Receiver<u64>,
    wakes: Arc<Wakes>,
    commands: mpsc::Sender<Command>,
    keeper: Tasks,
    pub(crate) scavenger: Scavenger,
    room: Arc<Semaphore>,
}

impl Engine {
    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// The last revision of the stream, not counting a tombstone, and hidden or not.
    pub(crate) fn last_revision(&self, stream: &[u8]) -> Result<Option<u64>, ReadError> {
        Ok(self.catalog.state(self.catalog.key(stream))?.last)
    }

    /// Drops from the index, some time soon, what a scavenge has removed from the log.
    pub(crate) fn sweep_index(&self) {
        let segments = Arc::clone(&self.segments);
        self.keeper.sweep(Box::new(move |position| segments.holds_record(position)));
    }

    /// The position behind the last durable event.
    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Tells when the head has moved.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    /// Tells when something is new in the stream. To miss nothing, look at it after this.
    pub(crate) fn follow(&self, stream: &[u8]) -> Registration {
        let mut keys = vec![self.catalog.key(stream)];
        // Metadata is gone with its stream, whose tombstone has no event in the metadata.
        keys.extend(metadata::described(stream).map(|described| self.catalog.key(described)));
        self.wakes.register(keys)
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
        let bytes = match &action {
            Action::Append(events) => events.iter().map(|event| frame::size(&stream, event)).sum(),
            Action::SoftDelete(_) | Action::Tombstone(_) => 0,
        };
        self.fits(bytes)?;
        let room = self.room(bytes).await;
        let command = Command::Write { stream, expected, action, answer, room };
        self.commands.send(command).await.map_err(|_| Refusal::Stopped)?;
        Ok(receiver)
    }

    /// Queues a write and waits until it is durable.
    pub(crate) async fn write(&self, stream: Bytes, expected: Expected, action: Action) -> Answer {
        let answer = self.submit(stream, expected, action).await?;
        answer.await.unwrap_or(Err(Refusal::Stopped))
    }

    /// Queues a transaction and waits until it is durable.
    pub(crate) async fn transact(&self, transaction: Transaction) -> transaction::Answer {
        let (answer, receiver) = oneshot::channel();
        self.fits(transaction.bytes())?;
        let room = self.room(transaction.bytes()).await;
        let command = Command::Transact { transaction, answer, room };
        self.commands.send(command).await.map_err(|_| Refusal::Stopped)?;
        receiver.await.unwrap_or(Err(Refusal::Stopped.into()))
    }

    /// Whether the store can still take writes.
    pub(crate) fn is_alive(&self) -> bool {
        !self.commands.is_closed()
    }

    /// Events of no size take room in the log too: each has a header and its stream's name.
    fn fits(&self, bytes: usize) -> Result<(), Refusal> {
        let most = self.config.max_append_bytes.saturating_mul(2).min(1 << 31);
        if bytes > most { Err(Refusal::TooBig) } else { Ok(()) }
    }

    async fn room(&self, bytes: usize) -> Room {
        // What is larger than all the room there is waits until it is alone.
        let kib = (1 + bytes / 1024).min(ROOM) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
        room.expect("the room is never closed")
    }
}

/// An open engine. Dropping it finishes what was begun, and frees the folder.
pub(crate) struct Running {
    pub(crate) engine: Arc<Engine>,
    stop: Arc<AtomicBool>,
    committer: Option<JoinHandle<()>>,
    scavenger: Option<JoinHandle<()>>,
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
        let wakes = Arc::new(Wakes::default());
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
            waker: Waker(Arc::clone(&wakes)),
        };
        let committer = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || committer.run(queue))
            .map_err(Error::Thread)?;
        let engine = Engine {
            config,
            catalog,
            segments,
            head: head_receiver,
            wakes,
            commands,
            room: Arc::new(Semaphore::new(ROOM)),
            keeper: keeper.tasks(),
            scavenger: Scavenger::default(),
        };
        let mut running = Self {
            engine: Arc::new(engine),
            stop,
            committer: Some(committer),
            scavenger: None,
            _keeper: keeper,
            _lock: lock,
        };
        running.scavenger = Some(scavenge::spawn(&running.engine)?);
        Ok(running)
    }
}

/// What opening reads from the disk.
struct Filled {
    index: Index,
    recent: Recent,
    recovered: Recovered,
}

/// Opens index and log. An index that turns out to be damaged is built anew, once.
fn fill(config: &Config) -> Result<Filled, Error> {
    let filled = read(config)?;
    if !filled.index.is_damaged() {
        return Ok(filled);
    }
    drop(filled);
    read(config)
}

/// Reads what of the log the index does not cover; all of it when the index is not of this log.
fn read(config: &Config) -> Result<Filled, Error> {
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
            let reach = Reach::new(record.next, (record.id, record.position), &recent);
            if index.freeze(reach, config.index_memory_events, INDEX_MEMORY_BYTES) {
                index.write_frozen().map_err(failed)?;
                if let Err(error) = index.merge_due(&AtomicBool::new(false)) {
                    let error = index.note(error);
                    if !index.is_damaged() {
                        return Err(failed(error));
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(Filled { index, recent, recovered })
}

impl Drop for Running {
    fn drop(&mut self) {
        // It records how it ended, so it ends before the committer does.
        self.engine.scavenger.close();
        if let Some(scavenger) = self.scavenger.take()
            && scavenger.join().is_err()
        {
            tracing::error!("the scavenger ended with a panic");
        }
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
pub(crate) fn lock(data: &Path) -> Result<File, Error> {
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
