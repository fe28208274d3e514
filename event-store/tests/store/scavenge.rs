//! Scavenges: what is hidden goes, everything else stays exactly what and where it was.

mod crowd;
mod files;
mod history;
mod killed;
mod operating;
mod stage;

use eventstore::{
    AppendToStreamOptions, EventData, ReadAllOptions, StreamPosition, StreamState,
    SubscribeToAllOptions, SubscriptionFilter,
};
use serde_json::json;
use stage::{Stage, at, seen};

/// What is kept of a stream in the whole log.
fn revisions_of(all: &[stage::Seen], name: &str) -> Vec<u64> {
    all.iter()
        .filter(|(_, stream, ..)| stream == name)
        .map(|(_, _, revision, _)| *revision)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_events_go_and_what_is_visible_stays_where_it_was() {
    let mut stage = Stage::new().await;
    for stream in ["before", "counted", "whole"] {
        stage.append(stream, 10).await;
    }
    stage.rules("before", json!({ "$tb": 7 })).await;
    stage.rules("counted", json!({ "$maxCount": 1 })).await;
    stage.rules("counted", json!({ "$maxCount": 2 })).await;
    stage.close_segment().await;
    let all = stage.all().await;
    let said = stage.scavenge_well().await;
    assert_eq!(said["recordsRemoved"], json!(7 + 8 + 1), "{said}");
    for _ in 0..2 {
        let kept = stage.all().await;
        assert!(kept.iter().all(|event| all.contains(event)), "places and ids are as before");
        assert_eq!(revisions_of(&kept, "before"), [7, 8, 9]);
        assert_eq!(revisions_of(&kept, "counted"), [8, 9]);
        assert_eq!(revisions_of(&kept, "$$counted"), [1]);
        assert_eq!(revisions_of(&kept, "whole"), (0..10).collect::<Vec<_>>());
        assert_eq!(stage.revisions("before").await, Ok(vec![7, 8, 9]));
        assert_eq!(stage.revisions("counted").await, Ok(vec![8, 9]));
        stage = stage.reopen().await;
    }
    assert_eq!(stage.append("before", 1).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_too_old_go_but_the_last_keeps_the_count() {
    let mut stage = Stage::new().await;
    stage.append("old", 5).await;
    stage.rules("old", json!({ "$maxAge": 1 })).await;
    stage.close_segment().await;
    while stage.revisions("old").await != Ok(vec![]) {
        tokio::task::yield_now().await;
    }
    stage.scavenge_well().await;
    for round in 0..2 {
        assert_eq!(revisions_of(&stage.all().await, "old")[0], 4);
        assert_eq!(stage.append("old", 1).await, 5 + round);
        stage = stage.reopen().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soft_deleted_stream_goes_on_with_its_revisions_when_it_comes_to_life() {
    for reopened in [false, true] {
        let mut stage = Stage::new().await;
        stage.append("gone", 5).await;
        stage.delete("gone").await;
        stage.close_segment().await;
        stage.scavenge_well().await;
        assert_eq!(revisions_of(&stage.all().await, "gone"), [4]);
        if reopened {
            stage = stage.reopen().await;
        }
        assert!(stage.revisions("gone").await.expect_err("hidden").contains("NotFound"));
        assert_eq!(stage.append("gone", 2).await, 6);
        stage.close_segment().await;
        stage.scavenge_well().await;
        stage = stage.reopen().await;
        assert_eq!(stage.revisions("gone").await, Ok(vec![5, 6]));
        assert_eq!(revisions_of(&stage.all().await, "gone"), [5, 6]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_tombstoned_stream_only_the_tombstone_stays_and_it_still_counts() {
    let mut stage = Stage::new().await;
    stage.append("dead", 5).await;
    stage.rules("dead", json!({ "owner": "someone" })).await;
    stage.tombstone("dead").await;
    stage.rules("dead", json!({ "owner": "someone else" })).await;
    stage.close_segment().await;
    stage.scavenge_well().await;
    for _ in 0..2 {
        let kept = stage.all().await;
        assert_eq!(revisions_of(&kept, "dead"), [i64::MAX as u64]);
        assert!(revisions_of(&kept, "$$dead").is_empty());
        for name in ["dead", "$$dead"] {
            assert!(stage.revisions(name).await.expect_err("deleted").contains("Deleted"));
        }
        let event = EventData::binary("kind", vec![].into());
        let refused = stage.client.append_to_stream("dead", &Default::default(), event).await;
        assert!(matches!(refused, Err(eventstore::Error::ResourceDeleted)), "{refused:?}");
        stage = stage.reopen().await;
        stage.scavenge_well().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_outlive_a_scavenge_even_when_something_else_stands_behind_them() {
    let mut stage = Stage::new().await;
    stage.append("a", 6).await;
    stage.rules("a", json!({ "$maxCount": 5 })).await;
    stage.rules("a", json!({ "$maxCount": 2 })).await;
    for _ in 0..3 {
        let event = EventData::json("note", &json!({ "$maxCount": 4 })).expect("JSON");
        let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
        stage.client.append_to_stream("$$a", &any, event).await.expect("written");
    }
    stage.close_segment().await;
    for _ in 0..2 {
        stage.scavenge_well().await;
        assert_eq!(revisions_of(&stage.all().await, "$$a"), [1, 4]);
        stage = stage.reopen().await;
        assert_eq!(stage.revisions("a").await, Ok(vec![4, 5]));
    }
    // What was removed does not come back with looser rules, and what is left is read over it.
    stage.rules("a", json!({})).await;
    stage.append("a", 2).await;
    assert_eq!(stage.revisions("a").await, Ok(vec![4, 5, 6, 7]));
    let back = stage.stream("a", StreamPosition::End, true).await.expect("events");
    assert_eq!(back.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_and_subscribing_goes_on_from_the_place_of_a_removed_event() {
    let stage = Stage::new().await;
    for _ in 0..12 {
        stage.append("kept", 1).await;
        stage.append("cut", 3).await;
    }
    stage.rules("cut", json!({ "$maxCount": 1 })).await;
    stage.close_segment().await;
    let before = stage.all().await;
    stage.scavenge_well().await;
    let kept = stage.all().await;
    assert!(kept.len() < before.len() - 30);
    for (position, ..) in &before {
        let behind: Vec<_> = kept.iter().filter(|event| event.0 >= *position).cloned().collect();
        assert_eq!(stage.all_from(*position, false).await, behind);
        let below = kept.iter().rev().filter(|event| event.0 < *position).cloned();
        assert_eq!(stage.all_from(*position, true).await, below.collect::<Vec<_>>());
        let ordinary = SubscriptionFilter::on_stream_name().regex("^[^$]");
        let from = || SubscribeToAllOptions::default().position(at(*position));
        for (options, all) in [(from(), true), (from().filter(ordinary), false)] {
            let mut subscription = stage.client.subscribe_to_all(&options).await;
            let shown = |event: &&stage::Seen| event.0 > *position;
            let shown =
                behind.iter().filter(shown).filter(|event| all || !event.1.starts_with('$'));
            for expected in shown.take(5) {
                let event = subscription.next().await.expect("an event");
                assert_eq!(&seen(event.get_original_event()), expected);
            }
        }
    }
    // A place where no event ever was is refused as before.
    let wrong = kept.iter().find(|event| event.1 == "kept").expect("kept").0 + 1;
    let wrong = stage.all_with(&ReadAllOptions::default().position(at(wrong))).await;
    assert!(format!("{wrong:?}").contains("position"), "{wrong:?}");
}
