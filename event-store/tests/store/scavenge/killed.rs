//! A store that is killed in the middle of scavenges, many times over.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use event_store::{Config, EventStore};
use eventstore::{AppendToStreamOptions, Client, EventData, StreamState};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::stage::{Stage, operator, tiny};
use crate::serving::{Served, new_id, url};

const FOLDER: &str = "ROUNDTABLE_TEST_STORE";
const ROUNDS: usize = 12;
const WRITERS: usize = 6;
const PER_ROUND: usize = 120;
/// Events of a stream that stay visible.
const NEWEST: u64 = 3;

/// Id and position by stream and revision.
type Acknowledged = Arc<Mutex<HashMap<(String, u64), (Uuid, u64)>>>;

/// Not a test by itself: the process that the other one kills, since the program has no setting for
/// segments as small as it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_only_serves() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let config = Config {
        segment_bytes: 2000,
        scavenge_bytes_per_second: 0,
        scavenge_least_bytes: 0,
        ..Config::new(folder)
    };
    let store = EventStore::open(config).expect("it opens");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("\nready at {}", listener.local_addr().expect("an address"));
    store.serve(listener, CancellationToken::new()).await.expect("it serves");
}

async fn process(folder: &std::path::Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "scavenge::killed::a_process_that_only_serves", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    while let Some(line) = lines.next_line().await.expect("text") {
        if let Some((_, port)) = line.split_once("ready at 127.0.0.1:") {
            return (child, url(port.parse().expect("a port")));
        }
    }
    panic!("the process ended before it was ready");
}

fn client(url: &str) -> Client {
    Client::new(url.parse().expect("a URL")).expect("a client")
}

/// Appends to its stream, behind what is acknowledged, until the store is gone.
async fn write(client: Client, stream: String, promises: Acknowledged, count: Arc<AtomicUsize>) {
    loop {
        let id = new_id();
        let event = EventData::binary("kind", vec![7; 150].into()).id(id);
        let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
        let Ok(written) = client.append_to_stream(stream.as_str(), &any, event).await else {
            return;
        };
        let key = (stream.clone(), written.next_expected_version);
        let before = promises.lock().expect("no panic").insert(key, (id, written.position.commit));
        assert_eq!(before, None, "a revision was given twice");
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts scavenges, one after the other, until the store is gone.
async fn scavenge(url: String) {
    let operator = operator(&url);
    while operator.start_scavenge(1, 0, &Default::default()).await.is_ok() {}
}

async fn assert_kept(stage: &Stage, promises: &HashMap<(String, u64), (Uuid, u64)>) {
    for writer in 0..WRITERS {
        let name = format!("w-{writer}");
        let events = stage.stream(&name, eventstore::StreamPosition::Start, false).await;
        let events = events.expect("events");
        let acknowledged =
            promises.keys().filter(|(stream, _)| *stream == name).map(|key| key.1).max();
        let last = events.last().expect("an event").2;
        assert!(Some(last) >= acknowledged, "{name} ends at {last}, not at {acknowledged:?}");
        let revisions: Vec<_> = events.iter().map(|event| event.2).collect();
        assert_eq!(revisions, ((last + 1).saturating_sub(NEWEST)..=last).collect::<Vec<_>>());
        for (position, stream, revision, id) in events {
            if let Some(promise) = promises.get(&(stream, revision)) {
                assert_eq!(*promise, (id, position));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_killed_in_the_middle_of_scavenges_has_lost_nothing_that_was_visible() {
    let data = tempfile::tempdir().expect("a folder");
    let promises = Acknowledged::default();
    for round in 0..ROUNDS {
        let (mut child, url) = process(data.path()).await;
        let client = client(&url);
        if round == 0 {
            for writer in 0..WRITERS {
                let rules = EventData::json("$metadata", &json!({ "$maxCount": NEWEST }));
                let metadata = format!("$$w-{writer}");
                let rules = rules.expect("JSON");
                client.append_to_stream(metadata, &Default::default(), rules).await.expect("rules");
            }
        }
        let count = Arc::new(AtomicUsize::new(0));
        let mut tasks = vec![tokio::spawn(scavenge(url))];
        for writer in 0..WRITERS {
            let stream = format!("w-{writer}");
            let work = write(client.clone(), stream, promises.clone(), count.clone());
            tasks.push(tokio::spawn(work));
        }
        while count.load(Ordering::Relaxed) < PER_ROUND + round * 7 {
            tokio::task::yield_now().await;
        }
        child.kill().await.expect("it ends");
        for task in tasks {
            task.await.expect("it saw what it was promised");
        }
    }
    let config = tiny(&data);
    let served = Served::with(config.clone()).await.expect("it opens");
    let client = super::stage::connect(&served);
    let mut stage = Stage { data, config, served, client };
    let promises = promises.lock().expect("no panic").clone();
    for _ in 0..2 {
        assert!(stage.files().values().all(|generations| generations.len() == 1));
        assert!(stage.files().values().any(|generations| generations[0].0 > 0));
        assert_kept(&stage, &promises).await;
        stage.scavenge_well().await;
        stage = stage.reopen().await;
    }
}
