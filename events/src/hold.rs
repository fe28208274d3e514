//! Legal holds: what must be kept, whatever its people or the retention say.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ConversationId, DomainEvent, Event, UserId};

/// What a hold keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// A person: everything of theirs.
    User(UserId),
    /// A conversation: everything that was said in it, by whomever.
    Conversation(ConversationId),
}

impl Held {
    /// Its id, whatever it is.
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::User(id) => id.uuid(),
            Self::Conversation(id) => id.uuid(),
        }
    }
}

/// An event of a `hold-` stream, of which each person and each conversation may have one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum HoldEvent {
    /// From now on it is kept.
    #[serde(rename = "hold.placed")]
    Placed {
        /// What.
        held: Held,
        /// For which matter, as the people who look after it call it. No personal data.
        matter: String,
        /// Who decided it.
        by: UserId,
    },
    /// This matter needs it no more.
    #[serde(rename = "hold.released")]
    Released {
        /// What.
        held: Held,
        /// Which matter.
        matter: String,
        /// Who decided it.
        by: UserId,
    },
}

impl Event for HoldEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Placed { .. } => "hold.placed",
            Self::Released { .. } => "hold.released",
        }
    }
}

impl From<HoldEvent> for DomainEvent {
    fn from(event: HoldEvent) -> Self {
        Self::Hold(event)
    }
}
