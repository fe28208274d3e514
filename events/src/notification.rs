//! What happens to one notification of one person.

use serde::{Deserialize, Serialize};

use crate::{
    CallId, ConversationId, DomainEvent, Event, EventId, MessageId, NotificationId, StudySessionId,
    UserId,
};

/// An event of a `notification-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum NotificationEvent {
    /// There is something to tell.
    #[serde(rename = "notification.raised")]
    Raised {
        /// The notification, whose id follows from its person and its cause.
        notification: NotificationId,
        /// Whom.
        user: UserId,
        /// What.
        about: About,
        /// The event that caused it.
        cause: EventId,
    },
    /// It was tried to deliver it.
    #[serde(rename = "notification.attempted")]
    Attempted {
        /// The notification.
        notification: NotificationId,
        /// Whom.
        user: UserId,
        /// On which way.
        channel: Channel,
        /// The how-manieth attempt on this way, from 1.
        attempt: u16,
        /// What came of it.
        outcome: Outcome,
        /// Why, if it failed; never personal data.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The person has seen it.
    #[serde(rename = "notification.read")]
    Read {
        /// The notification.
        notification: NotificationId,
        /// Who.
        user: UserId,
    },
}

impl Event for NotificationEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Raised { .. } => "notification.raised",
            Self::Attempted { .. } => "notification.attempted",
            Self::Read { .. } => "notification.read",
        }
    }
}

impl NotificationEvent {
    /// Whose notification it is.
    pub const fn user(&self) -> UserId {
        match self {
            Self::Raised { user, .. } | Self::Attempted { user, .. } | Self::Read { user, .. } => {
                *user
            }
        }
    }
}

impl From<NotificationEvent> for DomainEvent {
    fn from(event: NotificationEvent) -> Self {
        Self::Notification(event)
    }
}

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum About {
    /// Somebody wants to be friends.
    FriendRequest {
        /// Who.
        from: UserId,
    },
    /// Somebody agreed to be friends.
    FriendAccepted {
        /// Who.
        by: UserId,
    },
    /// A message came while the person was away.
    Message {
        /// Which.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// From whom.
        from: UserId,
    },
    /// A message names the person.
    Mention {
        /// Which.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// From whom.
        from: UserId,
    },
    /// The person was added to a group.
    AddedToGroup {
        /// Which.
        conversation: ConversationId,
        /// By whom.
        by: UserId,
    },
    /// A study session is about to begin.
    SessionReminder {
        /// Which.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
    },
    /// A study session will not take place.
    SessionCancelled {
        /// Which.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
    },
    /// Somebody called, and it was not answered.
    MissedCall {
        /// Which call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who called.
        from: UserId,
    },
}

/// A way to deliver a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Over the gateway, to devices that are connected.
    Live,
    /// By web push.
    Push,
    /// By e-mail.
    Email,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was taken.
    Delivered,
    /// It failed, and will be tried again.
    Failed,
    /// It failed, and will not be tried again.
    Dead,
    /// There was nobody to take it on this way.
    Skipped,
}
