//! Long work that is stopped and goes on: how far it is, in a file.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{keep, lock::Lock};

/// How much work is done again.
const EVERY: Duration = Duration::from_secs(1);
/// More, where much has to be remembered: writing that takes at most one part in so many of the time.
const PART: u32 = 20;

/// The file in which some work keeps how far it is; no other process has it meanwhile.
pub(super) struct Bookmark<W> {
    path: PathBuf,
    work: W,
    due: Instant,
    _lock: Lock,
}

#[derive(Serialize, Deserialize)]
struct Page<W, P> {
    work: W,
    place: P,
}

impl<W: Serialize + DeserializeOwned + PartialEq> Bookmark<W> {
    /// The bookmark of this work, and where it was stopped, if it was.
    ///
    /// # Errors
    /// When the file is of other work, another process has it, or it cannot be read.
    pub(super) fn open<P: DeserializeOwned>(path: &Path, work: W) -> Result<(Self, Option<P>)> {
        let lock = Lock::of(path)?;
        let place = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
            Ok(text) => {
                let page: Page<W, P> = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is no bookmark of this work", path.display()))?;
                ensure!(page.work == work, "{} is of other work than this", path.display());
                Some(page.place)
            }
        };
        Ok((Self { path: path.to_owned(), work, due: Instant::now(), _lock: lock }, place))
    }

    /// Whether it is time to keep the place: at the beginning and now and then.
    pub(super) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// Keeps the place.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn keep(&mut self, place: &impl Serialize) -> Result<()> {
        let begun = Instant::now();
        keep::write(&self.path, &serde_json::to_vec(&Page { work: &self.work, place })?)?;
        self.due = Instant::now() + EVERY.max(begun.elapsed() * PART);
        Ok(())
    }

    /// The work is done.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn end(self) -> Result<()> {
        keep::remove(&keep::half(&self.path))?;
        keep::remove(&self.path)
    }
}
