//! Long work that is stopped and goes on: how far it is, in a file.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How much work at most is done again.
const EVERY: Duration = Duration::from_secs(1);
/// Work that has much to remember writes it seldom: this part of its time at most.
const PART: u32 = 20;

/// The file in which some work keeps how far it is.
pub(super) struct Bookmark<W> {
    path: PathBuf,
    work: W,
    due: Instant,
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
    /// When the file is of other work, or cannot be read.
    pub(super) fn open<P: DeserializeOwned>(path: &Path, work: W) -> Result<(Self, Option<P>)> {
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
        let bookmark = Self { path: path.to_owned(), work, due: Instant::now() };
        removed(&bookmark.half())?;
        Ok((bookmark, place))
    }

    /// Whether it is time to keep the place: at the beginning and now and then.
    pub(super) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// Keeps the place, for its owner alone: durably, and never half of it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn keep(&mut self, place: &impl Serialize) -> Result<()> {
        let (begun, half) = (Instant::now(), self.half());
        let text = serde_json::to_vec(&Page { work: &self.work, place })?;
        let made = File::options().write(true).create(true).truncate(true).mode(0o600).open(&half);
        made.and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&half, &self.path))
            .with_context(|| format!("{} cannot be written", self.path.display()))?;
        self.due = Instant::now() + EVERY.max(begun.elapsed() * PART);
        Ok(())
    }

    /// The work is done.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn end(self) -> Result<()> {
        removed(&self.path)
    }

    /// Where it is written before it is whole.
    fn half(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".half");
        name.into()
    }
}

fn removed(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}
