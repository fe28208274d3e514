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
    /// How slow it may be.
    pub least: LeastRate,
}

/// How slow an upload may be on average: who drips takes the place of others.
#[derive(Clone, Copy, Debug)]
pub struct LeastRate {
    /// The fewest bytes in a second.
    pub per_second: u64,
    /// How long after its begin an upload is not measured yet.
    pub after: Duration,
}

impl Bounds {
    /// How long an upload may take until its next piece comes, when so many bytes came in so much
    /// time. Time that the storage took (`stored`) is not the uploader's.
    fn patience(&self, bytes: u64, spent: Duration, stored: Duration) -> Duration {
        let earned = bytes.saturating_mul(1000) / self.least.per_second.max(1);
        let rate = self.least.after.max(Duration::from_millis(earned)).saturating_add(stored);
        self.silence.min(self.whole.saturating_sub(spent)).min(rate.saturating_sub(spent))
    }
}

/// Why an upload was not received.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// It has more bytes than it may.
    #[error("the file is too large")]
    TooLarge,
    /// Nothing came for too long, or too little, or all of it took too long.
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
    /// The most bytes of it, whatever becomes of it.
    pub(crate) largest: u64,
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
            let (storage, largest) = (storage.clone(), bounds.largest);
            Ok(Received { upload, storage, largest, settled: false, digest, bytes, kind })
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
    let (begun, mut stored) = (Instant::now(), Duration::ZERO);
    let (mut digest, mut bytes) = (Sha256::new(), 0_u64);
    let mut head = Vec::with_capacity(LOOKED_AT);
    loop {
        let patience = bounds.patience(bytes, begun.elapsed(), stored);
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
            let asked = Instant::now();
            parts.wait_for_capacity(PARTS).await.map_err(StorageError::from)?;
            stored += asked.elapsed();
            // Copied: the piece may be a small window on a large buffer of the connection.
            parts.write(&piece);
        }
    }
    Ok(Read { digest: hex::encode(digest.finalize()), bytes, kind: Kind::of(&head) })
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BOUNDS: Bounds = Bounds {
        largest: 1 << 30,
        silence: Duration::from_secs(20),
        whole: Duration::from_secs(30 * 60),
        least: LeastRate { per_second: 16 * 1024, after: Duration::from_secs(30) },
    };

    #[test]
    fn who_is_slow_has_less_time_and_who_is_quick_has_as_much_as_anybody() {
        let patience =
            |kib: u64, spent: u32| BOUNDS.patience(kib << 10, SECOND * spent, Duration::ZERO);
        // Nobody is measured in the first thirty seconds.
        assert_eq!((patience(0, 0), patience(0, 10)), (SECOND * 20, SECOND * 20));
        assert_eq!((patience(0, 25), patience(0, 30)), (SECOND * 5, Duration::ZERO));
        // 640 KiB are 40 seconds' worth.
        assert_eq!((patience(640, 30), patience(640, 41)), (SECOND * 10, Duration::ZERO));
        assert_eq!(patience(1 << 20, 1000), SECOND * 20);
        assert_eq!(patience(1 << 20, 30 * 60 - 3), SECOND * 3);
        // The storage was slow, not the uploader.
        assert_eq!(BOUNDS.patience(640 << 10, SECOND * 50, SECOND * 15), SECOND * 5);
        assert_eq!(BOUNDS.patience(u64::MAX, SECOND, Duration::MAX), SECOND * 20);
    }

    /// A client that sends a byte every millisecond.
    fn drip(pieces: usize) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Unpin {
        Box::pin(stream::iter(0..pieces).then(async |_| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(Bytes::from_static(b"."))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_refused_and_a_slow_upload_is_not() {
        let least = |per_second, millis| Bounds {
            least: LeastRate { per_second, after: Duration::from_millis(millis) },
            ..BOUNDS
        };
        let refused = digest_only(drip(10_000), least(1 << 20, 30)).await.unwrap_err();
        assert!(matches!(refused, IntakeError::Stalled), "{refused:?}");
        assert!(digest_only(drip(50), least(1, 30)).await.is_ok());
        // It is over before it is measured.
        assert!(digest_only(drip(50), least(1 << 20, 20_000)).await.is_ok());
    }
}
