//! What happens between two people.

use serde::{Deserialize, Serialize};

use crate::{DomainEvent, Event, UserId};

/// An event of a `friendship-` stream. Each names whoever did it first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum FriendshipEvent {
    /// One asked the other to be friends.
    #[serde(rename = "friendship.requested")]
    Requested {
        /// Who asked.
        from: UserId,
        /// Who was asked.
        to: UserId,
    },
    /// The one who was asked agreed, or had asked as well.
    #[serde(rename = "friendship.accepted")]
    Accepted {
        /// Who agreed.
        by: UserId,
        /// Whose request it was.
        of: UserId,
    },
    /// The one who was asked said no.
    #[serde(rename = "friendship.declined")]
    Declined {
        /// Who said no.
        by: UserId,
        /// Whose request it was.
        of: UserId,
    },
    /// The one who asked took the request back.
    #[serde(rename = "friendship.cancelled")]
    Cancelled {
        /// Who had asked.
        by: UserId,
        /// Who had been asked.
        to: UserId,
    },
    /// One ended the friendship.
    #[serde(rename = "friendship.removed")]
    Removed {
        /// Who ended it.
        by: UserId,
        /// The other.
        of: UserId,
    },
    /// One wants nothing to do with the other; a friendship or request between them is over.
    #[serde(rename = "friendship.blocked")]
    Blocked {
        /// Who blocked.
        by: UserId,
        /// Whom.
        of: UserId,
    },
    /// One lets the other come near again.
    #[serde(rename = "friendship.unblocked")]
    Unblocked {
        /// Who had blocked.
        by: UserId,
        /// Whom.
        of: UserId,
    },
}

impl Event for FriendshipEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "friendship.requested",
            Self::Accepted { .. } => "friendship.accepted",
            Self::Declined { .. } => "friendship.declined",
            Self::Cancelled { .. } => "friendship.cancelled",
            Self::Removed { .. } => "friendship.removed",
            Self::Blocked { .. } => "friendship.blocked",
            Self::Unblocked { .. } => "friendship.unblocked",
        }
    }
}

impl From<FriendshipEvent> for DomainEvent {
    fn from(event: FriendshipEvent) -> Self {
        Self::Friendship(event)
    }
}
