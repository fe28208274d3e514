//! Sealing, opening, erasing.

use domain::user::{Command, Profile, User};
use event_log::{EventLog, OpenError, Opened, Recorded, TransactError};
use events::{DomainEvent, Personal, Position, StreamName, UserEvent};

use crate::world::{World, by, user};

const SECRET: &str = "Ada Lovelace, 12 St James's Square";

pub(crate) async fn sign_up(log: &EventLog, number: u128, key: u128) -> event_log::Outcome {
    let person = user(number);
    let command = Command::SignUp {
        user: person,
        email: "ada@example.org".to_owned(),
        handle: "ada".to_owned(),
        name: SECRET.to_owned(),
        password_hash: "$argon2id$".to_owned(),
    };
    let stream = StreamName::user(person);
    log.transact_new::<User>(&stream, &command, &by(person, key, "a")).await.unwrap()
}

async fn name_in(log: &EventLog, recorded: &Recorded) -> Personal<String> {
    match log.open(recorded).await.unwrap() {
        Opened::Ours(envelope) => match envelope.event {
            DomainEvent::User(UserEvent::SignedUp { name, .. }) => name,
            other => panic!("{other:?}"),
        },
        Opened::Foreign => panic!("it is ours"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_holds_is_sealed_and_any_process_opens_it() {
    let world = World::start().await;
    sign_up(&world.log().await, 1, 1).await;
    let log = world.log().await;
    let recorded = log.read_all(Position::START, 1).await.unwrap().remove(0);
    assert!(!recorded.data.get().contains("Ada"));
    assert_eq!(name_in(&log, &recorded).await.open().unwrap(), SECRET);
    let loaded = log.load::<User>(&StreamName::user(user(1))).await.unwrap();
    assert_eq!(loaded.state.account().unwrap().name.open().unwrap(), SECRET);
    assert!(!loaded.sealed);
    let Opened::Ours(sealed) = log.open_sealed(&recorded).unwrap() else { panic!() };
    let DomainEvent::User(UserEvent::SignedUp { email, .. }) = sealed.event else { panic!() };
    assert!(matches!(email, Personal::Sealed { .. }));

    let bytes = world.stored_bytes();
    let contains = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(contains("user.signed_up"), "the files of the store were read");
    for plain in ["Lovelace", "ada@example.org", "argon2id"] {
        assert!(!contains(plain), "{plain} is in the store in plain");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_with_a_destroyed_key_is_erased_and_nothing_more_is_sealed() {
    let world = World::start().await;
    let log = world.log().await;
    sign_up(&log, 1, 1).await;
    sign_up(&log, 2, 1).await;
    log.vault().destroy(user(1)).await.unwrap();
    log.vault().destroy(user(3)).await.unwrap();
    for log in [log, world.log().await] {
        let all = log.read_all(Position::START, 10).await.unwrap();
        assert_eq!(name_in(&log, &all[0]).await, Personal::Erased { subject: user(1) });
        assert_eq!(name_in(&log, &all[1]).await.open().unwrap(), SECRET, "another person's stays");
        let name = Some("Eve".to_owned());
        let rename = Command::ChangeProfile(Profile { name, ..Profile::default() });
        let stream = StreamName::user(user(1));
        let refused = log.transact::<User>(&stream, &rename, &by(user(1), 2, "b")).await;
        assert!(matches!(refused, Err(TransactError::Erased)), "{refused:?}");
    }
    let rows: i64 =
        sqlx::query_scalar("select count(*) from vault.person_key where wrapped is null")
            .fetch_one(&world.pool())
            .await
            .unwrap();
    assert_eq!(rows, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_data_moved_to_another_event_is_poison() {
    let world = World::start().await;
    let log = world.log().await;
    sign_up(&log, 1, 1).await;
    let mut recorded = log.read_all(Position::START, 1).await.unwrap().remove(0);
    recorded.id = uuid::Uuid::from_u128(9).into();
    assert!(matches!(log.open(&recorded).await, Err(OpenError::Poison(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_opens_nothing_and_erases_nothing() {
    let world = World::start().await;
    sign_up(&world.log().await, 1, 1).await;
    let mut config = world.config();
    config.secrets.master = [9; 32];
    let log = EventLog::connect(config).await.unwrap();
    let recorded = log.read_all(Position::START, 1).await.unwrap().remove(0);
    assert!(matches!(log.open(&recorded).await, Err(OpenError::VaultUnavailable(_))));
}
