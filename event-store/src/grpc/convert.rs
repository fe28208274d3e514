//! Between the messages of the protocol and the types of the engine.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::{
    fault::Fault,
    proto::{
        shared::{self, uuid as wire},
        streams::{self, ProposedMessage, read_resp},
    },
};
use crate::{
    Config,
    log::frame::{Proposed, Record},
    read::Resolved,
};

/// The most events of one append: with empty ones, bytes alone would not bound the memory.
pub(crate) const MAX_EVENTS: usize = 1 << 18;

const JSON: &[u8] = b"application/json";
const BINARY: &[u8] = b"application/octet-stream";

/// Whether a reader wants ids as text or as numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdForm {
    Structured,
    Text,
}

/// The longest name of a stream in bytes: that of its metadata stream, which has two more, still fits
/// into 16 bits.
const LONGEST_NAME: usize = u16::MAX as usize - 2;

/// The name in the identifier: not empty, UTF-8, and not the name of the whole log.
pub(crate) fn stream_name(identifier: Option<shared::StreamIdentifier>) -> Result<Bytes, Fault> {
    let name = identifier.ok_or_else(|| Fault::bad("the stream is missing"))?.stream_name;
    if name.is_empty() || name.len() > LONGEST_NAME || name == "$all" {
        return Err(Fault::bad("the name of the stream is empty, too long or reserved"));
    }
    if std::str::from_utf8(&name).is_err() {
        return Err(Fault::bad("the name of the stream is not UTF-8"));
    }
    Ok(name)
}

pub(crate) fn id_from(id: Option<shared::Uuid>) -> Result<Uuid, Fault> {
    match id.and_then(|id| id.value) {
        Some(wire::Value::Structured(halves)) => Ok(Uuid::from_u64_pair(
            halves.most_significant_bits as u64,
            halves.least_significant_bits as u64,
        )),
        Some(wire::Value::String(text)) => {
            Uuid::parse_str(&text).map_err(|_| Fault::bad("an id is not a UUID"))
        }
        None => Err(Fault::bad("an id is missing")),
    }
}

pub(crate) fn id_to(id: Uuid, form: IdForm) -> shared::Uuid {
    let value = match form {
        IdForm::Text => wire::Value::String(id.to_string()),
        IdForm::Structured => {
            let (high, low) = id.as_u64_pair();
            wire::Value::Structured(wire::Structured {
                most_significant_bits: high as i64,
                least_significant_bits: low as i64,
            })
        }
    };
    shared::Uuid { value: Some(value) }
}

/// Takes a proposed event apart, and refuses what the store would not keep as it is.
pub(crate) fn proposed(message: ProposedMessage, config: &Config) -> Result<Proposed, Fault> {
    let id = id_from(message.id)?;
    let (mut event_type, mut content_type) = (None, None);
    for entry in message.metadata {
        match &entry.key[..] {
            b"type" => event_type = Some(entry.value),
            b"content-type" => content_type = Some(entry.value),
            _ => {}
        }
    }
    let (Some(event_type), Some(content_type)) = (event_type, content_type) else {
        return Err(Fault::MissingMetadata);
    };
    let Ok(text) = std::str::from_utf8(&event_type) else {
        return Err(Fault::bad("the type of an event is not UTF-8"));
    };
    let size = message.data.len() + message.custom_metadata.len() + 2 * text.chars().count();
    let most = config.max_event_bytes;
    if size > most || event_type.len() > usize::from(u16::MAX) {
        return Err(Fault::EventTooBig { id, most, size });
    }
    Ok(Proposed {
        id,
        is_json: content_type == JSON,
        event_type,
        custom_metadata: message.custom_metadata,
        data: message.data,
    })
}

/// The event in memory of its own. What was decoded shares the memory of its whole message, which
/// may be far larger; whoever keeps an event while more messages come keeps this instead.
pub(crate) fn compact(event: &Proposed) -> Proposed {
    let parts = [&event.event_type, &event.custom_metadata, &event.data];
    let mut bytes = BytesMut::with_capacity(parts.iter().map(|part| part.len()).sum());
    let [event_type, custom_metadata, data] = parts.map(|part| {
        bytes.extend_from_slice(part);
        bytes.split().freeze()
    });
    Proposed { event_type, custom_metadata, data, ..*event }
}

/// The bytes that count against the limit of an append.
pub(crate) fn weight(event: &Proposed) -> usize {
    event.data.len() + event.custom_metadata.len() + 2 * event.event_type.len()
}

/// An event as a message of a read.
pub(crate) fn event(resolved: Resolved, form: IdForm) -> streams::ReadResp {
    let position = resolved.link.as_ref().or(resolved.event.as_ref()).map(|record| record.position);
    let position = match position {
        Some(position) => read_resp::read_event::Position::CommitPosition(position),
        None => read_resp::read_event::Position::NoPosition(()),
    };
    content(read_resp::Content::Event(read_resp::ReadEvent {
        event: resolved.event.map(|record| recorded(record, form)),
        link: resolved.link.map(|record| recorded(record, form)),
        position: Some(position),
    }))
}

pub(crate) fn content(content: read_resp::Content) -> streams::ReadResp {
    streams::ReadResp { content: Some(content) }
}

pub(crate) fn identifier(stream: Bytes) -> shared::StreamIdentifier {
    shared::StreamIdentifier { stream_name: stream }
}

pub(crate) fn position(position: u64) -> streams::Position {
    streams::Position { commit_position: position, prepare_position: position }
}

pub(crate) fn now() -> prost_types::Timestamp {
    SystemTime::now().into()
}

pub(crate) fn recorded(record: Record, form: IdForm) -> read_resp::RecordedEvent {
    let entry =
        |key: &'static [u8], value| shared::MetadataEntry { key: Bytes::from_static(key), value };
    let content_type = Bytes::from_static(if record.is_json { JSON } else { BINARY });
    read_resp::RecordedEvent {
        id: Some(id_to(record.id, form)),
        stream_identifier: Some(identifier(record.stream)),
        stream_revision: record.revision,
        prepare_position: record.position,
        commit_position: record.position,
        metadata: vec![
            entry(b"type", record.event_type),
            entry(b"content-type", content_type),
            entry(b"created", Bytes::from(record.created.to_string())),
        ],
        custom_metadata: record.custom_metadata,
        data: record.data,
    }
}
