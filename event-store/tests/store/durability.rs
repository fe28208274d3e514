//! The real program, killed and starved: acknowledged events survive, each once, at its place.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use event_store::Error;
use eventstore::{
    AppendToStreamOptions, Client, EventData, ReadAllOptions, RecordedEvent, StreamState,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::Command;
use uuid::Uuid;

use crate::serving::{PROGRAM, Program, Served, new_id};

const ROUNDS: usize = 10;
const WRITERS: usize = 8;
/// Acknowledged appends of a round before the kill.
const PER_ROUND: usize = 150;

/// What the store promised: where the events of an append are.
#[derive(Clone, Debug)]
struct Acknowledged {
    stream: String,
    last_revision: u64,
    ids: Vec<Uuid>,
    position: u64,
}

fn client(url: &str) -> Client {
    Client::new(url.parse().expect("a URL")).expect("a client")
}

async fn all(url: &str) -> Vec<RecordedEvent> {
    let mut read = client(url).read_all(&ReadAllOptions::default()).await.expect("a read");
    let mut events = Vec::new();
    while let Some(event) = read.next().await.expect("an event") {
        events.push(event.link.or(event.event).expect("an event"));
    }
    events
}

/// Appends to its own streams until the store is gone: now a new stream, now the next revision.
async fn write(
    client: Client,
    name: String,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    count: Arc<AtomicUsize>,
) {
    for number in 0u64.. {
        let stream = format!("{name}-{}", number / 3);
        let before = (number % 3) * 2;
        let state = match before {
            0 => StreamState::NoStream,
            before => StreamState::StreamRevision(before - 1),
        };
        let ids = vec![new_id(), new_id()];
        let event = |id: &Uuid| EventData::binary("kind", vec![0; 200].into()).id(*id);
        let events: Vec<_> = ids.iter().map(event).collect();
        let options = AppendToStreamOptions::default().stream_state(state);
        let Ok(written) = client.append_to_stream(stream.as_str(), &options, events).await else {
            return;
        };
        assert_eq!(written.next_expected_version, before + 1);
        let (last_revision, position) = (before + 1, written.position.commit);
        let promise = Acknowledged { stream, last_revision, ids, position };
        acknowledged.lock().expect("no panic").push(promise);
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn assert_kept(events: &[RecordedEvent], promises: &[Acknowledged]) {
    assert!(events.is_sorted_by(|a, b| a.position < b.position));
    let mut places = HashSet::new();
    let mut by_id = HashMap::new();
    let mut revisions = HashMap::new();
    for event in events {
        assert!(places.insert(event.position.commit), "a position comes twice");
        assert!(by_id.insert(event.id, event).is_none(), "an event comes twice");
        let next = revisions.entry(event.stream_id().to_owned()).or_insert(0);
        assert_eq!(event.revision, *next, "the revisions of a stream have no gap");
        *next += 1;
    }
    // Every append was of two events.
    assert!(revisions.values().all(|count| count % 2 == 0), "half of an append is there");
    for promise in promises {
        for (back, id) in promise.ids.iter().rev().enumerate() {
            let event = by_id.get(id).unwrap_or_else(|| panic!("{promise:?} is lost"));
            assert_eq!(event.stream_id(), promise.stream);
            assert_eq!(event.revision, promise.last_revision - back as u64);
        }
        let last = by_id[promise.ids.last().expect("two ids")];
        assert_eq!(last.position.commit, promise.position);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_program_is_killed_again_and_again() {
    let data = tempfile::tempdir().expect("a folder");
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 0..ROUNDS {
        let mut program = Program::start(data.path()).await;
        let count = Arc::new(AtomicUsize::new(0));
        let shared = client(&program.url());
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let name = format!("w{round}x{writer}");
                let work = write(shared.clone(), name, acknowledged.clone(), count.clone());
                tokio::spawn(work)
            })
            .collect();
        while count.load(Ordering::Relaxed) < PER_ROUND {
            tokio::task::yield_now().await;
        }
        program.child.start_kill().expect("killed");
        program.child.wait().await.expect("it ends");
        for writer in writers {
            writer.await.expect("the writer saw what it was promised");
        }
        let mut program = Program::start(data.path()).await;
        let promises = acknowledged.lock().expect("no panic").clone();
        assert_kept(&all(&program.url()).await, &promises);
        // Dropping it would not wait, and the next one would find the folder taken.
        program.child.kill().await.expect("it ends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_the_folder() {
    let data = tempfile::tempdir().expect("a folder");
    let _first = Program::start(data.path()).await;
    let second = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .output()
        .await
        .expect("the program runs");
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another process"));
    let here = Served::with(event_store::Config::new(data.path())).await;
    assert!(matches!(here.err(), Some(Error::Taken(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_tells_a_running_store_from_none() {
    let data = tempfile::tempdir().expect("a folder");
    let mut program = Program::start(data.path()).await;
    let check = async |port: u16| {
        let address = format!("127.0.0.1:{port}");
        let ran = Command::new(PROGRAM).args(["--check", &address]).output().await;
        ran.expect("the program runs").status.code()
    };
    assert_eq!(check(program.port).await, Some(0));
    let pid = program.child.id().expect("it runs");
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("a signal");
    assert!(program.child.wait().await.expect("it ends").success());
    assert_eq!(check(program.port).await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_appends_and_reading_goes_on() {
    let data = tempfile::tempdir().expect("a folder");
    let program = with_little_room(data.path()).await;
    let client = client(&program.url());
    let mut written = 0;
    let refused = loop {
        let events = vec![EventData::binary("large", vec![7; 10_000].into())];
        let options = AppendToStreamOptions::default().stream_state(StreamState::NoStream);
        let stream = format!("large-{written}");
        match client.append_to_stream(stream, &options, events).await {
            Ok(_) => written += 1,
            Err(refused) => break refused,
        }
        assert!(written < 100, "the limit holds");
    };
    match refused {
        eventstore::Error::Grpc { message, .. } => assert!(message.contains("cannot write")),
        other => panic!("a clear error was expected, not {other:?}"),
    }
    assert_eq!(all(&program.url()).await.len(), written);
    // What is small enough still has room.
    let small = vec![EventData::binary("small", vec![7].into())];
    let options = AppendToStreamOptions::default().stream_state(StreamState::NoStream);
    client.append_to_stream("small", &options, small).await.expect("written");
    drop(program);
    let again = Program::start(data.path()).await;
    assert_eq!(all(&again.url()).await.len(), written + 1);
}

/// The program with files limited to 64 KiB, and a write beyond as an error instead of a signal.
async fn with_little_room(data: &Path) -> Program {
    let script = "trap '' XFSZ; ulimit -f 128; exec \"$0\" --listen 127.0.0.1:0 --data \"$1\"";
    let mut shell = Command::new("/bin/sh");
    Program::spawn(shell.args(["-c", script, PROGRAM]).arg(data)).await
}
