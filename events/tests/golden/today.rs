//! One value of each event type.

use events::conversation::{ConversationKind, Member, Role};
use events::file::Pixels;
use events::hold::Held;
use events::login::CloseReason;
use events::message::MessageKind;
use events::notification::{About, Channel, Outcome};
use events::report::{Reason, Subject, Verdict};
use events::session::LeaveCause;
use events::user::PlatformRole;
use events::{
    AccessEvent, ConversationEvent, ConversationId, DenialEvent, DomainEvent, ElementId, EventId,
    FileEvent, FileId, FriendshipEvent, HoldEvent, InviteId, LoginEvent, LoginId, MessageEvent,
    MessageId, Moment, NotificationEvent, NotificationId, ParkedEvent, Personal, Position, PushId,
    ReceiptEvent, ReportEvent, ReportId, ReservationEvent, SessionEvent, StudySessionId, UserEvent,
    UserId, WhiteboardEvent,
};
use uuid::Uuid;

#[path = "bots.rs"]
mod bots;
#[path = "calls.rs"]
mod calls;

const ADA: UserId = UserId::new(Uuid::from_u128(0xada));
const BOB: UserId = UserId::new(Uuid::from_u128(0xb0b));
const EVE: UserId = UserId::new(Uuid::from_u128(0xe7e));
const CONVERSATION: ConversationId = ConversationId::new(Uuid::from_u128(0xc0));
const MESSAGE: MessageId = MessageId::new(Uuid::from_u128(0x3e));
const LOGIN: LoginId = LoginId::new(Uuid::from_u128(0x10));

/// One value of each type: the first item of its newest fixture.
pub(crate) fn all() -> Vec<DomainEvent> {
    let of_ada = |text: &str| Personal::new(ADA, text.to_owned());
    let expires = moment();
    let (conversation, message, upto) = (CONVERSATION, MESSAGE, Position::at(4096));
    let mut all: Vec<DomainEvent> = vec![
        UserEvent::SignedUp {
            user: ADA,
            email: of_ada("ada@example.org"),
            handle: of_ada("ada"),
            name: of_ada("Ada Lovelace"),
            password_hash: of_ada("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"),
        }
        .into(),
        UserEvent::ProfileChanged {
            user: ADA,
            name: Some(of_ada("Ada")),
            bio: Some(of_ada("Notes on the engine")),
            native_language: None,
            learning_language: None,
            location: None,
            avatar: None,
        }
        .into(),
        LoginEvent::Opened {
            login: LOGIN,
            user: ADA,
            refresh_digest: of_ada("9f86d081884c7d65"),
            expires,
            device: None,
        }
        .into(),
        LoginEvent::Refreshed {
            login: LOGIN,
            user: ADA,
            refresh_digest: of_ada("60303ae22b998861"),
            expires,
        }
        .into(),
        LoginEvent::Closed { login: LOGIN, user: ADA, reason: CloseReason::LoggedOut }.into(),
        ConversationEvent::Opened {
            conversation,
            kind: ConversationKind::Group,
            title: Some(of_ada("Study room")),
            members: vec![
                Member { user: ADA, role: Role::Owner },
                Member { user: BOB, role: Role::Member },
            ],
        }
        .into(),
        MessageEvent::Sent {
            message,
            conversation,
            sender: ADA,
            text: of_ada("Hello, Bob – ça va?"),
            kind: MessageKind::Text,
            reply_to: None,
            thread: None,
            mentions: vec![],
            attachments: vec![],
        }
        .into(),
        ReceiptEvent::Delivered { conversation, user: BOB, message, upto }.into(),
        ReceiptEvent::Read { conversation, user: BOB, message, upto }.into(),
    ];
    all.extend(
        [
            ReservationEvent::Reserved { user: ADA, until: expires },
            ReservationEvent::Confirmed { user: ADA },
            ReservationEvent::Released { user: ADA },
        ]
        .map(DomainEvent::from),
    );
    all.extend(
        [
            FriendshipEvent::Requested { from: ADA, to: BOB },
            FriendshipEvent::Accepted { by: BOB, of: ADA },
            FriendshipEvent::Declined { by: BOB, of: ADA },
            FriendshipEvent::Cancelled { by: ADA, to: BOB },
            FriendshipEvent::Removed { by: ADA, of: BOB },
        ]
        .map(DomainEvent::from),
    );
    all.extend(
        [
            ConversationEvent::MemberAdded { conversation, user: EVE, by: ADA, invite: None },
            ConversationEvent::MemberRemoved { conversation, user: EVE, by: ADA },
            ConversationEvent::MemberBanned { conversation, user: EVE, by: ADA },
            ConversationEvent::MemberUnbanned { conversation, user: EVE, by: ADA },
        ]
        .map(DomainEvent::from),
    );
    all.extend(of_people());
    all.extend(of_conversations());
    all.extend(of_sessions());
    all.extend(of_the_rest());
    all.extend(calls::all());
    all.extend(bots::all());
    all
}

fn of_people() -> Vec<DomainEvent> {
    let of_ada = |text: &str| Personal::new(ADA, text.to_owned());
    let push = PushId::new(Uuid::from_u128(0x9a));
    let users = [
        UserEvent::Onboarded { user: ADA },
        UserEvent::PasswordRehashed {
            user: ADA,
            password_hash: of_ada("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$bmV3"),
            chosen: false,
        },
        UserEvent::RoleChanged { user: ADA, role: PlatformRole::Moderator, by: BOB },
        UserEvent::Suspended {
            user: ADA,
            until: Some(moment()),
            reason: of_ada("Advertising"),
            by: BOB,
        },
        UserEvent::Reinstated { user: ADA, by: BOB },
        UserEvent::PushSubscribed {
            user: ADA,
            push,
            endpoint: of_ada("https://push.example/1"),
            p256dh: of_ada("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx"),
            auth: of_ada("BTBZMqHH6r4Tts7J_aSIgg"),
        },
        UserEvent::PushUnsubscribed { user: ADA, push },
        UserEvent::NotificationsRead { user: ADA, upto: Position::at(4096) },
        UserEvent::Erased {
            user: ADA,
            by: BOB,
            conversations: vec![CONVERSATION],
            names: vec!["email-5f3c".to_owned(), "handle-9a41".to_owned()],
        },
        UserEvent::ErasureCertified {
            user: ADA,
            certificate: "{\"version\":1}".to_owned(),
            signature: "c2lnbmVk".to_owned(),
        },
    ];
    let friendships = [
        FriendshipEvent::Blocked { by: ADA, of: BOB },
        FriendshipEvent::Unblocked { by: ADA, of: BOB },
    ];
    users.map(Into::into).into_iter().chain(friendships.map(Into::into)).collect()
}

fn of_conversations() -> Vec<DomainEvent> {
    let of_ada = |text: &str| Personal::new(ADA, text.to_owned());
    let (conversation, message) = (CONVERSATION, MESSAGE);
    let invite = InviteId::new(Uuid::from_u128(0x1f));
    let emoji = "👩‍🚀".to_owned();
    let conversations = [
        ConversationEvent::TitleChanged { conversation, title: of_ada("Maths"), by: ADA },
        ConversationEvent::RoleChanged { conversation, user: BOB, role: Role::Admin, by: ADA },
        ConversationEvent::OwnershipTransferred { conversation, from: ADA, to: BOB },
        ConversationEvent::InviteMade {
            conversation,
            invite,
            expires: Some(moment()),
            uses: Some(5),
            by: ADA,
        },
        ConversationEvent::InviteRevoked { conversation, invite, by: ADA },
        ConversationEvent::SlowModeChanged { conversation, seconds: 30, by: ADA },
        ConversationEvent::MessagePinned { conversation, message, by: ADA },
        ConversationEvent::MessageUnpinned { conversation, message, by: ADA },
    ];
    let messages = [
        MessageEvent::Edited {
            message,
            conversation,
            text: of_ada("Hello, Bob"),
            mentions: vec![BOB],
            by: ADA,
        },
        MessageEvent::Deleted { message, conversation, by: ADA },
        MessageEvent::Reacted { message, conversation, emoji: emoji.clone(), by: BOB },
        MessageEvent::Unreacted { message, conversation, emoji, by: BOB },
    ];
    conversations.map(Into::into).into_iter().chain(messages.map(Into::into)).collect()
}

fn of_sessions() -> Vec<DomainEvent> {
    let of_ada = |text: &str| Personal::new(ADA, text.to_owned());
    let (session, conversation) = (StudySessionId::new(Uuid::from_u128(0x5e)), CONVERSATION);
    let element = ElementId::new(Uuid::from_u128(0xe1));
    let sessions = [
        SessionEvent::Scheduled {
            session,
            conversation,
            tutor: ADA,
            title: of_ada("Bernoulli numbers"),
            subject: "maths".to_owned(),
            description: of_ada("Note G, step by step"),
            capacity: 10,
            starts: moment(),
        },
        SessionEvent::Changed {
            session,
            conversation,
            title: None,
            subject: None,
            description: None,
            capacity: Some(12),
            starts: None,
            by: ADA,
        },
        SessionEvent::Started { session, conversation, by: ADA },
        SessionEvent::Completed { session, conversation, by: ADA },
        SessionEvent::Cancelled { session, conversation, by: ADA },
        SessionEvent::Joined { session, conversation, user: BOB },
        SessionEvent::Left { session, conversation, user: BOB, cause: LeaveCause::Lost },
        SessionEvent::Reminded { session, conversation, starts: moment(), minutes: 15 },
    ];
    let boards = [
        WhiteboardEvent::Drawn {
            session,
            conversation,
            element,
            shape: of_ada(r#"{"path":"M0 0L1 1"}"#),
            by: ADA,
        },
        WhiteboardEvent::Erased { session, conversation, element, by: ADA },
        WhiteboardEvent::Cleared { session, conversation, by: ADA },
    ];
    sessions.map(Into::into).into_iter().chain(boards.map(Into::into)).collect()
}

fn of_the_rest() -> Vec<DomainEvent> {
    let of_ada = |text: &str| Personal::new(ADA, text.to_owned());
    let (file, report) = (FileId::new(Uuid::from_u128(0xf1)), ReportId::new(Uuid::from_u128(0x4e)));
    let notification = NotificationId::new(Uuid::from_u128(0x07));
    let (message, conversation) = (MESSAGE, CONVERSATION);
    vec![
        FileEvent::Uploaded {
            file,
            owner: ADA,
            conversation: Some(conversation),
            name: of_ada("engine.png"),
            media_type: "image/png".to_owned(),
            bytes: 2048,
            digest: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
            pixels: Some(Pixels { width: 640, height: 480 }),
        }
        .into(),
        HoldEvent::Placed {
            held: Held::Conversation(conversation),
            matter: "2026-17".to_owned(),
            by: BOB,
        }
        .into(),
        ParkedEvent::Retried {
            event: EventId::new(Uuid::from_u128(0xe0)),
            projection: "friend_list".to_owned(),
            by: BOB,
        }
        .into(),
        ParkedEvent::Skipped {
            event: EventId::new(Uuid::from_u128(0xe0)),
            projection: "friend_list".to_owned(),
            by: BOB,
            reason: "a test left it there".to_owned(),
        }
        .into(),
        HoldEvent::Released { held: Held::User(ADA), matter: "2026-17".to_owned(), by: BOB }.into(),
        FileEvent::Removed { file, owner: ADA, by: ADA }.into(),
        NotificationEvent::Raised {
            notification,
            user: BOB,
            about: About::Mention { message, conversation, from: ADA },
            cause: EventId::new(Uuid::from_u128(0xe0)),
        }
        .into(),
        NotificationEvent::Attempted {
            notification,
            user: BOB,
            channel: Channel::Email,
            attempt: 2,
            outcome: Outcome::Failed,
            reason: Some("the server asks to come back later".to_owned()),
        }
        .into(),
        NotificationEvent::Read { notification, user: BOB }.into(),
        ReportEvent::Filed {
            report,
            by: ADA,
            subject: Subject::Message { message, conversation },
            reason: Reason::Spam,
            text: of_ada("Again and again"),
            quoted: None,
        }
        .into(),
        ReportEvent::Resolved {
            report,
            by: EVE,
            verdict: Verdict::Removed,
            note: Personal::new(EVE, "Advertising".to_owned()),
        }
        .into(),
        AccessEvent::Recorded {
            by: ADA,
            view: "events".to_owned(),
            asked: "conversation=00000000-0000-0000-0000-0000000000c0 limit=50".to_owned(),
            subjects: vec![EVE],
        }
        .into(),
        DenialEvent::Recorded {
            user: EVE,
            command: "conversation.ban".to_owned(),
            problem: "not-owner".to_owned(),
            target: Some(conversation.uuid()),
            scope: None,
        }
        .into(),
    ]
}

fn moment() -> Moment {
    "2026-01-02T03:04:05.678901Z".parse().unwrap()
}
