//! Why the log does not answer, or says no.

use std::time::Duration;

use events::StreamName;
use thiserror::Error;

/// Something the log needs is away, for now.
#[derive(Clone, Debug, Error)]
#[error("{what} is not available: {detail}")]
pub struct Unavailable {
    /// What is away.
    pub what: Dependency,
    /// For operators; it holds no personal data, and is not for clients.
    pub detail: String,
    /// When it makes sense to try again.
    pub retry_after: Duration,
}

/// What the log needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// The store of events.
    EventStore,
    /// The keys of persons, in Postgres.
    Vault,
}

impl std::fmt::Display for Dependency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EventStore => "the event store",
            Self::Vault => "the key vault",
        })
    }
}

impl Unavailable {
    const RETRY_AFTER: Duration = Duration::from_secs(1);

    pub(crate) fn store(detail: impl ToString) -> Self {
        let detail = detail.to_string();
        Self { what: Dependency::EventStore, detail, retry_after: Self::RETRY_AFTER }
    }

    pub(crate) fn vault(detail: impl ToString) -> Self {
        let detail = detail.to_string();
        Self { what: Dependency::Vault, detail, retry_after: Self::RETRY_AFTER }
    }
}

/// Why the log could not be read.
#[derive(Clone, Debug, Error)]
pub enum LogError {
    /// The store is away, and was tried again for a while.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// An event of a stream that is about to be decided on cannot be read.
    #[error("event {revision} of {stream} cannot be read: {reason}")]
    Undecodable {
        /// The stream.
        stream: StreamName,
        /// The event's place in it.
        revision: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The store refused, and would refuse again.
    #[error("the event store refused")]
    Refused(#[source] eventstore::Error),
}

/// Why a command had no effect.
#[derive(Debug, Error)]
pub enum TransactError<R: std::error::Error + 'static> {
    /// A rule said no.
    #[error(transparent)]
    Rejected(R),
    /// The key was used before, for something else.
    #[error("this idempotency key was used with another body")]
    KeyReused,
    /// Others kept writing to the stream at the same time.
    #[error("too many are changing this at once")]
    Contention,
    /// An event would be larger than [`MAX_EVENT_BYTES`](crate::MAX_EVENT_BYTES).
    #[error("this is too large to be recorded")]
    TooLarge,
    /// An event would be about somebody who was erased.
    #[error("this person was erased")]
    Erased,
    /// The store, or the vault, is away.
    #[error(transparent)]
    Unavailable(Unavailable),
    /// A fault: the stream cannot be read, or the store refuses it.
    #[error("the log failed")]
    Failed(#[source] LogError),
}

impl<R: std::error::Error + 'static> From<LogError> for TransactError<R> {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Unavailable(unavailable) => Self::Unavailable(unavailable),
            fault @ (LogError::Undecodable { .. } | LogError::Refused(_)) => Self::Failed(fault),
        }
    }
}

/// Why a recorded event cannot be opened.
#[derive(Clone, Debug, Error)]
pub enum OpenError {
    /// It is ours, and yet cannot be read, now or ever: to be parked.
    #[error("the event cannot be read: {0}")]
    Poison(String),
    /// The keys cannot be fetched now; [`EventLog::open_sealed`](crate::EventLog::open_sealed)
    /// opens it without them.
    #[error(transparent)]
    VaultUnavailable(Unavailable),
}
