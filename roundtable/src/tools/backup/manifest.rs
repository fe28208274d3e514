//! What makes a folder a backup: the keys of persons, and the list that is written last.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use event_log::KeyCopy;
use events::Moment;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::tools::keep::write;

/// The list, which is written last.
pub(super) const NAME: &str = "backup.json";
const KEYS: &str = "vault.jsonl";
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    /// The program that made it.
    version: String,
    created: Moment,
    /// The position behind the last event of the log.
    pub(super) head: u64,
    /// Keys of persons, the destroyed ones too.
    keys: usize,
    /// SHA-256 of the file of keys, in hex.
    keys_sha256: String,
    /// Files that people uploaded; none if they are in a bucket.
    pub(super) files: Option<u64>,
    /// Whether the secret keys are there.
    pub(super) secrets: bool,
}

impl Manifest {
    pub(super) fn new(
        created: Moment,
        head: u64,
        keys: usize,
        keys_sha256: String,
        files: Option<u64>,
        secrets: bool,
    ) -> Self {
        let version = crate::VERSION.to_owned();
        Self { format: FORMAT, version, created, head, keys, keys_sha256, files, secrets }
    }

    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let text = fs::read(&path).with_context(|| {
            format!("{} holds no whole backup: there is no {NAME}", folder.display())
        })?;
        let read: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not as it was written", path.display()))?;
        ensure!(read.format == FORMAT, "format {} of a backup is not known", read.format);
        Ok(read)
    }

    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write(&folder.join(NAME), &serde_json::to_vec_pretty(self)?)
    }

    /// The keys, proved to be as they were written.
    pub(super) fn keys(&self, folder: &Path) -> Result<Vec<KeyCopy>> {
        let path = folder.join(KEYS);
        let text = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let same = hex::encode(Sha256::digest(&text)) == self.keys_sha256;
        ensure!(same, "{} is not as it was written", path.display());
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log up to position {}, the keys of {} people", self.head, self.keys)?;
        match self.files {
            Some(files) => write!(f, ", {files} files"),
            None => Ok(()),
        }
    }
}

/// Writes the keys, and answers with the digest of the file.
pub(super) fn write_keys(folder: &Path, keys: &[KeyCopy]) -> Result<String> {
    let mut text = Vec::new();
    for key in keys {
        serde_json::to_writer(&mut text, key)?;
        text.push(b'\n');
    }
    write(&folder.join(KEYS), &text)?;
    Ok(hex::encode(Sha256::digest(&text)))
}
