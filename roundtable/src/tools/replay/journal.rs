//! What of a replay is done, line by line in a file, so that one that was stopped goes on.
//!
//! A line is written after the other stack has answered. What was answered and not written is asked again
//! with the same key, and answered the same.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use events::{EventId, Position};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{mask::Mask, report::Became};
use crate::tools::keep;

/// How often it is made to survive a power cut.
const SYNC: Duration = Duration::from_secs(1);

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Which log.
    pub(super) log: String,
    /// As it was said: a position or a moment.
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) into: String,
}

/// Which events these are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Slice {
    pub(super) from: Position,
    pub(super) to: Position,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first one.
    Replay { asked: Asked, slice: Slice, mask: Mask },
    /// The people are there, and what was between them.
    Prepared,
    /// A conversation or a message, and what it is called there.
    Made { of: Uuid, there: Uuid },
    /// What became of the fact that this event tells.
    Fact { event: EventId, became: Became },
}

/// What the journal of a replay that was stopped tells.
#[derive(Default)]
pub(super) struct Past {
    begun: Option<(Asked, Slice, Mask)>,
    pub(super) prepared: bool,
    pub(super) made: HashMap<Uuid, Uuid>,
    pub(super) facts: HashMap<EventId, Became>,
}

/// The file, if there is to be one.
pub(super) struct Journal(Option<Written>);

struct Written {
    path: PathBuf,
    file: Mutex<Tail>,
}

/// The end of the file.
struct Tail {
    file: File,
    /// Behind the last whole line, in bytes.
    end: u64,
    synced: Instant,
}

impl Journal {
    /// Opens it, and tells what is in it.
    ///
    /// # Errors
    /// When it cannot be used, or holds something else.
    pub(super) fn open(path: Option<&Path>) -> Result<(Self, Past)> {
        let Some(path) = path else { return Ok((Self(None), Past::default())) };
        let mut past = Past::default();
        let mut file = keep::appended(path, |line| {
            past.take(serde_json::from_str(line)?);
            Ok(())
        })?;
        let end = file.stream_position()?;
        let file = Mutex::new(Tail { file, end, synced: Instant::now() });
        Ok((Self(Some(Written { path: path.to_owned(), file })), past))
    }

    /// Writes lines, all or none of them. What a power cut takes back is asked again with the same key.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn note(&self, lines: &[Line]) -> Result<()> {
        let Some(Written { path, file }) = &self.0 else { return Ok(()) };
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let mut tail = file.lock().unwrap_or_else(PoisonError::into_inner);
        tail.write(&text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Makes what is written survive a power cut.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) fn sync(&self) -> Result<()> {
        let Some(Written { path, file }) = &self.0 else { return Ok(()) };
        let tail = file.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = tail.file.sync_all().and_then(|()| keep::sync_folder_of(path));
        synced.with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The replay is done: nobody needs the key of its pseudonyms any more.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn end(&self) -> Result<()> {
        match &self.0 {
            Some(Written { path, .. }) => keep::remove(path),
            None => Ok(()),
        }
    }
}

impl Tail {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(text) {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::End(0))?;
            return Err(error);
        }
        self.end += text.len() as u64;
        if self.synced.elapsed() > SYNC {
            self.file.sync_data()?;
            self.synced = Instant::now();
        }
        Ok(())
    }
}

impl Past {
    /// What was asked for, the slice, and the pseudonyms of the replay that was stopped.
    pub(super) const fn begun(&self) -> Option<&(Asked, Slice, Mask)> {
        self.begun.as_ref()
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Replay { asked, slice, mask } => self.begun = Some((asked, slice, mask)),
            Line::Prepared => self.prepared = true,
            Line::Made { of, there } => drop(self.made.insert(of, there)),
            Line::Fact { event, became } => drop(self.facts.insert(event, became)),
        }
    }
}
