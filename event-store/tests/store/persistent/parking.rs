//! Parked messages: kept, listed, replayed, and gone when they are finished.

use super::*;
use crate::client::{
    PersistentSubscriptionToAllOptions, ReplayParkedMessagesOptions, SubscriptionFilter,
};

const PARKED: &str = "$persistentsubscription-a::group-parked";

async fn park(subscription: &mut PersistentSubscription, count: usize) {
    for _ in 0..count {
        let (event, _) = next(subscription).await;
        nack(subscription, &event, NakAction::Park, "it is poison").await.expect("said");
    }
}

async fn parked(stage: &Stage, count: usize) {
    stage.until("a", |info| info.stats.parked_message_count == count).await;
}

/// Expects replayed events, by the revisions of their links and of the events, and finishes each.
async fn assert_replayed(
    subscription: &mut PersistentSubscription,
    expected: impl IntoIterator<Item = (u64, u64)>,
) {
    for expected in expected {
        let (event, retries) = next(subscription).await;
        let link = event.link.as_ref().expect("a link").revision;
        let target = event.event.as_ref().expect("an event").revision;
        assert_eq!((link, target, retries), (expected.0, expected.1, 0));
        assert_eq!(event.get_original_stream_id(), PARKED);
        ack(subscription, &event).await.expect("said");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_message_says_why_and_comes_back_when_it_is_replayed() {
    let stage = stage().await;
    append(&stage.client, "a", 20).await;
    stage.create("a", &from_start()).await;
    let mut subscription = subscribe(&stage.client, "a", 3).await;
    park(&mut subscription, 20).await;
    parked(&stage, 20).await;
    stage.until_checkpoint("a", 19).await;
    let links = stage.read(PARKED).await;
    assert_eq!(links.len(), 20);
    assert_eq!((&links[4].event_type[..], &links[4].data[..]), ("$>", &b"4@a"[..]));
    let why: serde_json::Value =
        serde_json::from_slice(&links[4].custom_metadata).expect("JSON metadata");
    assert_eq!(why["reason"], "it is poison");
    assert!(why["added"].as_str().is_some_and(|added| added.contains('T')));
    let replay = stage.client.replay_parked_messages("a", "group", &Default::default()).await;
    replay.expect("replayed");
    assert_replayed(&mut subscription, (0..20).map(|revision| (revision, revision))).await;
    parked(&stage, 0).await;
    while !stage.read(PARKED).await.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_stops_where_it_is_told_to_and_the_next_goes_on_there() {
    let stage = stage().await;
    append(&stage.client, "a", 6).await;
    stage.create("a", &from_start()).await;
    let mut subscription = subscribe(&stage.client, "a", 10).await;
    park(&mut subscription, 6).await;
    parked(&stage, 6).await;
    let options = ReplayParkedMessagesOptions::default().stop_at(4);
    stage.client.replay_parked_messages("a", "group", &options).await.expect("replayed");
    assert_replayed(&mut subscription, (0..4).map(|revision| (revision, revision))).await;
    parked(&stage, 2).await;
    stage.client.replay_parked_messages("a", "group", &Default::default()).await.expect("replayed");
    // A message that is parked again comes behind the others.
    let (event, _) = next(&mut subscription).await;
    nack(&mut subscription, &event, NakAction::Park, "again").await.expect("said");
    assert_replayed(&mut subscription, [(5, 5)]).await;
    parked(&stage, 1).await;
    stage.client.replay_parked_messages("a", "group", &Default::default()).await.expect("replayed");
    assert_replayed(&mut subscription, [(6, 4)]).await;
    parked(&stage, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_replayed_and_not_finished_stays_parked() {
    let stage = stage().await;
    append(&stage.client, "a", 3).await;
    stage.create("a", &from_start()).await;
    let mut subscription = subscribe(&stage.client, "a", 10).await;
    park(&mut subscription, 3).await;
    parked(&stage, 3).await;
    stage.client.replay_parked_messages("a", "group", &Default::default()).await.expect("replayed");
    assert_replayed(&mut subscription, [(0, 0)]).await;
    // The acknowledgement has arrived.
    stage.until("a", |info| info.stats.total_in_flight_messages == 2).await;
    stage
        .client
        .restart_persistent_subscription_subsystem(&Default::default())
        .await
        .expect("done");
    parked(&stage, 2).await;
    stage.client.replay_parked_messages("a", "group", &Default::default()).await.expect("replayed");
    let mut subscription = subscribe(&stage.client, "a", 10).await;
    assert_replayed(&mut subscription, [(1, 1), (2, 2)]).await;
    parked(&stage, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_the_whole_log_parks_and_replays_too() {
    let stage = stage().await;
    let client = &stage.client;
    let options = PersistentSubscriptionToAllOptions::default()
        .start_from(StreamPosition::Start)
        .filter(SubscriptionFilter::on_stream_name().add_prefix("a"));
    client.create_persistent_subscription_to_all("group", &options).await.expect("a group");
    append(client, "a", 2).await;
    let subscribed =
        client.subscribe_to_persistent_subscription_to_all("group", &Default::default()).await;
    let mut subscription = subscribed.expect("a subscription");
    confirmed(&mut subscription, "$all").await;
    park(&mut subscription, 2).await;
    loop {
        let info =
            client.get_persistent_subscription_info_to_all("group", &Default::default()).await;
        if info.expect("there is a group").stats.parked_message_count == 2 {
            break;
        }
    }
    client.replay_parked_messages_to_all("group", &Default::default()).await.expect("replayed");
    for revision in 0..2 {
        let (event, _) = next(&mut subscription).await;
        assert_eq!(event.event.as_ref().map(|event| event.revision), Some(revision));
        assert_eq!(event.get_original_stream_id(), "$persistentsubscription-$all::group-parked");
        ack(&mut subscription, &event).await.expect("said");
    }
}
