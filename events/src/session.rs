//! What happens to a study session: a meeting with a subject, a tutor and a limited number of seats.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, Event, Moment, Personal, StudySessionId, UserId};

/// An event of a `session-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum SessionEvent {
    /// A session was planned.
    #[serde(rename = "session.scheduled")]
    Scheduled {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// Who leads it.
        tutor: UserId,
        /// What it is called.
        title: Personal<String>,
        /// What it is about, in a word that many sessions share.
        subject: String,
        /// What it is about, at length.
        description: Personal<String>,
        /// How many people may be in it at a time, the tutor included.
        capacity: u16,
        /// When it is to begin.
        starts: Moment,
    },
    /// The plan changed; what is absent stays as it was.
    #[serde(rename = "session.changed")]
    Changed {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// The new title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<Personal<String>>,
        /// The new subject.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// The new description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Personal<String>>,
        /// The new number of seats.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        capacity: Option<u16>,
        /// The new beginning.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        starts: Option<Moment>,
        /// By whom.
        by: UserId,
    },
    /// The session began.
    #[serde(rename = "session.started")]
    Started {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// By whom.
        by: UserId,
    },
    /// The session ended.
    #[serde(rename = "session.completed")]
    Completed {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// By whom.
        by: UserId,
    },
    /// The session will not take place, or was broken off.
    #[serde(rename = "session.cancelled")]
    Cancelled {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// By whom.
        by: UserId,
    },
    /// Somebody came into the room.
    #[serde(rename = "session.joined")]
    Joined {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Somebody left the room.
    #[serde(rename = "session.left")]
    Left {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// How it came.
        cause: LeaveCause,
    },
    /// Everybody who asked to was told that the session is about to begin.
    #[serde(rename = "session.reminded")]
    Reminded {
        /// The session.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// Of which beginning.
        starts: Moment,
        /// How many minutes before it.
        minutes: u16,
    },
}

impl Event for SessionEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Scheduled { .. } => "session.scheduled",
            Self::Changed { .. } => "session.changed",
            Self::Started { .. } => "session.started",
            Self::Completed { .. } => "session.completed",
            Self::Cancelled { .. } => "session.cancelled",
            Self::Joined { .. } => "session.joined",
            Self::Left { .. } => "session.left",
            Self::Reminded { .. } => "session.reminded",
        }
    }
}

impl SessionEvent {
    /// The conversation of the session.
    pub const fn conversation(&self) -> ConversationId {
        match self {
            Self::Scheduled { conversation, .. }
            | Self::Changed { conversation, .. }
            | Self::Started { conversation, .. }
            | Self::Completed { conversation, .. }
            | Self::Cancelled { conversation, .. }
            | Self::Joined { conversation, .. }
            | Self::Left { conversation, .. }
            | Self::Reminded { conversation, .. } => *conversation,
        }
    }
}

impl From<SessionEvent> for DomainEvent {
    fn from(event: SessionEvent) -> Self {
        Self::Session(event)
    }
}

/// How it came that somebody left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveCause {
    /// They said so.
    Left,
    /// Their connection was lost, and did not come back in time.
    Lost,
    /// The tutor sent them out.
    Removed,
    /// The session ended.
    Ended,
}
