//! Scavenges as an operator sees them: started, refused, stopped, failed, on schedule.

use std::{fs, time::Duration};

use eventstore::{Error, StreamPosition, SubscribeToStreamOptions, operations::ScavengeStatus};
use serde_json::json;

use super::stage::{Stage, operator};

/// A store with something to remove, so slow at it that it never gets done.
async fn slow() -> Stage {
    let stage = Stage::with(|config| config.scavenge_bytes_per_second = 1).await;
    stage.append("a", 10).await;
    stage.rules("a", json!({ "$maxCount": 1 })).await;
    stage.close_segment().await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_scavenge_runs_at_a_time_and_can_be_stopped() {
    let stage = slow().await;
    let operator = operator(&stage.served.url());
    let first = operator.start_scavenge(1, 0, &Default::default()).await.expect("a scavenge");
    assert_eq!(first.status(), ScavengeStatus::Started);
    let second = operator.start_scavenge(1, 0, &Default::default()).await.expect("an answer");
    assert_eq!((second.status(), second.id()), (ScavengeStatus::InProgress, first.id()));
    let asked = event_store::scavenge(&format!("127.0.0.1:{}", stage.served.port)).await;
    assert_eq!(asked.expect("an answer").to_string(), first.id());
    let mut program = tokio::process::Command::new(crate::serving::PROGRAM);
    let program = program.args(["scavenge", "--at", &format!("127.0.0.1:{}", stage.served.port)]);
    let told = program.output().await.expect("it runs");
    assert!(String::from_utf8_lossy(&told.stdout).contains(first.id()), "{told:?}");
    assert_eq!(stage.revisions("a").await, Ok(vec![9]), "it is served meanwhile");
    for unknown in [&crate::serving::new_id().to_string(), "nonsense \u{e4}", ""] {
        let refused = operator.stop_scavenge(unknown, &Default::default()).await;
        assert!(refused.is_err(), "{:?}", refused.map(|result| result.status()));
    }
    let stopped = operator.stop_scavenge(first.id(), &Default::default()).await.expect("stopped");
    assert_eq!((stopped.status(), stopped.id()), (ScavengeStatus::Stopped, first.id()));
    assert_eq!(stage.completed(first.id()).await["result"], json!("Stopped"));
    let third = operator.start_scavenge(1, 0, &Default::default()).await.expect("a scavenge");
    assert_eq!(third.status(), ScavengeStatus::Started);
    stage.said(third.id(), "$scavengeStarted").await;
    // Closing does not wait for a scavenge that would take hours, and leaves nothing behind.
    let stage = stage.reopen().await;
    assert_eq!(stage.completed(third.id()).await["result"], json!("Stopped"));
    assert!(stage.files().values().all(|generations| generations.len() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_ends_the_scavenge_and_not_the_store() {
    let stage = Stage::new().await;
    stage.append("a", 10).await;
    stage.rules("a", json!({ "$maxCount": 1 })).await;
    stage.close_segment().await;
    let before = stage.all().await;
    let in_the_way = stage.data.path().join("log-0000000000000000.1.new");
    fs::create_dir(&in_the_way).expect("a folder where a file is to be");
    let said = stage.scavenge().await;
    assert_eq!(said["result"], json!("Errored"), "{said}");
    assert!(said["error"].as_str().expect("a text").contains("cannot create"), "{said}");
    assert_eq!(said["segmentsRewritten"], json!(0), "it ends at the first failure");
    assert_eq!(stage.all().await, before);
    assert_eq!(stage.append("a", 1).await, 10);
    fs::remove_dir(in_the_way).expect("removed");
    stage.scavenge_well().await;
    assert!(stage.all().await.len() < before.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_with_little_to_free_is_left_alone() {
    let stage = Stage::with(|config| {
        config.segment_bytes = 20_000;
        config.scavenge_least_bytes = 1 << 20;
    })
    .await;
    stage.append("whole", 120).await;
    stage.append("cut", 4).await;
    stage.rules("cut", json!({ "$maxCount": 1 })).await;
    stage.close_segment().await;
    stage.append("whole", 40).await;
    let said = stage.scavenge_well().await;
    assert_eq!((&said["segmentsLookedAt"], &said["segmentsRewritten"]), (&json!(1), &json!(0)));
    stage.rules("whole", json!({ "$maxCount": 100 })).await;
    let said = stage.scavenge_well().await;
    assert_eq!(said["segmentsRewritten"], json!(1), "more than a tenth can go now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_scavenges_without_being_asked_and_all_are_listed() {
    let stage = Stage::with(|config| {
        config.scavenge_every = Some(Duration::from_millis(20));
    })
    .await;
    stage.append("a", 10).await;
    stage.rules("a", json!({ "$maxCount": 1 })).await;
    stage.close_segment().await;
    let options =
        SubscribeToStreamOptions::default().start_from(StreamPosition::Start).resolve_link_tos();
    let mut subscription = stage.client.subscribe_to_stream("$scavenges", &options).await;
    let mut removed = 0;
    while removed < 9 {
        let event = subscription.next().await.expect("an event").event.expect("it is resolved");
        if event.event_type == "$scavengeCompleted" {
            let said: serde_json::Value = event.as_json().expect("JSON");
            removed += said["recordsRemoved"].as_u64().expect("a number");
        }
    }
    assert_eq!(removed, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_can_shut_the_server_down_but_not_resign_the_only_node() {
    let stage = Stage::new().await;
    let operator = operator(&stage.served.url());
    operator.merge_indexes(&Default::default()).await.expect("done");
    for refused in [
        operator.resign_node(&Default::default()).await,
        operator.set_node_priority(1, &Default::default()).await,
        operator.restart_persistent_subscriptions(&Default::default()).await,
    ] {
        assert!(
            matches!(refused, Err(Error::UnsupportedFeature | Error::Grpc { .. })),
            "{refused:?}"
        );
    }
    operator.shutdown(&Default::default()).await.expect("it says so");
    // The token of the test was not cancelled, and yet serving has come to an end.
    assert!(!stage.served.shutdown.is_cancelled());
    stage.served.ended().await;
}
