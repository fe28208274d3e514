//! What can go wrong with a request, as a status and as the answer to one write of a batch.
//!
//! Clients switch on the `exception` key, and some read the words of the message too.

use std::fmt::Write as _;

use prost::Message;
use tonic::{
    Code, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};
use uuid::Uuid;

use super::{
    persistent::GroupFault,
    proto::{google::rpc, shared},
};
use crate::{access, committer::Refusal, expected::Expected, read::Failure};

/// A request that is refused or failed.
#[derive(Debug)]
pub(crate) enum Fault {
    WrongVersion {
        stream: Vec<u8>,
        expected: Expected,
        current: Option<u64>,
    },
    Deleted {
        stream: Vec<u8>,
    },
    AppendTooBig {
        most: usize,
    },
    EventTooBig {
        id: Uuid,
        most: usize,
        size: usize,
    },
    MissingMetadata,
    BadRequest(String),
    /// The caller is not let in, or may not do this.
    Access(access::Refusal),
    /// The disk does not take what is written: reading goes on, so the connection must too.
    Storage(String),
    /// What was written cannot be read.
    Lost(String),
    /// The deadline of a write had passed before it was handed over.
    Timeout,
    /// Something about a persistent subscription.
    Group(GroupFault),
    Stopping,
}

impl Fault {
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::BadRequest(message.into())
    }

    pub(crate) fn refused(refusal: Refusal, stream: &[u8]) -> Self {
        match refusal {
            Refusal::WrongVersion { expected, current } => {
                Self::WrongVersion { stream: stream.to_vec(), expected, current }
            }
            Refusal::Deleted => Self::Deleted { stream: stream.to_vec() },
            Refusal::TooBig => Self::bad("with the stream's name in each, the events are too long"),
            Refusal::Storage(message) => Self::Storage(message),
            Refusal::Stopped => Self::Stopping,
        }
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        match failure {
            Failure::Log(error) => Self::Lost(error.to_string()),
            Failure::Filter(_) | Failure::InvalidPosition(_) => {
                Self::BadRequest(failure.to_string())
            }
        }
    }

    fn message(&self) -> String {
        match self {
            Self::WrongVersion { stream, expected, current } => format!(
                "Append failed due to WrongExpectedVersion. Stream: {}, Expected version: {}, \
                 Actual version: {}",
                String::from_utf8_lossy(stream),
                expected_number(*expected),
                current_number(*current),
            ),
            Self::Deleted { stream } => {
                format!("Event stream '{}' is deleted.", String::from_utf8_lossy(stream))
            }
            Self::AppendTooBig { most } => {
                format!("Maximum append size of {most} bytes exceeded.")
            }
            Self::EventTooBig { id, most, size } => {
                format!("Event {id} has {size} bytes; the most is {most}.")
            }
            Self::MissingMetadata => "Required metadata properties are missing.".to_owned(),
            Self::BadRequest(message) => message.clone(),
            Self::Access(refusal) => refusal.message(),
            Self::Storage(message) => format!("The store cannot write: {message}"),
            Self::Lost(message) => message.clone(),
            Self::Timeout => "The deadline passed before anything was written.".to_owned(),
            Self::Group(fault) => fault.message(),
            Self::Stopping => "The server is shutting down.".to_owned(),
        }
    }

    /// The fault of one write of a batch, which leaves the others alone.
    pub(crate) fn into_batch(self) -> rpc::Status {
        let message = self.message();
        let (code, message, details) = match self {
            Self::WrongVersion { expected, current, .. } => (
                Code::AlreadyExists,
                "WrongExpectedVersion".to_owned(),
                any("WrongExpectedVersion", &wrong_version(expected, current)),
            ),
            Self::Deleted { stream } => {
                let stream_identifier =
                    Some(shared::StreamIdentifier { stream_name: stream.into() });
                let detail = shared::StreamDeleted { stream_identifier };
                (Code::NotFound, "StreamDeleted".to_owned(), any("StreamDeleted", &detail))
            }
            Self::AppendTooBig { most } | Self::EventTooBig { most, .. } => {
                let max_append_size = u32::try_from(most).unwrap_or(u32::MAX);
                let detail = shared::MaximumAppendSizeExceeded { max_append_size };
                let name = "MaximumAppendSizeExceeded";
                (Code::InvalidArgument, name.to_owned(), any(name, &detail))
            }
            Self::MissingMetadata | Self::BadRequest(_) => {
                let detail = shared::BadRequest { message: message.clone() };
                (Code::InvalidArgument, message, any("BadRequest", &detail))
            }
            Self::Access(access::Refusal::Denied | access::Refusal::Unauthenticated) => {
                let name = "AccessDenied";
                (Code::PermissionDenied, name.to_owned(), any(name, &shared::AccessDenied {}))
            }
            Self::Access(refusal) => (refusal.code(), message, unknown()),
            Self::Storage(_) => (Code::ResourceExhausted, message, unknown()),
            Self::Lost(_) => (Code::DataLoss, message, unknown()),
            Self::Timeout => {
                let detail = any("Timeout", &shared::Timeout {});
                (Code::DeadlineExceeded, "Timeout".to_owned(), detail)
            }
            Self::Group(fault) => (fault.code(), message, unknown()),
            Self::Stopping => (Code::Unavailable, message, unknown()),
        };
        rpc::Status { code: code as i32, message, details: Some(details) }
    }
}

impl From<access::Refusal> for Fault {
    fn from(refusal: access::Refusal) -> Self {
        Self::Access(refusal)
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let message = fault.message();
        let mut keys = Keys(MetadataMap::new());
        let code = match fault {
            Fault::WrongVersion { stream, expected, current } => {
                keys.exception("wrong-expected-version");
                keys.add("stream-name", &header_text(&stream));
                keys.add("expected-version", &expected_number(expected).to_string());
                keys.add("actual-version", &current_number(current).to_string());
                Code::FailedPrecondition
            }
            Fault::Deleted { stream } => {
                keys.exception("stream-deleted");
                keys.add("stream-name", &header_text(&stream));
                Code::FailedPrecondition
            }
            Fault::AppendTooBig { most } => {
                keys.exception("maximum-append-size-exceeded");
                keys.add("maximum-append-size", &most.to_string());
                Code::InvalidArgument
            }
            Fault::EventTooBig { id, most, size } => {
                keys.exception("maximum-append-event-size-exceeded");
                keys.add("event-id", &id.to_string());
                keys.add("maximum-append-event-size", &most.to_string());
                keys.add("proposed-append-event-size", &size.to_string());
                Code::InvalidArgument
            }
            Fault::MissingMetadata => {
                keys.exception("missing-required-metadata-property");
                keys.add("required-metadata-properties", "type,content-type");
                Code::InvalidArgument
            }
            Fault::BadRequest(_) => Code::InvalidArgument,
            Fault::Access(refusal) => {
                if let Some(exception) = refusal.exception() {
                    keys.exception(exception);
                }
                if let Some(login) = refusal.login() {
                    keys.add("login-name", &header_text(login.as_bytes()));
                }
                refusal.code()
            }
            Fault::Storage(_) => Code::ResourceExhausted,
            Fault::Lost(_) => Code::DataLoss,
            Fault::Timeout => Code::Aborted,
            Fault::Group(fault) => {
                for (key, value) in fault.keys() {
                    keys.add(key, &header_text(value.as_bytes()));
                }
                fault.code()
            }
            Fault::Stopping => Code::Unavailable,
        };
        Self::with_metadata(code, message, keys.0)
    }
}

struct Keys(MetadataMap);

impl Keys {
    fn exception(&mut self, name: &'static str) {
        self.add("exception", name);
    }

    fn add(&mut self, key: &'static str, value: &str) {
        let value = AsciiMetadataValue::try_from(value).expect("the value is visible ASCII");
        self.0.insert(key, value);
    }
}

/// A stream's name for a header, which may hold visible ASCII only: the rest percent-encoded.
fn header_text(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name {
        if byte.is_ascii_graphic() && *byte != b'%' || *byte == b' ' {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes any text");
        }
    }
    text
}

fn expected_number(expected: Expected) -> i64 {
    match expected {
        Expected::Exact(revision) => i64::try_from(revision).unwrap_or(i64::MAX),
        Expected::NoStream => -1,
        Expected::Any => -2,
        Expected::StreamExists => -4,
    }
}

fn current_number(current: Option<u64>) -> i64 {
    current.map_or(-1, |revision| i64::try_from(revision).unwrap_or(i64::MAX))
}

fn wrong_version(expected: Expected, current: Option<u64>) -> shared::WrongExpectedVersion {
    use shared::wrong_expected_version::{
        CurrentStreamRevisionOption as C, ExpectedStreamPositionOption as E,
    };
    shared::WrongExpectedVersion {
        current_stream_revision_option: Some(
            current.map_or(C::CurrentNoStream(()), C::CurrentStreamRevision),
        ),
        expected_stream_position_option: Some(match expected {
            Expected::Exact(revision) => E::ExpectedStreamPosition(revision),
            Expected::NoStream => E::ExpectedNoStream(()),
            Expected::Any => E::ExpectedAny(()),
            Expected::StreamExists => E::ExpectedStreamExists(()),
        }),
    }
}

fn any(name: &str, detail: &impl Message) -> prost_types::Any {
    let type_url = format!("type.googleapis.com/event_store.client.{name}");
    prost_types::Any { type_url, value: detail.encode_to_vec() }
}

fn unknown() -> prost_types::Any {
    any("Unknown", &shared::Unknown {})
}
