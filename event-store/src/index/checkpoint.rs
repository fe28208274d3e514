//! The checkpoint: which runs make up the index, and how much of the log they cover.
//!
//! A text file of two lines: the CRC-32C of the second in hexadecimal, and JSON. It is replaced as a
//! whole, so it is always one that was true. Whatever is wrong with it, the log holds the truth.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

const FORMAT: u32 = 1;
const NAME: &str = "checkpoint";

/// What the index on disk holds.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Checkpoint {
    format: u32,
    /// What stream names are hashed with.
    pub(crate) secret: Uuid,
    /// Everything in the log below this position is in the runs.
    pub(crate) covered: u64,
    /// Where to read the log from to remember the same recent events.
    pub(crate) recent_from: u64,
    /// The event that ends at `covered`, to recognise the log.
    pub(crate) last_id: Uuid,
    /// The numbers of the runs, in the order of the log.
    pub(crate) runs: Vec<u64>,
}

impl Checkpoint {
    /// The checkpoint of an empty index.
    pub(crate) fn empty(secret: Uuid) -> Self {
        let (covered, recent_from, last_id) = (0, 0, Uuid::nil());
        Self { format: FORMAT, secret, covered, recent_from, last_id, runs: Vec::new() }
    }

    /// Reads the checkpoint; `None` when there is none that holds.
    pub(crate) fn load(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(NAME)).ok()?;
        let (crc, json) = text.split_once('\n')?;
        let crc = u32::from_str_radix(crc, 16).ok()?;
        let json = json.strip_suffix('\n')?;
        if crc != crc32c::crc32c(json.as_bytes()) {
            return None;
        }
        serde_json::from_str::<Self>(json).ok().filter(|checkpoint| checkpoint.format == FORMAT)
    }

    /// Puts this checkpoint in the place of the last one, durably.
    pub(crate) fn store(&self, folder: &Path) -> io::Result<()> {
        let json = serde_json::to_string(self).map_err(io::Error::other)?;
        let beside = folder.join("checkpoint.new");
        let mut file = File::create(&beside)?;
        writeln!(file, "{:08x}\n{json}", crc32c::crc32c(json.as_bytes()))?;
        file.sync_all()?;
        fs::rename(&beside, folder.join(NAME))?;
        File::open(folder)?.sync_all()
    }

    /// Removes what no checkpoint names: runs that were replaced, or never finished.
    pub(crate) fn clean(&self, folder: &Path) -> io::Result<()> {
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let listed =
                name == NAME || number_of(name).is_some_and(|number| self.runs.contains(&number));
            if !listed && path.is_file() {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Forgets the checkpoint, so that the next start builds the index anew.
pub(crate) fn discard(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where the run of this number is.
pub(crate) fn run_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("run-{number:08}"))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("run-")?.parse().ok()
}
