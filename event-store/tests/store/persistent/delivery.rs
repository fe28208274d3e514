//! What a subscriber gets, and what happens to what it does not finish.

use std::time::Duration;

use super::*;
use crate::client::{
    PersistentSubscriptionOptions as Options, PersistentSubscriptionToAllOptions,
    SubscriptionFilter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_begins_at_its_start_and_goes_on_live() {
    let stage = stage().await;
    append(&stage.client, "a", 30).await;
    stage.create("a", &from_start().start_from(StreamPosition::Position(10))).await;
    let mut subscription = subscribe(&stage.client, "a", 5).await;
    assert_done(&mut subscription, fresh(10..30)).await;
    append(&stage.client, "b", 3).await;
    append(&stage.client, "a", 20).await;
    assert_done(&mut subscription, fresh(30..50)).await;
    stage.until_checkpoint("a", 49).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_from_the_end_gets_what_was_appended_since_it_was_made() {
    let stage = stage().await;
    append(&stage.client, "a", 3).await;
    stage.create("a", &Options::default()).await;
    append(&stage.client, "a", 3).await;
    let mut subscription = subscribe(&stage.client, "a", 10).await;
    assert_done(&mut subscription, fresh(3..6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_in_flight_than_the_subscriber_has_room_for() {
    let stage = stage().await;
    append(&stage.client, "a", 10).await;
    stage.create("a", &from_start().extra_statistics(true)).await;
    let mut subscription = subscribe(&stage.client, "a", 3).await;
    let info = stage.until("a", |info| info.stats.total_in_flight_messages == 3).await;
    assert_eq!(info.connections.len(), 1);
    assert_eq!(
        (info.connections[0].available_slots, info.connections[0].in_flight_messages),
        (0, 3)
    );
    assert_done(&mut subscription, fresh(0..2)).await;
    let info = stage.until("a", |info| info.connections[0].total_items == 5).await;
    assert_eq!(info.stats.total_in_flight_messages, 3);
    assert!(info.connections[0].extra_statistics.get("Quintile 3").is_some());
    assert_done(&mut subscription, fresh(2..10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_subscriber_leaves_behind_goes_to_the_next() {
    let stage = stage().await;
    append(&stage.client, "a", 5).await;
    stage.create("a", &from_start()).await;
    let mut first = subscribe(&stage.client, "a", 4).await;
    assert_done(&mut first, fresh(0..1)).await;
    next(&mut first).await;
    stage.until("a", |info| info.stats.total_items == 5).await;
    drop(first);
    stage.until("a", |info| info.connections.is_empty()).await;
    let mut second = subscribe(&stage.client, "a", 10).await;
    assert_done(&mut second, (1..5).map(|revision| Delivered(revision, 1))).await;
    stage.until_checkpoint("a", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_is_sent_again_and_at_last_parked() {
    let stage = stage().await;
    append(&stage.client, "a", 1).await;
    let options = from_start().message_timeout(Duration::from_millis(30)).max_retry_count(2);
    stage.create("a", &options).await;
    // All that is sent of one event has room on the way, even if none of it is taken in time.
    let mut subscription = subscribe(&stage.client, "a", 2).await;
    for retries in 0..3 {
        let (event, counted) = next(&mut subscription).await;
        assert_eq!((event.get_original_event().revision, counted), (0, retries));
    }
    stage.until("a", |info| info.stats.parked_message_count == 1).await;
    append(&stage.client, "a", 1).await;
    let (event, _) = next(&mut subscription).await;
    assert_eq!(event.get_original_event().revision, 1);
    let parked = stage.read("$persistentsubscription-a::group-parked").await;
    let why = String::from_utf8_lossy(&parked[0].custom_metadata).into_owned();
    assert!(why.contains("took too long"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_is_skipped_or_sent_again_as_wished() {
    let stage = stage().await;
    append(&stage.client, "a", 3).await;
    stage.create("a", &from_start().max_retry_count(1)).await;
    let mut subscription = subscribe(&stage.client, "a", 1).await;
    let (event, _) = next(&mut subscription).await;
    nack(&mut subscription, &event, NakAction::Skip, "not wanted").await.expect("said");
    let (event, _) = next(&mut subscription).await;
    nack(&mut subscription, &event, NakAction::Retry, "later").await.expect("said");
    let (event, retries) = next(&mut subscription).await;
    assert_eq!((event.get_original_event().revision, retries), (1, 1));
    nack(&mut subscription, &event, NakAction::Unknown, "later again").await.expect("said");
    assert_done(&mut subscription, fresh(2..3)).await;
    stage.until("a", |info| info.stats.parked_message_count == 1).await;
    stage.until_checkpoint("a", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_stops_hands_its_event_to_another() {
    let stage = stage().await;
    append(&stage.client, "a", 1).await;
    stage.create("a", &from_start()).await;
    let mut first = subscribe(&stage.client, "a", 1).await;
    let (event, _) = next(&mut first).await;
    nack(&mut first, &event, NakAction::Stop, "out of order").await.expect("said");
    let ended = first.next_subscription_event().await.expect_err("it has ended");
    assert!(ended.to_string().contains("dropped"), "{ended}");
    let mut second = subscribe(&stage.client, "a", 1).await;
    assert_done(&mut second, [Delivered(0, 1)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_the_whole_log_gets_what_its_filter_lets_through() {
    let stage = stage().await;
    let options = PersistentSubscriptionToAllOptions::default()
        .start_from(StreamPosition::Start)
        .checkpoint_lower_bound(1)
        .checkpoint_upper_bound(1)
        .filter(SubscriptionFilter::on_stream_name().add_prefix("wanted"));
    let client = &stage.client;
    append(client, "wanted-1", 3).await;
    client.create_persistent_subscription_to_all("group", &options).await.expect("a group");
    append(client, "other", 500).await;
    append(client, "wanted-2", 2).await;
    let subscribed =
        client.subscribe_to_persistent_subscription_to_all("group", &Default::default()).await;
    let mut subscription = subscribed.expect("a subscription");
    confirmed(&mut subscription, "$all").await;
    let mut last = None;
    for (stream, revision) in
        [("wanted-1", 0), ("wanted-1", 1), ("wanted-1", 2), ("wanted-2", 0), ("wanted-2", 1)]
    {
        let (event, _) = next(&mut subscription).await;
        let original = event.get_original_event();
        assert_eq!((event.get_original_stream_id(), original.revision), (stream, revision));
        last = Some(original.position);
        ack(&mut subscription, &event).await.expect("said");
    }
    loop {
        let info =
            client.get_persistent_subscription_info_to_all("group", &Default::default()).await;
        let stats = info.expect("there is a group").stats;
        assert!(stats.last_known_position >= last);
        if stats.last_checkpointed_position >= last {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_the_whole_log_is_not_told_of_its_own_checkpoints() {
    let stage = stage().await;
    let client = &stage.client;
    append(client, "a", 1).await;
    let options = PersistentSubscriptionToAllOptions::default()
        .start_from(StreamPosition::Start)
        .checkpoint_lower_bound(1)
        .checkpoint_upper_bound(1);
    client.create_persistent_subscription_to_all("group", &options).await.expect("a group");
    let subscribed =
        client.subscribe_to_persistent_subscription_to_all("group", &Default::default()).await;
    let mut subscription = subscribed.expect("a subscription");
    confirmed(&mut subscription, "$all").await;
    for stream in ["a", "$persistentSubscriptionConfig", "b"] {
        if stream == "b" {
            append(client, "b", 1).await;
        }
        let (event, _) = next(&mut subscription).await;
        assert_eq!(event.get_original_stream_id(), stream);
        ack(&mut subscription, &event).await.expect("said");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_resolved_when_the_group_wants_that() {
    let stage = stage().await;
    append(&stage.client, "target", 2).await;
    let link = |data: &'static str| EventData::binary("$>", data.into());
    let links = vec![link("1@target"), link("0@gone")];
    let options = Default::default();
    stage.client.append_to_stream("links", &options, links).await.expect("written");
    stage.create("links", &from_start().resolve_link_tos(true)).await;
    let mut subscription = subscribe(&stage.client, "links", 10).await;
    let (event, _) = next(&mut subscription).await;
    assert_eq!(event.event.as_ref().map(|event| event.revision), Some(1));
    assert_eq!(event.link.as_ref().map(|link| link.revision), Some(0));
    ack(&mut subscription, &event).await.expect("said");
    let (event, _) = next(&mut subscription).await;
    assert!(event.event.is_none() && event.link.is_some());
    ack(&mut subscription, &event).await.expect("said");
    stage.until_checkpoint("links", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_with_the_id_of_another_is_finished_by_itself() {
    let stage = stage().await;
    let id = crate::serving::new_id();
    for revision in 0..3 {
        let event = EventData::binary("kind", vec![revision].into()).id(id);
        let state = match revision {
            0 => crate::at_revision(None),
            after => crate::at_revision(Some(u64::from(after) - 1)),
        };
        stage.client.append_to_stream("a", &state, event).await.expect("written");
    }
    stage.create("a", &from_start()).await;
    let mut subscription = subscribe(&stage.client, "a", 2).await;
    let (first, _) = next(&mut subscription).await;
    next(&mut subscription).await;
    ack(&mut subscription, &first).await.expect("said");
    stage.until_checkpoint("a", 0).await;
    let (third, _) = next(&mut subscription).await;
    assert_eq!(third.get_original_event().revision, 2);
}
