//! `--sizes`: what the store costs as its log grows.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        machine::{self, Machine},
        report::{Latency, rounded},
    },
    disk,
    load::{Numbers, Window},
    reads,
    report::{Size, SizesReport},
    server::{self, Server, Which},
    site,
    steps::{appends, batches, exactly},
};

/// Callers that append on top of each size.
const CALLERS: usize = 256;
/// For how long they do.
const SPAN: Duration = Duration::from_secs(3);
/// Streams that are read at random.
const READS: u64 = 5_000;
/// Events that are written before progress is told.
const CHUNK: u64 = 1_000_000;

/// Grows one log to each size in turn, and measures there.
///
/// # Errors
/// When the store does not start, refuses a write or lost one, or when `enough` is cancelled.
pub async fn run(
    sizes: &[u64],
    parent: Option<PathBuf>,
    enough: CancellationToken,
) -> Result<SizesReport> {
    let begun = Instant::now();
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    sizes.dedup();
    ensure!(sizes.iter().all(|size| *size > 0), "a size is a number of events above 0");
    let folder = site::folder(parent.as_deref())?;
    let file_system = disk::file_system(folder.path());
    let mut grown = Grown::start(folder.path()).await?;
    let measured = async {
        let mut all = Vec::new();
        for size in sizes {
            all.push(grown.measure(size).await?);
        }
        anyhow::Ok(all)
    };
    let measured = tokio::select! {
        measured = measured => measured,
        () = enough.cancelled() => Err(anyhow::anyhow!("ended by a signal")),
    };
    grown.server.kill().await?;
    folder.close()?;
    Ok(SizesReport {
        bench: "event-store".to_owned(),
        machine: Machine::this(),
        date: machine::date(),
        commit: crate::COMMIT.to_owned(),
        seconds: rounded(begun.elapsed().as_secs_f64(), 1),
        store: server::store_name()?,
        file_system,
        sizes: measured?,
    })
}

/// A store whose log grows; each event is in a stream of its own.
struct Grown {
    server: Server,
    numbers: Numbers,
    which: Which,
    data: PathBuf,
    log: PathBuf,
}

impl Grown {
    async fn start(folder: &Path) -> Result<Self> {
        let (data, log) = (folder.join("store"), folder.join("store.log"));
        let which = Which::Store(data.clone());
        let server = Server::start(&which, &log).await?;
        Ok(Self { server, numbers: Numbers::default(), which, data, log })
    }

    async fn measure(&mut self, size: u64) -> Result<Size> {
        let batch = self.grow(size).await?;
        let memory_after_load = self.server.memory();
        self.server.terminate().await?;
        let events = self.numbers.count();
        let bytes = disk::bytes(&self.data)?;
        let open_ms = self.open().await?;
        let memory_after_open = self.server.memory();
        let client = self.server.client()?;
        let reading = Window { span: SPAN * 10, calls: READS };
        let read = reads::random(&client, events, reading).await?;
        let appending = Window { span: SPAN, calls: size };
        let append = appends(&[client], CALLERS, appending, &self.numbers).await?;
        self.server.kill().await?;
        let open_after_kill_ms = self.open().await?;
        let memory_after_kill = self.server.memory();
        self.is_all_there().await?;
        eprintln!(
            "{size} events: batch {batch:.0}/s, 256 callers {:.0}/s, open {open_ms:.1} ms and \
             {open_after_kill_ms:.1} ms, {memory_after_open}",
            append.per_second()
        );
        Ok(Size {
            events: size,
            batch_append_256_per_s: rounded(batch, 0),
            append_256_per_s: rounded(append.per_second(), 0),
            open_ms,
            open_after_kill_ms,
            read: Latency::of(&read.latency),
            memory_after_load,
            memory_after_open,
            memory_after_kill,
            bytes_per_event: rounded(bytes as f64 / events as f64, 1),
        })
    }

    /// Writes until there are so many events, and returns the rate of the last fifth of the way.
    async fn grow(&mut self, size: u64) -> Result<f64> {
        let client = self.server.client()?;
        let way = size.saturating_sub(self.numbers.count());
        ensure!(way >= 5, "the log is already as large as {size} events");
        let last = way / 5;
        let mut left = way - last;
        while left > 0 {
            let chunk = left.min(CHUNK);
            batches(&client, 1, exactly(chunk), &self.numbers).await?;
            left -= chunk;
            eprintln!("{:>11} events", self.numbers.count());
        }
        Ok(batches(&client, 1, exactly(last), &self.numbers).await?.per_second())
    }

    async fn open(&mut self) -> Result<f64> {
        self.server = Server::start(&self.which, &self.log).await?;
        Ok(rounded(self.server.opened.as_secs_f64() * 1e3, 1))
    }

    /// Every write was answered before the kill, so any stream can be read.
    async fn is_all_there(&self) -> Result<()> {
        let some = Window { span: SPAN, calls: 200 };
        reads::random(&self.server.client()?, self.numbers.count(), some).await?;
        Ok(())
    }
}
