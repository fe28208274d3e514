//! What happened in a conversation, as rows between its messages.

use events::conversation::{ConversationKind, Role};
use events::{CallEvent, ConversationEvent, ConversationId, UserId};
use serde_json::{Value, json};

use crate::projections::text;

/// Something that happened, as its row shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Happened {
    /// Where.
    pub conversation: ConversationId,
    /// Who did it.
    pub by: UserId,
    /// What, without personal data.
    pub what: Value,
    /// The title, where it is about one, unless it was erased.
    pub title: Option<String>,
}

/// What an event is to those who read the conversation; nothing if it is not for them. The opening
/// of a direct conversation is no news.
pub(super) fn happened(event: &ConversationEvent, actor: UserId) -> Option<Happened> {
    let row = |conversation: &ConversationId, by: &UserId, what: Value| {
        Some(Happened { conversation: *conversation, by: *by, what, title: None })
    };
    match event {
        ConversationEvent::Opened { kind: ConversationKind::Direct, .. } => None,
        ConversationEvent::Opened { conversation, title, .. } => Some(Happened {
            title: title.as_ref().and_then(text),
            ..row(conversation, &actor, json!({ "type": "opened" }))?
        }),
        ConversationEvent::MemberAdded { conversation, user, by, .. } => {
            let what = if user == by { "member_joined" } else { "member_added" };
            row(conversation, by, json!({ "type": what, "user": user }))
        }
        ConversationEvent::MemberRemoved { conversation, user, by } => {
            let what = if user == by { "member_left" } else { "member_removed" };
            row(conversation, by, json!({ "type": what, "user": user }))
        }
        ConversationEvent::MemberBanned { conversation, user, by } => {
            row(conversation, by, json!({ "type": "member_banned", "user": user }))
        }
        ConversationEvent::MemberUnbanned { conversation, user, by } => {
            row(conversation, by, json!({ "type": "member_unbanned", "user": user }))
        }
        ConversationEvent::TitleChanged { conversation, title, by } => Some(Happened {
            title: text(title),
            ..row(conversation, by, json!({ "type": "title_changed" }))?
        }),
        ConversationEvent::RoleChanged { conversation, user, role, by } => {
            let role = match role {
                Role::Owner => "owner",
                Role::Admin => "admin",
                Role::Member => "member",
            };
            row(conversation, by, json!({ "type": "role_changed", "user": user, "role": role }))
        }
        ConversationEvent::OwnershipTransferred { conversation, from, to } => {
            row(conversation, from, json!({ "type": "ownership_transferred", "user": to }))
        }
        ConversationEvent::SlowModeChanged { conversation, seconds, by } => {
            row(conversation, by, json!({ "type": "slow_mode_changed", "seconds": seconds }))
        }
        ConversationEvent::MessagePinned { conversation, message, by } => {
            row(conversation, by, json!({ "type": "message_pinned", "message": message }))
        }
        ConversationEvent::InviteMade { .. }
        | ConversationEvent::InviteRevoked { .. }
        | ConversationEvent::MessageUnpinned { .. } => None,
    }
}

/// That there was a call, and how it ended: by nobody (the nil id), where nobody ended it.
pub(super) fn happened_in_call(event: &CallEvent, actor: UserId) -> Option<Happened> {
    let (call, conversation) = event.place();
    let (by, what) = match event {
        CallEvent::Started { by, media, .. } => {
            (by.user, json!({ "type": "call_started", "call": call, "media": media }))
        }
        CallEvent::Ended { cause, by, .. } => {
            let what = json!({ "type": "call_ended", "call": call, "cause": cause });
            (by.unwrap_or(actor), what)
        }
        CallEvent::Accepted { .. }
        | CallEvent::Joined { .. }
        | CallEvent::Declined { .. }
        | CallEvent::Missed { .. }
        | CallEvent::Rung { .. }
        | CallEvent::VideoAdded { .. }
        | CallEvent::Left { .. }
        | CallEvent::Toggled { .. }
        | CallEvent::Moved { .. }
        | CallEvent::MediaJoined { .. }
        | CallEvent::MediaLeft { .. }
        | CallEvent::ConsentAsked { .. }
        | CallEvent::ConsentGiven { .. }
        | CallEvent::ConsentWithdrawn { .. }
        | CallEvent::RecordingStarted { .. }
        | CallEvent::RecordingStopped { .. }
        | CallEvent::RecordingStored { .. }
        | CallEvent::RecordingFailed { .. } => return None,
    };
    Some(Happened { conversation, by, what, title: None })
}
