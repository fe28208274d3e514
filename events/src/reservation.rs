//! How a name (an e-mail address, a handle) becomes the name of one person only.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DomainEvent, Event, UserId};

/// An event of an `email-` or `handle-` stream; the name itself is in neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ReservationEvent {
    /// The name is held for a sign-up that has to be finished.
    #[serde(rename = "name.reserved")]
    Reserved {
        /// For whom.
        user: UserId,
        /// From then on somebody else may take it, if it is not confirmed.
        until: DateTime<Utc>,
    },
    /// The sign-up was finished: the name belongs to the person.
    #[serde(rename = "name.confirmed")]
    Confirmed {
        /// Whose name it is.
        user: UserId,
    },
    /// The name is free again.
    #[serde(rename = "name.released")]
    Released {
        /// Whose it was, or for whom it was held.
        user: UserId,
    },
}

impl Event for ReservationEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Reserved { .. } => "name.reserved",
            Self::Confirmed { .. } => "name.confirmed",
            Self::Released { .. } => "name.released",
        }
    }
}

impl From<ReservationEvent> for DomainEvent {
    fn from(event: ReservationEvent) -> Self {
        Self::Reservation(event)
    }
}
