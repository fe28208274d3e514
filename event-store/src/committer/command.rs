//! What the committer is asked, and what it answers.

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use crate::{
    expected::Expected,
    log::{frame::Proposed, reader::ReadError},
    transaction::{self, Aborted, Transaction},
};

/// What is to be written to a stream.
pub(crate) enum Action {
    Append(Vec<Proposed>),
    /// Hides everything written so far; the id is for the event that says so.
    SoftDelete(Uuid),
    /// Ends the stream for ever.
    Tombstone(Uuid),
}

/// A write, and where its answer goes once it is durable.
pub(crate) enum Command {
    Write {
        stream: Bytes,
        expected: Expected,
        action: Action,
        answer: oneshot::Sender<Answer>,
        room: Room,
    },
    Transact {
        transaction: Transaction,
        answer: oneshot::Sender<transaction::Answer>,
        room: Room,
    },
    Stop,
}

/// What the bytes of a waiting write take of what all may take; it is given back when they are gone.
pub(crate) type Room = OwnedSemaphorePermit;

pub(crate) type Answer = Result<Written, Refusal>;

/// A write that is durable, or was before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) revision: Option<u64>,
    pub(crate) position: Option<u64>,
}

/// Why nothing was written.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    WrongVersion {
        expected: Expected,
        current: Option<u64>,
    },
    Deleted,
    /// With the stream's name in each, the events take more of the log than an append may.
    TooBig,
    Storage(String),
    Stopped,
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// What was decided, and who is told once it is durable.
pub(super) enum Reply {
    Write(oneshot::Sender<Answer>, Answer),
    Transact(oneshot::Sender<transaction::Answer>, transaction::Answer),
}

impl Reply {
    /// Tells the outcome, or why nothing at all could be written. A caller that has gone away has
    /// no interest in the answer.
    pub(super) fn send(self, failure: Option<Refusal>) {
        match self {
            Self::Write(sender, answer) => {
                let _ = sender.send(failure.map_or(answer, Err));
            }
            Self::Transact(sender, answer) => {
                let failure = failure.map(|refusal| Err(Aborted::Refused(refusal)));
                let _ = sender.send(failure.unwrap_or(answer));
            }
        }
    }
}
