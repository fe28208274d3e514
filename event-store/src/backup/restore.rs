//! Turns a backup into the folder of a store, or leaves no trace: but for one that is killed, which
//! leaves what the next one goes on with.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use super::{
    BackupError, is_empty,
    manifest::{Entry, Manifest},
    segment::{checksum, transfer},
};
use crate::{
    Error, Report, engine,
    log::{segment::sync_folder, walk},
    verify,
};

/// What the work folder within the data folder is called.
const WORK: &str = ".restoring";

/// Copies the backup in `from` to the folder `data`, which must be empty or missing, and checks
/// all of it on the way: the manifest, the files against the manifest, and then every event.
/// Nothing appears under its final name before that. `told` hears how many bytes of how many are
/// copied, after each file; the check of the events comes after the last.
///
/// # Errors
///
/// When there is no whole backup ([`BackupError::Incomplete`]), it was changed
/// ([`BackupError::Manifest`], [`BackupError::Damaged`]), the folder is not empty
/// ([`BackupError::NotEmpty`]), or a file cannot be read or written. What was begun is removed.
pub fn restore(
    from: &Path,
    data: &Path,
    mut told: impl FnMut(u64, u64),
) -> Result<Report, BackupError> {
    let manifest = Manifest::read(from)?.ok_or_else(|| BackupError::Incomplete(from.to_owned()))?;
    let place = Place::claim(data)?;
    let result = place.fill(from, &manifest, &mut told).and_then(|report| {
        place.publish()?;
        Ok(report)
    });
    result.inspect_err(|_| place.leave())
}

/// Where the work is done, and where it goes.
struct Place {
    data: PathBuf,
    work: PathBuf,
    /// Held when the data folder is there already, so that no store begins a log in it.
    lock: Option<File>,
    /// Held so that no other restore works there.
    _working: File,
}

impl Place {
    fn claim(data: &Path) -> Result<Self, BackupError> {
        let data = std::path::absolute(data).map_err(Error::io("find", data))?;
        let (work, lock) = if data.exists() {
            // It may be a mount point, which nothing can be renamed to.
            let work = data.join(WORK);
            if !work.exists() && !is_empty(&data, &["lock"])? {
                return Err(BackupError::NotEmpty(data));
            }
            let lock = engine::lock(&data)?;
            (work, Some(lock))
        } else {
            let name = data.file_name().unwrap_or_default().to_string_lossy();
            let work = data.with_file_name(format!("{name}{WORK}"));
            (work, None)
        };
        // One that was interrupted may have left it.
        fs::create_dir_all(&work).map_err(Error::io("create", &work))?;
        let working = File::open(&work).map_err(Error::io("open", &work))?;
        match working.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Taken(work).into()),
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", &work)(source).into()),
        }
        let place = Self { data, work, lock, _working: working };
        if place.lock.is_some() {
            place.take_back()?;
            if !is_empty(&place.data, &["lock", WORK])? {
                return Err(BackupError::NotEmpty(place.data));
            }
        }
        Ok(place)
    }

    /// Takes back what a restore had given its final name when it was killed: all but the first
    /// segment, without which it is no log. Where anything else is, nothing is touched.
    fn take_back(&self) -> Result<(), Error> {
        let published = walk::list_all(&self.data)?;
        let names: Vec<_> =
            published.iter().filter_map(|it| it.path.file_name()?.to_str()).collect();
        let others = [&["lock", WORK][..], &names].concat();
        if published.iter().any(|named| named.base == 0) || !is_empty(&self.data, &others)? {
            return Ok(());
        }
        for named in &published {
            let to = self.work.join(named.path.file_name().expect("a file has a name"));
            fs::rename(&named.path, &to).map_err(Error::io("rename", &named.path))?;
        }
        Ok(())
    }

    fn fill(
        &self,
        from: &Path,
        manifest: &Manifest,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<Report, BackupError> {
        self.keep_only(manifest)?;
        let of = manifest.files.iter().map(|entry| entry.bytes).sum();
        let mut copied = 0;
        for entry in &manifest.files {
            self.copy(from, entry)?;
            copied += entry.bytes;
            told(copied, of);
        }
        for entry in &manifest.files {
            let path = self.work.join(&entry.name);
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("sync", &path))?;
        }
        sync_folder(&self.work)?;
        let mut first = None;
        let report = verify::verify(&self.work, |fault| {
            first.get_or_insert_with(|| fault.clone());
        })?;
        let damaged = |file: PathBuf, reason: String| {
            let path = from.join(file.file_name().unwrap_or_default());
            Err(BackupError::Damaged { path, reason })
        };
        if let Some(fault) = first {
            let reason = format!("is wrong at byte {}: {}", fault.offset, fault.reason);
            return damaged(fault.file, reason);
        }
        if report.in_flight > 0 || report.head != manifest.head {
            let last = manifest.files.last().map(|last| PathBuf::from(&last.name));
            let reason = format!("ends at position {}, not {}", report.head, manifest.head);
            return damaged(last.unwrap_or_default(), reason);
        }
        Ok(report)
    }

    /// Removes what another backup left here.
    fn keep_only(&self, manifest: &Manifest) -> Result<(), Error> {
        let named = |path: &Path| manifest.files.iter().any(|it| path.ends_with(&it.name));
        for found in fs::read_dir(&self.work).map_err(Error::io("list", &self.work))? {
            let path = found.map_err(Error::io("list", &self.work))?.path();
            if !named(&path) {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Copies a file, unless a restore that was interrupted has done it.
    fn copy(&self, from: &Path, entry: &Entry) -> Result<(), BackupError> {
        let path = from.join(&entry.name);
        let damaged = |reason: &str| {
            Err(BackupError::Damaged { path: path.clone(), reason: reason.to_owned() })
        };
        let source = match File::open(&path) {
            Ok(source) => source,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return damaged("is missing");
            }
            Err(error) => return Err(Error::io("open", &path)(error).into()),
        };
        let length = source.metadata().map_err(Error::io("examine", &path))?.len();
        if length < entry.bytes {
            return damaged("is too short");
        }
        let to = self.work.join(&entry.name);
        let copy = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&to)
            .map_err(Error::io("create", &to))?;
        let there = copy.metadata().map_err(Error::io("examine", &to))?.len();
        let is_whole = there == entry.bytes
            && checksum(&copy, 0..there, 0).map_err(Error::io("read", &to))? == entry.crc32c;
        if is_whole {
            return Ok(());
        }
        copy.set_len(0)
            .and_then(|()| transfer(&source, &copy, 0..entry.bytes))
            .map_err(Error::io("copy", &path))?;
        let crc = checksum(&copy, 0..entry.bytes, 0).map_err(Error::io("read", &to))?;
        if crc != entry.crc32c {
            return damaged("has another checksum than the manifest says");
        }
        Ok(())
    }

    /// Removes what was begun. The error that is told is the one that came first.
    fn leave(&self) {
        let _ = fs::remove_dir_all(&self.work);
        if self.lock.is_some() {
            for named in walk::list_all(&self.data).unwrap_or_default() {
                let _ = fs::remove_file(named.path);
            }
        }
    }

    /// Gives what is whole its final name.
    fn publish(&self) -> Result<(), Error> {
        if self.lock.is_none() {
            fs::rename(&self.work, &self.data).map_err(Error::io("create", &self.data))?;
            return sync_folder(self.data.parent().unwrap_or(Path::new("/")));
        }
        // The first segment comes last: without it, no store opens what is there.
        for named in walk::list(&self.work)?.into_iter().rev() {
            let name = named.path.file_name().expect("a file has a name");
            let to = self.data.join(name);
            fs::rename(&named.path, &to).map_err(Error::io("create", &to))?;
        }
        fs::remove_dir(&self.work).map_err(Error::io("remove", &self.work))?;
        sync_folder(&self.data)
    }
}
