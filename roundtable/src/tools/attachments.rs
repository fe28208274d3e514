//! The bytes of files, written beside what tells of them.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Args;
use events::FileId;
use files::{Storage, StorageError};
use futures::StreamExt as _;

use super::Place;

/// Where files are kept.
#[derive(Clone, Debug, Args)]
pub struct FilesAt {
    /// The file storage, where it is not the one of the data folder: a folder, `s3://`, `gs://` or
    /// `az://`.
    #[arg(long, value_name = "URL", env = "ROUNDTABLE_FILES_URL", hide_env_values = true)]
    files_url: Option<String>,
}

impl FilesAt {
    /// Opens the storage.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn open(&self, place: &Place) -> Result<Storage> {
        let url = self.files_url.clone().filter(|url| !url.trim().is_empty());
        let url = url.unwrap_or_else(|| place.data.join("files").display().to_string());
        let cloud = std::env::vars();
        Ok(Storage::open(&url, cloud)?)
    }
}

/// Writes a file into the folder, if it is kept; one that is there already stays.
pub(super) async fn fetch(
    storage: &Storage,
    folder: &Path,
    file: FileId,
    digest: &str,
    name: &str,
) -> Result<Option<PathBuf>> {
    let name = files::clean(name);
    let path = folder.join(format!("{file}-{name}"));
    if path.exists() {
        return Ok(Some(path));
    }
    let half = folder.join(format!("{file}.half"));
    let mut content = match storage.read(file, digest, None).await {
        Err(StorageError::Missing) => {
            // It may have been there when somebody began to fetch it.
            let _ = fs::remove_file(half);
            return Ok(None);
        }
        content => content.with_context(|| format!("file {file}"))?,
    };
    fs::create_dir_all(folder)?;
    let mut output = File::create(&half)?;
    while let Some(piece) = content.bytes.next().await {
        output.write_all(&piece.with_context(|| format!("file {file}"))?)?;
    }
    output.sync_all()?;
    fs::rename(&half, &path)?;
    Ok(Some(path))
}
