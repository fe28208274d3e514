//! What somebody read of others with the rights of an administrator.

use serde::{Deserialize, Serialize};

use crate::{DomainEvent, Event, UserId};

/// An event of an `access-` stream, of which each administrator has one; the operator, who is nobody
/// (the nil UUID), has one too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum AccessEvent {
    /// Personal data of others was opened.
    #[serde(rename = "access.recorded")]
    Recorded {
        /// Who read it.
        by: UserId,
        /// What they used: `events`, `state` or `explain`.
        view: String,
        /// What they asked for, by ids, types and positions.
        asked: String,
        /// Whose data was opened.
        subjects: Vec<UserId>,
    },
}

impl Event for AccessEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Recorded { .. } => "access.recorded",
        }
    }
}

impl From<AccessEvent> for DomainEvent {
    fn from(event: AccessEvent) -> Self {
        Self::Access(event)
    }
}
