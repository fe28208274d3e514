//! What was stored and belongs to nothing: finding it.

use std::path::Path as Folder;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use events::FileId;
use futures::stream::{BoxStream, StreamExt};
use futures::{TryStreamExt, future};
use object_store::path::Path;

use crate::storage::{is_incoming, owner_of};
use crate::{Storage, StorageError};

/// An object that may belong to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    path: Path,
    /// The file whose it would be, and the digest; none for an upload that never ended.
    pub of: Option<(FileId, String)>,
}

impl Storage {
    /// Everything that was last written before a moment: what is of no file is an orphan, and of the
    /// rest whoever asks has to find out. What is not ours is passed over.
    pub fn older_than(
        &self,
        moment: DateTime<Utc>,
    ) -> BoxStream<'static, Result<Orphan, StorageError>> {
        let old =
            move |object: &object_store::ObjectMeta| future::ready(object.last_modified < moment);
        self.objects
            .list(None)
            .try_filter(old)
            .try_filter_map(|object| {
                let of = owner_of(&object.location);
                let ours = of.is_some() || is_incoming(&object.location);
                future::ready(Ok(ours.then_some(Orphan { path: object.location, of })))
            })
            .map_err(StorageError::from)
            .boxed()
    }

    /// Removes an orphan, if nobody wrote it again since.
    ///
    /// # Errors
    /// When the storage is away.
    pub async fn remove_orphan(
        &self,
        orphan: Orphan,
        moment: DateTime<Utc>,
    ) -> Result<bool, StorageError> {
        use object_store::ObjectStoreExt;
        match self.objects.head(&orphan.path).await.map_err(StorageError::from) {
            Ok(object) if object.last_modified < moment => {
                self.delete(orphan.path).await.map(|()| true)
            }
            Ok(_) | Err(StorageError::Missing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the halves of uploads that a crash left in the folder: its listing does not show
    /// them. A bucket does the same by a rule of its own (see docs/files.md).
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn remove_halves(&self, moment: DateTime<Utc>) -> std::io::Result<usize> {
        let Some(folder) = self.folder.clone() else { return Ok(0) };
        let swept = tokio::task::spawn_blocking(move || halves(&folder, moment.into())).await;
        swept.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }
}

/// `object_store` writes to `{name}#{number}` until an object is complete.
fn halves(folder: &Folder, moment: SystemTime) -> std::io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            removed += halves(&entry.path(), moment)?;
        } else if kind.is_file() && entry.file_name().to_string_lossy().contains('#') {
            // It may be finished or given up at this moment.
            let old = entry.metadata().and_then(|metadata| metadata.modified());
            if old.is_ok_and(|modified| modified < moment) {
                removed += usize::from(std::fs::remove_file(entry.path()).is_ok());
            }
        }
    }
    Ok(removed)
}
