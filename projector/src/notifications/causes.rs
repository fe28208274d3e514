//! Which events are a reason to tell somebody something.

use events::conversation::{ConversationKind, Role};
use events::notification::About;
use events::{
    CallEvent, CallId, ConversationEvent, ConversationId, DomainEvent, FriendshipEvent,
    MessageEvent, MessageId, SessionEvent, StudySessionId, UserId,
};

/// The types of these events: the others are not even read.
pub(super) const TYPES: [&str; 9] = [
    "friendship.requested",
    "friendship.accepted",
    "conversation.opened",
    "conversation.member_added",
    "message.sent",
    "session.reminded",
    "session.cancelled",
    "call.missed",
    "call.ended",
];

/// A reason to tell somebody something.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cause {
    /// Somebody did something to others.
    Done { by: UserId, to: Vec<UserId>, about: About },
    /// Somebody wrote.
    Sent { message: MessageId, conversation: ConversationId, from: UserId, mentions: Vec<UserId> },
    /// Everybody of a study session is told, but for whoever knows.
    Session {
        session: StudySessionId,
        conversation: ConversationId,
        but: Option<UserId>,
        about: About,
    },
    /// A call that these people did not take.
    Missed { call: CallId, conversation: ConversationId, users: Vec<UserId> },
}

/// What an event is a reason for.
pub(super) fn of(event: &DomainEvent) -> Option<Cause> {
    match event {
        DomainEvent::Friendship(event) => of_friendship(event),
        DomainEvent::Conversation(event) => of_conversation(event),
        DomainEvent::Message(MessageEvent::Sent {
            message,
            conversation,
            sender,
            mentions,
            ..
        }) => Some(Cause::Sent {
            message: *message,
            conversation: *conversation,
            from: *sender,
            mentions: mentions.clone(),
        }),
        DomainEvent::Message(
            MessageEvent::Edited { .. }
            | MessageEvent::Deleted { .. }
            | MessageEvent::Reacted { .. }
            | MessageEvent::Unreacted { .. },
        ) => None,
        DomainEvent::Session(event) => of_session(event),
        DomainEvent::Call(event) => of_call(event),
        DomainEvent::User(_)
        | DomainEvent::Reservation(_)
        | DomainEvent::Login(_)
        | DomainEvent::Receipt(_)
        | DomainEvent::Whiteboard(_)
        | DomainEvent::File(_)
        | DomainEvent::Notification(_)
        | DomainEvent::Parked(_)
        | DomainEvent::Report(_)
        | DomainEvent::Denial(_)
        | DomainEvent::Line(_)
        | DomainEvent::Hold(_)
        | DomainEvent::Access(_)
        | DomainEvent::Webhook(_) => None,
    }
}

fn of_friendship(event: &FriendshipEvent) -> Option<Cause> {
    match *event {
        FriendshipEvent::Requested { from, to } => {
            Some(Cause::Done { by: from, to: vec![to], about: About::FriendRequest { from } })
        }
        FriendshipEvent::Accepted { by, of } => {
            Some(Cause::Done { by, to: vec![of], about: About::FriendAccepted { by } })
        }
        FriendshipEvent::Declined { .. }
        | FriendshipEvent::Cancelled { .. }
        | FriendshipEvent::Removed { .. }
        | FriendshipEvent::Blocked { .. }
        | FriendshipEvent::Unblocked { .. } => None,
    }
}

/// Who comes by an invitation, or into the room of a session, comes by themselves.
fn of_conversation(event: &ConversationEvent) -> Option<Cause> {
    match event {
        ConversationEvent::Opened {
            conversation, kind: ConversationKind::Group, members, ..
        } => {
            let by = members.iter().find(|member| member.role == Role::Owner)?.user;
            let others = members.iter().map(|member| member.user).filter(|user| *user != by);
            let about = About::AddedToGroup { conversation: *conversation, by };
            Some(Cause::Done { by, to: others.collect(), about })
        }
        ConversationEvent::MemberAdded { conversation, user, by, invite: None } if user != by => {
            let about = About::AddedToGroup { conversation: *conversation, by: *by };
            Some(Cause::Done { by: *by, to: vec![*user], about })
        }
        ConversationEvent::Opened { .. }
        | ConversationEvent::MemberAdded { .. }
        | ConversationEvent::MemberRemoved { .. }
        | ConversationEvent::MemberBanned { .. }
        | ConversationEvent::MemberUnbanned { .. }
        | ConversationEvent::TitleChanged { .. }
        | ConversationEvent::RoleChanged { .. }
        | ConversationEvent::OwnershipTransferred { .. }
        | ConversationEvent::InviteMade { .. }
        | ConversationEvent::InviteRevoked { .. }
        | ConversationEvent::SlowModeChanged { .. }
        | ConversationEvent::MessagePinned { .. }
        | ConversationEvent::MessageUnpinned { .. } => None,
    }
}

fn of_session(event: &SessionEvent) -> Option<Cause> {
    match *event {
        SessionEvent::Reminded { session, conversation, .. } => Some(Cause::Session {
            session,
            conversation,
            but: None,
            about: About::SessionReminder { session, conversation },
        }),
        SessionEvent::Cancelled { session, conversation, by } => Some(Cause::Session {
            session,
            conversation,
            but: Some(by),
            about: About::SessionCancelled { session, conversation },
        }),
        SessionEvent::Scheduled { .. }
        | SessionEvent::Changed { .. }
        | SessionEvent::Started { .. }
        | SessionEvent::Completed { .. }
        | SessionEvent::Joined { .. }
        | SessionEvent::Left { .. } => None,
    }
}

fn of_call(event: &CallEvent) -> Option<Cause> {
    let (call, conversation) = event.place();
    let users = match event {
        CallEvent::Missed { users, .. } | CallEvent::Ended { missed: users, .. } => users.clone(),
        CallEvent::Started { .. }
        | CallEvent::Accepted { .. }
        | CallEvent::Joined { .. }
        | CallEvent::Declined { .. }
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
        | CallEvent::RecordingFailed { .. } => vec![],
    };
    (!users.is_empty()).then_some(Cause::Missed { call, conversation, users })
}

#[cfg(test)]
mod tests {
    use events::call::EndCause;
    use events::conversation::Member;
    use events::{Event, InviteId};
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, sent, user};

    const ROOM: ConversationId = ConversationId::new(Uuid::from_u128(9));

    #[test]
    fn who_did_it_is_never_told_of_it() {
        let member = |n, role| Member { user: user(n), role };
        let opened = |kind| ConversationEvent::Opened {
            conversation: ROOM,
            kind,
            title: None,
            members: vec![member(1, Role::Owner), member(2, Role::Member)],
        };
        let about = About::AddedToGroup { conversation: ROOM, by: user(1) };
        let told = Cause::Done { by: user(1), to: vec![user(2)], about };
        assert_eq!(of_conversation(&opened(ConversationKind::Group)), Some(told.clone()));
        assert_eq!(of_conversation(&opened(ConversationKind::Direct)), None);
        assert_eq!(of_conversation(&opened(ConversationKind::Study)), None);
        let added = |by, invite| {
            let (conversation, user) = (ROOM, user(2));
            of_conversation(&ConversationEvent::MemberAdded { conversation, user, by, invite })
        };
        assert_eq!(added(user(1), None), Some(told));
        assert_eq!(added(user(2), None), None);
        assert_eq!(added(user(1), Some(InviteId::new(Uuid::nil()))), None);
    }

    #[test]
    fn every_event_that_is_a_reason_has_its_type_in_the_list() {
        let session = StudySessionId::new(Uuid::nil());
        let (by, conversation, starts) = (user(1), ROOM, moment());
        let (from, to) = (user(1), user(2));
        let call = CallId::new(Uuid::nil());
        let users = vec![to];
        let reasons: [DomainEvent; 7] = [
            CallEvent::Missed { call, conversation, users: users.clone(), rings_on: false }.into(),
            CallEvent::Ended {
                call,
                conversation,
                cause: EndCause::Cancelled,
                by: Some(by),
                missed: users,
            }
            .into(),
            FriendshipEvent::Requested { from, to }.into(),
            FriendshipEvent::Accepted { by, of: to }.into(),
            sent(MessageId::new(Uuid::nil()), ROOM, "Hello").into(),
            SessionEvent::Reminded { session, conversation, starts, minutes: 15 }.into(),
            SessionEvent::Cancelled { session, conversation, by }.into(),
        ];
        for event in reasons {
            assert!(of(&event).is_some(), "{event:?}");
            assert!(TYPES.contains(&event.event_type()), "{event:?}");
        }
        let declined = FriendshipEvent::Declined { by: to, of: from };
        assert!(!TYPES.contains(&declined.event_type()));
        assert_eq!(of(&declined.into()), None);
    }
}
