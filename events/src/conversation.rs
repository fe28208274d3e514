//! Who is in a conversation.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, Event, InviteId, MessageId, Moment, Personal, UserId};

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
        /// Who added them: themselves, if they came by an invitation.
        by: UserId,
        /// The invitation they came by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invite: Option<InviteId>,
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
    /// The group has another title.
    #[serde(rename = "conversation.title_changed")]
    TitleChanged {
        /// The conversation.
        conversation: ConversationId,
        /// The new title.
        title: Personal<String>,
        /// By whom.
        by: UserId,
    },
    /// Somebody in the group has another role.
    #[serde(rename = "conversation.role_changed")]
    RoleChanged {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// The new role, which is not that of the owner.
        role: Role,
        /// By whom.
        by: UserId,
    },
    /// The group has another owner; the old one is an admin now.
    #[serde(rename = "conversation.ownership_transferred")]
    OwnershipTransferred {
        /// The conversation.
        conversation: ConversationId,
        /// Who owned it.
        from: UserId,
        /// Who owns it.
        to: UserId,
    },
    /// There is a new invitation into the group.
    #[serde(rename = "conversation.invite_made")]
    InviteMade {
        /// The conversation.
        conversation: ConversationId,
        /// The invitation.
        invite: InviteId,
        /// Until when it may be used; for ever when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Moment>,
        /// By how many people; by any number when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uses: Option<u32>,
        /// Who made it.
        by: UserId,
    },
    /// An invitation may no longer be used.
    #[serde(rename = "conversation.invite_revoked")]
    InviteRevoked {
        /// The conversation.
        conversation: ConversationId,
        /// The invitation.
        invite: InviteId,
        /// By whom.
        by: UserId,
    },
    /// Members have to wait between two messages.
    #[serde(rename = "conversation.slow_mode_changed")]
    SlowModeChanged {
        /// The conversation.
        conversation: ConversationId,
        /// How many seconds; none when zero.
        seconds: u32,
        /// By whom.
        by: UserId,
    },
    /// A message is shown to everybody at the top.
    #[serde(rename = "conversation.message_pinned")]
    MessagePinned {
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        message: MessageId,
        /// By whom.
        by: UserId,
    },
    /// A message is no longer pinned.
    #[serde(rename = "conversation.message_unpinned")]
    MessageUnpinned {
        /// The conversation.
        conversation: ConversationId,
        /// The message.
        message: MessageId,
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
            Self::TitleChanged { .. } => "conversation.title_changed",
            Self::RoleChanged { .. } => "conversation.role_changed",
            Self::OwnershipTransferred { .. } => "conversation.ownership_transferred",
            Self::InviteMade { .. } => "conversation.invite_made",
            Self::InviteRevoked { .. } => "conversation.invite_revoked",
            Self::SlowModeChanged { .. } => "conversation.slow_mode_changed",
            Self::MessagePinned { .. } => "conversation.message_pinned",
            Self::MessageUnpinned { .. } => "conversation.message_unpinned",
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
    /// For the people in a study session; its tutor owns it.
    Study,
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
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Decides everything about the group. There is always exactly one.
    Owner,
    /// Decides who is in the group, and what stays in it.
    Admin,
    /// Takes part.
    Member,
}
