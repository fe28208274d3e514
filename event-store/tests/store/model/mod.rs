//! Random histories, compared step by step with a model that is nothing but lists.

mod everywhere;
mod history;

use event_store::Config;
use eventstore::{
    AppendToStreamOptions, Client, CurrentRevision, DeleteStreamOptions, Error, EventData,
    ReadAllOptions, ReadStreamOptions, RecordedEvent, StreamPosition, StreamState,
    TombstoneStreamOptions,
};
use proptest::{prelude::*, test_runner::Config as Runs};
use tempfile::TempDir;
use uuid::Uuid;

use self::history::{DELETED, LINKS, Logged, Model, Rules, name};
use crate::{random::rounds, serving::Served, tool};

/// An append draws its ids from this few, so that repeats are common.
const IDS: u8 = 6;

#[derive(Clone, Debug)]
struct Append {
    stream: u8,
    state: StreamState,
    ids: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Append),
    Batch(Vec<Append>),
    Rules { stream: u8, rules: Rules },
    Link { to: u8, revision: u64 },
    Delete { stream: u8, state: StreamState },
    Tombstone { stream: u8, state: StreamState },
    Reopen,
}

fn state() -> impl Strategy<Value = StreamState> {
    prop_oneof![
        Just(StreamState::Any),
        Just(StreamState::NoStream),
        Just(StreamState::StreamExists),
        (0u64..5).prop_map(StreamState::StreamRevision),
    ]
}

fn append() -> impl Strategy<Value = Append> {
    (0u8..3, state(), prop::collection::vec(0..IDS, 0..4)).prop_map(|(stream, state, ids)| Append {
        stream,
        state,
        ids,
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let before = prop_oneof![6 => 0u64..8, 1 => Just(DELETED)];
    let max_age = prop_oneof![Just(0), Just(1_000_000)];
    (
        prop::option::of(0u64..4),
        prop::option::of(max_age),
        prop::option::of(before),
        any::<bool>(),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(max_count, max_age, before, other_keys, garbage)| Rules {
            max_count,
            max_age,
            before,
            other_keys,
            garbage,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0u8..3;
    prop_oneof![
        12 => append().prop_map(Step::Append),
        3 => prop::collection::vec(append(), 1..4).prop_map(Step::Batch),
        3 => (stream.clone(), rules()).prop_map(|(stream, rules)| Step::Rules { stream, rules }),
        2 => (stream.clone(), 0u64..8).prop_map(|(to, revision)| Step::Link { to, revision }),
        2 => (stream.clone(), state()).prop_map(|(stream, state)| Step::Delete { stream, state }),
        1 => (stream, state()).prop_map(|(stream, state)| Step::Tombstone { stream, state }),
        2 => Just(Step::Reopen),
    ]
}

/// What the model or the store answers.
#[derive(Debug, PartialEq)]
enum Outcome {
    Revision(u64),
    Done,
    Wrong(Option<u64>),
    WrongDelete,
    Deleted,
}

/// The real store, and the model beside it.
struct Pair {
    data: TempDir,
    served: Served,
    client: Client,
    model: Model,
    /// Ids that are used once.
    fresh: u128,
}

/// The smallest segments put each append into a file of its own.
async fn serve(data: &TempDir) -> (Served, Client) {
    let config = Config { segment_bytes: 300, ..Config::new(data.path()) };
    let served = Served::with(config).await.expect("it opens");
    let client = tool::client(&served.url());
    (served, client)
}

fn numbers(ids: &[u8]) -> Vec<u128> {
    ids.iter().map(|id| u128::from(*id) + 1).collect()
}

fn events(ids: &[u128]) -> Vec<EventData> {
    let event = |id: &u128| EventData::binary("kind", vec![].into()).id(Uuid::from_u128(*id));
    ids.iter().map(event).collect()
}

fn failed(error: Error) -> Outcome {
    match error {
        Error::WrongExpectedVersion { current: CurrentRevision::NoStream, .. } => {
            Outcome::Wrong(None)
        }
        Error::WrongExpectedVersion { current: CurrentRevision::Current(revision), .. } => {
            Outcome::Wrong(Some(revision))
        }
        Error::ResourceDeleted => Outcome::Deleted,
        Error::Grpc { message, .. } if message.contains("WrongExpectedVersion") => {
            Outcome::WrongDelete
        }
        Error::Grpc { message, .. } if message.contains("eleted") => Outcome::Deleted,
        other => panic!("{other:?}"),
    }
}

impl Pair {
    async fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let (served, client) = serve(&data).await;
        Self { data, served, client, model: Model::default(), fresh: 1000 }
    }

    async fn take(mut self, step: Step) -> Self {
        match step {
            Step::Append(append) => self.append(append).await,
            Step::Batch(appends) => self.batch(appends).await,
            Step::Rules { stream, rules } => self.rules(stream, &rules).await,
            Step::Link { to, revision } => {
                self.model.link(to, revision);
                let target = format!("{revision}@{}", name(to));
                let event = EventData::binary("$>", target.into_bytes().into());
                self.write(LINKS.to_owned(), event).await;
            }
            Step::Delete { stream, state } => {
                let expected = self.model.delete(stream, state);
                let options = DeleteStreamOptions::default().stream_state(state);
                let answer = self.client.delete_stream(name(stream), &options).await;
                assert_eq!(answer.map_or_else(failed, |_| Outcome::Done), expected);
            }
            Step::Tombstone { stream, state } => {
                let expected = self.model.tombstone(stream, state);
                let options = TombstoneStreamOptions::default().stream_state(state);
                let answer = self.client.tombstone_stream(name(stream), &options).await;
                assert_eq!(answer.map_or_else(failed, |_| Outcome::Done), expected);
            }
            Step::Reopen => self = self.reopen().await,
        }
        self
    }

    async fn reopen(mut self) -> Self {
        self.served.stop().await;
        (self.served, self.client) = serve(&self.data).await;
        self
    }

    async fn append(&mut self, Append { stream, state, ids }: Append) {
        let ids = numbers(&ids);
        let expected = self.model.append(stream, state, &ids);
        let options = AppendToStreamOptions::default().stream_state(state);
        match self.client.append_to_stream(name(stream), &options, events(&ids)).await {
            // The client says 0 for "no stream", which an empty append may bring.
            Ok(written) if expected == Outcome::Done => {
                assert_eq!(written.next_expected_version, 0)
            }
            Ok(written) => assert_eq!(Outcome::Revision(written.next_expected_version), expected),
            Err(error) => assert_eq!(failed(error), expected),
        }
    }

    /// The client gives a session up with the first refusal.
    async fn batch(&mut self, appends: Vec<Append>) {
        let batch = self.client.batch_append(&Default::default()).await.expect("a batch");
        for Append { stream, state, ids } in appends {
            let ids = numbers(&ids);
            let expected = self.model.append(stream, state, &ids);
            match batch.append_to_stream(name(stream), state, events(&ids)).await {
                Ok(written) => {
                    let revision = written.current_revision();
                    assert_eq!(revision.map_or(Outcome::Done, Outcome::Revision), expected);
                }
                Err(error) => {
                    // A batch is not told the current revision.
                    let wrong = matches!(expected, Outcome::Wrong(_));
                    let expected = if wrong { Outcome::WrongDelete } else { expected };
                    assert_eq!(failed(error), expected);
                    return;
                }
            }
        }
    }

    async fn rules(&mut self, stream: u8, rules: &Rules) {
        self.model.rules(stream, rules);
        let mut json = serde_json::Map::new();
        let numbers =
            [("$maxCount", rules.max_count), ("$maxAge", rules.max_age), ("$tb", rules.before)];
        for (key, value) in numbers {
            if let Some(value) = value {
                json.insert(key.to_owned(), value.into());
            }
        }
        if rules.other_keys {
            json.insert("$acl".to_owned(), serde_json::json!({ "$r": ["somebody"] }));
            json.insert("note".to_owned(), serde_json::json!({ "$maxCount": 1 }));
        }
        let event = match rules.garbage {
            true => EventData::binary("$metadata", vec![b'{', 0xff].into()),
            false => EventData::json("$metadata", &json).expect("JSON"),
        };
        self.write(format!("$${}", name(stream)), event).await;
    }

    async fn write(&mut self, stream: String, event: EventData) {
        self.fresh += 1;
        let event = event.id(Uuid::from_u128(self.fresh));
        let options = AppendToStreamOptions::default().stream_state(StreamState::Any);
        self.client.append_to_stream(stream, &options, event).await.expect("written");
    }

    async fn compare(&self) {
        for (at, stream) in self.model.streams.iter().enumerate() {
            let mut expected = self.expected(at);
            let forwards = ReadStreamOptions::default();
            assert_eq!(self.read(at as u8, &forwards).await, expected);
            let backwards = forwards.position(StreamPosition::End).backwards();
            let _ = expected.as_mut().map(|events| events.reverse());
            assert_eq!(self.read(at as u8, &backwards).await, expected);
            assert_eq!(stream.is_present(), expected.is_ok());
        }
        let log: Vec<_> = self.log().await.iter().map(logged).collect();
        assert_eq!(log, self.model.log);
    }

    /// Revisions and ids that a read of the whole stream brings.
    fn expected(&self, at: usize) -> Result<Vec<(u64, u128)>, Outcome> {
        let stream = &self.model.streams[at];
        match (stream.tombstoned, stream.is_present()) {
            (true, _) => Err(Outcome::Deleted),
            (_, false) => Err(Outcome::Done),
            (_, true) => Ok(stream
                .visible()
                .into_iter()
                .map(|revision| (revision, stream.ids[revision as usize]))
                .collect()),
        }
    }

    async fn log(&self) -> Vec<RecordedEvent> {
        let mut all = self.client.read_all(&ReadAllOptions::default()).await.expect("a read");
        let mut log: Vec<RecordedEvent> = Vec::new();
        while let Some(event) = all.next().await.expect("an event") {
            log.push(event.link.or(event.event).expect("an event"));
        }
        assert!(log.is_sorted_by(|one, next| one.position < next.position));
        log
    }

    async fn read(
        &self,
        stream: u8,
        options: &ReadStreamOptions,
    ) -> Result<Vec<(u64, u128)>, Outcome> {
        let outcome = |error| match error {
            Error::ResourceNotFound => Outcome::Done,
            other => failed(other),
        };
        let mut read = self.client.read_stream(name(stream), options).await.map_err(outcome)?;
        let mut events = Vec::new();
        while let Some(event) = read.next().await.map_err(outcome)? {
            let event = event.get_original_event();
            events.push((event.revision, event.id.as_u128()));
        }
        Ok(events)
    }
}

fn logged(event: &RecordedEvent) -> Logged {
    let (stream, kind) = (event.stream_id().to_owned(), event.event_type.clone());
    Logged { stream, kind, revision: event.revision }
}

/// `MODEL_CASES` sets how many histories are tried.
fn runs() -> Runs {
    let cases = rounds("MODEL_CASES", 80) as u32;
    Runs { cases, max_shrink_iters: 2000, failure_persistence: None, ..Runs::default() }
}

proptest! {
    #![proptest_config(runs())]

    #[test]
    fn any_history_is_answered_and_read_as_by_the_model(
        steps in prop::collection::vec(step(), 1..30),
        place in any::<u16>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut pair = Pair::new().await;
            for step in steps {
                pair = pair.take(step).await;
                pair.compare().await;
            }
            pair.everywhere(usize::from(place)).await;
            let pair = pair.reopen().await;
            pair.everywhere(usize::from(place)).await;
            pair.served.stop().await;
        });
    }
}
