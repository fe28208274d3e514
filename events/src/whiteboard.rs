//! What happens on the whiteboard of a study session.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, ElementId, Event, Personal, StudySessionId, UserId};

/// An event of a `whiteboard-` stream, which has the id of its session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum WhiteboardEvent {
    /// Something was drawn, or drawn anew in the place of what it was.
    #[serde(rename = "whiteboard.drawn")]
    Drawn {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// What was drawn.
        element: ElementId,
        /// How it looks: JSON that only clients understand.
        shape: Personal<String>,
        /// By whom.
        by: UserId,
    },
    /// Something was wiped out.
    #[serde(rename = "whiteboard.erased")]
    Erased {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// What.
        element: ElementId,
        /// By whom.
        by: UserId,
    },
    /// Everything was wiped out.
    #[serde(rename = "whiteboard.cleared")]
    Cleared {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// By whom.
        by: UserId,
    },
}

impl Event for WhiteboardEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Drawn { .. } => "whiteboard.drawn",
            Self::Erased { .. } => "whiteboard.erased",
            Self::Cleared { .. } => "whiteboard.cleared",
        }
    }
}

impl WhiteboardEvent {
    /// The conversation of the session.
    pub const fn conversation(&self) -> ConversationId {
        match self {
            Self::Drawn { conversation, .. }
            | Self::Erased { conversation, .. }
            | Self::Cleared { conversation, .. } => *conversation,
        }
    }
}

impl From<WhiteboardEvent> for DomainEvent {
    fn from(event: WhiteboardEvent) -> Self {
        Self::Whiteboard(event)
    }
}
