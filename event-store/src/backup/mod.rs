//! Copies the log while the store serves, and only what is new since the last time.
//!
//! The store needs not know: a closed segment does not change, and of the last one everything up
//! to the last whole append is taken. Whatever was acknowledged before the backup began is in it.
//! The manifest is written last; until then the folder holds the backup before this one, or none.
//! Which segments are copied is noted meanwhile, so that a backup that was interrupted goes on.

mod manifest;
mod restore;
mod segment;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

pub use self::restore::restore;
use self::{
    manifest::Manifest,
    segment::{Done, Segment},
};
use crate::{
    Error,
    log::{
        segment::sync_folder,
        walk::{self, Named},
    },
};

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder could not be used, or the log that is copied is corrupt.
    #[error(transparent)]
    Store(#[from] Error),
    /// The folder holds other things than a backup.
    #[error("{} is not empty and holds no backup", .0.display())]
    Foreign(PathBuf),
    /// The store did not grow out of what the folder holds.
    #[error("{}: {reason}; take an empty folder for the backup of this store", path.display())]
    OtherHistory {
        /// The file of the backup that shows it.
        path: PathBuf,
        /// What does not fit.
        reason: &'static str,
    },
    /// There is no manifest, so there is no whole backup.
    #[error("{} holds no whole backup: it has no manifest", .0.display())]
    Incomplete(PathBuf),
    /// The manifest is not as it was written.
    #[error("the manifest {} cannot be trusted: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A file of the backup is not as it was written.
    #[error("the backup is damaged: {} {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A backup is only restored into an empty or missing folder.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
}

/// What a backup did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Copied {
    /// Segment files in the backup.
    pub segments: u64,
    /// Bytes in the backup.
    pub bytes: u64,
    /// Bytes that were copied this time.
    pub copied: u64,
    /// The position behind the last event in the backup.
    pub head: u64,
}

/// Held while the folder is written; it also marks the folder as one of backups.
const LOCK: &str = "backup-lock";

/// Brings the backup in the folder `to` up to what the store in `data` holds now. `told` hears how many
/// bytes of how many are in it, after each segment.
///
/// # Errors
///
/// When the log is corrupt, a file cannot be read or written, another backup works on the folder
/// ([`Error::Taken`]), or the folder holds something else or the backup of another store. The
/// backup that was there before stays whole.
pub fn backup(
    data: &Path,
    to: &Path,
    now: SystemTime,
    mut told: impl FnMut(u64, u64),
) -> Result<Copied, BackupError> {
    let _lock = claim(to)?;
    let old = Manifest::read(to)?.map(|manifest| manifest.files).unwrap_or_default();
    let begun = Manifest::begun(to)?;
    let all = walk::list(data)?;
    let size = |named: &Named| fs::metadata(&named.path).map_or(0, |found| found.len());
    let of = all.iter().map(size).sum();
    let mut copied = Copied::default();
    let mut files = Vec::new();
    for (at, named) in all.iter().enumerate() {
        let next = all.get(at + 1).map(|next| next.base);
        let (named, walk) = walk::open(data, named.clone())?;
        if named.base != copied.head {
            return Err(corrupt(&named, 0, "the segment before this one is missing").into());
        }
        let segment = Segment { named: &named, next, to, old: &old, begun: &begun };
        let Some(Done { entry, new, head }) = segment.copy(walk)? else { break };
        copied.segments += 1;
        copied.bytes += entry.bytes;
        copied.copied += new;
        copied.head = head;
        files.push(entry);
        told(copied.bytes, of);
        if new > 0 && next.is_some() {
            let ahead = begun.iter().filter(|entry| entry.base() > Some(named.base)).cloned();
            Manifest::new(now, head, files.iter().cloned().chain(ahead).collect()).note(to)?;
        }
    }
    if files.is_empty() {
        let source = io::Error::new(io::ErrorKind::NotFound, "it holds no segment of a log");
        return Err(Error::io("back up", data)(source).into());
    }
    if let Some(lost) = old.iter().find(|old| !files.iter().any(|new| new.base() == old.base())) {
        let reason = "the store ends before this file";
        return Err(BackupError::OtherHistory { path: to.join(&lost.name), reason });
    }
    sync_folder(to)?;
    Manifest::new(now, copied.head, files.clone()).write(to)?;
    for named in walk::list_all(to)? {
        if !files.iter().any(|entry| named.path == to.join(&entry.name)) {
            fs::remove_file(&named.path).map_err(Error::io("remove", &named.path))?;
        }
    }
    Ok(copied)
}

/// Makes the folder if it is missing, makes sure that it is for backups, and locks it.
fn claim(to: &Path) -> Result<File, BackupError> {
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    let path = to.join(LOCK);
    if !path.exists() && !is_empty(to, &[])? {
        return Err(BackupError::Foreign(to.to_owned()));
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Taken(to.to_owned()).into()),
        Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source).into()),
    }
}

/// Whether the folder holds nothing, but for these names and what file systems put there.
fn is_empty(folder: &Path, but: &[&str]) -> Result<bool, Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let name = entry.map_err(Error::io("list", folder))?.file_name();
        if name != "lost+found" && !but.iter().any(|but| name == *but) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn corrupt(named: &Named, offset: u64, reason: &'static str) -> Error {
    Error::Corrupt { path: named.path.clone(), offset, reason }
}
