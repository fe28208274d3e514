//! What the log is told: which devices are connected, by the rules of the call.

use std::time::Duration;

use domain::call::{self, Call, Enter, Place, Start};
use event_log::{Context, EventLog, Secrets};
use events::call::{Media, Participant, Toggles};
use events::{CallId, StreamName, UserId};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::client::Client;
use crate::peer::PATIENCE;
use crate::world::{NODE, World};

/// What is behind a log, until this is dropped.
pub(crate) struct Behind {
    _store: DropGuard,
    _servers: servers::TestServers,
}

/// An event store of this test's own.
pub(crate) async fn log(folder: &std::path::Path) -> (EventLog, Behind) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let eventstore_url = format!("esdb://{}?tls=false", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    tokio::spawn(event_store::serve(event_store::Config::new(folder), listener, shutdown.clone()));
    let servers = servers::shared_for_tests().await.unwrap();
    let postgres =
        sqlx::postgres::PgPoolOptions::new().connect_lazy(&servers.postgres_url).unwrap();
    let secrets = Secrets { master: [1; 32], deployment: [2; 32] };
    let config = event_log::Config { eventstore_url, postgres, secrets };
    let behind = Behind { _store: shutdown.drop_guard(), _servers: servers };
    (EventLog::connect(config).await.unwrap(), behind)
}

/// A call of one device, which the node of the test carries.
pub(crate) async fn start(log: &EventLog, call: CallId, by: Participant) {
    let start = Start {
        call,
        conversation: Uuid::from_u128(5).into(),
        place: Place { member: true, blocked: false },
        by,
        toggles: Toggles::default(),
        media: Media::Video,
        direct: false,
        on_sfu: true,
        node: Some(NODE.to_owned()),
        grows: false,
        limit: 4,
        ring: Vec::new(),
        busy: Vec::new(),
        ring_seconds: 30,
        idle_seconds: 300,
    };
    act(log, call, &call::Command::Start(Box::new(start))).await;
}

/// Does something in a call that has to be allowed.
pub(crate) async fn act(log: &EventLog, call: CallId, command: &call::Command) {
    let key = Uuid::from_u128(rand::random());
    let context = Context {
        actor: Uuid::from_u128(1).into(),
        key,
        body_hash: String::new(),
        correlation: key,
        causation: key,
        now: service::clock::now(),
        decided_on: None,
        token: None,
    };
    log.transact::<Call>(&StreamName::call(call), command, &context).await.unwrap();
}

#[tokio::test]
async fn the_log_knows_which_devices_are_connected() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _store) = log(folder.path()).await;
    let world = World::start_with(Some(log.clone())).await;
    let user: UserId = Uuid::from_u128(1).into();
    let by = Participant { user, device: Uuid::from_u128(1_000_001).into() };
    let call: CallId = world.call.into();
    start(&log, call, by).await;
    let connected = async || {
        let known = log.load::<Call>(&StreamName::call(call)).await.unwrap().state;
        known.begun().unwrap().inside(by).is_some_and(|inside| inside.in_media)
    };
    let until = async |wanted: bool| {
        let begun = Instant::now();
        while connected().await != wanted {
            assert!(begun.elapsed() < PATIENCE, "it is not {wanted}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(!connected().await);
    let mut ada = Client::join(&world, 1).await;
    // Somebody who is not in the call by its rules: the node says so, and nothing is recorded.
    let mut stranger = Client::join(&world, 2).await;
    stranger.publish(&[]).await;
    ada.publish(&[]).await;
    until(true).await;
    ada.tell(json!({ "type": "leave" })).await;
    until(false).await;
}

#[tokio::test]
async fn who_is_put_out_of_a_call_is_put_out_of_its_room_whatever_their_device_does() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _store) = log(folder.path()).await;
    let world = World::start_with(Some(log.clone())).await;
    let device = |person: u128| Participant {
        user: Uuid::from_u128(person).into(),
        device: Uuid::from_u128(1_000_000 + person).into(),
    };
    let call: CallId = world.call.into();
    start(&log, call, device(1)).await;
    let enter = Enter {
        by: device(2),
        toggles: Toggles::default(),
        place: Place { member: true, blocked: false },
        agrees: false,
        node: None,
    };
    act(&log, call, &call::Command::Join(enter)).await;

    let (mut ada, mut eve) = (Client::join(&world, 1).await, Client::join(&world, 2).await);
    ada.publish(&[]).await;
    eve.publish(&[]).await;
    eve.subscribe().await;
    let user = device(2).user;
    act(&log, call, &call::Command::Remove { user }).await;
    let bye = eve.frame("bye").await;
    assert_eq!((&bye["reason"], &bye["resume"]), (&json!("removed"), &json!(false)));
    ada.frame("participant_left").await;

    // A ticket that she had before helps for a moment at the most.
    let mut again = Client::join(&world, 2).await;
    again.publish(&[]).await;
    assert_eq!(again.frame("bye").await["reason"], "removed");
    // Who is in the call stays, and nobody does when it is over.
    ada.tell(json!({ "type": "subscribe", "id": 7 })).await;
    ada.frame("done").await;
    let end = call::Command::End { by: device(1).user, moderator: false };
    act(&log, call, &end).await;
    assert_eq!(ada.frame("bye").await["reason"], "removed");
}
