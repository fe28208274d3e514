//! Reads that are harder than others: at once after a write, of large events, and refused ones.

use eventstore::{
    AppendToStreamOptions, Client, Error, EventData, Position, ReadAllOptions, ReadStreamOptions,
    StreamPosition, StreamState,
};

use crate::serving::Served;

fn client(served: &Served) -> Client {
    Client::new(served.url().parse().expect("a URL")).expect("a client")
}

fn from_end() -> ReadStreamOptions {
    ReadStreamOptions::default().position(StreamPosition::End).backwards()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_event_is_read_at_once() {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    let client = client(&served);
    let writers = (0..16).map(|writer| {
        let client = client.clone();
        tokio::spawn(async move {
            for number in 0..40u64 {
                let stream = format!("s-{writer}");
                let event = EventData::binary("kind", vec![].into());
                let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
                let written = client.append_to_stream(stream.as_str(), &any, event).await;
                let position = written.expect("written").position;
                let mut read = client.read_stream(stream, &from_end()).await.expect("a read");
                let last = read.next().await.expect("read").expect("the event");
                assert_eq!(last.get_original_event().revision, number);
                assert_eq!(last.get_original_event().position, position);
                let at = ReadAllOptions::default().position(StreamPosition::Position(position));
                let mut read = client.read_all(&at).await.expect("a read");
                let there = read.next().await.expect("read").expect("the event");
                assert_eq!(there.get_original_event().position, position);
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.expect("every event was there");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_small_events_are_read_in_both_directions_across_segments() {
    let data = tempfile::tempdir().expect("a folder");
    let config =
        event_store::Config { segment_bytes: 300_000, ..event_store::Config::new(data.path()) };
    let served = Served::with(config).await.expect("it opens");
    let client = client(&served);
    let batch = client.batch_append(&Default::default()).await.expect("a batch");
    let sizes = [0, 10, 400_000, 5_000, 130_000, 1, 100_000, 65_536];
    for number in 0..80usize {
        let data = vec![number as u8; sizes[number % sizes.len()]];
        let event = EventData::binary("kind", data.into());
        batch.append_to_stream("a", StreamState::Any, vec![event]).await.expect("written");
    }
    let mut forwards = client.read_stream("a", &ReadStreamOptions::default()).await.expect("read");
    let mut backwards = client.read_stream("a", &from_end()).await.expect("a read");
    let end = ReadAllOptions::default().position(StreamPosition::End).backwards();
    let mut all_backwards = client.read_all(&end).await.expect("a read");
    for number in 0..80u8 {
        for (read, number) in [
            (&mut forwards, number),
            (&mut backwards, 79 - number),
            (&mut all_backwards, 79 - number),
        ] {
            let event = read.next().await.expect("read").expect("one more");
            let event = event.get_original_event();
            assert_eq!(event.revision, u64::from(number));
            assert_eq!(event.data.len(), sizes[usize::from(number) % sizes.len()]);
            assert!(event.data.iter().all(|byte| *byte == number));
        }
    }
    assert!(forwards.next().await.expect("read").is_none());
    assert!(backwards.next().await.expect("read").is_none());
    assert!(all_backwards.next().await.expect("read").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_is_no_events_is_refused() {
    let data = tempfile::tempdir().expect("a folder");
    let served = Served::start(data.path()).await;
    let client = client(&served);
    let event = EventData::binary("kind", vec![1; 100].into());
    let written = client.append_to_stream("a", &Default::default(), event).await.expect("written");
    let Position { commit, .. } = written.position;
    for wrong in [commit + 1, commit + 50, commit + 1_000_000] {
        let position = Position { commit: wrong, prepare: wrong };
        let at = ReadAllOptions::default().position(StreamPosition::Position(position));
        let mut read = match client.read_all(&at).await {
            Ok(read) => read,
            Err(Error::Grpc { message, .. }) => {
                assert!(message.contains("position"), "{message}");
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        let read = read.next().await;
        assert!(matches!(read, Err(Error::Grpc { .. })), "{read:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_too_large_is_refused_and_the_next_is_taken() {
    let data = tempfile::tempdir().expect("a folder");
    let config = event_store::Config {
        max_event_bytes: 1000,
        max_append_bytes: 3000,
        ..event_store::Config::new(data.path())
    };
    let served = Served::with(config).await.expect("it opens");
    let client = client(&served);
    let event = |size| EventData::binary("kind", vec![1; size].into());
    for events in [vec![event(1001)], vec![event(900); 4]] {
        let refused = client.append_to_stream("a", &Default::default(), events).await;
        assert!(matches!(refused, Err(Error::Grpc { .. })), "{refused:?}");
    }
    let taken = client.append_to_stream("a", &Default::default(), vec![event(900); 3]).await;
    assert_eq!(taken.expect("written").next_expected_version, 2);
}
