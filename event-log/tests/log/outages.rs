//! The store and Postgres go away and come back.

use std::time::{Duration, Instant};

use domain::friendship::{Command as Friends, Friendship};
use domain::user::{Command, Profile, User};
use event_log::{Dependency, EventLog, OpenError, TransactError};
use events::{Position, StreamName};
use futures::StreamExt;

use crate::privacy::sign_up;
use crate::world::{Ticks, World, by, user};

async fn rename(log: &EventLog, number: u128, key: u128) -> Result<(), Option<Dependency>> {
    let name = Some(format!("name {key}"));
    let command = Command::ChangeProfile(Profile { name, ..Profile::default() });
    let stream = StreamName::user(user(number));
    match log.transact::<User>(&stream, &command, &by(user(number), key, "a")).await {
        Ok(_) => Ok(()),
        Err(TransactError::Unavailable(away)) => Err(Some(away.what)),
        Err(_) => Err(None),
    }
}

/// Waits for something. The minute begins here, whatever was before.
async fn within_a_minute(what: &str, is_so: impl Fn() -> bool) {
    let asked = Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < Duration::from_secs(60), "in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_those_with_a_cached_key_go_on() {
    let world = World::start().await;
    let (log, other) = (world.log().await, world.log().await);
    sign_up(&log, 1, 1).await;
    sign_up(&other, 2, 1).await;
    world.cut_postgres();

    rename(&log, 1, 2).await.unwrap();
    assert_eq!(world.tried_in_vain(), 0, "who has a key asks for none");
    assert_eq!(rename(&log, 2, 2).await, Err(Some(Dependency::Vault)));
    let ticks = Ticks::start();
    assert_eq!(rename(&log, 2, 3).await, Err(Some(Dependency::Vault)));
    assert!(ticks.count() < 100, "nobody queues for what is away: {} ticks", ticks.count());
    within_a_minute("it is asked again", || world.tried_in_vain() > 0).await;

    let recorded = log.read_all(Position::START, 10).await.unwrap().remove(1);
    assert!(matches!(log.open(&recorded).await, Err(OpenError::VaultUnavailable(_))));
    log.open_sealed(&recorded).unwrap();
    let loaded = log.load::<User>(&StreamName::user(user(2))).await.unwrap();
    assert!(loaded.sealed && loaded.state.account().unwrap().name.open().is_none());

    world.mend_postgres();
    within_a_minute("the keys are there", || !log.vault().is_away()).await;
    rename(&log, 2, 3).await.unwrap();
    let loaded = log.state::<User>(&StreamName::user(user(2))).await.unwrap();
    assert_eq!(loaded.state.account().unwrap().name.open().unwrap(), "name 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_starts_without_postgres_and_makes_the_vault_when_it_is_there() {
    let world = World::start().await;
    world.cut_postgres();
    let log = world.log().await;
    let stream = StreamName::friendship(user(1), user(2));
    let request = Friends::Request { by: user(1), to: user(2) };
    log.transact::<Friendship>(&stream, &request, &by(user(1), 1, "a")).await.unwrap();
    world.mend_postgres();
    within_a_minute("the keys are there", || !log.vault().is_away()).await;
    sign_up(&log, 1, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_without_loss_when_the_store_comes_back() {
    let world = World::start().await;
    let log = world.log().await;
    let subscriber = log.clone();
    let seen = tokio::spawn(async move {
        let events = subscriber.subscribe_all(Position::START).take(60);
        events.map(|event| event.unwrap().position).collect::<Vec<_>>().await
    });
    let mut written = Vec::new();
    for number in 1..=60 {
        if number % 20 == 10 {
            world.stop_store().await;
            world.start_store().await;
        }
        let stream = StreamName::friendship(user(number), user(0));
        let request = Friends::Request { by: user(number), to: user(0) };
        let context = by(user(number), 1, "a");
        let outcome = log.transact::<Friendship>(&stream, &request, &context).await.unwrap();
        assert!(!outcome.repeated);
        written.push(outcome.position);
    }
    assert_eq!(seen.await.unwrap(), written);
    let stream = StreamName::friendship(user(1), user(0));
    assert_eq!(log.state::<Friendship>(&stream).await.unwrap().revision, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_sent_while_the_store_restarts_have_their_effect_once() {
    let world = World::start().await;
    let log = world.log().await;
    let mut senders = Vec::new();
    for sender in 1..=4_u128 {
        let log = log.clone();
        senders.push(tokio::spawn(async move {
            for round in 0..100 {
                let number = sender * 1000 + round;
                let stream = StreamName::friendship(user(number), user(0));
                let request = Friends::Request { by: user(number), to: user(0) };
                let context = by(user(number), 1, "a");
                log.transact_new::<Friendship>(&stream, &request, &context).await.unwrap();
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    world.stop_store().await;
    world.start_store().await;
    for sender in senders {
        sender.await.unwrap();
    }
    let all = log.read_all(Position::START, 1000).await.unwrap();
    assert_eq!(all.len(), 400);
    assert!(all.iter().all(|event| event.revision == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_waits_for_a_store_that_is_not_up_yet() {
    let world = World::start().await;
    world.stop_store().await;
    let config = world.config();
    let log = tokio::spawn(async { EventLog::connect(config).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.start_store().await;
    assert_eq!(log.await.unwrap().head().await.unwrap(), Position::START);
}
