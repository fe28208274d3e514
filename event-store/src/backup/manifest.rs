//! The list of what a backup holds, which is written last and makes it a backup.
//!
//! It is JSON in exactly the form that this file writes, and holds the CRC-32C of itself without
//! that field: a byte that was changed anywhere in it is noticed.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::{
    Error,
    log::segment::{self, sync_folder},
};

const NAME: &str = "manifest.json";
/// The list of an unfinished backup: the segments that are copied, in the same form.
const BEGUN: &str = "begun.json";
const FORMAT: u32 = 1;

/// What a backup holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// When the backup was begun, RFC 3339 in UTC.
    pub(super) created: String,
    /// The position behind the last event.
    pub(super) head: u64,
    /// In the order of the log.
    pub(super) files: Vec<Entry>,
    /// Of the manifest itself without this field, as eight hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc32c: Option<String>,
}

/// One segment file of the backup.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    /// How much of the file belongs to the backup: more may stand behind it when a later backup
    /// was interrupted.
    pub(super) bytes: u64,
    /// CRC-32C of these bytes.
    pub(super) crc32c: u32,
}

impl Entry {
    pub(super) fn base(&self) -> Option<u64> {
        segment::parts_of(&self.name).map(|(base, _)| base)
    }

    pub(super) fn generation(&self) -> Option<u32> {
        segment::parts_of(&self.name).map(|(_, generation)| generation)
    }
}

impl Manifest {
    pub(super) fn new(created: SystemTime, head: u64, files: Vec<Entry>) -> Self {
        let created = prost_types::Timestamp::from(created).to_string();
        Self { format: FORMAT, created, head, files, crc32c: None }
    }

    /// The manifest of the folder, proved to be as it was written; `None` when there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, BackupError> {
        Self::read_as(folder, NAME)
    }

    /// What a backup that was interrupted has copied.
    pub(super) fn begun(folder: &Path) -> Result<Vec<Entry>, BackupError> {
        Ok(Self::read_as(folder, BEGUN)?.map(|manifest| manifest.files).unwrap_or_default())
    }

    fn read_as(folder: &Path, name: &str) -> Result<Option<Self>, BackupError> {
        let path = folder.join(name);
        let found = match fs::read(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path)(error).into()),
        };
        let refuse = |reason: String| BackupError::Manifest { path: path.clone(), reason };
        let read: Self =
            serde_json::from_slice(&found).map_err(|error| refuse(error.to_string()))?;
        if read.format != FORMAT {
            return Err(refuse(format!("format {} is not known, only {FORMAT}", read.format)));
        }
        let plain = Self { crc32c: None, ..read };
        if plain.sealed() != found {
            return Err(refuse("it was changed after it was written".to_owned()));
        }
        if plain.files.iter().any(|entry| entry.base().is_none()) {
            return Err(refuse("it names a file that is no segment".to_owned()));
        }
        Ok(Some(plain))
    }

    /// Puts the manifest in the place of the one before, at once and durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        self.write_as(folder, NAME)?;
        let begun = folder.join(BEGUN);
        match fs::remove_file(&begun) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &begun)(error))
            }
            _ => Ok(()),
        }
    }

    /// Notes how far an unfinished backup is.
    pub(super) fn note(&self, folder: &Path) -> Result<(), Error> {
        self.write_as(folder, BEGUN)
    }

    fn write_as(&self, folder: &Path, name: &str) -> Result<(), Error> {
        let new = folder.join(format!("{name}.new"));
        let path = folder.join(name);
        File::create(&new)
            .and_then(|mut file| file.write_all(&self.sealed()).and_then(|()| file.sync_all()))
            .map_err(Error::io("write", &new))?;
        fs::rename(&new, &path).map_err(Error::io("rename", &new))?;
        sync_folder(folder)
    }

    fn sealed(&self) -> Vec<u8> {
        let crc = crc32c::crc32c(&self.text());
        Self { crc32c: Some(format!("{crc:08x}")), ..self.clone() }.text()
    }

    fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("a manifest can be written as JSON");
        text.push(b'\n');
        text
    }
}
