//! The folder of this node where recordings are written, and the way from there into the file storage
//! and the log. What is in the folder is not stored yet: at every start it is gone through, so a crash
//! loses what was written in the last seconds before it, and nothing else.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use events::call::Participant;
use events::{CallId, ConversationId, FileId, Moment, RecordingId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::room::Who;

/// What is written, and what is whole and waits to be stored.
const OPEN: &str = "part";
const WHOLE: &str = "webm";
const LABEL: &str = "json";
/// What the rules of the call, or of files, do not take.
const REFUSED: &str = "refused";

/// The folder. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: Arc<PathBuf>,
    _lock: Arc<File>,
}

/// Which recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slate {
    pub(super) call: CallId,
    pub(super) conversation: ConversationId,
    pub(super) recording: RecordingId,
}

/// What is known of a file, beside it in the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Label {
    pub(super) file: FileId,
    pub(super) call: CallId,
    pub(super) conversation: ConversationId,
    pub(super) recording: RecordingId,
    pub(super) of: Participant,
    pub(super) source: String,
    /// When its time begins.
    pub(super) begun: Moment,
}

impl Folder {
    /// Opens the folder of a node, which no other process may have. What was written before is whole.
    pub(crate) fn open(folder: &Path, node: &str) -> anyhow::Result<Self> {
        let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let path = folder.join(node.chars().map(safe).collect::<String>());
        let named = || format!("the folder of recordings {}", path.display());
        fs::create_dir_all(&path).with_context(named)?;
        let lock = File::create(path.join("lock")).with_context(named)?;
        lock.try_lock().with_context(|| format!("{} is another process's", named()))?;
        let folder = Self { path: Arc::new(path), _lock: Arc::new(lock) };
        let open = folder.with_extension(OPEN)?;
        folder.release(&open)?;
        Ok(folder)
    }

    /// The path of a new file, whose label is written.
    pub(super) fn begin(
        &self,
        slate: &Slate,
        of: Who,
        source: &str,
        begun: Instant,
    ) -> io::Result<PathBuf> {
        #[expect(clippy::disallowed_methods, reason = "an edge: a file that nobody named yet")]
        let file = FileId::new(Uuid::now_v7());
        let label = Label {
            file,
            call: slate.call,
            conversation: slate.conversation,
            recording: slate.recording,
            of: Participant { user: of.user, device: of.device.into() },
            source: source.to_owned(),
            begun: service::clock::now() - begun.elapsed(),
        };
        let path = self.path.join(file.to_string());
        fs::write(path.with_extension(LABEL), serde_json::to_vec(&label)?)?;
        Ok(path.with_extension(OPEN))
    }

    /// These are not written any more.
    pub(super) fn release(&self, files: &[PathBuf]) -> io::Result<()> {
        files.iter().try_for_each(|file| fs::rename(file, file.with_extension(WHOLE)))
    }

    /// What waits to be stored. What has no label is nobody's, and stays where it is.
    pub(super) fn waiting(&self) -> io::Result<Vec<(PathBuf, Label)>> {
        let mut waiting = Vec::new();
        for path in self.with_extension(WHOLE)? {
            let label = fs::read(path.with_extension(LABEL)).map_err(anyhow::Error::from);
            match label.and_then(|label| Ok(serde_json::from_slice(&label)?)) {
                Ok(label) => waiting.push((path, label)),
                Err(error) => tracing::error!(%error, "a recording has no label and is left alone"),
            }
        }
        Ok(waiting)
    }

    /// A file is stored, or is not wanted.
    pub(super) fn remove(file: &Path) -> io::Result<()> {
        fs::remove_file(file)?;
        fs::remove_file(file.with_extension(LABEL))
    }

    /// A file cannot be stored whatever happens: it is set aside for somebody who looks.
    pub(super) fn set_aside(file: &Path) -> io::Result<()> {
        fs::rename(file, file.with_extension(REFUSED))
    }

    fn with_extension(&self, extension: &str) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&*self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|its| its == extension) {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }
}

/// How long until a storage that is away is asked again, after so many attempts.
pub(super) fn pause(attempts: u32) -> Duration {
    Duration::from_millis(500 * 2u64.pow(attempts.min(7)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_crash_left_is_whole_at_the_next_start_and_two_processes_do_not_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let slate = Slate {
            call: Uuid::from_u128(1).into(),
            conversation: Uuid::from_u128(2).into(),
            recording: Uuid::from_u128(3).into(),
        };
        let of = Who { user: Uuid::from_u128(4).into(), device: Uuid::from_u128(5) };
        let open = Folder::open(folder.path(), "a/b").unwrap();
        assert!(Folder::open(folder.path(), "a/b").is_err());
        assert!(Folder::open(folder.path(), "c").is_ok());
        let path = open.begin(&slate, of, "camera", Instant::now()).unwrap();
        fs::write(&path, b"x").unwrap();
        assert!(open.waiting().unwrap().is_empty());
        drop(open);
        let open = Folder::open(folder.path(), "a/b").unwrap();
        let waiting = open.waiting().unwrap();
        let [(path, label)] = &waiting[..] else { panic!("{waiting:?}") };
        assert_eq!((label.recording, label.of.user), (slate.recording, of.user));
        Folder::remove(path).unwrap();
        assert!(open.waiting().unwrap().is_empty());
    }
}
