//! What an export must hold: written and signed beside it, and compared with it and with the log.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};
use event_log::{EventLog, Opened};
use events::{EventId, FileId, Moment, Position, about};
use projector::erasures::{Signer, is_signed};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Asked, sweep};
use crate::tools::keep;

/// The events, a JSON object in each line.
pub(super) const LINES: &str = "events.jsonl";
/// The messages, for spreadsheets.
pub(super) const TABLE: &str = "messages.csv";
/// Where it was stopped, until it is done.
pub(super) const BOOKMARK: &str = "unfinished.json";
pub(super) const MANIFEST: &str = "manifest.json";
/// The signature of the manifest by the key of the audit.
const SIGNATURE: &str = "manifest.sig";
/// What is signed begins with this.
const CONTEXT: &str = "roundtable compliance v1\n";
const VERSION: u32 = 1;

/// What an export must hold.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    #[serde(flatten)]
    asked: Asked,
    /// Which part of the log was read.
    read_from: Position,
    read_to: Position,
    /// When.
    at: Moment,
    events: Vec<EventId>,
    /// Files that could not be fetched.
    files_missing: Vec<FileId>,
    /// Of each file of the export, by its path in it.
    sha256: BTreeMap<String, String>,
}

impl Manifest {
    /// Of an export that is written.
    pub(super) fn of(
        folder: &Path,
        asked: Asked,
        read_to: Position,
        events: Vec<EventId>,
        files_missing: Vec<FileId>,
    ) -> Result<Self> {
        let (read_from, sha256) = (Position::START, digests(folder)?);
        let at = service::clock::now();
        Ok(Self { version: VERSION, asked, read_from, read_to, at, events, files_missing, sha256 })
    }

    pub(super) fn write(&self, folder: &Path, signer: &Signer) -> Result<()> {
        let text = format!("{}\n", serde_json::to_string_pretty(self)?);
        let signature = signer.sign_text(CONTEXT, &text);
        keep::write(&folder.join(SIGNATURE), signature.as_bytes())?;
        keep::write(&folder.join(MANIFEST), text.as_bytes())
    }
}

/// Whether a file in the folder is no part of the export, by its name.
pub(super) fn is_beside(name: &str) -> bool {
    let whole = name.strip_suffix(".half").unwrap_or(name);
    [MANIFEST, SIGNATURE, BOOKMARK].contains(&whole) || name.strip_suffix(".lock") == Some(BOOKMARK)
}

/// The SHA-256 of each file, by its path.
fn digests(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (within, folder) in [("", folder.to_owned()), ("files/", folder.join("files"))] {
        let Ok(entries) = folder.read_dir() else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let counts = !within.is_empty() || !is_beside(&name);
            if entry.file_type()?.is_file() && counts {
                let mut hash = Sha256::new();
                let (mut file, mut buffer) = (File::open(entry.path())?, vec![0; 1 << 16]);
                loop {
                    let read = file.read(&mut buffer)?;
                    if read == 0 {
                        break;
                    }
                    hash.update(&buffer[..read]);
                }
                found.insert(format!("{within}{name}"), hex::encode(hash.finalize()));
            }
        }
    }
    Ok(found)
}

/// Compares an export with its manifest, and with the log, which needs no keys: what an event is about
/// is not sealed. Prints each fault.
pub(super) async fn verify(log: &EventLog, folder: &Path, public: &[u8; 32]) -> Result<ExitCode> {
    let text = fs::read_to_string(folder.join(MANIFEST));
    let text = text.with_context(|| format!("{} holds no export", folder.display()))?;
    let manifest: Manifest = serde_json::from_str(&text).context(MANIFEST)?;
    ensure!(manifest.version == VERSION, "this manifest has version {}", manifest.version);
    let mut faults = Vec::new();
    let signature = fs::read_to_string(folder.join(SIGNATURE)).unwrap_or_default();
    if !is_signed(CONTEXT, &text, &signature, public).unwrap_or(false) {
        faults.push("the manifest is not the one that was signed".to_owned());
    }
    if digests(folder)? != manifest.sha256 {
        faults.push("a file was changed, or is missing, or came later".to_owned());
    }
    let told: BTreeSet<EventId> = manifest.events.into_iter().collect();
    if written(folder) != Some(told.clone()) {
        faults.push(format!("{LINES} has other events than the manifest"));
    }
    let mut there = BTreeSet::new();
    sweep(log, manifest.read_from, manifest.read_to, "checking", async |recorded| {
        if let Ok(Opened::Ours(envelope)) = log.open_sealed(recorded)
            && let Some(conversation) = about::conversation(&envelope.event)
            && manifest.asked.covers(conversation, envelope.recorded_at)
        {
            there.insert(envelope.id);
        }
        Ok(())
    })
    .await?;
    faults.extend(there.difference(&told).map(|id| format!("event {id} is missing")));
    faults.extend(told.difference(&there).map(|id| format!("event {id} is not in the log")));
    faults.iter().for_each(|fault| println!("{fault}"));
    println!("verified: {} events, {} faults", there.len(), faults.len());
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The events that are written; none at all if they cannot be read.
fn written(folder: &Path) -> Option<BTreeSet<EventId>> {
    #[derive(Deserialize)]
    struct Line {
        id: EventId,
    }
    let lines = BufReader::new(File::open(folder.join(LINES)).ok()?).lines();
    lines.map(|line| Some(serde_json::from_str::<Line>(&line.ok()?).ok()?.id)).collect()
}
