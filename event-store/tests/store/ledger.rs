//! What a store was asked and what it promised, to be compared with what it holds after a crash.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use eventstore::{Position, ReadAllOptions, RecordedEvent, StreamPosition};
use uuid::Uuid;

use crate::tool::client;

/// One append that was tried; the store must hold all of its events or none.
#[derive(Debug)]
struct Append {
    ids: Vec<Uuid>,
    stream: String,
    /// The last revision and position, once acknowledged.
    promise: Option<(u64, u64)>,
}

/// An event that was found after a restart, and that must stay.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    id: Uuid,
    stream: String,
    revision: u64,
    kind: String,
}

/// Everything that is known of one folder.
#[derive(Default)]
pub(crate) struct Ledger {
    appends: Vec<Append>,
    by_id: HashMap<Uuid, (usize, usize)>,
    /// Appends that were acknowledged since the last look.
    promised: Vec<usize>,
    /// Events the store makes itself: position, stream and type.
    made: Vec<(u64, String, &'static str)>,
    /// What a subscriber was shown since the last look.
    shown: Vec<(u64, Uuid)>,
    found: BTreeMap<u64, Found>,
    next_revision: HashMap<String, u64>,
}

impl Ledger {
    /// Notes an append before it is sent, and names it.
    pub(crate) fn attempt(&mut self, stream: &str, ids: &[Uuid]) -> usize {
        let number = self.appends.len();
        for (at, id) in ids.iter().enumerate() {
            self.by_id.insert(*id, (number, at));
        }
        self.appends.push(Append { ids: ids.to_vec(), stream: stream.to_owned(), promise: None });
        number
    }

    pub(crate) fn acknowledge(&mut self, append: usize, revision: u64, position: u64) {
        self.appends[append].promise = Some((revision, position));
        self.promised.push(append);
    }

    /// Notes that the store says it made an event of this type.
    pub(crate) fn made(&mut self, position: u64, stream: String, kind: &'static str) {
        self.made.push((position, stream, kind));
    }

    pub(crate) fn shown(&mut self, position: u64, id: Uuid) {
        self.shown.push((position, id));
    }

    /// How many events are known to be there.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// The greatest position at which an event was promised or found.
    pub(crate) fn last_position(&self) -> Option<u64> {
        let promised = self.promised.iter().filter_map(|at| self.appends[*at].promise);
        let promised = promised.map(|(_, position)| position);
        let made = self.made.iter().map(|(position, ..)| *position);
        let shown = self.shown.iter().map(|(position, _)| *position);
        let found = self.found.last_key_value().map(|(position, _)| *position);
        promised.chain(made).chain(shown).chain(found).max()
    }

    /// Reads what came since the last look, from the last event known on, and checks it.
    pub(crate) async fn look(&mut self, url: &str) {
        let last = self.found.last_key_value().map(|(position, _)| *position);
        let events = read(url, last).await;
        let (known, new) = events.split_at(usize::from(last.is_some()));
        for event in known {
            assert_eq!(Some(&found(event)), self.found.get(&event.position.commit));
        }
        self.take(new);
    }

    /// Reads the whole log and compares it with all that was found before.
    pub(crate) async fn look_at_all(&mut self, url: &str, data: &Path) {
        self.look(url).await;
        let events = read(url, None).await;
        let all = events.iter().map(|event| (event.position.commit, found(event)));
        assert!(all.eq(self.found.iter().map(|(at, found)| (*at, found.clone()))));
        let report = event_store::verify(data, |fault| panic!("{fault:?}")).expect("it is read");
        assert_eq!((report.events, report.in_flight), (self.len() as u64, 0));
    }

    fn take(&mut self, events: &[RecordedEvent]) {
        // The append that the last event belongs to, and how many of its events were seen.
        let mut open: Option<(usize, usize)> = None;
        for event in events {
            let place = self.by_id.get(&event.id).copied();
            match (open, place) {
                (Some((append, seen)), place) => {
                    assert_eq!(place, Some((append, seen)), "half an append is there");
                }
                (None, Some((_, at))) => assert_eq!(at, 0, "half an append is there"),
                (None, None) => {
                    assert!(event.event_type.starts_with('$'), "nobody wrote {event:?}")
                }
            }
            if let Some((append, at)) = place {
                let append = (&self.appends[append], append);
                assert_eq!(append.0.stream, event.stream_id());
                let whole = at + 1 == append.0.ids.len();
                open = (!whole).then_some((append.1, at + 1));
            }
            if event.revision != i64::MAX as u64 {
                let next = self.next_revision.entry(event.stream_id().to_owned()).or_default();
                assert_eq!(event.revision, *next, "the revisions of a stream have no gap");
                *next += 1;
            }
            let last = self.found.last_key_value().map(|(position, _)| *position);
            assert!(last < Some(event.position.commit), "positions grow");
            self.found.insert(event.position.commit, found(event));
        }
        assert_eq!(open, None, "half an append is there");
        self.keep_promises();
    }

    fn keep_promises(&mut self) {
        for append in self.promised.drain(..) {
            let append = &self.appends[append];
            let (revision, position) = append.promise.expect("it was acknowledged");
            let last = self.found.get(&position).unwrap_or_else(|| panic!("{append:?} is lost"));
            assert_eq!((Some(&last.id), last.revision), (append.ids.last(), revision));
            assert_eq!(last.stream, append.stream);
        }
        for (position, stream, kind) in self.made.drain(..) {
            let found = self.found.get(&position);
            let found = found.unwrap_or_else(|| panic!("{kind} of {stream} is lost"));
            assert_eq!((&found.stream, &found.kind[..]), (&stream, kind));
        }
        for (position, id) in self.shown.drain(..) {
            let found = self.found.get(&position).map(|found| found.id);
            assert_eq!(found, Some(id), "a subscriber saw what is lost");
        }
    }
}

fn found(event: &RecordedEvent) -> Found {
    Found {
        id: event.id,
        stream: event.stream_id().to_owned(),
        revision: event.revision,
        kind: event.event_type.clone(),
    }
}

async fn read(url: &str, from: Option<u64>) -> Vec<RecordedEvent> {
    let from = from.map_or(StreamPosition::Start, |position| {
        StreamPosition::Position(Position { commit: position, prepare: position })
    });
    let options = ReadAllOptions::default().position(from);
    let mut read = client(url).read_all(&options).await.expect("a read");
    let mut events = Vec::new();
    while let Some(event) = read.next().await.expect("an event") {
        events.push(event.link.or(event.event).expect("an event"));
    }
    events
}
