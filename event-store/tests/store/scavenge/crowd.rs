//! Writers, readers and subscribers at work while segments are replaced under them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use eventstore::{
    AppendToStreamOptions, Client, EventData, ReadAllOptions, ReadStreamOptions, StreamPosition,
    StreamState, SubscribeToAllOptions,
};
use serde_json::json;

use super::stage::{Stage, seen};
use crate::serving::new_id;

const WRITERS: usize = 4;
const EACH: u64 = 150;

/// Appends to a stream of which the newest five stay and to one of which all do.
async fn write(client: Client, name: String) {
    for number in 0..EACH {
        for stream in [format!("cut-{name}"), format!("kept-{name}")] {
            let event = EventData::binary("kind", vec![7; 80].into()).id(new_id());
            let state = match number {
                0 => StreamState::NoStream,
                number => StreamState::StreamRevision(number - 1),
            };
            let options = AppendToStreamOptions::default().stream_state(state);
            let written = client.append_to_stream(stream, &options, event).await.expect("written");
            assert_eq!(written.next_expected_version, number);
        }
    }
}

/// Reads everything again and again: nothing comes twice or out of order, and nothing of the
/// streams that keep all is missing.
async fn read(client: Client, over: Arc<AtomicBool>, reads: Arc<AtomicU64>) {
    while !over.load(Ordering::Relaxed) {
        for backwards in [false, true] {
            let options = ReadAllOptions::default();
            let options = match backwards {
                true => options.position(StreamPosition::End).backwards(),
                false => options,
            };
            let mut all = client.read_all(&options).await.expect("a read");
            let mut events = Vec::new();
            while let Some(event) = all.next().await.expect("an event") {
                events.push(seen(event.get_original_event()));
            }
            if backwards {
                events.reverse();
            }
            assert!(events.is_sorted_by(|a, b| a.0 < b.0));
            for writer in 0..WRITERS {
                let name = format!("kept-{writer}");
                let mut revisions =
                    events.iter().filter(|event| event.1 == name).map(|event| event.2);
                assert!(
                    revisions.by_ref().zip(0..).all(|(revision, expected)| revision == expected)
                );
            }
        }
        for writer in 0..WRITERS {
            let options = ReadStreamOptions::default();
            let Ok(mut cut) = client.read_stream(format!("cut-{writer}"), &options).await else {
                continue;
            };
            let mut last = None;
            while let Ok(Some(event)) = cut.next().await {
                let revision = event.get_original_event().revision;
                assert!(last.is_none_or(|last| revision == last + 1), "{last:?} then {revision}");
                last = Some(revision);
            }
        }
        reads.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_readers_and_subscribers_notice_nothing_of_scavenges() {
    let stage = Stage::with(|config| config.segment_bytes = 3000).await;
    for writer in 0..WRITERS {
        stage.rules(&format!("cut-{writer}"), json!({ "$maxCount": 5 })).await;
    }
    // One that stays in the middle of the log until all is over.
    stage.append("first", 200).await;
    let mut in_the_middle =
        stage.client.read_all(&ReadAllOptions::default()).await.expect("a read");
    for _ in 0..50 {
        in_the_middle.next().await.expect("an event");
    }
    let options = SubscribeToAllOptions::default().position(StreamPosition::Start);
    let mut subscription = stage.client.subscribe_to_all(&options).await;
    let (over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..2)
        .map(|_| tokio::spawn(read(stage.client.clone(), over.clone(), reads.clone())))
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(stage.client.clone(), writer.to_string())))
        .collect();
    let following = tokio::spawn(async move {
        let mut next = [0; WRITERS];
        while next.iter().any(|next| *next < EACH) {
            let event = subscription.next().await.expect("the subscription goes on");
            let (_, stream, revision, _) = seen(event.get_original_event());
            if let Some(writer) = stream.strip_prefix("kept-") {
                let next = &mut next[writer.parse::<usize>().expect("a number")];
                assert_eq!(revision, *next);
                *next += 1;
            }
        }
    });
    let mut removed = 0;
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        removed += stage.scavenge_well().await["recordsRemoved"].as_u64().expect("a number");
    }
    for writer in writers {
        writer.await.expect("the writer was not disturbed");
    }
    following.await.expect("the subscriber missed nothing");
    stage.rules("first", json!({ "$tb": 150 })).await;
    stage.close_segment().await;
    removed += stage.scavenge_well().await["recordsRemoved"].as_u64().expect("a number");
    assert!(removed > WRITERS as u64 * (EACH - 20) + 100, "{removed}");
    let so_far = reads.load(Ordering::Relaxed);
    while reads.load(Ordering::Relaxed) < so_far + 2 {
        tokio::task::yield_now().await;
    }
    over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("the reader saw no fault");
    }
    let mut last = 0;
    while let Some(event) = in_the_middle.next().await.expect("the read goes on") {
        assert!(event.get_original_event().position.commit > last);
        last = event.get_original_event().position.commit;
    }
}
