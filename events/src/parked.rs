//! What administrators do about events that a projection could not work on.

use serde::{Deserialize, Serialize};

use crate::{DomainEvent, Event, EventId, UserId};

/// An event of a `parked-` stream, of which each event that was parked may have one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ParkedEvent {
    /// The projection tries it again, and then the later events of its stream.
    #[serde(rename = "parked.retried")]
    Retried {
        /// The event that is parked.
        event: EventId,
        /// By which projection.
        projection: String,
        /// Who wants it; the nil UUID is the operator of the deployment.
        by: UserId,
    },
    /// The projection does without it, and goes on with the later events of its stream.
    #[serde(rename = "parked.skipped")]
    Skipped {
        /// The event that is parked.
        event: EventId,
        /// By which projection.
        projection: String,
        /// Who decided it; the nil UUID is the operator of the deployment.
        by: UserId,
        /// Why. No personal data.
        reason: String,
    },
}

impl ParkedEvent {
    /// The event that is parked, and the projection that could not work on it.
    pub fn about(&self) -> (EventId, &str) {
        match self {
            Self::Retried { event, projection, .. } | Self::Skipped { event, projection, .. } => {
                (*event, projection)
            }
        }
    }
}

impl Event for ParkedEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Retried { .. } => "parked.retried",
            Self::Skipped { .. } => "parked.skipped",
        }
    }
}

impl From<ParkedEvent> for DomainEvent {
    fn from(event: ParkedEvent) -> Self {
        Self::Parked(event)
    }
}
