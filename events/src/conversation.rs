//! Who is in a conversation.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, Event, Personal, UserId};

/// An event of a `conversation-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ConversationEvent {
    /// A conversation began.
    #[serde(rename = "conversation.opened")]
    Opened {
        /// The conversation.
        conversation: ConversationId,
        /// For two, or for a group.
        kind: ConversationKind,
        /// The title of a group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<Personal<String>>,
        /// Who is in it from the start.
        members: Vec<Member>,
    },
    /// Somebody came into the group.
    #[serde(rename = "conversation.member_added")]
    MemberAdded {
        /// The conversation.
        conversation: ConversationId,
        /// Who came.
        user: UserId,
        /// Who added them.
        by: UserId,
    },
    /// Somebody left the group, or was removed from it.
    #[serde(rename = "conversation.member_removed")]
    MemberRemoved {
        /// The conversation.
        conversation: ConversationId,
        /// Who went.
        user: UserId,
        /// Who removed them: themselves, if they left.
        by: UserId,
    },
    /// Somebody was removed from the group, if they were in it, and may not come back.
    #[serde(rename = "conversation.member_banned")]
    MemberBanned {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// By whom.
        by: UserId,
    },
    /// Somebody may be added again.
    #[serde(rename = "conversation.member_unbanned")]
    MemberUnbanned {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// By whom.
        by: UserId,
    },
}

impl Event for ConversationEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "conversation.opened",
            Self::MemberAdded { .. } => "conversation.member_added",
            Self::MemberRemoved { .. } => "conversation.member_removed",
            Self::MemberBanned { .. } => "conversation.member_banned",
            Self::MemberUnbanned { .. } => "conversation.member_unbanned",
        }
    }
}

impl From<ConversationEvent> for DomainEvent {
    fn from(event: ConversationEvent) -> Self {
        Self::Conversation(event)
    }
}

/// For how many a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationKind {
    /// For two friends; its id follows from theirs.
    Direct,
    /// For a group, with an owner.
    Group,
}

/// Somebody in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
}

/// What somebody is in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Opened the group, and decides who is in it.
    Owner,
    /// Takes part.
    Member,
}
