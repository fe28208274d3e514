//! Making, changing, deleting and looking at groups, and how each of it is refused.

use std::time::Duration;

use super::*;
use crate::client::{
    Error, PersistentSubscriptionToAllOptions, SystemConsumerStrategy as Strategy,
};

async fn ended(mut subscription: PersistentSubscription) -> Error {
    loop {
        if let Err(ended) = subscription.next_subscription_event().await {
            return ended;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_set_is_told_again() {
    let stage = stage().await;
    let client = &stage.client;
    let mut options = from_start()
        .start_from(StreamPosition::Position(7))
        .resolve_link_tos(true)
        .max_subscriber_count(3)
        .consumer_strategy_name(Strategy::Pinned);
    stage.create("a", &options).await;
    let info = stage.info("a").await;
    assert_eq!((&info.event_source[..], &info.group_name[..]), ("a", "group"));
    assert_eq!(info.status, "Live");
    let told = info.settings.expect("settings");
    assert_eq!(format!("{told:?}"), format!("{:?}", options.settings_mut()));
    options.settings_mut().max_retry_count = 1000;
    options.settings_mut().start_from = StreamPosition::End;
    client.update_persistent_subscription("a", "group", &options).await.expect("changed");
    let told = stage.info("a").await.settings.expect("settings");
    assert_eq!(format!("{told:?}"), format!("{:?}", options.settings_mut()));
    let to_all = PersistentSubscriptionToAllOptions::default();
    client.create_persistent_subscription_to_all("group", &to_all).await.expect("a group");
    let info = client.get_persistent_subscription_info_to_all("group", &Default::default()).await;
    let info = info.expect("there is a group");
    assert_eq!(info.settings.expect("settings").start_from, StreamPosition::End);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_listed_by_what_they_follow() {
    let stage = stage().await;
    let client = &stage.client;
    let all = async || {
        let listed = client.list_all_persistent_subscriptions(&Default::default()).await;
        let listed = listed.expect("a list");
        listed.into_iter().map(|info| (info.event_source, info.group_name)).collect::<Vec<_>>()
    };
    assert_eq!(all().await, []);
    let streams = ["a", "/b/ü", "c"];
    for stream in streams {
        stage.create(stream, &from_start()).await;
    }
    let other = client.create_persistent_subscription("a", "second::g", &from_start()).await;
    other.expect("a group");
    let to_all = Default::default();
    client.create_persistent_subscription_to_all("group", &to_all).await.expect("a group");
    assert_eq!(all().await.len(), 5);
    let of = client.list_persistent_subscriptions_for_stream("a", &Default::default()).await;
    let of: Vec<_> = of.expect("a list").into_iter().map(|info| info.group_name).collect();
    assert_eq!(of, ["group", "second::g"]);
    let of = client.list_persistent_subscriptions_to_all(&Default::default()).await;
    assert_eq!(of.expect("a list").len(), 1);
    let none = client.list_persistent_subscriptions_for_stream("none", &Default::default()).await;
    assert!(matches!(none, Err(Error::ResourceNotFound)), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_not_there_is_told_as_missing() {
    let stage = stage().await;
    let client = &stage.client;
    let options = from_start();
    let none = Default::default();
    let missing = [
        client.update_persistent_subscription("a", "group", &options).await,
        client.delete_persistent_subscription("a", "group", &none).await,
        client.replay_parked_messages("a", "group", &Default::default()).await,
        client.replay_parked_messages_to_all("group", &Default::default()).await,
        client.delete_persistent_subscription_to_all("group", &none).await,
        client
            .subscribe_to_persistent_subscription("a", "group", &Default::default())
            .await
            .map(drop),
        client.get_persistent_subscription_info("a", "group", &Default::default()).await.map(drop),
    ];
    for result in missing {
        assert!(matches!(result, Err(Error::ResourceNotFound)), "{result:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_cannot_be_is_refused() {
    let stage = stage().await;
    let client = &stage.client;
    stage.create("a::b", &from_start()).await;
    for (stream, group) in [("a::b", "group"), ("a", "b::group")] {
        let again = client.create_persistent_subscription(stream, group, &from_start()).await;
        assert!(matches!(again, Err(Error::ResourceAlreadyExists)), "{again:?}");
    }
    let unbalanced = from_start().read_batch_size(500).history_buffer_size(500);
    for made in [
        client.create_persistent_subscription("c", "group", &unbalanced).await,
        client.update_persistent_subscription("a::b", "group", &unbalanced).await,
    ] {
        assert!(matches!(made, Err(Error::ServerError(_))), "{made:?}");
    }
    let nameless = client.create_persistent_subscription("c", "", &from_start()).await;
    let negative = from_start().max_retry_count(-1);
    let negative = client.create_persistent_subscription("c", "group", &negative).await;
    for refused in [nameless, negative] {
        assert!(matches!(refused, Err(Error::Grpc { .. })), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_subscribe_than_may() {
    let stage = stage().await;
    stage.create("a", &from_start().max_subscriber_count(1)).await;
    let first = subscribe(&stage.client, "a", 1).await;
    let subscribed =
        stage.client.subscribe_to_persistent_subscription("a", "group", &Default::default()).await;
    match subscribed.err() {
        Some(Error::Grpc { message, .. }) => {
            assert!(message.starts_with("Maximum subscriptions reached"), "{message}");
        }
        other => panic!("a clear error was expected, not {other:?}"),
    }
    drop(first);
    stage.until("a", |info| info.connections.is_empty()).await;
    subscribe(&stage.client, "a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_group_drops_its_subscribers_and_goes_on_where_it_was() {
    let stage = stage().await;
    append(&stage.client, "a", 4).await;
    let options = from_start().checkpoint_lower_bound(100).checkpoint_upper_bound(100);
    stage.create("a", &options).await;
    let mut subscription = subscribe(&stage.client, "a", 2).await;
    assert_done(&mut subscription, fresh(0..2)).await;
    stage.until("a", |info| info.stats.total_items == 4).await;
    let from_end = options.start_from(StreamPosition::End);
    let changed = stage.client.update_persistent_subscription("a", "group", &from_end).await;
    changed.expect("changed");
    match ended(subscription).await {
        Error::IllegalStateError(message) => assert!(message.contains("dropped"), "{message}"),
        other => panic!("it should be dropped, not {other:?}"),
    }
    let mut subscription = subscribe(&stage.client, "a", 2).await;
    assert_done(&mut subscription, fresh(2..4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_group_ends_its_subscribers_and_leaves_nothing_to_a_new_one() {
    let stage = stage().await;
    append(&stage.client, "a", 4).await;
    stage.create("a", &from_start()).await;
    let mut subscription = subscribe(&stage.client, "a", 2).await;
    assert_done(&mut subscription, fresh(0..2)).await;
    let (event, _) = next(&mut subscription).await;
    nack(&mut subscription, &event, NakAction::Park, "it is poison").await.expect("said");
    stage.until("a", |info| info.stats.parked_message_count == 1).await;
    stage.until_checkpoint("a", 2).await;
    let deleted =
        stage.client.delete_persistent_subscription("a", "group", &Default::default()).await;
    deleted.expect("deleted");
    assert!(matches!(ended(subscription).await, Error::ResourceNotFound));
    stage.create("a", &from_start()).await;
    let info = stage.info("a").await;
    assert_eq!(info.stats.parked_message_count, 0);
    assert_eq!(info.stats.last_checkpointed_event_revision, None);
    assert_done(&mut subscribe(&stage.client, "a", 2).await, fresh(0..4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_all_groups_drops_subscribers_and_loses_nothing() {
    let stage = stage().await;
    append(&stage.client, "a", 4).await;
    stage.create("a", &from_start()).await;
    let mut subscription = subscribe(&stage.client, "a", 2).await;
    assert_done(&mut subscription, fresh(0..2)).await;
    stage.until("a", |info| info.stats.total_items == 4).await;
    let restart = stage.client.restart_persistent_subscription_subsystem(&Default::default()).await;
    restart.expect("restarted");
    assert!(matches!(ended(subscription).await, Error::IllegalStateError(_)));
    assert_done(&mut subscribe(&stage.client, "a", 2).await, fresh(2..4)).await;
}

/// Subscribes as soon as it was dropped, so often.
async fn come_back(client: &Client, times: usize) {
    let mut subscription = subscribe(client, "a", 1).await;
    for _ in 0..times {
        match ended(subscription).await {
            Error::IllegalStateError(message) => assert!(message.contains("dropped"), "{message}"),
            other => panic!("it should be dropped, not {other:?}"),
        }
        subscription = subscribe(client, "a", 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_found_whenever_it_is_changed() {
    let stage = stage().await;
    let client = &stage.client;
    stage.create("a", &from_start()).await;
    let changing = async {
        loop {
            let changed = client.update_persistent_subscription("a", "group", &from_start()).await;
            changed.expect("changed");
            let restart =
                client.restart_persistent_subscription_subsystem(&Default::default()).await;
            restart.expect("restarted");
        }
    };
    let asking = async {
        loop {
            stage.info("a").await;
        }
    };
    let listing = async {
        loop {
            let of =
                client.list_persistent_subscriptions_for_stream("a", &Default::default()).await;
            assert_eq!(of.expect("a list").len(), 1);
            let all = client.list_all_persistent_subscriptions(&Default::default()).await;
            assert_eq!(all.expect("a list").len(), 1);
        }
    };
    tokio::select! {
        () = come_back(client, 50) => {}
        () = changing => {}
        () = asking => {}
        () = listing => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_subscriptions_as_unavailable_and_records_what_is_finished() {
    let stage = stage().await;
    append(&stage.client, "a", 4).await;
    let options = from_start().checkpoint_lower_bound(100).checkpoint_upper_bound(100);
    stage.create("a", &options).await;
    let mut subscription = subscribe(&stage.client, "a", 2).await;
    assert_done(&mut subscription, fresh(0..2)).await;
    stage.until("a", |info| info.stats.total_items == 4).await;
    stage.served.shutdown.cancel();
    match ended(subscription).await {
        Error::ServerError(message) => assert!(message.contains("shutting down"), "{message}"),
        other => panic!("unavailable was expected, not {other:?}"),
    }
    stage.served.stop().await;
    let served = Served::start(stage._data.path()).await;
    let client = client(&served.url());
    assert_done(&mut subscribe(&client, "a", 2).await, fresh(2..4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_takes_nothing_is_told_that_it_is_too_slow() {
    let stage = stage().await;
    let large = EventData::binary("large", vec![7; 4 << 20].into());
    stage.client.append_to_stream("a", &Default::default(), large).await.expect("written");
    let impatient = from_start().message_timeout(Duration::from_millis(1)).max_retry_count(1 << 20);
    stage.create("a", &impatient).await;
    let subscription = subscribe(&stage.client, "a", 2).await;
    // The event is sent again and again, until no more fits on the way to somebody who does not
    // read.
    stage.until("a", |info| info.connections.is_empty()).await;
    match ended(subscription).await {
        Error::Grpc { code, message } => {
            assert_eq!(format!("{code:?}"), "Aborted");
            assert!(message.starts_with("Consumer too slow"), "{message}");
        }
        other => panic!("it should be too slow, not {other:?}"),
    }
    // The group goes on without it. The next one has room for what comes before it is heard.
    let (event, _) = next(&mut subscribe(&stage.client, "a", 10_000).await).await;
    assert_eq!(event.get_original_event().revision, 0);
}
