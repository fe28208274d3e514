//! The notary against a real event store: one chain, whoever signs, and what is done to the store
//! behind its back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use event_log::EventLog;
use events::StreamName;
use eventstore::{DeleteStreamOptions, EventData, StreamMetadataBuilder};
use projector::notary::checkpoint::Signed;
use projector::notary::verify::{self, Kind, Report};
use projector::notary::{Notary, NotaryError, STREAM, Settings};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::world::{SECRETS, World, eventually};

const SEED: [u8; 32] = [3; 32];
const SETTINGS: Settings = Settings { every: Duration::from_millis(20), segment: 5 };

/// An event store of its own whose segments close after each append.
struct Store {
    log: EventLog,
    client: eventstore::Client,
    address: String,
    folder: TempDir,
    _shutdown: DropGuard,
}

impl Store {
    async fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap()).await
    }

    async fn on(folder: TempDir) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut config = event_store::Config::new(folder.path().join("store"));
        config.segment_bytes = 100;
        config.scavenge_least_bytes = 0;
        let shutdown = CancellationToken::new();
        tokio::spawn(event_store::serve(config, listener, shutdown.clone()));
        let url = format!("esdb://{address}?tls=false");
        let nowhere = sqlx::PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/nowhere").unwrap();
        let config =
            event_log::Config { eventstore_url: url.clone(), postgres: nowhere, secrets: SECRETS };
        let log = EventLog::connect(config).await.unwrap();
        let client = eventstore::Client::new(url.parse().unwrap()).unwrap();
        Self { log, client, address, folder, _shutdown: shutdown.drop_guard() }
    }

    async fn say(&self, stream: &str, count: usize) {
        for _ in 0..count {
            let event = EventData::binary("said", vec![b'a', 0xff].into());
            self.client.append_to_stream(stream, &Default::default(), event).await.unwrap();
        }
    }

    fn notary(&self) -> Notary {
        Notary::new(self.log.clone(), &SEED, SETTINGS)
    }

    async fn sign_all(&self) {
        let notary = self.notary();
        let mut place = notary.take_up().await.unwrap();
        while notary.sign_next(&mut place).await.unwrap() > 0 {}
    }

    async fn verify(&self) -> Report {
        verified(&self.log).await
    }

    async fn checkpoints(&self) -> Vec<Signed> {
        checkpoints(&self.log).await
    }

    /// Gives back the space of what nobody can read any more, and waits until that is done.
    async fn scavenge(&self) {
        self.say("orders-z", 1).await;
        let id = event_store::scavenge(&self.address).await.unwrap();
        let stream = StreamName::recorded(format!("$scavenges-{id}"));
        let done = || async {
            let told = self.log.read_stored_stream(&stream, 0, 99).await.unwrap();
            told.iter().any(|event| event.event_type == "$scavengeCompleted")
        };
        eventually("the scavenge ends", done).await;
    }
}

async fn verified(log: &EventLog) -> Report {
    let key = SigningKey::from_bytes(&SEED).verifying_key();
    verify::of_log(log, vec![key], None).await.unwrap()
}

async fn checkpoints(log: &EventLog) -> Vec<Signed> {
    let events = log.read_stored_stream(&StreamName::recorded(STREAM), 0, 1000).await.unwrap();
    events.iter().map(|event| Signed::read(event).unwrap()).collect()
}

#[tokio::test]
async fn whoever_takes_up_the_work_goes_on_where_it_was_left() {
    let store = Store::new().await;
    store.say("orders-1", 12).await;
    let notary = store.notary();
    let mut place = notary.take_up().await.unwrap();
    assert_eq!(notary.sign_next(&mut place).await.unwrap(), 5);
    drop(notary);
    store.say("orders-2", 3).await;
    store.sign_all().await;
    let report = store.verify().await;
    assert!(report.faults.is_empty(), "{report:?}");
    let signed = store.checkpoints().await;
    let numbers: Vec<_> = signed.iter().map(|it| it.checkpoint.number).collect();
    assert_eq!(numbers, (0..signed.len() as u64).collect::<Vec<_>>());
    assert_eq!((report.events, report.unsigned), (signed.last().unwrap().checkpoint.total, 0));
    assert!(report.events >= 15);

    // A silent log stays silent, and what nobody signed is told.
    store.sign_all().await;
    assert_eq!(store.checkpoints().await.len(), signed.len());
    store.say("orders-1", 2).await;
    let report = store.verify().await;
    assert_eq!((report.faults.len(), report.unsigned), (0, 2));
}

#[tokio::test]
async fn of_two_notaries_one_signs_and_the_other_is_told_so() {
    let store = Store::new().await;
    store.say("orders-1", 5).await;
    let (one, other) = (store.notary(), store.notary());
    let (mut first, mut second) = (one.take_up().await.unwrap(), other.take_up().await.unwrap());
    assert_eq!(one.sign_next(&mut first).await.unwrap(), 5);
    let refused = other.sign_next(&mut second).await;
    assert!(matches!(refused, Err(NotaryError::Overtaken)), "{refused:?}");
    let work = async |notary: Notary| {
        let mut place = notary.take_up().await.unwrap();
        for _ in 0..40 {
            match notary.sign_next(&mut place).await {
                Ok(_) => store.say("orders-2", 1).await,
                Err(NotaryError::Overtaken) => place = notary.take_up().await.unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
    };
    futures::join!(work(one), work(other));
    store.sign_all().await;
    let report = store.verify().await;
    assert!(report.faults.is_empty(), "{report:?}");
}

#[tokio::test]
async fn two_projectors_make_one_chain_and_every_other_part_goes_on() {
    let world = World::new().await;
    let settings = || projector::Settings { audit: Some(SEED), ..world.settings() };
    let start = async || {
        let shutdown = CancellationToken::new();
        projector::start(settings(), world.log.clone(), shutdown.clone()).await.unwrap();
        shutdown.drop_guard()
    };
    let first = start().await;
    let _second = start().await;
    world.sign_up("ada").await;
    let some = || async { !checkpoints(&world.log).await.is_empty() };
    eventually("the notary signs", some).await;
    drop(first);
    world.sign_up("ben").await;
    let all = || async { verified(&world.log).await.unsigned == 0 };
    eventually("the other one signs", all).await;
    world.settle().await;
    let report = verified(&world.log).await;
    assert!(report.faults.is_empty(), "{report:?}");
    let head = world.log.head().await.unwrap();
    assert!(report.newest.unwrap().last < head, "the last event is a checkpoint");
}

#[tokio::test]
async fn scavenging_takes_nothing_that_is_signed_unless_somebody_deletes_a_stream() {
    let store = Store::new().await;
    store.say("orders-1", 6).await;
    store.say("$technical", 4).await;
    let rules = StreamMetadataBuilder::new().max_count(1).build();
    store.client.set_stream_metadata("$technical", &Default::default(), &rules).await.unwrap();
    store.say("orders-2", 2).await;
    store.sign_all().await;
    let before = store.log.read_stored(Default::default(), 1000).await.unwrap().len();
    store.scavenge().await;
    let all = store.log.read_stored(Default::default(), 1000).await.unwrap();
    assert_eq!(all.iter().filter(|event| event.stream == "$technical").count(), 1, "of {before}");
    store.sign_all().await;
    let report = store.verify().await;
    assert!(report.faults.is_empty(), "{report:?}");

    let gone = store.log.read_stored_stream(&StreamName::recorded("orders-2"), 0, 9).await.unwrap();
    store.client.delete_stream("orders-2", &DeleteStreamOptions::default()).await.unwrap();
    store.scavenge().await;
    let report = store.verify().await;
    let kinds: Vec<_> = report.faults.iter().map(|it| it.kind).collect();
    // The store keeps the last event of a deleted stream, which has the count of it.
    assert_eq!(kinds, [Kind::Missing], "{report:?}");
    assert_eq!(report.faults[0].position, Some(gone[0].position));
}

#[tokio::test]
async fn a_byte_changed_in_the_files_of_the_store_with_its_checksum_is_found() {
    let store = Store::new().await;
    store.say("orders-1", 7).await;
    store.sign_all().await;
    let events = store.log.read_stored_stream(&StreamName::recorded("orders-1"), 3, 1).await;
    let place = events.unwrap()[0].position;
    let copy = tempfile::tempdir().unwrap();
    let (backup, restored) = (copy.path().join("backup"), copy.path().join("store"));
    #[expect(clippy::disallowed_methods, reason = "a test is an edge")]
    let now = chrono::Utc::now().into();
    event_store::backup(&store.folder.path().join("store"), &backup, now, |_, _| {}).unwrap();
    event_store::restore(&backup, &restored, |_, _| {}).unwrap();
    forge(&restored, place.commit);
    let forged = Store::on(copy).await;
    let report = forged.verify().await;
    assert_eq!(report.faults.len(), 1, "{report:?}");
    let fault = &report.faults[0];
    assert_eq!((fault.kind, fault.position), (Kind::Changed, Some(place)));
    assert_eq!((fault.stream.as_deref(), fault.revision), (Some("orders-1"), Some(3)));
    assert!(store.verify().await.faults.is_empty());
}

/// Changes the data of the event at a position, and makes the checksum of its record fit: the store
/// has nothing to complain of. The layout is that of `event-store/src/log/frame.rs`.
fn forge(store: &Path, position: u64) {
    const SEGMENT_HEADER: u64 = 64;
    let segments = fs::read_dir(store).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let base = u64::from_str_radix(path.file_name()?.to_str()?.strip_prefix("log-")?, 16);
        Some((base.ok()?, path))
    });
    let (base, path): (u64, PathBuf) =
        segments.filter(|(base, _)| *base <= position).max().unwrap();
    assert!(position - base <= SEGMENT_HEADER, "each append has a segment");
    let mut bytes = fs::read(&path).unwrap();
    let at = usize::try_from(position - base).unwrap();
    let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let end = at + 8 + length as usize;
    bytes[end - 1] ^= 1;
    let head = [&position.to_le_bytes()[..], &length.to_le_bytes()].concat();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &bytes[at + 8..end]);
    bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    assert_eq!(event_store::verify(store, |_| {}).unwrap().faults, 0, "the store believes it");
}

#[tokio::test]
async fn a_forged_checkpoint_stops_nobody_and_is_found() {
    let store = Store::new().await;
    store.say("orders-1", 3).await;
    store.sign_all().await;
    let event = EventData::json("notary.checkpoint", &json!({ "checkpoint": "mine" })).unwrap();
    store.client.append_to_stream(STREAM, &Default::default(), event).await.unwrap();
    store.say("orders-1", 3).await;
    store.sign_all().await;
    let report = store.verify().await;
    let faults: Vec<_> = report.faults.iter().map(|it| (it.kind, it.revision)).collect();
    assert_eq!(faults, [(Kind::BadSignature, Some(1))]);
    assert_eq!((report.newest.unwrap().number, report.unsigned), (1, 0));
}
