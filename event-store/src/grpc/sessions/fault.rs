//! What can go wrong with a transaction: a status with the standard details, which clients decode.

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status, metadata::MetadataMap};
use uuid::Uuid;

use super::record::number;
use crate::{
    expected::Expected,
    grpc::{
        fault,
        proto::{
            session_errors::{
                AppendConsistencyViolationErrorDetails, AppendRecordSizeExceededErrorDetails,
                AppendTransactionSizeExceededErrorDetails, ConsistencyViolation,
                StreamAlreadyInAppendSessionErrorDetails, StreamRevisionConflictErrorDetails,
                StreamTombstonedErrorDetails, consistency_violation,
            },
            standard,
        },
    },
    transaction::{Aborted, Actual, State, Violation},
};

/// The most checks that do not hold of which the client is told.
const REPORTED: usize = 32;

/// A transaction that is refused or failed.
#[derive(Debug)]
pub(super) enum Fault {
    NamedTwice {
        stream: Bytes,
    },
    RecordTooBig {
        stream: Bytes,
        id: Uuid,
        size: usize,
        most: usize,
    },
    TransactionTooBig {
        size: usize,
        most: usize,
    },
    /// There is nothing to write.
    Empty,
    Aborted(Aborted),
    /// What the first version of the protocol has a word for.
    First(fault::Fault),
}

impl Fault {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::First(fault::Fault::bad(message))
    }
}

impl From<Aborted> for Fault {
    fn from(aborted: Aborted) -> Self {
        match aborted {
            Aborted::Refused(refusal) => Self::First(fault::Fault::refused(refusal, b"")),
            other => Self::Aborted(other),
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::First(fault) => fault.into(),
            Fault::Empty => {
                Self::failed_precondition("Append failed because there are no records.")
            }
            Fault::NamedTwice { stream } => {
                let stream = text(&stream);
                let message = format!("Stream '{stream}' is already part of this append session.");
                let detail = StreamAlreadyInAppendSessionErrorDetails { stream };
                detailed(Code::Aborted, message, "StreamAlreadyInAppendSession", &detail)
            }
            Fault::RecordTooBig { stream, id, size, most } => {
                let (stream, record_id) = (text(&stream), id.to_string());
                let message = format!(
                    "Record {record_id} for stream '{stream}' has {size} bytes; the most is {most}."
                );
                let (size, max_size) = (small(size), small(most));
                let detail =
                    AppendRecordSizeExceededErrorDetails { stream, record_id, size, max_size };
                detailed(Code::InvalidArgument, message, "AppendRecordSizeExceeded", &detail)
            }
            Fault::TransactionTooBig { size, most } => {
                let message = format!("The records have {size} bytes or more; the most is {most}.");
                let (size, max_size) = (small(size), small(most));
                let detail = AppendTransactionSizeExceededErrorDetails { size, max_size };
                detailed(Code::Aborted, message, "AppendTransactionSizeExceeded", &detail)
            }
            Fault::Aborted(aborted) => refused(aborted),
        }
    }
}

fn refused(aborted: Aborted) -> Status {
    match aborted {
        Aborted::Conflict { stream, expected, actual } => {
            let (stream, expected_revision) = (text(&stream), expected_number(expected));
            let actual_revision = actual_number(actual);
            let message = format!(
                "Append failed due to a revision conflict on stream '{stream}'. Expected revision: \
                 {expected_revision}. Actual revision: {actual_revision}."
            );
            let detail =
                StreamRevisionConflictErrorDetails { stream, expected_revision, actual_revision };
            detailed(Code::FailedPrecondition, message, "StreamRevisionConflict", &detail)
        }
        Aborted::Tombstoned { stream } => {
            let stream = text(&stream);
            let message = format!("Stream '{stream}' has been tombstoned.");
            let detail = StreamTombstonedErrorDetails { stream };
            detailed(Code::FailedPrecondition, message, "StreamTombstoned", &detail)
        }
        Aborted::Violated(violations) => {
            let message =
                format!("Append failed: {} consistency check(s) do not hold.", violations.len());
            // Clients take 16 KiB of headers.
            let violations = violations.into_iter().take(REPORTED).map(violation).collect();
            let detail = AppendConsistencyViolationErrorDetails { violations };
            detailed(Code::FailedPrecondition, message, "AppendConsistencyViolation", &detail)
        }
        Aborted::Refused(refusal) => fault::Fault::refused(refusal, b"").into(),
    }
}

fn violation(violation: Violation) -> ConsistencyViolation {
    use consistency_violation::{StreamStateViolation, Type};
    let Violation { check, stream, state, actual } = violation;
    ConsistencyViolation {
        check_index: small(check),
        r#type: Some(Type::StreamState(StreamStateViolation {
            stream: text(&stream),
            expected_state: state_number(state),
            actual_state: actual_number(actual),
        })),
    }
}

fn detailed(code: Code, message: String, name: &str, detail: &impl Message) -> Status {
    let type_url =
        format!("type.googleapis.com/kurrentdb.protocol.v2.streams.errors.{name}ErrorDetails");
    let detail = prost_types::Any { type_url, value: detail.encode_to_vec() };
    // Clients compare what is in here with the status itself.
    let status =
        standard::Status { code: code as i32, message: message.clone(), details: vec![detail] };
    let details = status.encode_to_vec().into();
    Status::with_details_and_metadata(code, message, details, MetadataMap::new())
}

fn expected_number(expected: Expected) -> i64 {
    match expected {
        Expected::Exact(revision) => number(revision),
        Expected::NoStream => -1,
        Expected::Any => -2,
        Expected::StreamExists => -4,
    }
}

fn state_number(state: State) -> i64 {
    match state {
        State::Exact(revision) => number(revision),
        State::NoStream => -1,
        State::Any => -2,
        State::Exists => -4,
        State::SoftDeleted => -5,
        State::Tombstoned => -6,
    }
}

fn actual_number(actual: Actual) -> i64 {
    match actual {
        Actual::Revision(revision) => number(revision),
        Actual::NoStream => -1,
        Actual::SoftDeleted => -5,
        Actual::Tombstoned => -6,
    }
}

fn small(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn text(stream: &[u8]) -> String {
    String::from_utf8_lossy(stream).into_owned()
}
