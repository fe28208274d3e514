//! Subscriptions: confirmed first, complete, caught up, ended only with an error.

use eventstore::{
    AppendToStreamOptions, Client, Error, EventData, Position, ResolvedEvent, StreamPosition,
    StreamState, SubscribeToAllOptions, SubscribeToStreamOptions, Subscription, SubscriptionEvent,
    SubscriptionFilter, TombstoneStreamOptions,
};
use tempfile::TempDir;

use crate::serving::Served;

async fn stage() -> (TempDir, Served, Client) {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    let client = Client::new(served.url().parse().expect("a URL")).expect("a client");
    (data, served, client)
}

async fn append(client: &Client, stream: &str, kind: &str, count: u64) -> Position {
    let events: Vec<_> =
        (0..count).map(|number| EventData::json(kind, &number).expect("JSON")).collect();
    let options = AppendToStreamOptions::default().stream_state(StreamState::Any);
    client.append_to_stream(stream, &options, events).await.expect("written").position
}

/// What a subscription said, in short.
#[derive(Debug, PartialEq)]
enum Said {
    Confirmed,
    Event(String, u64),
    Checkpoint(u64),
    CaughtUp(Option<u64>, Option<u64>),
}

fn event(stream: &str, revision: u64) -> Said {
    Said::Event(stream.to_owned(), revision)
}

async fn next(subscription: &mut Subscription) -> Said {
    match subscription.next_subscription_event().await.expect("the subscription goes on") {
        SubscriptionEvent::Confirmed(_) => Said::Confirmed,
        SubscriptionEvent::EventAppeared(ResolvedEvent { event, .. }) => {
            let event = event.expect("an event");
            Said::Event(event.stream_id().to_owned(), event.revision)
        }
        SubscriptionEvent::Checkpoint(position) => Said::Checkpoint(position.commit),
        SubscriptionEvent::CaughtUp(Some(caught_up)) => Said::CaughtUp(
            caught_up.stream_revision,
            caught_up.position.map(|position| position.commit),
        ),
        other => panic!("nobody expected {other:?}"),
    }
}

async fn assert_says(subscription: &mut Subscription, expected: impl IntoIterator<Item = Said>) {
    for expected in expected {
        assert_eq!(next(subscription).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_followed_from_its_start_and_then_live() {
    let (_data, _served, client) = stage().await;
    append(&client, "a", "kind", 600).await;
    append(&client, "b", "kind", 1).await;
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut subscription = client.subscribe_to_stream("a", &options).await;
    assert_says(&mut subscription, [Said::Confirmed]).await;
    assert_says(&mut subscription, (0..600).map(|revision| event("a", revision))).await;
    assert_says(&mut subscription, [Said::CaughtUp(Some(599), None)]).await;
    for revision in 600..610 {
        append(&client, "b", "kind", 1).await;
        append(&client, "a", "kind", 1).await;
        assert_says(&mut subscription, [event("a", revision)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_exclusive_and_the_end_brings_only_what_is_new() {
    let (_data, _served, client) = stage().await;
    append(&client, "a", "kind", 3).await;
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Position(1));
    let mut middle = client.subscribe_to_stream("a", &options).await;
    assert_says(&mut middle, [Said::Confirmed, event("a", 2), Said::CaughtUp(Some(2), None)]).await;
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::End);
    let mut end = client.subscribe_to_stream("a", &options).await;
    assert_says(&mut end, [Said::Confirmed, Said::CaughtUp(Some(2), None)]).await;
    append(&client, "a", "kind", 1).await;
    assert_says(&mut middle, [event("a", 3)]).await;
    assert_says(&mut end, [event("a", 3)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_does_not_exist_is_waited_for() {
    let (_data, _served, client) = stage().await;
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut subscription = client.subscribe_to_stream("later", &options).await;
    assert_says(&mut subscription, [Said::Confirmed, Said::CaughtUp(None, None)]).await;
    append(&client, "later", "kind", 1).await;
    assert_says(&mut subscription, [event("later", 0)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_followed_without_checkpoints_when_not_filtered() {
    let (_data, _served, client) = stage().await;
    let first = append(&client, "a", "kind", 1).await;
    let second = append(&client, "b", "kind", 1).await;
    let options = SubscribeToAllOptions::default().position(StreamPosition::Position(first));
    let mut subscription = client.subscribe_to_all(&options).await;
    let caught_up = Said::CaughtUp(None, Some(second.commit));
    assert_says(&mut subscription, [Said::Confirmed, event("b", 0), caught_up]).await;
    for revision in 1..50 {
        append(&client, "b", "kind", 1).await;
        assert_says(&mut subscription, [event("b", revision)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_works_in_the_server_and_checkpoints_go_only_forward() {
    let (_data, _served, client) = stage().await;
    for _ in 0..20 {
        append(&client, "noise-1", "noise", 9).await;
        append(&client, "wanted-1", "tone", 1).await;
    }
    for filter in [
        SubscriptionFilter::on_stream_name().add_prefix("other-").add_prefix("wanted-"),
        SubscriptionFilter::on_event_type().add_prefix("tone"),
        SubscriptionFilter::on_event_type().regex("^(?!noise|\\$).*"),
        SubscriptionFilter::on_stream_name().regex("^wanted").max(10),
    ] {
        let options =
            SubscribeToAllOptions::default().position(StreamPosition::Start).filter(filter);
        let mut subscription = client.subscribe_to_all(&options).await;
        assert_says(&mut subscription, [Said::Confirmed]).await;
        let (mut seen, mut checkpoints) = (0, vec![0]);
        loop {
            match next(&mut subscription).await {
                Said::Event(stream, revision) => {
                    assert_eq!((stream.as_str(), revision), ("wanted-1", seen));
                    seen += 1;
                }
                Said::Checkpoint(position) => checkpoints.push(position),
                Said::CaughtUp(_, position) => {
                    assert_eq!(position, checkpoints.last().copied());
                    break;
                }
                Said::Confirmed => panic!("confirmed twice"),
            }
        }
        assert_eq!(seen, 20);
        assert!(checkpoints.len() > 6 && checkpoints.is_sorted_by(|a, b| a < b));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tombstone_is_delivered_and_then_ends_the_subscription() {
    let (_data, _served, client) = stage().await;
    append(&client, "a", "kind", 1).await;
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
    let mut subscription = client.subscribe_to_stream("a", &options).await;
    let caught_up = Said::CaughtUp(Some(0), None);
    assert_says(&mut subscription, [Said::Confirmed, event("a", 0), caught_up]).await;
    let any = TombstoneStreamOptions::default().stream_state(StreamState::Any);
    client.tombstone_stream("a", &any).await.expect("ended");
    assert_says(&mut subscription, [event("a", i64::MAX as u64)]).await;
    let ended = subscription.next().await;
    assert!(matches!(ended, Err(Error::ResourceDeleted)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_subscriptions_as_unavailable() {
    let (_data, served, client) = stage().await;
    let mut subscription = client.subscribe_to_all(&SubscribeToAllOptions::default()).await;
    assert_says(&mut subscription, [Said::Confirmed]).await;
    let stop = tokio::spawn(served.stop());
    let ended = loop {
        match subscription.next_subscription_event().await {
            Ok(SubscriptionEvent::CaughtUp(_)) => {}
            other => break other,
        }
    };
    match ended {
        Err(Error::ServerError(message)) => assert!(message.contains("shutting down")),
        other => panic!("unavailable was expected, not {other:?}"),
    }
    stop.await.expect("the store stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_misses_nothing() {
    let (_data, _served, client) = stage().await;
    let options = SubscribeToAllOptions::default().position(StreamPosition::Start);
    let mut subscription = client.subscribe_to_all(&options).await;
    assert_says(&mut subscription, [Said::Confirmed, Said::CaughtUp(None, Some(0))]).await;
    // Far more than fits in the buffers between the two, while nothing is taken.
    let batch = client.batch_append(&Default::default()).await.expect("a batch");
    for number in 0..40 {
        let data = vec![7; 512 << 10];
        let events = vec![EventData::binary("large", data.into())];
        let stream = format!("large-{number}");
        batch.append_to_stream(stream, StreamState::NoStream, events).await.expect("written");
    }
    for number in 0..40 {
        assert_says(&mut subscription, [event(&format!("large-{number}"), 0)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_events_expire_is_followed_without_a_gap() {
    let (_data, _served, client) = stage().await;
    let rules = EventData::json("$metadata", &serde_json::json!({ "$maxAge": 1000 }));
    let options = AppendToStreamOptions::default().stream_state(StreamState::Any);
    client.append_to_stream("$$a", &options, rules.expect("JSON")).await.expect("written");
    let mut subscription =
        client.subscribe_to_stream("a", &SubscribeToStreamOptions::default()).await;
    assert_says(&mut subscription, [Said::Confirmed, Said::CaughtUp(None, None)]).await;
    for revision in 0..20 {
        append(&client, "a", "kind", 1).await;
        assert_says(&mut subscription, [event("a", revision)]).await;
    }
    append(&client, "a", "kind", 300).await;
    assert_says(&mut subscription, (20..320).map(|revision| event("a", revision))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_right_before_a_tombstone_is_delivered_before_it() {
    let (_data, _served, client) = stage().await;
    append(&client, "a", "kind", 1).await;
    let mut subscription =
        client.subscribe_to_stream("a", &SubscribeToStreamOptions::default()).await;
    assert_says(&mut subscription, [Said::Confirmed, Said::CaughtUp(Some(0), None)]).await;
    // Nobody looks in between: the subscription is polled when both are there.
    append(&client, "a", "kind", 2).await;
    client.tombstone_stream("a", &TombstoneStreamOptions::default()).await.expect("tombstoned");
    let mut seen = Vec::new();
    while let Ok(said) = subscription.next_subscription_event().await {
        if let SubscriptionEvent::EventAppeared(ResolvedEvent { event: Some(event), .. }) = said {
            seen.push(event.revision);
        }
    }
    assert_eq!(seen, [1, 2, i64::MAX as u64]);
}
