//! Pages of the log, its head, its events as JSON, and what is not ours in it.

use chrono::TimeDelta;
use domain::friendship::{Command, Friendship};
use event_log::{EventLog, OpenError, Opened, Recorded};
use events::{Position, StreamName};
use eventstore::{AppendToStreamOptions, Client, EventData, StreamMetadataBuilder};
use serde_json::json;

use crate::world::{World, by, user};

async fn ask(log: &EventLog, number: u128) -> Position {
    let stream = StreamName::friendship(user(number), user(0));
    let command = Command::Request { by: user(number), to: user(0) };
    let context = by(user(number), 1, "a");
    log.transact::<Friendship>(&stream, &command, &context).await.unwrap().position
}

/// Writes what is not ours: events of the store itself, of others, and one that only looks ours.
async fn write_others(world: &World) {
    let client = Client::new(world.config().eventstore_url.parse().unwrap()).unwrap();
    let options = AppendToStreamOptions::default();
    let metadata = StreamMetadataBuilder::new().max_count(1_000_000).build();
    for number in 0..40 {
        let stream = format!("orders-{number}");
        client.set_stream_metadata(stream.as_str(), &options, &metadata).await.unwrap();
    }
    let foreign = EventData::binary("order.placed", vec![0xff].into());
    client.append_to_stream("orders-1", &options, foreign).await.unwrap();
    let stranger = EventData::json("user.signed_up", &json!({})).unwrap();
    client.append_to_stream("user-1", &options, stranger).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_and_skip_what_the_store_itself_writes() {
    let world = World::start().await;
    let log = world.log().await;
    assert_eq!(log.head().await.unwrap(), Position::START);
    assert!(log.read_all(Position::START, 10).await.unwrap().is_empty());
    let mut positions = vec![ask(&log, 1).await, ask(&log, 2).await];
    write_others(&world).await;
    positions.push(ask(&log, 3).await);

    let mut read = Vec::new();
    let mut after = Position::START;
    loop {
        let page = log.read_all(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.position;
        assert!(page.len() <= 2 && page.iter().all(|event| !event.stream.is_system()));
        read.extend(page);
    }
    assert_eq!(read.len(), 5);
    assert!(read.is_sorted_by(|one, other| one.position < other.position));
    assert_eq!([read[0].position, read[1].position, read[4].position], positions[..]);
    assert_eq!(log.head().await.unwrap(), positions[2]);
    assert_eq!(log.read_all(positions[1], 1).await.unwrap()[0].stream.as_str(), "orders-1");

    for foreign in &read[2..4] {
        assert!(matches!(log.open(foreign).await.unwrap(), Opened::Foreign), "{foreign:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_is_found_behind_many_events_of_the_store_itself() {
    let world = World::start().await;
    let log = world.log().await;
    write_others(&world).await;
    let last = ask(&log, 1).await;
    let client = Client::new(world.config().eventstore_url.parse().unwrap()).unwrap();
    let metadata = StreamMetadataBuilder::new().max_count(1_000_000).build();
    for number in 0..40 {
        let stream = format!("later-{number}");
        let options = AppendToStreamOptions::default();
        client.set_stream_metadata(stream.as_str(), &options, &metadata).await.unwrap();
    }
    assert_eq!(log.head().await.unwrap(), last);
    // The follower has to pass them too, or no state would ever be fresh again.
    let stream = StreamName::friendship(user(1), user(0));
    assert_eq!(log.state::<Friendship>(&stream).await.unwrap().revision, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_event_comes_back_from_json() {
    let world = World::start().await;
    let log = world.log().await;
    let position = ask(&log, 1).await;
    let recorded = log.read_all(Position::START, 1).await.unwrap().remove(0);
    let text = serde_json::to_string(&recorded).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["type"], "friendship.requested");
    assert_eq!(value["position"], position.to_string());
    assert_eq!(value["metadata"]["schema_version"], 1);
    assert_eq!(value["data"]["from"], user(1).to_string());
    let back: Recorded = serde_json::from_str(&text).unwrap();
    let (Opened::Ours(one), Opened::Ours(other)) =
        (log.open(&recorded).await.unwrap(), log.open(&back).await.unwrap())
    else {
        panic!("both are ours")
    };
    assert_eq!(one, other);
    assert_eq!(one.position, position);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_ours_that_has_lost_its_shape_is_poison() {
    let world = World::start().await;
    let log = world.log().await;
    ask(&log, 1).await;
    let recorded = log.read_all(Position::START, 1).await.unwrap().remove(0);
    let unknown = Recorded { event_type: "friendship.forgotten".to_owned(), ..recorded.clone() };
    assert!(matches!(log.open(&unknown).await, Err(OpenError::Poison(_))));
    assert!(matches!(log.open_sealed(&unknown), Err(OpenError::Poison(_))));
    let data = serde_json::value::to_raw_value(&json!({ "from": 1 })).unwrap();
    assert!(matches!(log.open(&Recorded { data, ..recorded }).await, Err(OpenError::Poison(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_to_the_microsecond_when_it_was_recorded() {
    let world = World::start().await;
    let log = world.log().await;
    let now = || chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let before = now();
    let position = ask(&log, 1).await;
    let after = now();
    let events = log.read_all(Position::START, 10).await.unwrap();
    let event = events.iter().find(|event| event.position == position).unwrap();
    let truncated = TimeDelta::microseconds(1);
    assert!(before - truncated <= event.created && event.created <= after, "{}", event.created);
}
