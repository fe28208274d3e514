//! Folders changed at random: the store refuses them, or serves the beginning of what was written.
//!
//! `SEGMENT_ROUNDS` sets how many folders are tried, `SEED` repeats a run.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use event_store::{Config, Error};
use eventstore::RecordedEvent;

use crate::{
    random::{Random, rounds},
    serving::{PROGRAM, Program, Served},
    tool::{all, segments, small_log},
};

/// The files of a folder.
type Files = Vec<(String, Vec<u8>)>;

const KINDS: u64 = 16;

/// One change of one kind; a change that has nothing to change does nothing.
fn mutate(files: &mut Files, random: &mut Random) {
    if files.is_empty() {
        return;
    }
    let (one, other) = (random.index(files.len()), random.index(files.len()));
    let kind = random.below(KINDS);
    match kind {
        0 => drop(files.remove(one)),
        // Contents, or names, of two files.
        1 if one != other => {
            let bytes = std::mem::take(&mut files[one].1);
            files[one].1 = std::mem::replace(&mut files[other].1, bytes);
        }
        2 => files[one].1 = files[other].1.clone(),
        3 => {
            let name = format!("log-{:016x}", strange_base(random));
            files[one].0 = name;
        }
        4 => {
            let length = random.index(3000);
            let noise = random.bytes(length);
            files.push((format!("log-{:016x}", strange_base(random)), noise));
        }
        5 => {
            let header = files[one].1.get(..20).unwrap_or_default().to_vec();
            files[one].1 = header;
        }
        _ => mutate_bytes(&mut files[one].1, kind, random),
    }
    // Two files cannot have one name.
    files.sort();
    files.dedup_by(|one, other| one.0 == other.0);
}

fn strange_base(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.below(3000),
        1 => u64::MAX - random.below(40),
        2 => i64::MAX as u64,
        _ => random.next(),
    }
}

fn mutate_bytes(bytes: &mut Vec<u8>, kind: u64, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let at = random.index(bytes.len());
    let to = at + random.index(bytes.len() - at + 1);
    match kind {
        6 | 7 => bytes[at] ^= 1 << random.below(8),
        8 => bytes.truncate(at),
        9 => drop(bytes.drain(at..to)),
        10 => {
            let length = random.index(200);
            let noise = random.bytes(length);
            bytes.splice(at..at, noise);
        }
        11 => bytes[at..to].fill(0),
        // A part again, in another place: records that are doubled, or come later.
        12 => {
            let part = bytes[at..to].to_vec();
            let place = random.index(bytes.len());
            bytes.splice(place..place, part);
        }
        13 => bytes[at..to].reverse(),
        // A length that promises far more than there is.
        14 => {
            let large = (random.next() as u32 >> random.below(20)).to_le_bytes();
            let end = (at + 4).min(bytes.len());
            bytes[at..end].copy_from_slice(&large[..end - at]);
        }
        _ => {
            let middle = at + (to - at) / 2;
            bytes[at..to].rotate_left(middle - at);
        }
    }
}

fn same(one: &RecordedEvent, other: &RecordedEvent) -> bool {
    let key = |event: &RecordedEvent| {
        let metadata = event.metadata.get("type").cloned();
        (event.id, event.revision, event.position, event.created, metadata, event.is_json)
    };
    key(one) == key(other)
        && one.stream_id() == other.stream_id()
        && (&one.data, &one.custom_metadata) == (&other.data, &other.custom_metadata)
}

/// A valid small store: its files and its events.
async fn valid(segment_bytes: u64) -> (Files, Vec<RecordedEvent>) {
    let data = tempfile::tempdir().expect("a folder");
    small_log(data.path(), segment_bytes).await;
    let served = Served::start(data.path()).await;
    let events = all(&served.url()).await;
    served.stop().await;
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str().map(str::to_owned));
    let files = segments(data.path())
        .into_iter()
        .map(|path| (name(&path).expect("a name"), fs::read(&path).expect("a segment")));
    (files.collect(), events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_changed_at_random_is_refused_or_is_a_prefix() {
    let mut random = Random::from_clock();
    println!("{random}");
    let stores = [valid(300).await, valid(700).await, valid(1 << 20).await];
    let (mut opened, mut refused) = (0, 0);
    for round in 0..rounds("SEGMENT_ROUNDS", 1200) {
        let (files, events) = &stores[random.index(stores.len())];
        let mut files = files.clone();
        for _ in 0..=random.below(3) {
            mutate(&mut files, &mut random);
        }
        let data = tempfile::tempdir().expect("a folder");
        for (name, bytes) in &files {
            fs::write(data.path().join(name), bytes).expect("written");
        }
        let faults = event_store::verify(data.path(), |_| {}).map(|report| report.faults);
        match Served::with(Config::new(data.path())).await {
            Ok(served) => {
                opened += 1;
                let there = all(&served.url()).await;
                served.stop().await;
                assert!(there.len() <= events.len(), "round {round}, {random}");
                let prefix = there.iter().zip(events).all(|(one, other)| same(one, other));
                assert!(prefix, "round {round}: an event was invented or changed, {random}");
                assert!(
                    files.is_empty() || matches!(faults, Ok(0)),
                    "round {round}: it opens with {faults:?} faults, {random}"
                );
            }
            Err(Error::Corrupt { .. }) => {
                refused += 1;
                assert!(faults.is_ok_and(|faults| faults > 0), "round {round}, {random}");
            }
            Err(other) => panic!("round {round}: {other}, {random}"),
        }
    }
    println!("{opened} were opened, {refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_or_a_file_that_is_absurd_takes_no_memory() {
    let data = tempfile::tempdir().expect("a folder");
    let events = small_log(data.path(), 1 << 20).await;
    let file = segments(data.path()).remove(0);
    let end = fs::metadata(&file).expect("a file").len();
    // The head of a record whose data would be almost as long as any may be, and then nothing.
    let mut head = [0; 64];
    let length = (1u32 << 30) - 1;
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[60..].copy_from_slice(&(length - 56).to_le_bytes());
    let segment = File::options().write(true).open(&file).expect("a segment");
    for (place, longer) in [(end, end + 64), (end, end + 5000), (end + 9, end + (40 << 20))] {
        segment.set_len(longer).expect("longer");
        segment.write_all_at(&head, place).expect("written");
        let program = with_little_memory(data.path()).await;
        assert_eq!(all(&program.url()).await.len(), events);
        drop(program);
        let report = event_store::verify(data.path(), |fault| panic!("{fault:?}"));
        assert_eq!(report.expect("it is read").bytes, end);
    }
}

/// The program with an address space that holds it, but not what the file pretends.
async fn with_little_memory(data: &Path) -> Program {
    let script = "ulimit -v 60000; exec \"$0\" --listen 127.0.0.1:0 --data \"$1\"";
    let mut shell = tokio::process::Command::new("/bin/sh");
    shell.env("MALLOC_ARENA_MAX", "1").env("TOKIO_WORKER_THREADS", "2");
    Program::spawn(shell.args(["-c", script, PROGRAM]).arg(data)).await
}
