//! Work that one process does at a time.

use std::{
    fs::{self, File, TryLockError},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::keep::beside;

/// Takes a file or a folder for this process, as long as it is open.
///
/// # Errors
/// When another one has it.
pub(super) fn claim(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => bail!("another process is at work on {}", path.display()),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// A lock on what is at a path, which may be replaced meanwhile: an empty file beside it, as long as this
/// lives.
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
        ensure!(file.metadata()?.len() == 0, "{} is no lock of ours", lock.display());
        claim(&file, path)?;
        // One that has just ended has removed the file that was opened here.
        let same = |there: fs::Metadata| Ok(there.ino() == file.metadata()?.ino());
        if !fs::metadata(&lock).and_then(same).unwrap_or(false) {
            bail!("another process is at work on {}", path.display());
        }
        Ok(Self { path: lock, _file: file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that stays is taken again.
        let _ = fs::remove_file(&self.path);
    }
}
