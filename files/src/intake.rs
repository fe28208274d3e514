//! Receiving what somebody uploads: piece by piece, counted, digested, within time.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use object_store::WriteMultipart;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::kind::LOOKED_AT;
use crate::{Kind, Storage, StorageError};

/// How many parts of one upload may be on their way to the storage at once.
const PARTS: usize = 2;

/// What an upload may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most bytes.
    pub largest: u64,
    /// The longest silence between two pieces.
    pub silence: Duration,
    /// The longest time for all of it.
    pub whole: Duration,
}

/// Why an upload was not received.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// It has more bytes than it may.
    #[error("the file is too large")]
    TooLarge,
    /// Nothing came for too long, or all of it took too long.
    #[error("the upload takes too long")]
    Stalled,
    /// It ended before its end.
    #[error("the upload was cut off")]
    Cut,
    /// The storage is away.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// An upload that came to its end. It lies in the storage without belonging to anything, and is
/// removed when this is dropped.
#[derive(Debug)]
pub struct Received {
    pub(crate) upload: Uuid,
    pub(crate) storage: Storage,
    /// Whether it was moved to where it belongs.
    pub(crate) settled: bool,
    /// SHA-256 of what came, in hex.
    pub digest: String,
    /// How many bytes came.
    pub bytes: u64,
    /// What it is.
    pub kind: Kind,
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let (storage, upload) = (self.storage.clone(), self.upload);
        // Where there is no runtime any more, the sweep finds it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = storage.drop_upload(upload).await {
                tracing::warn!(%error, "an upload that nobody needs is left to the sweep");
            }
        });
    }
}

/// Receives an upload into the storage. No more of it is in memory than a few parts of a few MiB,
/// and nothing of it stays in the storage if it is refused.
///
/// # Errors
/// See [`IntakeError`].
pub async fn receive<E>(
    storage: &Storage,
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    bounds: Bounds,
) -> Result<Received, IntakeError> {
    #[expect(clippy::disallowed_methods, reason = "an edge: the name of an upload means nothing")]
    let upload = Uuid::new_v4();
    let mut parts = storage.begin(upload).await?;
    match read(body, bounds, Some(&mut parts)).await {
        Ok(read) => {
            parts.finish().await.map_err(StorageError::from)?;
            let Read { digest, bytes, kind } = read;
            let storage = storage.clone();
            Ok(Received { upload, storage, settled: false, digest, bytes, kind })
        }
        Err(error) => {
            if let Err(error) = parts.abort().await {
                tracing::warn!(%error, "parts of a refused upload are left to the sweep");
            }
            Err(error)
        }
    }
}

/// Reads an upload without keeping it, and answers with its SHA-256 in hex: to tell whether it is
/// the one that was received before.
///
/// # Errors
/// As [`receive`], but for the storage.
pub async fn digest_only<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    bounds: Bounds,
) -> Result<String, IntakeError> {
    read(body, bounds, None).await.map(|read| read.digest)
}

struct Read {
    digest: String,
    bytes: u64,
    kind: Kind,
}

async fn read<E>(
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    bounds: Bounds,
    mut parts: Option<&mut WriteMultipart>,
) -> Result<Read, IntakeError> {
    let deadline = Instant::now() + bounds.whole;
    let (mut digest, mut bytes) = (Sha256::new(), 0_u64);
    let mut head = Vec::with_capacity(LOOKED_AT);
    loop {
        let patience = bounds.silence.min(deadline.saturating_duration_since(Instant::now()));
        let piece = match timeout(patience, body.next()).await {
            Err(_) => return Err(IntakeError::Stalled),
            Ok(Some(Err(_))) => return Err(IntakeError::Cut),
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break,
        };
        bytes = bytes.saturating_add(piece.len() as u64);
        if bytes > bounds.largest {
            return Err(IntakeError::TooLarge);
        }
        digest.update(&piece);
        let missing = LOOKED_AT - head.len();
        head.extend_from_slice(&piece[..piece.len().min(missing)]);
        if let Some(parts) = &mut parts {
            parts.wait_for_capacity(PARTS).await.map_err(StorageError::from)?;
            // Copied: the piece may be a small window on a large buffer of the connection.
            parts.write(&piece);
        }
    }
    Ok(Read { digest: hex::encode(digest.finalize()), bytes, kind: Kind::of(&head) })
}
