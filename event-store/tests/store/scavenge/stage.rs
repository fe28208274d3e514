//! A store with tiny segments, what can be seen of it, and scavenges that are waited for.

use std::{collections::BTreeMap, fs, path::PathBuf};

use event_store::Config;
use eventstore::{
    AppendToStreamOptions, Client, DeleteStreamOptions, Error, EventData, Position, ReadAllOptions,
    ReadStreamOptions, RecordedEvent, StreamPosition, StreamState, SubscribeToStreamOptions,
    TombstoneStreamOptions, operations,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::serving::{Served, new_id};

/// An event as far as a scavenge must leave it alone: place, stream, revision, id.
pub(super) type Seen = (u64, String, u64, uuid::Uuid);

pub(super) struct Stage {
    pub(super) data: TempDir,
    pub(super) config: Config,
    pub(super) served: Served,
    pub(super) client: Client,
}

/// Segments of two or three events, which are written anew whenever one event can go.
pub(super) fn tiny(data: &TempDir) -> Config {
    Config {
        segment_bytes: 500,
        scavenge_bytes_per_second: 0,
        scavenge_least_bytes: 0,
        ..Config::new(data.path())
    }
}

pub(super) fn connect(served: &Served) -> Client {
    Client::new(served.url().parse().expect("a URL")).expect("a client")
}

pub(super) fn operator(url: &str) -> operations::Client {
    operations::Client::new(url.parse().expect("a URL")).expect("a client")
}

pub(super) fn seen(event: &RecordedEvent) -> Seen {
    (event.position.commit, event.stream_id().to_owned(), event.revision, event.id)
}

pub(super) fn at(position: u64) -> StreamPosition<Position> {
    StreamPosition::Position(Position { commit: position, prepare: position })
}

impl Stage {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut config = tiny(&data);
        change(&mut config);
        let served = Served::with(config.clone()).await.expect("it opens");
        let client = connect(&served);
        Self { data, config, served, client }
    }

    pub(super) async fn reopen(mut self) -> Self {
        self.served.stop().await;
        self.served = Served::with(self.config.clone()).await.expect("it opens");
        self.client = connect(&self.served);
        self
    }

    /// Appends events one by one, and returns the last revision.
    pub(super) async fn append(&self, stream: &str, count: u64) -> u64 {
        let mut last = 0;
        for _ in 0..count {
            let event = EventData::binary("kind", vec![7; 60].into()).id(new_id());
            let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
            let written = self.client.append_to_stream(stream, &any, event).await;
            last = written.expect("written").next_expected_version;
        }
        last
    }

    pub(super) async fn rules(&self, stream: &str, rules: Value) {
        let event = EventData::json("$metadata", &rules).expect("JSON").id(new_id());
        let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
        let metadata = format!("$${stream}");
        self.client.append_to_stream(metadata, &any, event).await.expect("written");
    }

    pub(super) async fn delete(&self, stream: &str) {
        let any = DeleteStreamOptions::default().stream_state(StreamState::Any);
        self.client.delete_stream(stream, &any).await.expect("deleted");
    }

    pub(super) async fn tombstone(&self, stream: &str) {
        let any = TombstoneStreamOptions::default().stream_state(StreamState::Any);
        self.client.tombstone_stream(stream, &any).await.expect("tombstoned");
    }

    /// Makes sure that what was written so far is in closed segments.
    pub(super) async fn close_segment(&self) {
        for _ in 0..2 {
            let event = EventData::binary("filler", vec![0; 600].into()).id(new_id());
            let any = AppendToStreamOptions::default().stream_state(StreamState::Any);
            self.client.append_to_stream("filler", &any, event).await.expect("written");
        }
    }

    /// Runs a scavenge to its end and returns what it said then.
    pub(super) async fn scavenge(&self) -> Value {
        let started = operator(&self.served.url())
            .start_scavenge(1, 0, &Default::default())
            .await
            .expect("a scavenge");
        assert_eq!(started.status(), operations::ScavengeStatus::Started);
        self.completed(started.id()).await
    }

    /// Waits until the scavenge has ended.
    pub(super) async fn completed(&self, id: &str) -> Value {
        self.said(id, "$scavengeCompleted").await
    }

    /// Waits until the scavenge has said this, and returns it.
    pub(super) async fn said(&self, id: &str, event_type: &str) -> Value {
        let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Start);
        let stream = format!("$scavenges-{id}");
        let mut subscription = self.client.subscribe_to_stream(stream, &options).await;
        loop {
            let event = subscription.next().await.expect("an event").event.expect("an event");
            if event.event_type == event_type {
                return event.as_json().expect("JSON");
            }
        }
    }

    pub(super) async fn scavenge_well(&self) -> Value {
        let said = self.scavenge().await;
        assert_eq!(said["result"], json!("Success"), "{said}");
        said
    }

    /// All events but those about scavenges.
    pub(super) async fn all(&self) -> Vec<Seen> {
        self.all_with(&ReadAllOptions::default()).await.expect("a read")
    }

    pub(super) async fn all_from(&self, position: u64, backwards: bool) -> Vec<Seen> {
        let options = ReadAllOptions::default().position(at(position));
        let options = if backwards { options.backwards() } else { options };
        self.all_with(&options).await.expect("a read")
    }

    pub(super) async fn all_with(&self, options: &ReadAllOptions) -> Result<Vec<Seen>, Error> {
        let mut read = self.client.read_all(options).await?;
        let mut events = Vec::new();
        while let Some(event) = read.next().await? {
            let event = seen(event.get_original_event());
            if !event.1.starts_with("$scavenges") {
                events.push(event);
            }
        }
        Ok(events)
    }

    /// The stream from the revision on, or the kind of error that reading it brings.
    pub(super) async fn stream(
        &self,
        stream: &str,
        from: StreamPosition<u64>,
        backwards: bool,
    ) -> Result<Vec<Seen>, String> {
        let options = ReadStreamOptions::default().position(from);
        let options = if backwards { options.backwards() } else { options };
        let kind = |error| match error {
            Error::ResourceNotFound | Error::ResourceDeleted => format!("{error:?}"),
            other => panic!("{other:?}"),
        };
        let mut read = self.client.read_stream(stream, &options).await.map_err(kind)?;
        let mut events = Vec::new();
        while let Some(event) = read.next().await.map_err(kind)? {
            events.push(seen(event.get_original_event()));
        }
        Ok(events)
    }

    pub(super) async fn revisions(&self, stream: &str) -> Result<Vec<u64>, String> {
        let events = self.stream(stream, StreamPosition::Start, false).await?;
        Ok(events.into_iter().map(|(_, _, revision, _)| revision).collect())
    }

    /// The segment files: generation, path and length, by their base.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<(u32, PathBuf, u64)>> {
        let mut files: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for entry in fs::read_dir(self.data.path()).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            let Some(name) = name.strip_prefix("log-") else { continue };
            let (base, generation) = name.split_once('.').unwrap_or((name, "0"));
            let generation = generation.parse().expect("a number, and nothing unfinished");
            let length = entry.metadata().expect("a file").len();
            files.entry(base.to_owned()).or_default().push((generation, entry.path(), length));
        }
        files
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files().values().flatten().map(|(_, _, length)| length).sum()
    }
}
