//! `roundtable compliance`: what was said in a conversation or a period, for those who must know.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File},
    io::{BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use domain::{Decider as _, conversation::Conversation};
use event_log::EventLog;
use events::{
    ConversationId, DomainEvent, Envelope, FileEvent, FileId, MessageEvent, MessageId, Moment,
    Position, UserEvent, UserId, about, frame::frame,
};
use query_api::history::access;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::stack::private_folder;

use super::{
    Place,
    attachments::{self, FilesAt},
    events::operator,
    export::opened,
    sweep::{mentions, sweep},
};

/// Write what was said in a conversation, or in all of them in a period, into a folder.
///
/// `events.jsonl` has every event of the conversation in the order of the log: what was said, edited (with
/// the text before and after), deleted, by whom; calls, sessions, who came and went; and with each the
/// members at that time. `messages.csv` has the messages for spreadsheets, `files/` the attachments.
/// `manifest.json` names the part of the log that was read, each event by its id, and the SHA-256 of
/// each file; `--check` compares it with the log, so that nothing is missing. What was erased stays so.
#[derive(Debug, Args)]
pub struct ComplianceArguments {
    /// The conversation; all, if it is not said.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    /// From this moment on (RFC 3339).
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Before this moment (RFC 3339).
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
    /// The folder; it must be empty, or not there.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    into: Option<PathBuf>,
    /// Compare an export with the log, and write nothing.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["into", "conversation", "from", "to"])]
    check: Option<PathBuf>,
    #[command(flatten)]
    files: FilesAt,
    #[command(flatten)]
    place: Place,
}

/// Does it.
///
/// # Errors
/// When the folder cannot be written, or a server does not answer.
pub async fn run(arguments: ComplianceArguments) -> Result<ExitCode> {
    service::telemetry::init("error");
    let ComplianceArguments { conversation, from, to, into, check, files, place } = arguments;
    if let Some(folder) = check {
        return verify(&place.sealed_log().await?, &folder).await;
    }
    let into = into.context("--into says where")?;
    let log = place.log().await?;
    let storage = files.open(&place)?;
    if into.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty", into.display());
    }
    let into = private_folder(&into, 0o700)?;
    let asking = format!("conversation={conversation:?} from={from:?} to={to:?}");
    access::record(&log, operator(), "compliance", asking, vec![]).await?;
    let head = log.head().await?;
    let asked = Asked { conversation, from, to };
    let mut export = Export::new(asked, &into)?;
    sweep(&log, Position::START, head, "exporting", async |recorded| {
        let concerns = conversation.is_none_or(|id| mentions(recorded, &id.to_string()))
            || recorded.event_type.starts_with("user.")
            || recorded.event_type.starts_with("file.");
        match concerns {
            true => opened(&log, recorded).await?.map_or(Ok(()), |envelope| export.take(&envelope)),
            false => Ok(()),
        }
    })
    .await?;
    let folder = into.join("files");
    let mut missing = Vec::new();
    for (file, Attachment { digest, name }) in std::mem::take(&mut export.wanted) {
        if attachments::fetch(&storage, &folder, file, &digest, &name).await?.is_none() {
            missing.push(file);
        }
    }
    let (events, messages) = (export.ids.len(), export.messages);
    export.finish(&into, head, &missing)?;
    println!("{events} events, {messages} of them messages, are in {}", into.display());
    Ok(ExitCode::SUCCESS)
}

/// Which part of the log.
#[derive(Clone, Copy)]
struct Asked {
    conversation: Option<ConversationId>,
    from: Option<Moment>,
    to: Option<Moment>,
}

impl Asked {
    fn covers(self, conversation: ConversationId, at: Moment) -> bool {
        self.conversation.is_none_or(|asked| asked == conversation)
            && self.from.is_none_or(|from| from <= at)
            && self.to.is_none_or(|to| at < to)
    }
}

struct Attachment {
    digest: String,
    name: String,
}

/// What is known on the way through the log.
struct Export {
    asked: Asked,
    lines: BufWriter<File>,
    table: csv::Writer<File>,
    rooms: HashMap<ConversationId, Conversation>,
    names: HashMap<UserId, String>,
    /// What each message says now, and where.
    texts: HashMap<MessageId, Option<String>>,
    uploads: HashMap<FileId, Attachment>,
    wanted: BTreeMap<FileId, Attachment>,
    ids: Vec<String>,
    messages: usize,
}

const COLUMNS: [&str; 11] = [
    "position",
    "at",
    "conversation",
    "message",
    "what",
    "by",
    "name",
    "text",
    "before",
    "members",
    "attachments",
];

impl Export {
    fn new(asked: Asked, into: &Path) -> Result<Self> {
        let lines = BufWriter::new(File::create(into.join("events.jsonl"))?);
        let mut table = csv::Writer::from_path(into.join("messages.csv"))?;
        table.write_record(COLUMNS)?;
        Ok(Self {
            asked,
            lines,
            table,
            rooms: HashMap::new(),
            names: HashMap::new(),
            texts: HashMap::new(),
            uploads: HashMap::new(),
            wanted: BTreeMap::new(),
            ids: Vec::new(),
            messages: 0,
        })
    }

    fn take(&mut self, envelope: &Envelope<DomainEvent>) -> Result<()> {
        self.learn(envelope);
        let Some(conversation) = about::conversation(&envelope.event) else { return Ok(()) };
        let covered = self.asked.covers(conversation, envelope.recorded_at);
        let before = self.texts_after(&envelope.event);
        if let DomainEvent::Conversation(event) = &envelope.event {
            let room = self.rooms.remove(&conversation).unwrap_or_default();
            self.rooms.insert(conversation, room.evolve(event));
        }
        if !covered {
            return Ok(());
        }
        let members: Vec<UserId> =
            self.rooms.get(&conversation).map(|room| room.members().collect()).unwrap_or_default();
        let mut line = frame(envelope);
        line["conversation"] = json!(conversation);
        line["members"] = json!(members);
        if let Some(before) = &before {
            line["before"] = json!(before);
        }
        writeln!(self.lines, "{line}")?;
        self.ids.push(envelope.id.to_string());
        if let DomainEvent::Message(event) = &envelope.event {
            self.messages += 1;
            self.row(envelope, conversation, event, &line, before, &members)?;
        }
        Ok(())
    }

    /// What other events are read with.
    fn learn(&mut self, envelope: &Envelope<DomainEvent>) {
        match &envelope.event {
            DomainEvent::User(UserEvent::SignedUp { user, name, .. }) => {
                self.names.insert(*user, name.open().cloned().unwrap_or_default());
            }
            DomainEvent::User(UserEvent::ProfileChanged { user, name: Some(name), .. }) => {
                self.names.insert(*user, name.open().cloned().unwrap_or_default());
            }
            DomainEvent::File(FileEvent::Uploaded { file, name, digest, .. }) => {
                let name = name.open().cloned().unwrap_or_default();
                self.uploads.insert(*file, Attachment { digest: digest.clone(), name });
            }
            _ => {}
        }
    }

    /// Remembers what a message says from now on. Returns what it said before, if it changes.
    fn texts_after(&mut self, event: &DomainEvent) -> Option<Option<String>> {
        let DomainEvent::Message(event) = event else { return None };
        match event {
            MessageEvent::Sent { message, text, .. } => {
                self.texts.insert(*message, text.open().cloned());
                None
            }
            MessageEvent::Edited { message, text, .. } => {
                self.texts.insert(*message, text.open().cloned())
            }
            MessageEvent::Deleted { message, .. } => self.texts.remove(message),
            MessageEvent::Reacted { .. } | MessageEvent::Unreacted { .. } => None,
        }
    }

    fn row(
        &mut self,
        envelope: &Envelope<DomainEvent>,
        conversation: ConversationId,
        event: &MessageEvent,
        line: &Value,
        before: Option<Option<String>>,
        members: &[UserId],
    ) -> Result<()> {
        let attachments: &[FileId] = match event {
            MessageEvent::Sent { attachments, .. } => attachments,
            _ => &[],
        };
        for file in attachments {
            if let Some(upload) = self.uploads.remove(file) {
                self.wanted.insert(*file, upload);
            }
        }
        let by = envelope.metadata.actor;
        let list = |ids: Vec<String>| ids.join(" ");
        let text = line["data"]["text"].as_str().or(line["data"]["emoji"].as_str());
        self.table.write_record([
            envelope.position.to_string(),
            envelope.recorded_at.to_rfc3339(),
            conversation.to_string(),
            line["data"]["message"].as_str().unwrap_or_default().to_owned(),
            envelope.event.event_type().trim_start_matches("message.").to_owned(),
            by.to_string(),
            cell(self.names.get(&by).map_or("", String::as_str)),
            cell(text.unwrap_or_default()),
            cell(&before.flatten().unwrap_or_default()),
            list(members.iter().map(ToString::to_string).collect()),
            list(attachments.iter().map(ToString::to_string).collect()),
        ])?;
        Ok(())
    }

    fn finish(mut self, into: &Path, head: Position, missing: &[FileId]) -> Result<()> {
        self.lines.flush()?;
        self.lines.get_ref().sync_all()?;
        self.table.flush()?;
        let Asked { conversation, from, to } = self.asked;
        let manifest = json!({
            "version": 1,
            "conversation": conversation, "from": from, "to": to,
            "read_from": Position::START, "read_to": head,
            "events": self.ids, "files_missing": missing,
            "sha256": digests(into)?,
            "at": service::clock::now(),
        });
        fs::write(into.join("manifest.json"), format!("{manifest:#}\n"))?;
        Ok(())
    }
}

/// A spreadsheet takes what begins so for a formula.
fn cell(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// The SHA-256 of each file, by its path.
fn digests(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (within, folder) in [("", folder.to_owned()), ("files/", folder.join("files"))] {
        let Ok(entries) = folder.read_dir() else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_file() && name != "manifest.json" {
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

/// Compares an export with its files and with the log, which needs no keys: what an event is about is
/// not sealed.
async fn verify(log: &EventLog, folder: &Path) -> Result<ExitCode> {
    let text = fs::read(folder.join("manifest.json"));
    let text = text.with_context(|| format!("{} holds no export", folder.display()))?;
    let manifest: Value = serde_json::from_slice(&text).context("manifest.json")?;
    let part = |name: &str| manifest[name].clone();
    let asked = Asked {
        conversation: serde_json::from_value(part("conversation"))?,
        from: serde_json::from_value(part("from"))?,
        to: serde_json::from_value(part("to"))?,
    };
    let to: Position = serde_json::from_value(part("read_to"))?;
    let told: BTreeSet<String> = serde_json::from_value(part("events"))?;
    let mut faults = Vec::new();
    if json!(digests(folder)?) != manifest["sha256"] {
        faults.push("a file was changed, or is missing, or came later".to_owned());
    }
    let lines = fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
    let written: BTreeSet<String> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| line["id"].as_str().map(str::to_owned))
        .collect();
    if written != told {
        faults.push("events.jsonl has other events than the manifest".to_owned());
    }
    let mut there = BTreeSet::new();
    sweep(log, Position::START, to, "checking", async |recorded| {
        if let Ok(event_log::Opened::Ours(envelope)) = log.open_sealed(recorded)
            && let Some(conversation) = about::conversation(&envelope.event)
            && asked.covers(conversation, envelope.recorded_at)
        {
            there.insert(envelope.id.to_string());
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
