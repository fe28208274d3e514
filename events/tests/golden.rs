//! Golden fixtures: what was ever written can be read for ever, and is written as it was.
//!
//! `fixtures/v{schema version}/{event type}.json` is a list of data, as it lies in the log but for
//! `$personal`, which is how the seam hands it over. Fixtures are never changed or deleted. A new
//! event type, or a new version of one, gets a new file, and its value in [`today`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use events::conversation::{ConversationKind, Member, Role};
use events::login::CloseReason;
use events::{
    Category, ConversationEvent, ConversationId, DecodeError, DomainEvent, FriendshipEvent,
    LoginEvent, LoginId, MessageEvent, MessageId, Moment, Personal, Position, ReceiptEvent,
    ReservationEvent, UserEvent, UserId, upcast,
};
use serde_json::{Value, json};
use uuid::Uuid;

const ADA: UserId = UserId::new(Uuid::from_u128(0xada));
const BOB: UserId = UserId::new(Uuid::from_u128(0xb0b));
const EVE: UserId = UserId::new(Uuid::from_u128(0xe7e));
const CONVERSATION: ConversationId = ConversationId::new(Uuid::from_u128(0xc0));
const MESSAGE: MessageId = MessageId::new(Uuid::from_u128(0x3e));
const LOGIN: LoginId = LoginId::new(Uuid::from_u128(0x10));

/// One value of each type: the first item of its newest fixture.
fn today() -> Vec<DomainEvent> {
    let of_ada = |text: &str| Personal::new(ADA, text.to_owned());
    let expires: Moment = "2026-01-02T03:04:05.678901Z".parse().unwrap();
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
        }
        .into(),
        LoginEvent::Opened {
            login: LOGIN,
            user: ADA,
            refresh_digest: of_ada("9f86d081884c7d65"),
            expires,
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
            ConversationEvent::MemberAdded { conversation, user: EVE, by: ADA },
            ConversationEvent::MemberRemoved { conversation, user: EVE, by: ADA },
            ConversationEvent::MemberBanned { conversation, user: EVE, by: ADA },
            ConversationEvent::MemberUnbanned { conversation, user: EVE, by: ADA },
        ]
        .map(DomainEvent::from),
    );
    all
}

/// Every event type that this build knows, with a category that it is in: serde tells them when it
/// is asked for one that does not exist.
fn known_types() -> BTreeMap<String, Category> {
    let mut types = BTreeMap::new();
    for category in Category::ALL {
        let Err(DecodeError::Shape(told)) = DomainEvent::from_data(category, "?", 1, json!({}))
        else {
            panic!("no category has an event type `?`")
        };
        let (_, expected) = told.split_once("expected").unwrap();
        types.extend(expected.split('`').skip(1).step_by(2).map(|it| (it.to_owned(), category)));
    }
    types
}

/// The fixtures by event type and version.
fn fixtures() -> BTreeMap<(String, u16), Vec<Value>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = BTreeMap::new();
    for folder in root.read_dir().unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let version = name.strip_prefix('v').and_then(|number| number.parse().ok()).unwrap();
        for file in folder.read_dir().unwrap() {
            let file = file.unwrap().path();
            let event_type = file.file_stem().unwrap().to_str().unwrap().to_owned();
            let data = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            found.insert((event_type, version), data);
        }
    }
    found
}

#[test]
fn everything_ever_written_is_an_event_of_today() {
    let types = known_types();
    for ((event_type, version), items) in fixtures() {
        let category = types[&event_type];
        assert!(!items.is_empty(), "{event_type} v{version}");
        for data in items {
            let event = DomainEvent::from_data(category, &event_type, version, data.clone())
                .unwrap_or_else(|error| panic!("{event_type} v{version}: {error}: {data}"));
            assert_eq!(event.event_type(), event_type);
            if version == upcast::current_version(&event_type) {
                assert_eq!(event.to_data(), data, "{event_type} comes back as it was");
            }
        }
    }
}

#[test]
fn every_event_type_is_written_as_its_newest_fixture() {
    let fixtures = fixtures();
    let mut missing = known_types();
    for event in today() {
        let event_type = event.event_type().to_owned();
        let version = upcast::current_version(&event_type);
        let fixture = fixtures.get(&(event_type.clone(), version));
        let fixture = fixture.unwrap_or_else(|| panic!("no fixture v{version} of {event_type}"));
        assert_eq!(event.to_data(), fixture[0], "{event_type}");
        missing.remove(&event_type);
    }
    assert!(missing.is_empty(), "types without a value in `today`: {missing:?}");
}
