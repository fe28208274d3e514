//! What an event is about, for whoever looks for events: where it happened, and to whom.

use crate::hold::Held;
use crate::notification::About;
use crate::report::Subject;
use crate::{
    Audience, ConversationEvent, ConversationId, DomainEvent, FileEvent, HoldEvent, MessageEvent,
    NotificationEvent, ReceiptEvent, ReportEvent, UserId,
};

/// The conversation it happened in, or is about.
pub fn conversation(event: &DomainEvent) -> Option<ConversationId> {
    match event {
        DomainEvent::Conversation(event) => Some(of_conversation(event)),
        DomainEvent::Message(
            MessageEvent::Sent { conversation, .. }
            | MessageEvent::Edited { conversation, .. }
            | MessageEvent::Deleted { conversation, .. }
            | MessageEvent::Reacted { conversation, .. }
            | MessageEvent::Unreacted { conversation, .. },
        )
        | DomainEvent::Receipt(
            ReceiptEvent::Delivered { conversation, .. } | ReceiptEvent::Read { conversation, .. },
        ) => Some(*conversation),
        DomainEvent::Session(event) => Some(event.conversation()),
        DomainEvent::Whiteboard(event) => Some(event.conversation()),
        DomainEvent::Call(event) => Some(event.place().1),
        DomainEvent::File(FileEvent::Uploaded { conversation, .. }) => *conversation,
        DomainEvent::Notification(NotificationEvent::Raised { about, .. }) => match about {
            About::FriendRequest { .. } | About::FriendAccepted { .. } => None,
            About::Message { conversation, .. }
            | About::Mention { conversation, .. }
            | About::AddedToGroup { conversation, .. }
            | About::SessionReminder { conversation, .. }
            | About::SessionCancelled { conversation, .. }
            | About::MissedCall { conversation, .. } => Some(*conversation),
        },
        DomainEvent::Report(ReportEvent::Filed { subject, .. }) => match subject {
            Subject::User { .. } => None,
            Subject::Message { conversation, .. } | Subject::Conversation { conversation } => {
                Some(*conversation)
            }
        },
        DomainEvent::User(_)
        | DomainEvent::Reservation(_)
        | DomainEvent::Login(_)
        | DomainEvent::Friendship(_)
        | DomainEvent::File(FileEvent::Removed { .. })
        | DomainEvent::Notification(
            NotificationEvent::Attempted { .. } | NotificationEvent::Read { .. },
        )
        | DomainEvent::Report(ReportEvent::Resolved { .. })
        | DomainEvent::Denial(_)
        | DomainEvent::Line(_)
        | DomainEvent::Access(_)
        | DomainEvent::Parked(_)
        | DomainEvent::Webhook(_) => None,
        DomainEvent::Hold(event) => match held(event) {
            Held::User(_) => None,
            Held::Conversation(conversation) => Some(conversation),
        },
    }
}

const fn held(event: &HoldEvent) -> Held {
    match event {
        HoldEvent::Placed { held, .. } | HoldEvent::Released { held, .. } => *held,
    }
}

const fn of_conversation(event: &ConversationEvent) -> ConversationId {
    match event {
        ConversationEvent::Opened { conversation, .. }
        | ConversationEvent::MemberAdded { conversation, .. }
        | ConversationEvent::MemberRemoved { conversation, .. }
        | ConversationEvent::MemberBanned { conversation, .. }
        | ConversationEvent::MemberUnbanned { conversation, .. }
        | ConversationEvent::TitleChanged { conversation, .. }
        | ConversationEvent::RoleChanged { conversation, .. }
        | ConversationEvent::OwnershipTransferred { conversation, .. }
        | ConversationEvent::InviteMade { conversation, .. }
        | ConversationEvent::InviteRevoked { conversation, .. }
        | ConversationEvent::SlowModeChanged { conversation, .. }
        | ConversationEvent::MessagePinned { conversation, .. }
        | ConversationEvent::MessageUnpinned { conversation, .. } => *conversation,
    }
}

/// The one person it happened to, if they are not who did it: the friend who was asked, the member
/// who was removed, the person who was notified.
pub fn person(event: &DomainEvent, actor: UserId) -> Option<UserId> {
    if let DomainEvent::Hold(event) = event {
        return match held(event) {
            Held::User(user) => Some(user).filter(|user| *user != actor),
            Held::Conversation(_) => None,
        };
    }
    let only = match event {
        DomainEvent::Conversation(
            ConversationEvent::RoleChanged { user, .. }
            | ConversationEvent::OwnershipTransferred { to: user, .. },
        )
        | DomainEvent::Notification(NotificationEvent::Attempted { user, .. })
        | DomainEvent::Report(ReportEvent::Filed { subject: Subject::User { user }, .. })
        | DomainEvent::Friendship(
            crate::FriendshipEvent::Blocked { of: user, .. }
            | crate::FriendshipEvent::Unblocked { of: user, .. },
        ) => return Some(*user).filter(|user| *user != actor),
        DomainEvent::Session(
            crate::SessionEvent::Joined { user, .. } | crate::SessionEvent::Left { user, .. },
        )
        | DomainEvent::Receipt(
            ReceiptEvent::Delivered { user, .. } | ReceiptEvent::Read { user, .. },
        ) => return Some(*user).filter(|user| *user != actor),
        other => Audience::of(other),
    };
    let mut others = only.into_iter().filter_map(|audience| match audience {
        Audience::User(user) if user != actor => Some(user),
        Audience::User(_) | Audience::Conversation(_) => None,
    });
    let first = others.next();
    first.filter(|_| others.next().is_none())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::FriendshipEvent;

    #[test]
    fn an_event_is_about_a_conversation_and_whom_it_happened_to() {
        let user = |n: u128| UserId::new(Uuid::from_u128(n));
        let here = ConversationId::new(Uuid::from_u128(9));
        let added = DomainEvent::from(ConversationEvent::MemberAdded {
            conversation: here,
            user: user(2),
            by: user(1),
            invite: None,
        });
        assert_eq!((conversation(&added), person(&added, user(1))), (Some(here), Some(user(2))));
        assert_eq!(person(&added, user(2)), None, "who comes by themselves");
        let asked = DomainEvent::from(FriendshipEvent::Requested { from: user(1), to: user(2) });
        assert_eq!((conversation(&asked), person(&asked, user(1))), (None, Some(user(2))));
    }
}
