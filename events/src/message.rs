//! What happens to one message.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, Event, FileId, MessageId, Personal, UserId};

/// An event of a `message-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum MessageEvent {
    /// A message was sent.
    #[serde(rename = "message.sent")]
    Sent {
        /// The message.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// By whom.
        sender: UserId,
        /// What it says; empty only where it has attachments.
        text: Personal<String>,
        /// What it is.
        #[serde(default, skip_serializing_if = "MessageKind::is_text")]
        kind: MessageKind,
        /// The message it answers, in the same conversation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<MessageId>,
        /// The first message of the thread it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<MessageId>,
        /// Whom it mentions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<UserId>,
        /// The files that come with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<FileId>,
    },
    /// The sender changed what it says.
    #[serde(rename = "message.edited")]
    Edited {
        /// The message.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// What it says now.
        text: Personal<String>,
        /// Whom it mentions now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions: Vec<UserId>,
        /// By whom.
        by: UserId,
    },
    /// The message is not shown any more.
    #[serde(rename = "message.deleted")]
    Deleted {
        /// The message.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// By whom: the sender, or somebody who may decide what stays.
        by: UserId,
    },
    /// Somebody reacted.
    #[serde(rename = "message.reacted")]
    Reacted {
        /// The message.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// With what: one emoji, as one grapheme cluster.
        emoji: String,
        /// Who.
        by: UserId,
    },
    /// Somebody took a reaction back.
    #[serde(rename = "message.unreacted")]
    Unreacted {
        /// The message.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// Which reaction.
        emoji: String,
        /// Who.
        by: UserId,
    },
}

impl Event for MessageEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "message.sent",
            Self::Edited { .. } => "message.edited",
            Self::Deleted { .. } => "message.deleted",
            Self::Reacted { .. } => "message.reacted",
            Self::Unreacted { .. } => "message.unreacted",
        }
    }
}

impl From<MessageEvent> for DomainEvent {
    fn from(event: MessageEvent) -> Self {
        Self::Message(event)
    }
}

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Words.
    #[default]
    Text,
    /// A picture.
    Image,
    /// A file that is no picture.
    File,
    /// A few emoji, to be shown large.
    Emoji,
}

impl MessageKind {
    /// Whether it is words, which need not be said.
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Text)
    }
}
