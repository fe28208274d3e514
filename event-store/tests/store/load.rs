//! Every kind of write at once, until the store is gone; what it promised goes into the ledger.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use eventstore::{
    AppendToStreamOptions, BatchAppendClient, Client, Error, EventData, StreamPosition,
    StreamState, SubscribeToAllOptions,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{ledger::Ledger, random::Random, tool};

const WRITERS: usize = 6;
/// How long clients may take to notice that the store is gone.
const NOTICED: Duration = Duration::from_secs(10);

/// Writers and a subscriber, who end when the store does.
pub(crate) struct Load(Vec<JoinHandle<()>>);

impl Load {
    pub(crate) fn start(url: &str, ledger: &Arc<Mutex<Ledger>>, random: &mut Random) -> Self {
        let shared = tool::client(url);
        let round = random.next();
        let mut tasks: Vec<_> = (0..WRITERS)
            .map(|number| {
                let writer = Writer {
                    client: shared.clone(),
                    ledger: ledger.clone(),
                    random: random.fork(),
                    stream: String::new(),
                    last: None,
                };
                tokio::spawn(writer.run(format!("{round:x}-{number}")))
            })
            .collect();
        tasks.push(tokio::spawn(follow(tool::client(url), ledger.clone())));
        Self(tasks)
    }

    /// Waits until all have seen that the store is gone. Now and then a client does not notice, or
    /// has found somebody else behind the same port: a store that is dead promises nothing more.
    pub(crate) async fn end(self) {
        for mut task in self.0 {
            match tokio::time::timeout(NOTICED, &mut task).await {
                Ok(ended) => ended.expect("nothing was promised wrongly"),
                Err(_) => task.abort(),
            }
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().expect("no panic while the ledger is locked")
}

async fn follow(client: Client, ledger: Arc<Mutex<Ledger>>) {
    let options = SubscribeToAllOptions::default().position(StreamPosition::End);
    let mut subscription = client.subscribe_to_all(&options).await;
    while let Ok(event) = subscription.next().await {
        let event = event.get_original_event();
        lock(&ledger).shown(event.position.commit, event.id);
    }
}

/// One writer, who now and then begins a new stream of its own.
struct Writer {
    client: Client,
    ledger: Arc<Mutex<Ledger>>,
    random: Random,
    stream: String,
    /// The last revision of the stream; `None` before the first and after a soft deletion.
    last: Option<u64>,
}

impl Writer {
    async fn run(mut self, name: String) {
        let Ok(batch) = self.client.batch_append(&Default::default()).await else { return };
        for number in 0u64.. {
            if self.random.one_in(4) {
                self.stream = format!("own-{name}-{number}");
                self.last = None;
            } else if self.stream.is_empty() || self.random.one_in(3) {
                // This one is everybody's, and lives through all restarts.
                let stream = format!("shared-{}", self.random.below(3));
                match self.append(&stream, StreamState::Any).await {
                    Ok(_) => continue,
                    Err(error) => return assert_gone(error),
                }
            }
            if let Err(error) = self.step(&batch).await {
                return assert_gone(error);
            }
        }
    }

    async fn step(&mut self, batch: &BatchAppendClient) -> Result<(), Error> {
        if self.stream.is_empty() {
            return Ok(());
        }
        let stream = self.stream.clone();
        let state = self.last.map_or(StreamState::NoStream, StreamState::StreamRevision);
        match self.random.below(12) {
            0 if self.last.is_some() => {
                let deleted = self.client.delete_stream(&stream[..], &Default::default()).await?;
                let position = deleted.expect("a position").commit;
                lock(&self.ledger).made(position, format!("$${stream}"), "$metadata");
                self.stream.clear();
            }
            1 => {
                let ended = self.client.tombstone_stream(&stream[..], &Default::default()).await?;
                let position = ended.expect("a position").commit;
                lock(&self.ledger).made(position, stream, "$streamDeleted");
                self.stream.clear();
            }
            2 => {
                let rules = serde_json::json!({ "$maxCount": 3, "note": "x".repeat(100) });
                let event = EventData::json("$metadata", &rules).expect("JSON");
                let id = self.id();
                let (stream, events) = (format!("$${stream}"), vec![event.id(id)]);
                self.send(&stream, StreamState::Any, events, vec![id]).await?;
            }
            3..=5 => {
                let (ids, events) = self.events();
                let append = lock(&self.ledger).attempt(&stream, &ids);
                let written = batch.append_to_stream(&stream, state, events).await?;
                let revision = written.current_revision().expect("a revision");
                let position = written.current_position().expect("a position").commit;
                lock(&self.ledger).acknowledge(append, revision, position);
                self.last = Some(revision);
            }
            _ => self.last = Some(self.append(&stream, state).await?),
        }
        Ok(())
    }

    async fn append(&mut self, stream: &str, state: StreamState) -> Result<u64, Error> {
        let (ids, events) = self.events();
        self.send(stream, state, events, ids).await
    }

    async fn send(
        &mut self,
        stream: &str,
        state: StreamState,
        events: Vec<EventData>,
        ids: Vec<Uuid>,
    ) -> Result<u64, Error> {
        let append = lock(&self.ledger).attempt(stream, &ids);
        let options = AppendToStreamOptions::default().stream_state(state);
        let written = self.client.append_to_stream(stream, &options, events).await?;
        let revision = written.next_expected_version;
        lock(&self.ledger).acknowledge(append, revision, written.position.commit);
        Ok(revision)
    }

    /// One event or several, small or larger than a page.
    fn events(&mut self) -> (Vec<Uuid>, Vec<EventData>) {
        let count = 1 + self.random.below(5);
        let size = if self.random.one_in(3) { 6000 } else { 200 };
        (0..count)
            .map(|_| {
                let id = self.id();
                (id, tool::binary(self.random.below(size) as usize).id(id))
            })
            .unzip()
    }

    fn id(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.random.next(), self.random.next())
    }
}

/// A store that was killed cannot refuse; one that refuses has lost or invented something.
fn assert_gone(error: Error) {
    assert!(
        !matches!(error, Error::WrongExpectedVersion { .. } | Error::ResourceDeleted),
        "{error:?}"
    );
}
