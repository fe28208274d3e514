//! From the folder of this node into the file storage and the log.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::call::{self, Call};
use domain::file;
use event_log::{Context, EventLog, Opened, TransactError};
use events::{CallEvent, CallId, DomainEvent, FileId, Moment, RecordingId, StreamName, UserId};
use files::{Bounds, KeepError, Kept, LeastRate, Storage, Studio};
use futures::Stream;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::finish::{self, Finished};
use super::spool::{Folder, Label, pause};

/// Who acts where nobody asked for it.
const SYSTEM: UserId = UserId::new(Uuid::nil());

/// How long storing may take once the node ends; the rest waits for the next start.
const FAREWELL: Duration = Duration::from_secs(3);

/// After so many attempts in vain it is a fact that a recording is not stored.
const ATTEMPTS: u32 = 3;

/// Read at once.
const PIECE: usize = 256 * 1024;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// It is read from the disk of this node: nobody is slow, and nobody takes too much.
const BOUNDS: Bounds = Bounds {
    largest: u64::MAX,
    silence: YEAR,
    whole: YEAR,
    least: LeastRate { per_second: 1, after: YEAR },
};

/// Why a file is not stored.
#[derive(Debug, Error)]
enum StoreError {
    /// It may be stored later.
    #[error("{0}")]
    Away(&'static str, #[source] anyhow::Error),
    /// It will never be.
    #[error("{0}")]
    Refused(&'static str, #[source] anyhow::Error),
    /// Whose media it is was erased.
    #[error("the person was erased")]
    Erased,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store {
    folder: Folder,
    studio: Studio,
    log: EventLog,
    node: String,
    wake: Arc<Notify>,
}

impl Store {
    pub(super) fn new(folder: Folder, storage: Storage, log: EventLog, node: String) -> Self {
        Self { folder, studio: Studio::new(storage), log, node, wake: Arc::default() }
    }

    /// There is something to store.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stores what there is, until the process ends: first of all what an earlier one left.
    pub(super) async fn run(&self, shutdown: CancellationToken) {
        let mut attempts = HashMap::new();
        loop {
            let failed = self.round(&mut attempts).await;
            let again = async {
                match failed {
                    0 => std::future::pending().await,
                    failed => sleep(pause(failed)).await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.wake.notified() => {}
                () = again => {}
            }
        }
    }

    /// Stores once more what there is, as far as there is time.
    pub(super) async fn farewell(&self) {
        if timeout(FAREWELL, self.round(&mut HashMap::new())).await.is_err() {
            tracing::warn!("recordings that are not stored wait for the next start of this node");
        }
    }

    /// Stores what waits. Answers with the fewest attempts among what failed; 0 if nothing did.
    async fn round(&self, attempts: &mut HashMap<FileId, u32>) -> u32 {
        let waiting = match self.folder.waiting() {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(%error, "the folder of recordings cannot be read");
                return ATTEMPTS;
            }
        };
        let mut fewest = 0;
        for (path, label) in waiting {
            let Err(error) = self.store(&path, &label).await else { continue };
            if matches!(error, StoreError::Erased) {
                tracing::info!(file.id = %label.file, "a recording of who was erased is removed");
                done(Folder::remove(&path));
                continue;
            }
            let tried = attempts.entry(label.file).or_default();
            *tried += 1;
            log_failure(&error, label.file);
            metrics::counter!("roundtable_sfu_recordings_not_stored_total").increment(1);
            let (reason, for_good) = match &error {
                StoreError::Away(reason, _) => (*reason, false),
                StoreError::Refused(reason, _) => (*reason, true),
                StoreError::Erased => continue,
            };
            if for_good {
                done(Folder::set_aside(&path));
            } else {
                fewest = if fewest == 0 { *tried } else { fewest.min(*tried) };
            }
            if for_good || *tried == ATTEMPTS {
                let reason = match for_good {
                    true => reason.to_owned(),
                    false => format!("{reason}: it waits at the node {}", self.node),
                };
                fail(&self.log, label.call, label.recording, &reason).await;
            }
        }
        fewest
    }

    async fn store(&self, path: &Path, label: &Label) -> Result<(), StoreError> {
        let times = self.times(label).await?;
        let until = times.stopped.map(|stopped| millis(stopped - label.begun));
        let finished = {
            let path = path.to_owned();
            tokio::task::spawn_blocking(move || finish::finish(&path, until)).await
        };
        let finished = finished.map_err(io::Error::other).and_then(|finished| finished);
        let disk = "the disk of the SFU node cannot be read";
        let finished = finished.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                StoreError::Refused("the file cannot be finished", error.into())
            }
            _ => StoreError::Away(disk, error.into()),
        })?;
        if let Some(finished) = finished {
            let kept = self.upload(path, label).await?;
            self.record(label, kept, finished, &times).await?;
            metrics::counter!("roundtable_sfu_recordings_stored_total").increment(1);
        }
        done(Folder::remove(path));
        Ok(())
    }

    /// When a recording was begun and stopped, as the log has it.
    async fn times(&self, label: &Label) -> Result<Times, StoreError> {
        let away = "the log does not answer";
        let events = self.log.read_stream(&StreamName::call(label.call), 0).await;
        let mut times = Times::default();
        for recorded in events.map_err(|error| StoreError::Away(away, error.into()))? {
            let Ok(Opened::Ours(envelope)) = self.log.open_sealed(&recorded) else { continue };
            let DomainEvent::Call(event) = envelope.event else { continue };
            match event {
                CallEvent::RecordingStarted { recording, .. } if recording == label.recording => {
                    times.started = Some(recorded.created);
                }
                CallEvent::RecordingStopped { recording, .. } if recording == label.recording => {
                    times.end(recorded.created);
                }
                // Consent ends with it, should they come back or not.
                CallEvent::Left { participant, .. }
                    if participant == label.of && recorded.created > label.begun =>
                {
                    times.end(recorded.created);
                }
                _ => {}
            }
        }
        Ok(times)
    }

    /// Puts the bytes where files are.
    async fn upload(&self, path: &Path, label: &Label) -> Result<Kept, StoreError> {
        let away = "the file storage does not answer";
        let body = Box::pin(pieces(path.to_owned()));
        let received = files::receive(self.studio.storage(), body, BOUNDS).await;
        let received = received.map_err(|error| StoreError::Away(away, error.into()))?;
        self.studio.keep(received, label.file).await.map_err(|error| match error {
            KeepError::Storage(error) => StoreError::Away(away, error.into()),
            error => StoreError::Refused("the file is not what it should be", error.into()),
        })
    }

    /// Appends the facts: there is a file, which belongs to whose media it is, and the recording has it.
    async fn record(
        &self,
        label: &Label,
        kept: Kept,
        finished: Finished,
        times: &Times,
    ) -> Result<(), StoreError> {
        let extension = if kept.media_type.ends_with("matroska") { "mkv" } else { "webm" };
        let upload = file::Upload {
            file: label.file,
            owner: label.of.user,
            conversation: Some(label.conversation),
            member: true,
            name: format!(
                "{} {}.{extension}",
                label.begun.format("%Y-%m-%d %H-%M-%S"),
                label.source
            ),
            media_type: kept.media_type.to_owned(),
            bytes: kept.bytes,
            digest: kept.digest,
            pixels: None,
        };
        let cause = self.log.beginning_of(&StreamName::call(label.call)).await;
        let cause = cause.map_err(|error| of_transaction::<call::Rejection>(error.into()))?;
        let context = context(label.file.uuid(), "upload").because(cause);
        let command = file::Command::Upload(upload);
        let stream = StreamName::file(label.file);
        let uploaded = self.log.transact::<file::File>(&stream, &command, &context).await;
        uploaded.map_err(of_transaction)?;
        let offset = times.started.map(|started| millis(label.begun - started));
        let command = call::Command::StoreRecording {
            recording: label.recording,
            file: label.file,
            of: Some(label.of),
            source: Some(label.source.clone()),
            milliseconds: finished.milliseconds,
            offset,
        };
        let stream = StreamName::call(label.call);
        let stored = self.log.transact::<Call>(&stream, &command, &context.step("store")).await;
        stored.map(drop).map_err(of_transaction)
    }
}

/// When a recording was begun, and when it stopped for whose media it is.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    started: Option<Moment>,
    stopped: Option<Moment>,
}

impl Times {
    fn end(&mut self, at: Moment) {
        self.stopped = Some(self.stopped.map_or(at, |before| before.min(at)));
    }
}

fn of_transaction<R: std::error::Error + Send + Sync + 'static>(
    error: TransactError<R>,
) -> StoreError {
    match error {
        TransactError::Rejected(rejection) => {
            StoreError::Refused("the rules of the call do not take it", rejection.into())
        }
        TransactError::Erased => StoreError::Erased,
        error => StoreError::Away("the log does not answer", error.into()),
    }
}

fn log_failure(error: &StoreError, file: FileId) {
    let error: &dyn std::error::Error = error;
    tracing::warn!(error, file.id = %file, "a recording is not stored");
}

/// A recording, or a part of it, is not kept. Best effort: the log may be away as well.
///
/// Returns whether that is known now, or is not true any more.
pub(super) async fn fail(
    log: &EventLog,
    call: CallId,
    recording: RecordingId,
    reason: &str,
) -> bool {
    let command = call::Command::FailRecording { recording, reason: reason.to_owned() };
    let context = context(recording.uuid(), "fail");
    match log.transact::<Call>(&StreamName::call(call), &command, &context).await {
        Ok(_) => true,
        Err(TransactError::Rejected(rejection)) => {
            tracing::debug!(%rejection, %reason, "a recording has not failed");
            true
        }
        Err(error) => {
            tracing::error!(%error, %reason, "it is not recorded that a recording failed");
            false
        }
    }
}

/// The same for every attempt: what is done is not doubled.
fn context(of: Uuid, step: &str) -> Context {
    let key = Uuid::new_v5(&of, step.as_bytes());
    Context {
        actor: SYSTEM,
        key,
        body_hash: String::new(),
        correlation: key,
        causation: key,
        now: service::clock::now(),
        decided_on: None,
        token: None,
    }
}

fn millis(time: chrono::TimeDelta) -> u64 {
    u64::try_from(time.num_milliseconds()).unwrap_or(0)
}

fn done(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "the folder of recordings cannot be tidied");
    }
}

/// A file, piece by piece.
fn pieces(path: PathBuf) -> impl Stream<Item = io::Result<Bytes>> {
    futures::stream::unfold((None, path), |(open, path)| async move {
        let read = async {
            let mut file = match open {
                Some(file) => file,
                None => tokio::fs::File::open(&path).await?,
            };
            let mut piece = Vec::with_capacity(PIECE);
            let len = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
            Ok((len > 0).then(|| (Bytes::from(piece), file)))
        };
        match read.await {
            Ok(None) => None,
            Ok(Some((piece, file))) => Some((Ok(piece), (Some(file), path))),
            Err(error) => Some((Err(error), (None, path))),
        }
    })
}
