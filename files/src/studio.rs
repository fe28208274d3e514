//! Where what was received becomes what is kept, with a bound on the memory that pictures take.

use std::sync::Arc;

use bytes::Bytes;
use events::FileId;
use events::file::Pixels;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::picture::{self, PictureError, Treated};
use crate::storage::thumbnail;
use crate::{Kind, Received, Storage, StorageError};

/// How many pictures may be at hand at once, in whatever state.
const PICTURES: usize = 4;
/// How many MiB all treatments of a process may take together, by their own reckoning.
const BUDGET: u32 = 640;
const MIB: u64 = 1024 * 1024;

/// Treats pictures and puts files where they belong. Cheap to clone; one for each process.
#[derive(Clone, Debug)]
pub struct Studio {
    storage: Storage,
    pictures: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// What is kept of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of what is kept, in hex. Of a picture it is not what came.
    pub digest: String,
    /// How many bytes are kept, without thumbnails.
    pub bytes: u64,
    /// The media type.
    pub media_type: &'static str,
    /// The size of a picture, upright.
    pub pixels: Option<Pixels>,
}

/// Why an upload is not kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// It says that it is a picture, and is none that may be kept.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// It lay on its side, and has too many bytes since it was encoded anew.
    #[error("the picture has {bytes} bytes once it is upright")]
    Grown {
        /// How many bytes it would have.
        bytes: u64,
    },
    /// The storage is away.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Studio {
    /// A studio of a storage.
    pub fn new(storage: Storage) -> Self {
        let memory = Arc::new(Semaphore::new(BUDGET as usize));
        Self { storage, pictures: Arc::new(Semaphore::new(PICTURES)), memory }
    }

    /// The storage.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Keeps an upload as a file: as it came, or, if it is a picture, upright, without what it
    /// tells about whoever took it, and with its thumbnails.
    ///
    /// # Errors
    /// See [`KeepError`]. Nothing of the upload is left then.
    pub async fn keep(&self, mut upload: Received, file: FileId) -> Result<Kept, KeepError> {
        if upload.kind.is_picture() {
            return self.keep_picture(&upload, file).await;
        }
        self.storage.keep(upload.upload, file, &upload.digest).await?;
        upload.settled = true;
        Ok(Kept {
            digest: upload.digest.clone(),
            bytes: upload.bytes,
            media_type: upload.kind.media_type(),
            pixels: None,
        })
    }

    async fn keep_picture(&self, upload: &Received, file: FileId) -> Result<Kept, KeepError> {
        if upload.bytes > picture::LARGEST {
            return Err(PictureError::TooLarge.into());
        }
        let _at_hand = self.pictures.acquire().await.expect("it is never closed");
        let bytes = self.storage.whole(upload.upload).await?;
        let treated = self.treat(upload.kind, bytes).await?;
        let length = treated.bytes.len() as u64;
        if length > upload.largest {
            return Err(KeepError::Grown { bytes: length });
        }
        let digest = hex::encode(Sha256::digest(&treated.bytes));
        for (size, bytes) in treated.thumbnails {
            self.storage.put(file, &thumbnail(&digest, size), bytes.into()).await?;
        }
        // The picture last: when it is there, everything is.
        self.storage.put(file, &digest, treated.bytes.into()).await?;
        Ok(Kept {
            digest,
            bytes: length,
            media_type: upload.kind.media_type(),
            pixels: Some(treated.pixels),
        })
    }

    /// Treats a picture on a thread that may take its time. A decoder that gives up altogether is
    /// one that says no.
    async fn treat(&self, kind: Kind, bytes: Bytes) -> Result<Treated, PictureError> {
        // What came is let go as soon as it was looked at; only four pictures get so far at once.
        let look = tokio::task::spawn_blocking(move || picture::look(kind, &bytes));
        let look = look.await.unwrap_or(Err(PictureError::Broken))?;
        let _memory = self.room_for(look.cost).await;
        let treated = tokio::task::spawn_blocking(move || picture::treat(look));
        treated.await.unwrap_or(Err(PictureError::Broken))
    }

    async fn room_for(&self, cost: u64) -> SemaphorePermit<'_> {
        let cost = u32::try_from(cost / MIB + 1).unwrap_or(BUDGET).min(BUDGET);
        self.memory.acquire_many(cost).await.expect("it is never closed")
    }
}
