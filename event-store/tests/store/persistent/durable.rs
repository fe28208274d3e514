//! The real program, killed in the middle: a group goes on and has lost nothing.

use std::collections::HashSet;

use super::*;
use crate::serving::Program;

const EVENTS: u64 = 400;
const ROUNDS: usize = 6;

/// Waits until a checkpoint is behind the revision.
async fn until_past(client: &Client, revision: u64) {
    loop {
        let info = client.get_persistent_subscription_info("a", "group", &Default::default()).await;
        let checkpoint = info.expect("there is a group").stats.last_checkpointed_event_revision;
        if checkpoint > Some(revision) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_loses_nothing_when_the_program_is_killed_again_and_again() {
    let data = tempfile::tempdir().expect("a folder");
    let mut finished = HashSet::new();
    let mut parked = HashSet::new();
    for round in 0..ROUNDS {
        let mut program = Program::start(data.path()).await;
        let client = client(&program.url());
        if round == 0 {
            // What the end was is fixed here, and survives being killed before a checkpoint.
            append(&client, "a", 5).await;
            let options = PersistentSubscriptionOptions::default()
                .checkpoint_lower_bound(1)
                .checkpoint_upper_bound(10)
                .max_retry_count(1_000_000);
            let made = client.create_persistent_subscription("a", "group", &options).await;
            made.expect("a group");
            append(&client, "a", EVENTS).await;
        }
        let mut subscription = subscribe(&client, "a", 20).await;
        let mut began = None;
        for number in 0..60 {
            if number == 40 {
                until_past(&client, began.expect("an event")).await;
            }
            let (event, _) = next(&mut subscription).await;
            let revision = event.get_original_event().revision;
            assert!(revision >= 5);
            began.get_or_insert(revision);
            if number % 7 == 3 {
                let nack = nack(&mut subscription, &event, NakAction::Park, "it is poison").await;
                nack.expect("said");
                parked.insert(revision);
            } else {
                ack(&mut subscription, &event).await.expect("said");
                finished.insert(revision);
            }
        }
        program.child.kill().await.expect("it ends");
    }
    let program = Program::start(data.path()).await;
    let client = client(&program.url());
    let mut subscription = subscribe(&client, "a", 20).await;
    let (mut last, mut first) = (0, None);
    while last < EVENTS + 4 {
        let (event, _) = next(&mut subscription).await;
        let revision = event.get_original_event().revision;
        ack(&mut subscription, &event).await.expect("said");
        first.get_or_insert(revision);
        last = last.max(revision);
        finished.insert(revision);
    }
    assert!(first.is_some_and(|first| first > 5), "no checkpoint was of use");
    // What the checkpoint passed was finished, or is among the parked messages.
    let options = ReadStreamOptions::default();
    let mut read = client
        .read_stream("$persistentsubscription-a::group-parked", &options)
        .await
        .expect("a read");
    while let Some(event) = read.next().await.expect("an event") {
        let data = event.get_original_event().data.clone();
        let target = String::from_utf8_lossy(&data).into_owned();
        let revision = target.split('@').next().and_then(|text| text.parse().ok());
        finished.insert(revision.expect("a link"));
    }
    let missing: Vec<_> = (5..EVENTS + 5).filter(|revision| !finished.contains(revision)).collect();
    assert!(missing.is_empty(), "{missing:?} are lost; parked were {parked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_groups_that_makes_no_sense_keeps_no_other_from_starting() {
    let stage = stage().await;
    append(&stage.client, "a", 2).await;
    stage.create("a", &from_start()).await;
    let groups = "$persistentSubscriptionConfig";
    let mut broken: serde_json::Value =
        serde_json::from_slice(&stage.read(groups).await[0].data).expect("JSON");
    broken["stream"] = "$all".into();
    broken["definition"]["filter"] =
        serde_json::json!({ "on": "type", "regex": "(", "prefixes": [] });
    let events = vec![
        EventData::binary("nonsense", vec![1, 2, 3].into()),
        EventData::json("PersistentConfig1", &broken).expect("JSON"),
    ];
    stage.client.append_to_stream(groups, &Default::default(), events).await.expect("written");
    stage.served.stop().await;
    let served = Served::start(stage._data.path()).await;
    let client = client(&served.url());
    assert_done(&mut subscribe(&client, "a", 2).await, fresh(0..2)).await;
}
