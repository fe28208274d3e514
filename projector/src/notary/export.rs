//! The log as a file of lines: what is verified without the system that wrote it.
//!
//! The first line names the format, each line after it is one event, in the order of the log.
//! Checkpoints are events like all others; those of the store itself are left out.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use event_log::Stored;
use events::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The first line.
pub const HEADER: &str = r#"{"format":"roundtable-log/1"}"#;

/// One event as a line. Of data and metadata there is the text, or the bytes where they are none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    position: Position,
    stream: String,
    revision: u64,
    id: Uuid,
    #[serde(rename = "type")]
    event_type: String,
    content_type: String,
    /// As text: it is beyond what some programs take for a whole number.
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata_base64: Option<String>,
}

/// An event as a line, without its end.
pub fn line(event: &Stored) -> String {
    let (data, data_base64) = text_or_base64(&event.data);
    let (metadata, metadata_base64) = text_or_base64(&event.metadata);
    let line = Line {
        position: event.position,
        stream: event.stream.clone(),
        revision: event.revision,
        id: event.id,
        event_type: event.event_type.clone(),
        content_type: event.content_type.clone(),
        created: event.created.to_string(),
        data,
        data_base64,
        metadata,
        metadata_base64,
    };
    serde_json::to_string(&line).expect("text and numbers are JSON")
}

/// The event of a line; `None` if it is none.
pub fn parse(line: &str) -> Option<Stored> {
    let line: Line = serde_json::from_str(line).ok()?;
    Some(Stored {
        position: line.position,
        stream: line.stream,
        revision: line.revision,
        id: line.id,
        event_type: line.event_type,
        content_type: line.content_type,
        created: line.created.parse().ok()?,
        data: bytes(line.data, line.data_base64)?,
        metadata: bytes(line.metadata, line.metadata_base64)?,
    })
}

fn text_or_base64(bytes: &Bytes) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

fn bytes(text: Option<String>, base64: Option<String>) -> Option<Bytes> {
    match (text, base64) {
        (Some(text), None) => Some(text.into()),
        (None, Some(base64)) => BASE64_STANDARD.decode(base64).ok().map(Bytes::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        for data in [&b"{\"a\": \"\\u00e9\xc3\xa9\"}"[..], b"", b"\x00\xff\xfe", b"\"\n\x7f\x01"] {
            let event = Stored {
                position: Position { commit: 9, prepare: 8 },
                stream: "orders-\u{1f600}".to_owned(),
                revision: u64::MAX,
                id: Uuid::from_u128(5),
                event_type: "a\"b".to_owned(),
                content_type: "application/json".to_owned(),
                created: 17_000_000_000_000_001,
                data: Bytes::copy_from_slice(data),
                metadata: Bytes::copy_from_slice(data),
            };
            let line = line(&event);
            assert!(!line.contains('\n'));
            assert_eq!(parse(&line), Some(event));
        }
        assert_eq!(parse(HEADER), None);
    }
}
