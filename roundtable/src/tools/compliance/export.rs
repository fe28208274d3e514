//! What is written of a conversation: each event with the members at that time, and a table of messages.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::Result;
use domain::{Decider as _, conversation::Conversation};
use events::{
    ConversationId, DomainEvent, Envelope, EventId, FileEvent, FileId, MessageEvent, MessageId,
    UserEvent, UserId, about, frame::frame,
};
use serde_json::{Value, json};

use super::{Asked, manifest::LINES};

/// A file that came with a message.
pub(super) struct Attachment {
    pub(super) digest: String,
    pub(super) name: String,
}

/// What is known on the way through the log.
pub(super) struct Export {
    asked: Asked,
    lines: BufWriter<File>,
    table: csv::Writer<File>,
    rooms: HashMap<ConversationId, Conversation>,
    names: HashMap<UserId, String>,
    /// What each message says now, and where.
    texts: HashMap<MessageId, Option<String>>,
    uploads: HashMap<FileId, Attachment>,
    /// The files that are to be fetched.
    pub(super) wanted: BTreeMap<FileId, Attachment>,
    ids: Vec<EventId>,
    /// How many of the events are of messages.
    pub(super) messages: usize,
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
    pub(super) fn new(asked: Asked, into: &Path) -> Result<Self> {
        let lines = BufWriter::new(File::create(into.join(LINES))?);
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

    pub(super) fn take(&mut self, envelope: &Envelope<DomainEvent>) -> Result<()> {
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
        self.ids.push(envelope.id);
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

    /// Ends it. Returns the events that are in it.
    pub(super) fn finish(mut self) -> Result<Vec<EventId>> {
        self.lines.flush()?;
        self.lines.get_ref().sync_all()?;
        self.table.flush()?;
        Ok(self.ids)
    }
}

/// A spreadsheet takes what begins so for a formula.
fn cell(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}
