//! Several subscribers, several groups, and subscribers that do not keep up.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc;

use super::*;
use crate::client::{
    PersistentSubscriptionToAllOptions, SubscriptionFilter, SystemConsumerStrategy as Strategy,
};

/// Takes and acknowledges events, and tells of each by which subscriber it was taken.
fn take(
    who: usize,
    mut subscription: PersistentSubscription,
    told: mpsc::UnboundedSender<(usize, ResolvedEvent)>,
) {
    tokio::spawn(async move {
        while let Ok(event) = subscription.next().await {
            if ack(&mut subscription, &event).await.is_err() || told.send((who, event)).is_err() {
                break;
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_subscribers_share_the_events_of_a_group() {
    let stage = stage().await;
    stage.create("a", &from_start()).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    for who in 0..2 {
        take(who, subscribe(&stage.client, "a", 10).await, tell.clone());
    }
    append(&stage.client, "a", 500).await;
    let (mut revisions, mut shares) = (HashSet::new(), [0, 0]);
    while revisions.len() < 500 {
        let (who, event) = told.recv().await.expect("one of them goes on");
        assert!(revisions.insert(event.get_original_event().revision), "an event comes twice");
        shares[who] += 1;
    }
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    stage.until_checkpoint("a", 499).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_subscriber_gets_all_it_has_room_for_when_the_group_dispatches_to_single() {
    let stage = stage().await;
    stage.create("a", &from_start().consumer_strategy_name(Strategy::DispatchToSingle)).await;
    let mut first = subscribe(&stage.client, "a", 4).await;
    let mut second = subscribe(&stage.client, "a", 4).await;
    append(&stage.client, "a", 6).await;
    assert_done(&mut second, fresh(4..6)).await;
    assert_done(&mut first, fresh(0..4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_pinned_to_one_subscriber() {
    let stage = stage().await;
    let client = &stage.client;
    let options = PersistentSubscriptionToAllOptions::default()
        .start_from(StreamPosition::Start)
        .consumer_strategy_name(Strategy::Pinned)
        .filter(SubscriptionFilter::on_event_type().add_prefix("kind"));
    client.create_persistent_subscription_to_all("group", &options).await.expect("a group");
    let (tell, mut told) = mpsc::unbounded_channel();
    for who in 0..2 {
        let options = SubscribeToPersistentSubscriptionOptions::default();
        let subscribed = client.subscribe_to_persistent_subscription_to_all("group", &options);
        let mut subscription = subscribed.await.expect("a subscription");
        confirmed(&mut subscription, "$all").await;
        take(who, subscription, tell.clone());
    }
    for _ in 0..5 {
        for stream in 0..16 {
            append(client, &format!("s-{stream}"), 1).await;
        }
    }
    let mut takers = HashMap::new();
    for _ in 0..80 {
        let (who, event) = told.recv().await.expect("they go on");
        let taker = *takers.entry(event.get_original_stream_id().to_owned()).or_insert(who);
        assert_eq!(taker, who);
    }
    let first = takers.values().filter(|who| **who == 0).count();
    assert!((1..16).contains(&first), "{takers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_holds_no_other_group_back_and_misses_nothing() {
    let stage = stage().await;
    let small = from_start().live_buffer_size(10).history_buffer_size(10).read_batch_size(5);
    stage.create("a", &small).await;
    let other = stage.client.create_persistent_subscription("a", "other", &from_start()).await;
    other.expect("a group");
    let mut slow = subscribe(&stage.client, "a", 5).await;
    let subscribed =
        stage.client.subscribe_to_persistent_subscription("a", "other", &Default::default()).await;
    let mut quick = subscribed.expect("a subscription");
    // Far more than fits in the buffers of the group and between the two.
    let payload = vec![7; 64 << 10];
    for _ in 0..60 {
        let events = vec![EventData::binary("large", payload.clone().into()); 5];
        stage.client.append_to_stream("a", &Default::default(), events).await.expect("written");
    }
    for revision in 0..300 {
        let event = quick.next().await.expect("it goes on");
        assert_eq!(event.get_original_event().revision, revision);
        ack(&mut quick, &event).await.expect("said");
    }
    assert_done(&mut slow, fresh(0..300)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_come_and_go_miss_nothing() {
    let stage = stage().await;
    stage.create("a", &from_start().max_retry_count(1_000_000)).await;
    let taken = Arc::new(std::sync::Mutex::new(HashSet::new()));
    let rounds = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (client, taken, rounds) = (stage.client.clone(), taken.clone(), rounds.clone());
            tokio::spawn(async move {
                while taken.lock().expect("no panic").len() < 300 {
                    let mut subscription = subscribe(&client, "a", 7).await;
                    for _ in 0..5 {
                        let next = subscription.next();
                        // When all is finished there may be nothing more for this one.
                        let waited =
                            tokio::time::timeout(std::time::Duration::from_millis(200), next);
                        let Ok(event) = waited.await else { break };
                        let event = event.expect("it goes on");
                        ack(&mut subscription, &event).await.expect("said");
                        let revision = event.get_original_event().revision;
                        taken.lock().expect("no panic").insert(revision);
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    append(&stage.client, "a", 300).await;
    for worker in workers {
        worker.await.expect("it got what it should");
    }
    assert!(rounds.load(Ordering::Relaxed) > 3);
}
