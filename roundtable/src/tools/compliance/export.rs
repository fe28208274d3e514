//! What is written of a conversation: each event with the members at that time, and a table of messages.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::{BufWriter, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use domain::{Decider as _, conversation::Conversation};
use event_log::{EventLog, Recorded};
use events::{
    ConversationId, DomainEvent, Envelope, EventId, FileEvent, FileId, MessageEvent, MessageId,
    Position, UserEvent, UserId, about, frame::frame,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Asked,
    manifest::{LINES, TABLE},
};

/// A file that came with a message.
#[derive(Serialize, Deserialize)]
pub(super) struct Attachment {
    pub(super) digest: String,
    pub(super) name: String,
}

/// An export on its way through the log.
pub(super) struct Export {
    asked: Asked,
    after: Option<(Position, EventId)>,
    lines: BufWriter<File>,
    table: csv::Writer<File>,
    pub(super) known: Known,
}

/// What is known on the way.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Known {
    rooms: HashMap<ConversationId, Conversation>,
    names: HashMap<UserId, String>,
    /// What each message says now, and where.
    texts: HashMap<MessageId, Option<String>>,
    uploads: HashMap<FileId, Attachment>,
    /// Whose words may be in what is written.
    people: BTreeSet<UserId>,
    /// Who was erased when it was begun.
    erased: BTreeSet<UserId>,
    /// The files that are to be fetched.
    pub(super) wanted: BTreeMap<FileId, Attachment>,
    /// The events that are written.
    pub(super) ids: Vec<EventId>,
    /// How many of the events are of messages.
    pub(super) messages: usize,
}

impl Known {
    /// Whether nobody's words are in it who is erased by now and was not when it was begun.
    pub(super) fn is_without(&self, erased: &BTreeSet<UserId>) -> bool {
        erased.difference(&self.erased).all(|user| !self.people.contains(user))
    }
}

/// A place on the way: behind an event of the log, and in the files, in bytes.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Stop<K = Known> {
    /// The event, but at the beginning.
    after: Option<(Position, EventId)>,
    lines: u64,
    table: u64,
    known: K,
}

impl Stop {
    /// Where it goes on in the log.
    pub(super) fn position(&self) -> Position {
        self.after.map_or(Position::START, |(position, _)| position)
    }

    /// At the beginning, when these people are erased.
    pub(super) fn beginning(erased: BTreeSet<UserId>) -> Self {
        let known = Known { erased, ..Known::default() };
        Self { known, ..Self::default() }
    }

    /// Forgets the names of who is erased by now; false if more than that may be written already.
    pub(super) fn forget(&mut self, erased: &BTreeSet<UserId>) -> bool {
        self.known.names.retain(|user, _| !erased.contains(user));
        self.known.is_without(erased)
    }

    /// Whether the log still has the event behind which it is.
    pub(super) async fn is_in(&self, log: &EventLog) -> Result<bool> {
        let Some((position, id)) = self.after else { return Ok(true) };
        Ok(log.read_at(position).await?.is_some_and(|event| event.id == id))
    }
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
    /// At the beginning, or where an earlier one was stopped.
    pub(super) fn begin(asked: Asked, into: &Path, from: Stop) -> Result<Self> {
        let lines = BufWriter::new(file_of(&into.join(LINES), from.lines)?);
        let table = file_of(&into.join(TABLE), from.table)?;
        let mut table = csv::Writer::from_writer(table);
        if from.table == 0 {
            table.write_record(COLUMNS)?;
        }
        Ok(Self { asked, after: from.after, lines, table, known: from.known })
    }

    /// Where it is, with everything written that is behind it.
    pub(super) fn stop(&mut self) -> Result<Stop<&Known>> {
        let lines = self.sync()?;
        let table = self.table.get_ref().metadata()?.len();
        Ok(Stop { after: self.after, lines, table, known: &self.known })
    }

    /// Notes that an event is done with.
    pub(super) const fn passed(&mut self, event: &Recorded) {
        self.after = Some((event.position, event.id));
    }

    fn sync(&mut self) -> Result<u64> {
        self.lines.flush()?;
        self.lines.get_ref().sync_all()?;
        self.table.flush()?;
        self.table.get_ref().sync_all()?;
        Ok(self.lines.get_ref().metadata()?.len())
    }

    pub(super) fn take(&mut self, envelope: &Envelope<DomainEvent>) -> Result<()> {
        self.learn(envelope);
        let Some(conversation) = about::conversation(&envelope.event) else { return Ok(()) };
        let covered = self.asked.covers(conversation, envelope.recorded_at);
        let before = self.texts_after(&envelope.event);
        if covered || matches!(envelope.event, DomainEvent::Message(_)) {
            self.known.people.insert(envelope.metadata.actor);
        }
        if let DomainEvent::Conversation(event) = &envelope.event {
            let room = self.known.rooms.remove(&conversation).unwrap_or_default();
            self.known.rooms.insert(conversation, room.evolve(event));
        }
        if !covered {
            return Ok(());
        }
        let members: Vec<UserId> = self
            .known
            .rooms
            .get(&conversation)
            .map(|room| room.members().collect())
            .unwrap_or_default();
        let mut line = frame(envelope);
        line["conversation"] = json!(conversation);
        line["members"] = json!(members);
        if let Some(before) = &before {
            line["before"] = json!(before);
        }
        writeln!(self.lines, "{line}")?;
        self.known.ids.push(envelope.id);
        if let DomainEvent::Message(event) = &envelope.event {
            self.known.messages += 1;
            self.row(envelope, conversation, event, &line, before, &members)?;
        }
        Ok(())
    }

    /// What other events are read with.
    fn learn(&mut self, envelope: &Envelope<DomainEvent>) {
        match &envelope.event {
            DomainEvent::User(UserEvent::SignedUp { user, name, .. }) => {
                self.known.names.insert(*user, name.open().cloned().unwrap_or_default());
            }
            DomainEvent::User(UserEvent::ProfileChanged { user, name: Some(name), .. }) => {
                self.known.names.insert(*user, name.open().cloned().unwrap_or_default());
            }
            DomainEvent::File(FileEvent::Uploaded { file, name, digest, .. }) => {
                let name = name.open().cloned().unwrap_or_default();
                self.known.uploads.insert(*file, Attachment { digest: digest.clone(), name });
            }
            _ => {}
        }
    }

    /// Remembers what a message says from now on. Returns what it said before, if it changes.
    fn texts_after(&mut self, event: &DomainEvent) -> Option<Option<String>> {
        let DomainEvent::Message(event) = event else { return None };
        match event {
            MessageEvent::Sent { message, text, .. } => {
                self.known.texts.insert(*message, text.open().cloned());
                None
            }
            MessageEvent::Edited { message, text, .. } => {
                self.known.texts.insert(*message, text.open().cloned())
            }
            MessageEvent::Deleted { message, .. } => self.known.texts.remove(message),
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
            if let Some(upload) = self.known.uploads.remove(file) {
                self.known.wanted.insert(*file, upload);
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
            cell(self.known.names.get(&by).map_or("", String::as_str)),
            cell(text.unwrap_or_default()),
            cell(&before.flatten().unwrap_or_default()),
            list(members.iter().map(ToString::to_string).collect()),
            list(attachments.iter().map(ToString::to_string).collect()),
        ])?;
        Ok(())
    }

    /// Ends it. Returns what was found.
    pub(super) fn finish(mut self) -> Result<Known> {
        self.sync()?;
        Ok(self.known)
    }
}

/// A file that goes on after so many bytes; what stands behind them was written twice or by halves.
fn file_of(path: &Path, bytes: u64) -> Result<File> {
    let named = || format!("{} cannot be written", path.display());
    let file = File::options().write(true).create(true).truncate(false).open(path);
    let mut file = file.with_context(named)?;
    let there = file.metadata().with_context(named)?.len();
    ensure!(there >= bytes, "{} is shorter than it was left", path.display());
    file.set_len(bytes).with_context(named)?;
    file.seek(SeekFrom::End(0)).with_context(named)?;
    Ok(file)
}

/// A spreadsheet takes what begins so for a formula.
fn cell(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}
