//! Random histories, compared step by step with a model that is nothing but lists.

use eventstore::{
    AppendToStreamOptions, Client, CurrentRevision, DeleteStreamOptions, Error, EventData,
    ReadAllOptions, ReadStreamOptions, StreamPosition, StreamState, TombstoneStreamOptions,
};
use proptest::{prelude::*, test_runner::Config as Runs};
use tempfile::TempDir;
use uuid::Uuid;

use crate::serving::Served;

/// An append draws its ids from this few, so that repeats are common.
const IDS: u8 = 6;

#[derive(Clone, Debug)]
enum Step {
    Append { stream: u8, state: StreamState, ids: Vec<u8> },
    Keep { stream: u8, newest: u64 },
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

fn step() -> impl Strategy<Value = Step> {
    let stream = 0u8..3;
    prop_oneof![
        12 => (stream.clone(), state(), prop::collection::vec(0..IDS, 0..4))
            .prop_map(|(stream, state, ids)| Step::Append { stream, state, ids }),
        2 => (stream.clone(), 1u64..4).prop_map(|(stream, newest)| Step::Keep { stream, newest }),
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

#[derive(Default)]
struct Stream {
    ids: Vec<u128>,
    max_count: Option<u64>,
    before: u64,
    has_metadata: bool,
    tombstoned: bool,
}

#[derive(Default)]
struct Model {
    streams: [Stream; 3],
    /// Stream and revision of all events in the order of the log; `None` for system events.
    log: Vec<Option<(u8, u64)>>,
}

const DELETED: u64 = i64::MAX as u64;

impl Stream {
    fn last(&self) -> Option<u64> {
        (self.ids.len() as u64).checked_sub(1)
    }

    fn soft_deleted(&self) -> bool {
        self.before == DELETED
    }

    fn holds(&self, state: StreamState) -> bool {
        match state {
            StreamState::Any => true,
            StreamState::NoStream => self.ids.is_empty(),
            StreamState::StreamExists => {
                !self.soft_deleted() && (!self.ids.is_empty() || self.has_metadata)
            }
            StreamState::StreamRevision(revision) => self.last() == Some(revision),
        }
    }

    /// The revision of the last event when these ids were all written before.
    fn repeated(&self, state: StreamState, ids: &[u128]) -> Result<Option<u64>, ()> {
        let from = match state {
            StreamState::NoStream => 0,
            StreamState::StreamRevision(revision) => revision as usize + 1,
            StreamState::Any | StreamState::StreamExists => {
                let known = |id: &u128| self.ids.iter().rposition(|known| known == id);
                return match known(&ids[0]) {
                    None => Ok(None),
                    Some(_) if ids.iter().all(|id| known(id).is_some()) => {
                        Ok(known(ids.last().expect("not empty")).map(|at| at as u64))
                    }
                    Some(_) => Err(()),
                };
            }
        };
        let there = self.ids.get(from..).unwrap_or_default();
        if there.first() != Some(&ids[0]) {
            Ok(None)
        } else if there.starts_with(ids) {
            Ok(Some((from + ids.len()) as u64 - 1))
        } else {
            Err(())
        }
    }

    fn visible(&self) -> Vec<u64> {
        let count = self.ids.len() as u64;
        let first = self.max_count.map_or(0, |most| count.saturating_sub(most)).max(self.before);
        (first.min(count)..count).collect()
    }
}

impl Model {
    fn append(&mut self, at: u8, state: StreamState, ids: &[u128]) -> Outcome {
        let stream = &mut self.streams[usize::from(at)];
        let wrong = Outcome::Wrong(stream.last());
        if ids.is_empty() {
            return match stream.holds(state) {
                true => stream.last().map_or(Outcome::Done, Outcome::Revision),
                false => wrong,
            };
        }
        if stream.tombstoned || (state == StreamState::StreamExists && stream.soft_deleted()) {
            return Outcome::Deleted;
        }
        if state == StreamState::StreamExists && !stream.holds(state) {
            return wrong;
        }
        let exact = matches!(state, StreamState::NoStream | StreamState::StreamRevision(_));
        if !(exact && stream.holds(state)) {
            match stream.repeated(state, ids) {
                Ok(Some(revision)) => return Outcome::Revision(revision),
                Err(()) => return wrong,
                Ok(None) => {}
            }
            let revives = state == StreamState::NoStream && stream.soft_deleted();
            if exact && !revives {
                return wrong;
            }
        }
        if stream.soft_deleted() {
            stream.before = stream.ids.len() as u64;
            self.log.push(None);
        }
        for id in ids {
            self.log.push(Some((at, stream.ids.len() as u64)));
            stream.ids.push(*id);
        }
        Outcome::Revision(stream.ids.len() as u64 - 1)
    }

    fn keep(&mut self, at: u8, newest: u64) {
        let stream = &mut self.streams[usize::from(at)];
        stream.max_count = Some(newest);
        stream.before = 0;
        stream.has_metadata = true;
        self.log.push(None);
    }

    fn delete(&mut self, at: u8, state: StreamState) -> Outcome {
        let stream = &mut self.streams[usize::from(at)];
        if stream.tombstoned || (state == StreamState::StreamExists && stream.soft_deleted()) {
            return Outcome::Deleted;
        }
        let again = state == StreamState::NoStream && stream.soft_deleted();
        if stream.ids.is_empty() || !(again || stream.holds(state)) {
            return Outcome::WrongDelete;
        }
        stream.before = DELETED;
        stream.has_metadata = true;
        self.log.push(None);
        Outcome::Done
    }

    fn tombstone(&mut self, at: u8, state: StreamState) -> Outcome {
        let stream = &mut self.streams[usize::from(at)];
        if stream.tombstoned {
            return Outcome::Deleted;
        }
        let again = state == StreamState::NoStream && stream.soft_deleted();
        if !(again || stream.holds(state)) {
            return Outcome::WrongDelete;
        }
        stream.tombstoned = true;
        self.log.push(None);
        Outcome::Done
    }
}

/// The real store, and the model beside it.
struct Pair {
    data: TempDir,
    served: Served,
    client: Client,
    model: Model,
}

fn name(stream: u8) -> String {
    format!("stream-{stream}")
}

fn connect(served: &Served) -> Client {
    Client::new(served.url().parse().expect("a URL")).expect("a client")
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
        other => panic!("{other:?}"),
    }
}

impl Pair {
    async fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let served = Served::start(data.path()).await;
        let client = connect(&served);
        Self { data, served, client, model: Model::default() }
    }

    async fn take(mut self, step: Step) -> Self {
        match step {
            Step::Append { stream, state, ids } => {
                let ids: Vec<u128> = ids.into_iter().map(|id| u128::from(id) + 1).collect();
                let expected = self.model.append(stream, state, &ids);
                let events: Vec<_> = ids
                    .iter()
                    .map(|id| EventData::binary("kind", vec![].into()).id(Uuid::from_u128(*id)))
                    .collect();
                let options = AppendToStreamOptions::default().stream_state(state);
                let answer = self.client.append_to_stream(name(stream), &options, events).await;
                match answer {
                    // The client says 0 for "no stream", which an empty append may bring.
                    Ok(written) if expected == Outcome::Done => {
                        assert_eq!(written.next_expected_version, 0)
                    }
                    Ok(written) => {
                        assert_eq!(Outcome::Revision(written.next_expected_version), expected)
                    }
                    Err(error) => assert_eq!(failed(error), expected),
                }
            }
            Step::Keep { stream, newest } => {
                self.model.keep(stream, newest);
                let rules = serde_json::json!({ "$maxCount": newest });
                let event = EventData::json("$metadata", &rules).expect("JSON");
                let options = AppendToStreamOptions::default().stream_state(StreamState::Any);
                let metadata = format!("$${}", name(stream));
                self.client.append_to_stream(metadata, &options, event).await.expect("written");
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
            Step::Reopen => {
                self.served.stop().await;
                self.served = Served::start(self.data.path()).await;
                self.client = connect(&self.served);
            }
        }
        self
    }

    async fn compare(&self) {
        for (at, stream) in self.model.streams.iter().enumerate() {
            let expected = if stream.tombstoned {
                Err(Outcome::Deleted)
            } else if stream.ids.is_empty() || stream.soft_deleted() {
                Err(Outcome::Done)
            } else {
                let visible = stream.visible().into_iter();
                Ok(visible.map(|revision| (revision, stream.ids[revision as usize])).collect())
            };
            let forwards = ReadStreamOptions::default();
            assert_eq!(self.read(at as u8, &forwards).await, expected);
            let backwards = forwards.position(StreamPosition::End).backwards();
            let backwards = self.read(at as u8, &backwards).await;
            let mut expected = expected;
            let _ = expected.as_mut().map(|events| events.reverse());
            assert_eq!(backwards, expected);
        }
        let mut all = self.client.read_all(&ReadAllOptions::default()).await.expect("a read");
        let mut log = Vec::new();
        let mut last = None;
        while let Some(event) = all.next().await.expect("an event") {
            let event = event.get_original_event();
            assert!(last < Some(event.position));
            last = Some(event.position);
            let number = event.stream_id().strip_prefix("stream-").map(str::parse);
            let ordinary = event.event_type == "kind";
            log.push(number.filter(|_| ordinary).map(|at| (at.expect("0 to 2"), event.revision)));
        }
        assert_eq!(log, self.model.log);
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

proptest! {
    #![proptest_config(Runs { cases: 48, failure_persistence: None, ..Runs::default() })]

    #[test]
    fn any_history_is_answered_and_read_as_by_the_model(
        steps in prop::collection::vec(step(), 1..30),
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
            pair.served.stop().await;
        });
    }
}
