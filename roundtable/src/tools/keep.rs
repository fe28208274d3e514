//! Files that are written whole, and by one process at a time.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// Puts a file into its place, at once and durably, for its owner alone.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let half = beside(path, ".half");
    let mut options = File::options();
    let made = options.write(true).create(true).truncate(true).mode(0o600).open(&half);
    made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&half, path))
        .and_then(|()| sync_folder_of(path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Removes a file, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// What is renamed or made in a folder is there after a power cut.
pub(super) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Takes a file or a folder for this process, as long as it is open.
///
/// # Errors
/// When another one has it.
pub(super) fn claim(file: &File, path: &Path) -> Result<()> {
    file.try_lock().with_context(|| format!("another process is at work on {}", path.display()))
}

/// A lock on what is at a path, which may be replaced meanwhile: a file beside it.
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes it.
    ///
    /// # Errors
    /// When another process has it.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let lock = beside(path, ".lock");
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let file = file.with_context(|| format!("{} cannot be made", lock.display()))?;
        claim(&file, path)?;
        // One that has just ended has removed the file that was opened here.
        let same = |there: fs::Metadata| Ok(there.ino() == file.metadata()?.ino());
        if !fs::metadata(&lock).and_then(same).unwrap_or(false) {
            bail!("another process is at work on {}", path.display());
        }
        Ok(Self { path: lock, _file: file })
    }

    /// Gives it back, and leaves nothing.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn end(self) -> Result<()> {
        remove(&self.path)
    }
}

/// A path with something behind its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(ending);
    name.into()
}
