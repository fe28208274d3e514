//! Where the bytes are: a folder, or a bucket of S3, GCS or Azure.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use events::FileId;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart};
use thiserror::Error;
use url::Url;
use uuid::Uuid;

use crate::cloud;

/// What is being uploaded, before anybody knows what it is.
const INCOMING: &str = "incoming";
/// What is kept.
const FILES: &str = "files";

/// One part of an upload: S3 takes no smaller ones, a disk does.
const CLOUD_PART: usize = 5 * 1024 * 1024;
const LOCAL_PART: usize = 1024 * 1024;

/// The file storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Storage {
    pub(crate) objects: Arc<dyn ObjectStore>,
    part: usize,
    /// The folder, where it is one.
    pub(crate) folder: Option<PathBuf>,
}

/// Why the storage cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL is none, or of a kind that is not built in.
    #[error(
        "ROUNDTABLE_FILES_URL must be a folder, file://, s3://, gs:// or az:// (the last two with the features gcs and azure)"
    )]
    Url,
    /// The folder cannot be made.
    #[error("the folder of the files cannot be made")]
    Folder(#[source] std::io::Error),
    /// The settings of the storage are wrong or missing.
    #[error("the file storage cannot be set up")]
    Settings(#[source] object_store::Error),
}

/// Why something was not stored or read.
#[derive(Debug, Error)]
pub enum StorageError {
    /// It is not there.
    #[error("the object is not there")]
    Missing,
    /// The storage is away, full, or refuses.
    #[error("the file storage does not answer as it should")]
    Away(#[source] object_store::Error),
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            other => Self::Away(other),
        }
    }
}

/// Something that is read.
pub struct Content {
    /// The bytes asked for.
    pub bytes: BoxStream<'static, Result<Bytes, StorageError>>,
    /// Which they are.
    pub range: Range<u64>,
    /// The length of the whole.
    pub length: u64,
}

impl Storage {
    /// Opens the storage that a URL names: a folder (a path or `file://`), which is made if it is
    /// not there, or a bucket with a folder in it (`s3://bucket/folder`). `options` are settings as
    /// the tools of that cloud call them in the environment (`AWS_REGION`, `AWS_ENDPOINT`, ...).
    ///
    /// # Errors
    /// When the URL is none of these, or the settings do not suffice. A cloud is not asked yet.
    pub fn open(
        url: &str,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, OpenError> {
        let folder = match url.split_once("://") {
            None => Some(PathBuf::from(url)),
            Some(("file", path)) => Some(PathBuf::from(path)),
            Some(_) => None,
        };
        if let Some(folder) = folder {
            return Self::in_folder(folder);
        }
        let url: Url = url.parse().map_err(|_| OpenError::Url)?;
        let objects = cloud::bucket(&url, options)?;
        Ok(Self { objects, part: CLOUD_PART, folder: None })
    }

    fn in_folder(folder: PathBuf) -> Result<Self, OpenError> {
        std::fs::create_dir_all(&folder).map_err(OpenError::Folder)?;
        let folder = std::fs::canonicalize(folder).map_err(OpenError::Folder)?;
        // An upload is acknowledged when it would survive a power cut, as an event is.
        let disk = LocalFileSystem::new_with_prefix(&folder)
            .map_err(OpenError::Settings)?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self { objects: Arc::new(disk), part: LOCAL_PART, folder: Some(folder) })
    }

    /// Whether the storage answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<(), StorageError> {
        match self.objects.head(&Path::from(INCOMING).join("probe")).await.map_err(Into::into) {
            Ok(_) | Err(StorageError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Begins to write what is being uploaded, under a name of its own.
    pub(crate) async fn begin(&self, upload: Uuid) -> Result<WriteMultipart, StorageError> {
        let parts = self.objects.put_multipart(&incoming(upload)).await?;
        Ok(WriteMultipart::new_with_chunk_size(parts, self.part))
    }

    /// All of an upload at once: for what is small.
    pub(crate) async fn whole(&self, upload: Uuid) -> Result<Bytes, StorageError> {
        Ok(self.objects.get(&incoming(upload)).await?.bytes().await?)
    }

    /// Keeps an upload as it is.
    pub(crate) async fn keep(
        &self,
        upload: Uuid,
        file: FileId,
        digest: &str,
    ) -> Result<(), StorageError> {
        Ok(self.objects.rename(&incoming(upload), &kept(file, digest)).await?)
    }

    /// Forgets an upload.
    pub(crate) async fn drop_upload(&self, upload: Uuid) -> Result<(), StorageError> {
        self.delete(incoming(upload)).await
    }

    /// Keeps something under a file and a name.
    pub(crate) async fn put(
        &self,
        file: FileId,
        name: &str,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        self.objects.put(&kept(file, name), bytes.into()).await?;
        Ok(())
    }

    /// Reads a file, or a part of it. A range beyond the end is cut; one that begins there is the
    /// caller's mistake.
    ///
    /// # Errors
    /// [`StorageError::Missing`] when there is none.
    pub async fn read(
        &self,
        file: FileId,
        digest: &str,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        self.read_at(&kept(file, digest), range).await
    }

    /// Reads a thumbnail; see [`THUMBNAILS`](crate::THUMBNAILS). It is small, so it comes whole.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn thumbnail(
        &self,
        file: FileId,
        digest: &str,
        size: u32,
    ) -> Result<Bytes, StorageError> {
        Ok(self.objects.get(&kept(file, &thumbnail(digest, size))).await?.bytes().await?)
    }

    async fn read_at(
        &self,
        path: &Path,
        range: Option<Range<u64>>,
    ) -> Result<Content, StorageError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.objects.get_opts(path, options).await?;
        let (range, length) = (found.range.clone(), found.meta.size);
        let bytes = found.into_stream().map_err(StorageError::from).boxed();
        Ok(Content { bytes, range, length })
    }

    /// Removes a file with everything that belongs to it. One that is gone already is no error.
    ///
    /// # Errors
    /// When the storage is away; some of it may be removed then.
    pub async fn remove(&self, file: FileId) -> Result<(), StorageError> {
        let objects: Vec<_> = self.objects.list(Some(&folder(file))).try_collect().await?;
        for object in objects {
            self.delete(object.location).await?;
        }
        Ok(())
    }

    /// Removes one version of a file: what an upload stored that was refused in the end.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn remove_version(&self, file: FileId, digest: &str) -> Result<(), StorageError> {
        self.delete(kept(file, digest)).await?;
        for size in crate::THUMBNAILS {
            self.delete(kept(file, &thumbnail(digest, size))).await?;
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, path: Path) -> Result<(), StorageError> {
        match self.objects.delete(&path).await.map_err(StorageError::from) {
            Ok(()) | Err(StorageError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The name of a thumbnail beside its picture.
pub(crate) fn thumbnail(digest: &str, size: u32) -> String {
    format!("{digest}.{size}")
}

fn incoming(upload: Uuid) -> Path {
    Path::from(INCOMING).join(upload.simple().to_string())
}

/// Spread over 256 folders by the end of the id, which is random in every version of UUID.
fn folder(file: FileId) -> Path {
    let id = file.uuid().simple().to_string();
    Path::from(FILES).join(&id[30..]).join(id.as_str())
}

fn kept(file: FileId, name: &str) -> Path {
    folder(file).join(name)
}

/// Which file an object belongs to, and which version of it; none for what is being uploaded.
pub(crate) fn owner_of(path: &Path) -> Option<(FileId, String)> {
    let parts: Vec<_> = path.parts().map(|part| part.as_ref().to_owned()).collect();
    match parts.as_slice() {
        [files, _, id, name] if files == FILES => {
            let digest = name.split_once('.').map_or(name.as_str(), |(digest, _)| digest);
            Some((id.parse().ok()?, digest.to_owned()))
        }
        _ => None,
    }
}

/// Whether an object is an upload that never came to its end.
pub(crate) fn is_incoming(path: &Path) -> bool {
    path.parts().next().is_some_and(|part| part.as_ref() == INCOMING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whose_object_it_is_and_nothing_else() {
        let file = FileId::new(Uuid::from_u128(0x1234_5678));
        let path = kept(file, &thumbnail("e3b0", 64));
        assert_eq!(path.as_ref(), "files/78/00000000000000000000000012345678/e3b0.64");
        assert_eq!(owner_of(&path), Some((file, "e3b0".to_owned())));
        assert_eq!(owner_of(&kept(file, "e3b0")), Some((file, "e3b0".to_owned())));
        let upload = incoming(Uuid::from_u128(7));
        assert!(is_incoming(&upload) && !is_incoming(&path) && owner_of(&upload).is_none());
        for foreign in ["files/78/other/e3b0", "something", "files/78/e3b0"] {
            assert_eq!(owner_of(&Path::from(foreign)), None);
        }
    }

    #[test]
    fn only_folders_and_known_clouds_are_storages() {
        let none = || std::iter::empty();
        for url in ["ftp://a/b", "http://a/b", "memory:///", "s4://x"] {
            assert!(matches!(Storage::open(url, none()), Err(OpenError::Url)), "{url}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        assert!(Storage::open(&path.display().to_string(), none()).is_ok());
        assert!(Storage::open(&format!("file://{}", path.display()), none()).is_ok());
        assert!(Storage::open("s3://bucket/folder", none()).is_ok());
    }
}
