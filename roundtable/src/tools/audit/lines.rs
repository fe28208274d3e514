//! The lines of an export of the log, and places between them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use projector::notary::export;
use projector::notary::leaf::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A place before a line, and what stands before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct At {
    pub(super) byte: u64,
    /// The number of the next line.
    line: u64,
    /// A chain of SHA-256 over all lines before it.
    before: Digest,
}

/// The lines of an export after the first, which says that it is one.
pub(super) struct Lines {
    pub(super) input: BufReader<File>,
    /// Where the next line stands, and its number.
    pub(super) byte: u64,
    line: u64,
    before: Digest,
}

impl Lines {
    pub(super) fn open(file: &Path) -> Result<Self> {
        let input = BufReader::with_capacity(1 << 20, File::open(file)?);
        let mut lines = Self { input, byte: 0, line: 1, before: Digest::default() };
        let (_, header) = lines.next()?.context("it is empty")?;
        ensure!(header == export::HEADER, "it was not written by `audit export`");
        Ok(lines)
    }

    /// The place of the next line.
    pub(super) const fn at(&self) -> At {
        At { byte: self.byte, line: self.line, before: self.before }
    }

    /// Goes to a place where it was.
    pub(super) fn seek(&mut self, at: At) -> Result<()> {
        self.byte = self.input.seek(SeekFrom::Start(at.byte))?;
        (self.line, self.before) = (at.line, at.before);
        Ok(())
    }

    /// The next line and its number. What is no text is a line that cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<(u64, String)>> {
        let mut line = Vec::new();
        let read = self.input.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        self.before = Sha256::new_with_prefix(self.before).chain_update(&line).finalize().into();
        line.pop_if(|last| *last == b'\n');
        let number = self.line;
        (self.byte, self.line) = (self.byte + read as u64, number + 1);
        Ok(Some((number, String::from_utf8_lossy(&line).into_owned())))
    }
}
