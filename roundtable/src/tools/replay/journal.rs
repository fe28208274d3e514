//! What of a replay is done, line by line in a file, so that one that was stopped goes on.
//!
//! A line is written after the other stack has answered. What was answered and not written is asked again
//! with the same key, and answered the same.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use events::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{mask::Mask, report::Became};

/// Which slice goes where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Slice {
    pub(super) from: Position,
    pub(super) to: Position,
    pub(super) into: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first one.
    Replay { slice: Slice, mask: Mask },
    /// The people are there, and what was between them.
    Prepared,
    /// A conversation or a message, and what it is called there.
    Made { of: Uuid, there: Uuid },
    /// What became of the fact at this position.
    Fact { at: Position, became: Became },
}

/// What the journal of a replay that was stopped tells.
#[derive(Default)]
pub(super) struct Past {
    begun: Option<(Slice, Mask)>,
    pub(super) prepared: bool,
    pub(super) made: HashMap<Uuid, Uuid>,
    pub(super) facts: HashMap<Position, Became>,
}

/// The file, if there is to be one.
pub(super) struct Journal(Option<(PathBuf, File)>);

impl Journal {
    /// Opens it, and tells what is in it. A line that was begun and not ended is removed.
    ///
    /// # Errors
    /// When it cannot be used, or holds something else.
    pub(super) fn open(path: Option<&Path>) -> Result<(Self, Past)> {
        let Some(path) = path else { return Ok((Self(None), Past::default())) };
        let named = || format!("{} cannot be used as the journal of a replay", path.display());
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut input = BufReader::new(options.open(path).with_context(named)?);
        let (mut past, mut end, mut text) = (Past::default(), 0, String::new());
        while input.read_line(&mut text).with_context(named)? > 0 && text.ends_with('\n') {
            past.take(serde_json::from_str(&text).with_context(named)?);
            end += text.len() as u64;
            text.clear();
        }
        if past.begun.is_none() && !text.is_empty() {
            bail!("{} holds something else", path.display());
        }
        let mut file = input.into_inner();
        file.set_len(end).with_context(named)?;
        file.seek(SeekFrom::End(0)).with_context(named)?;
        Ok((Self(Some((path.to_owned(), file))), past))
    }

    /// Writes lines, all at once.
    ///
    /// # Errors
    /// When they cannot be written: the other stack would be told twice.
    pub(super) fn note(&self, lines: &[Line]) -> Result<()> {
        let Some((path, file)) = &self.0 else { return Ok(()) };
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let mut file = file;
        file.write_all(&text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The replay is done: nobody needs the key of its pseudonyms any more.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(super) fn end(&self) -> Result<()> {
        match &self.0 {
            Some((path, _)) => fs::remove_file(path)
                .with_context(|| format!("{} cannot be removed", path.display())),
            None => Ok(()),
        }
    }
}

impl Past {
    /// The slice and the pseudonyms of the replay that was stopped.
    pub(super) const fn begun(&self) -> Option<&(Slice, Mask)> {
        self.begun.as_ref()
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Replay { slice, mask } => self.begun = Some((slice, mask)),
            Line::Prepared => self.prepared = true,
            Line::Made { of, there } => drop(self.made.insert(of, there)),
            Line::Fact { at, became } => drop(self.facts.insert(at, became)),
        }
    }
}
