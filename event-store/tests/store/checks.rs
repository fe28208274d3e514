//! What a transaction may expect of streams, against all that can be true of them.

use eventstore::{DeleteStreamOptions, ReadStreamOptions, StreamState, TombstoneStreamOptions};
use tonic::{Code, Status};

use crate::{
    proto::session_errors::{
        AppendConsistencyViolationErrorDetails, StreamRevisionConflictErrorDetails,
        StreamTombstonedErrorDetails, consistency_violation::Type,
    },
    sessions::{ANY, EXISTS, NO_STREAM, Stage, checks, detail, part, record, stage},
};

const DELETED: i64 = -5;
const TOMBSTONED: i64 = -6;
/// What a stream can be; those that were written have three events.
const STATES: [&str; 4] = ["missing", "there", "deleted", "tombstoned"];

impl Stage {
    async fn make(&mut self, state: &str, stream: &str) {
        if state == "missing" {
            return;
        }
        self.session(&[part(stream, NO_STREAM, 3)]).await.expect("written");
        if state == "deleted" {
            let any = DeleteStreamOptions::default().stream_state(StreamState::Any);
            self.first.delete_stream(stream, &any).await.expect("deleted");
        } else if state == "tombstoned" {
            let any = TombstoneStreamOptions::default().stream_state(StreamState::Any);
            self.first.tombstone_stream(stream, &any).await.expect("tombstoned");
        }
    }
}

/// The actual revision of a conflict, or -6 when the stream has a tombstone.
fn refused(status: &Status) -> i64 {
    if status.message().contains("tombstoned") {
        let name = "StreamTombstonedErrorDetails";
        let _: StreamTombstonedErrorDetails = detail(status, Code::FailedPrecondition, name);
        return TOMBSTONED;
    }
    let name = "StreamRevisionConflictErrorDetails";
    let found: StreamRevisionConflictErrorDetails = detail(status, Code::FailedPrecondition, name);
    found.actual_revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_holds_every_stream_to_its_expected_revision() {
    let mut stage = stage().await;
    for (expected, outcomes) in [
        (NO_STREAM, [Ok(0), Err(2), Ok(3), Err(TOMBSTONED)]),
        (ANY, [Ok(0), Ok(3), Ok(3), Err(TOMBSTONED)]),
        (EXISTS, [Err(NO_STREAM), Ok(3), Err(DELETED), Err(TOMBSTONED)]),
        (2, [Err(NO_STREAM), Ok(3), Ok(3), Err(TOMBSTONED)]),
        (1, [Err(NO_STREAM), Err(2), Err(2), Err(TOMBSTONED)]),
        (3, [Err(NO_STREAM), Err(2), Err(2), Err(TOMBSTONED)]),
        (i64::MAX, [Err(NO_STREAM), Err(2), Err(2), Err(TOMBSTONED)]),
    ] {
        for (state, outcome) in STATES.into_iter().zip(outcomes) {
            let stream = format!("{state}{expected}");
            stage.make(state, &stream).await;
            let before = stage.log().await.len();
            let other = format!("other-{stream}");
            let parts = [part(&other, NO_STREAM, 1), part(&stream, expected, 1)];
            let answer = stage.session(&parts).await;
            let told = answer.map(|written| written.output[1].stream_revision);
            assert_eq!(told.map_err(|status| refused(&status)), outcome, "{stream}");
            // A stream that comes back gets a metadata event too.
            let new = if outcome.is_err() { 0 } else { 2 + usize::from(state == "deleted") };
            assert_eq!(stage.log().await.len(), before + new, "{stream}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_holds_or_nothing_is_written() {
    let mut stage = stage().await;
    let actual = [NO_STREAM, 2, DELETED, TOMBSTONED];
    for (wanted, holds) in [
        (NO_STREAM, [true, false, true, true]),
        (ANY, [true; 4]),
        (EXISTS, [false, true, false, false]),
        (2, [false, true, false, false]),
        (1, [false; 4]),
        (DELETED, [false, false, true, false]),
        (TOMBSTONED, [false, false, false, true]),
    ] {
        for ((state, holds), actual) in STATES.into_iter().zip(holds).zip(actual) {
            let stream = format!("{state}{wanted}");
            stage.make(state, &stream).await;
            let before = stage.log().await.len();
            let elsewhere = format!("elsewhere-{stream}");
            let answer = stage.records(vec![record(&elsewhere)], checks(&stream, wanted)).await;
            match answer {
                Ok(_) => assert!(holds, "{stream}"),
                Err(status) => {
                    assert!(!holds, "{stream}: {status:?}");
                    assert_eq!(violations(&status), [(0, stream.clone(), wanted, actual)]);
                }
            }
            assert_eq!(stage.log().await.len(), before + usize::from(holds), "{stream}");
        }
    }
}

fn violations(status: &Status) -> Vec<(i32, String, i64, i64)> {
    let name = "AppendConsistencyViolationErrorDetails";
    let found: AppendConsistencyViolationErrorDetails =
        detail(status, Code::FailedPrecondition, name);
    let told = found.violations.into_iter().map(|violation| {
        let Some(Type::StreamState(state)) = violation.r#type else { panic!("a state") };
        (violation.check_index, state.stream, state.expected_state, state.actual_state)
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_violations_are_told_and_checks_on_written_streams_count_too() {
    let mut stage = stage().await;
    stage.make("there", "a").await;
    stage.make("tombstoned", "gone").await;
    let wanted = [("a", 2), ("b", EXISTS), ("a", 7), ("gone", 0), ("c", NO_STREAM)];
    let all: Vec<_> = wanted.iter().flat_map(|(stream, state)| checks(stream, *state)).collect();
    let status = stage.records(vec![record("c")], all).await.expect_err("violated");
    let told = violations(&status);
    let expected = [(1, "b", EXISTS, NO_STREAM), (2, "a", 7, 2), (3, "gone", 0, TOMBSTONED)];
    assert_eq!(told, expected.map(|(at, name, want, is)| (at, name.to_owned(), want, is)));
    let status = stage.records(vec![record("a")], checks("a", 1)).await.expect_err("violated");
    assert_eq!(violations(&status), [(0, "a".to_owned(), 1, 2)]);
    stage.records(vec![record("a"), record("a")], checks("a", 2)).await.expect("written");
    // The same check has become wrong, and so has one against what the transaction itself adds.
    let status = stage.records(vec![record("a")], checks("a", 2)).await.expect_err("violated");
    assert_eq!(violations(&status), [(0, "a".to_owned(), 2, 4)]);
    // Nothing can be written behind a tombstone, whatever is checked.
    let status = stage.records(vec![record("gone")], checks("gone", TOMBSTONED)).await;
    assert_eq!(refused(&status.expect_err("ended")), TOMBSTONED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_streams_come_back_together_with_their_metadata_kept() {
    let mut stage = stage().await;
    for stream in ["a", "b"] {
        stage.make("deleted", stream).await;
    }
    // The metadata of a deleted stream is written by the same transaction, behind what revives it.
    let mut kept = record("$$b");
    kept.schema.as_mut().expect("a schema").name = "$metadata".to_owned();
    kept.data = r#"{"$tb":3,"mine":1}"#.into();
    let records = vec![record("a"), kept, record("b"), record("b")];
    let written = stage.records(records, checks("a", NO_STREAM)).await.expect("written");
    let told: Vec<_> = written.revisions.iter().map(|r| (&r.stream[..], r.revision)).collect();
    assert_eq!(told, [("a", 3), ("$$b", 2), ("b", 4)]);
    for (stream, revisions) in [("a", vec![3]), ("b", vec![3, 4])] {
        let mut read = stage.first.read_stream(stream, &ReadStreamOptions::default()).await;
        let read = read.as_mut().expect("a read");
        let mut seen = Vec::new();
        while let Some(event) = read.next().await.expect("an event") {
            seen.push(event.get_original_event().revision);
        }
        assert_eq!(seen, revisions, "{stream}");
    }
    // The state survives a new start.
    let status = stage.session(&[part("a", 1, 1)]).await.expect_err("a conflict");
    assert_eq!(refused(&status), 3);
}
