//! The end of the log, cut and corrupted at every byte: what was whole stays, nothing is invented.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use event_store::{Config, Error, EventStore};
use eventstore::{AppendToStreamOptions, Client, EventData, ReadAllOptions, StreamState};

use crate::{
    random::Random,
    serving::Served,
    tool::{append_ends, binary},
};

fn segment(data: &Path) -> PathBuf {
    data.join("log-0000000000000000")
}

fn client(served: &Served) -> Client {
    Client::new(served.url().parse().expect("a URL")).expect("a client")
}

async fn append(client: &Client, stream: &str, count: usize) {
    let options = AppendToStreamOptions::default().stream_state(StreamState::NoStream);
    let event = || EventData::binary("kind", vec![1, 2, 3].into());
    let events: Vec<_> = std::iter::repeat_with(event).take(count).collect();
    client.append_to_stream(stream, &options, events).await.expect("written");
}

async fn streams(served: &Served) -> Vec<String> {
    let mut read = client(served).read_all(&ReadAllOptions::default()).await.expect("a read");
    let mut streams = Vec::new();
    while let Some(event) = read.next().await.expect("an event") {
        streams.push(event.get_original_event().stream_id().to_owned());
    }
    streams
}

/// A log with the appends a (one event), b (two events) and c (two events), and their ends.
async fn three_appends(data: &Path) -> [usize; 3] {
    let served = Served::without_index(data).await;
    let client = client(&served);
    let mut ends = [0; 3];
    for (end, (stream, count)) in ends.iter_mut().zip([("a", 1), ("b", 2), ("c", 2)]) {
        append(&client, stream, count).await;
        *end = fs::metadata(segment(data)).expect("a segment").len() as usize;
    }
    served.stop().await;
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_cut_anywhere_keeps_its_whole_appends_and_goes_on() {
    let data = tempfile::tempdir().expect("a folder");
    let [a, b, c] = three_appends(data.path()).await;
    let whole = fs::read(segment(data.path())).expect("a segment");
    for length in a..=c {
        fs::write(segment(data.path()), &whole[..length]).expect("cut");
        let served = Served::without_index(data.path()).await;
        let mut expected = vec!["a"];
        expected.extend(["b", "b"].into_iter().filter(|_| length >= b));
        expected.extend(["c", "c"].into_iter().filter(|_| length >= c));
        if length % 8 == 0 {
            append(&client(&served), "new", 1).await;
            expected.push("new");
        }
        assert_eq!(streams(&served).await, expected, "cut to {length} of {c}");
        served.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_last_append_is_cut_off_and_an_earlier_one_is_refused() {
    let data = tempfile::tempdir().expect("a folder");
    let [a, b, c] = three_appends(data.path()).await;
    let whole = fs::read(segment(data.path())).expect("a segment");
    for offset in 0..c {
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x55;
        fs::write(segment(data.path()), &bytes).expect("corrupted");
        match Served::with(Config::new(data.path())).await {
            Ok(served) => {
                assert!(offset >= b, "byte {offset} was durable, and its loss not noticed");
                assert_eq!(streams(&served).await, ["a", "b", "b"]);
                served.stop().await;
            }
            Err(Error::Corrupt { .. }) => {
                assert!(offset < b, "byte {offset} is in the last append ({a}, {b}, {c})");
                assert_eq!(fs::read(segment(data.path())).expect("a segment"), bytes);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zeros_behind_the_log_are_cut_off() {
    let data = tempfile::tempdir().expect("a folder");
    let [.., c] = three_appends(data.path()).await;
    let file = File::options().write(true).open(segment(data.path())).expect("a segment");
    file.set_len(c as u64 + 9000).expect("longer");
    let served = Served::without_index(data.path()).await;
    assert_eq!(streams(&served).await.len(), 5);
    served.stop().await;
    assert_eq!(file.metadata().expect("a segment").len(), c as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_many_segments_is_read_whole_and_misses_none() {
    let data = tempfile::tempdir().expect("a folder");
    let config = Config { segment_bytes: 500, ..Config::new(data.path()) };
    let mut expected = Vec::new();
    for round in 0..3 {
        let served = Served::with(config.clone()).await.expect("it opens");
        for number in 0..20 {
            let stream = format!("s-{round}-{number}");
            append(&client(&served), &stream, 2).await;
            expected.extend([stream.clone(), stream]);
        }
        assert_eq!(streams(&served).await, expected);
        let backwards =
            ReadAllOptions::default().position(eventstore::StreamPosition::End).backwards();
        let mut read = client(&served).read_all(&backwards).await.expect("a read");
        for stream in expected.iter().rev() {
            let event = read.next().await.expect("an event").expect("one more");
            assert_eq!(event.get_original_event().stream_id(), stream);
        }
        served.stop().await;
    }
    let mut segments: Vec<_> = fs::read_dir(data.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
        .collect();
    segments.sort();
    assert!(segments.len() > 10);
    let stray = data.path().join("log-00000000ffffffff");
    fs::write(&stray, b"").expect("a segment that nothing leads to");
    assert!(matches!(Served::with(config.clone()).await.err(), Some(Error::Corrupt { .. })));
    fs::remove_file(&stray).expect("removed");
    let last = segments.last().expect("a segment");
    let end = crate::tool::base(last) + fs::metadata(last).expect("a segment").len();
    let half_made = data.path().join(format!("log-{end:016x}"));
    fs::write(&half_made, b"RTLOG").expect("a segment half made");
    let opened = Served::with(config.clone()).await.expect("an empty file at the end is no loss");
    assert!(!half_made.exists());
    opened.stop().await;
    // It proves that all before it was durable once.
    let whole = fs::read(last).expect("a segment");
    fs::write(last, [&whole[..whole.len() - 1], b"?"].concat()).expect("corrupted");
    fs::write(&half_made, b"").expect("a segment half made");
    assert!(matches!(Served::with(config.clone()).await.err(), Some(Error::Corrupt { .. })));
    fs::write(last, &whole).expect("mended");
    fs::remove_file(&segments[4]).expect("removed");
    assert!(matches!(Served::with(config).await.err(), Some(Error::Corrupt { .. })));
}

/// A log whose last append is of one event, of three, or of two streams: events that revive a
/// deleted stream go with the metadata that says so.
async fn last_append(data: &Path, kind: &str) {
    let served = Served::without_index(data).await;
    let client = client(&served);
    append(&client, "a", 2).await;
    append(&client, "b", 1).await;
    client.delete_stream("b", &Default::default()).await.expect("deleted");
    let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
    let (stream, events) = match kind {
        "one event" => ("a", vec![binary(30)]),
        "three events" => ("a", vec![binary(3), binary(0), binary(70)]),
        _ => ("b", vec![binary(8), binary(9)]),
    };
    client.append_to_stream(stream, &any, events).await.expect("written");
    served.stop().await;
}

/// What a crash may leave of the bytes from the offset on.
fn torn(whole: &[u8], at: usize, pattern: u8, random: &mut Random) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let end = whole.len();
    match pattern {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 0x55,
        2 => bytes[at..].fill(0),
        3 => {
            bytes.truncate(at);
            bytes.extend(random.bytes(512));
        }
        4 => bytes[at..(at + 8).min(end)].fill(0),
        // Cut somewhere behind, and wrong here.
        _ => {
            bytes[at] ^= 0xff;
            bytes.truncate(at + 1 + random.index(end - at));
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_append_of_any_kind_torn_anywhere_is_there_or_gone() {
    let mut random = Random::from_clock();
    println!("{random}");
    for kind in ["one event", "three events", "two streams"] {
        let data = tempfile::tempdir().expect("a folder");
        last_append(data.path(), kind).await;
        let file = segment(data.path());
        let whole = fs::read(&file).expect("a segment");
        let ends = append_ends(&whole);
        let before = ends[ends.len() - 2];
        for at in before..whole.len() {
            // Two of the patterns differ little from one byte to the next.
            for pattern in (0..6).filter(|pattern| *pattern < 4 || at % 3 == 0) {
                let bytes = torn(&whole, at, pattern, &mut random);
                fs::write(&file, &bytes).expect("torn");
                drop(EventStore::open(Config::new(data.path())).expect("it opens"));
                let left = fs::read(&file).expect("a segment");
                let expected =
                    if bytes.starts_with(&whole) { &whole[..] } else { &whole[..before] };
                assert!(left == expected, "{kind}, pattern {pattern} at byte {at}, {random}");
            }
        }
    }
}
