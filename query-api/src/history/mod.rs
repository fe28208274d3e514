//! The log as administrators and operators read it: events, states of streams, and why they are.
//!
//! The routes under `/v1/admin` and the program `roundtable` both come here, so they give the same
//! answers. What is personal stays sealed unless it is asked for, and that is recorded.

pub mod access;
pub mod entry;
pub mod explain;
pub mod filter;
pub mod list;
pub mod state;
pub mod when;

mod routes;

use event_log::{LogError, OpenError};
use thiserror::Error;

pub(crate) use routes::router;

/// Why the past cannot be told.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The event store, or the key vault, is away or refuses.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An event cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Postgres is away or refuses.
    #[error("the index of events cannot be read")]
    Postgres(#[from] sqlx::Error),
    /// That personal data is opened could not be recorded, so it is not shown.
    #[error("that personal data is opened could not be recorded: {0}")]
    NotRecorded(String),
}
