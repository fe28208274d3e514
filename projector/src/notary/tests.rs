//! Whatever is done to a signed log is found, and found where it was done.

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use event_log::Stored;
use events::{Moment, Position};
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

use super::checkpoint::{EVENT_TYPE, Signed};
use super::leaf::Leaf;
use super::verify::{Checkpoints, Kind, Report};
use super::{STREAM, export};

/// A log in memory, with its notary.
#[derive(Debug)]
struct Log {
    events: Vec<Stored>,
    key: SigningKey,
    pending: Vec<(Position, Leaf)>,
    signed: Option<Signed>,
    checkpoints: u64,
}

impl Log {
    fn new() -> Self {
        let key = SigningKey::from_bytes(&[9; 32]);
        Self { events: vec![], key, pending: vec![], signed: None, checkpoints: 0 }
    }

    fn append(&mut self, event: Stored) {
        self.pending.push((event.position, Leaf::of(&event)));
        self.events.push(event);
    }

    fn next_position(&self) -> Position {
        let last = self.events.last().map_or(0, |event| event.position.commit);
        Position::at(last + 10)
    }

    fn say(&mut self, stream: u8, data: &[u8]) {
        let stream = format!("orders-{stream}");
        let revision = self.events.iter().filter(|event| event.stream == stream).count() as u64;
        let position = self.next_position();
        self.append(Stored {
            position,
            stream,
            revision,
            id: Uuid::from_u128(u128::from(position.commit) << 64 | 7),
            event_type: "order.placed".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            created: 17_000_000_000_000_000 + i64::try_from(position.commit).unwrap(),
            data: Bytes::copy_from_slice(data),
            metadata: Bytes::from_static(b"{}"),
        });
    }

    fn sign(&mut self) {
        let segment = std::mem::take(&mut self.pending);
        let time = Moment::from_timestamp(1_700_000_000, 0).unwrap();
        let signed = Signed::sign(self.signed.as_ref(), &segment, time, &self.key);
        let event = held(&signed, self.next_position(), self.checkpoints);
        self.checkpoints += 1;
        self.append(event);
        self.signed = Some(signed);
    }

    /// The events of a log with these segments, and a tail that nobody signed.
    fn of(segments: &[Vec<(u8, Vec<u8>)>]) -> Self {
        let mut log = Self::new();
        for segment in segments {
            segment.iter().for_each(|(stream, data)| log.say(*stream, data));
            log.sign();
        }
        log.say(1, b"nobody signed this");
        log
    }

    fn verify(&self) -> Report {
        verify(&self.events, &self.keys())
    }

    fn keys(&self) -> [VerifyingKey; 1] {
        [self.key.verifying_key()]
    }

    /// How many events, from the first one, are covered by a checkpoint.
    fn covered(&self) -> usize {
        self.events.len() - 2
    }
}

/// The event of a checkpoint.
fn held(signed: &Signed, position: Position, revision: u64) -> Stored {
    Stored {
        position,
        stream: STREAM.to_owned(),
        revision,
        id: signed.id(),
        event_type: EVENT_TYPE.to_owned(),
        content_type: "application/json".to_owned(),
        created: 17_000_000_000_000_000,
        data: serde_json::to_vec(&signed.data()).unwrap().into(),
        metadata: Bytes::new(),
    }
}

/// The first reading.
fn checkpoints(events: &[Stored], keys: &[VerifyingKey]) -> Checkpoints {
    let mut checkpoints = Checkpoints::new(keys.to_vec());
    events.iter().filter(|event| event.stream == STREAM).for_each(|it| checkpoints.take(it));
    checkpoints
}

/// A verification that is stopped after so many events, and goes on when the log is as it is now.
/// `None` if it cannot go on.
fn resumed(
    before: &[Stored],
    stop: usize,
    now: &[Stored],
    keys: &[VerifyingKey],
) -> Option<Report> {
    let mut verifier = checkpoints(before, keys).read();
    let (mut kept, mut taken) = (None, 0);
    for (index, event) in before[..stop].iter().enumerate() {
        verifier.take(event);
        if let Some(halfway) = verifier.halfway() {
            (kept, taken) = (Some(serde_json::to_string(&halfway).unwrap()), index + 1);
        }
    }
    let mut verifier = match kept {
        Some(kept) => checkpoints(now, keys).resume(serde_json::from_str(&kept).unwrap()).ok()?,
        None => checkpoints(now, keys).read(),
    };
    now[taken..].iter().for_each(|event| verifier.take(event));
    Some(verifier.end(None))
}

fn verify(events: &[Stored], keys: &[VerifyingKey]) -> Report {
    let mut verifier = checkpoints(events, keys).read();
    events.iter().for_each(|event| verifier.take(event));
    let report = verifier.end(None);
    for part in 1..4 {
        assert_eq!(resumed(events, events.len() * part / 4, events, keys).as_ref(), Some(&report));
    }
    report
}

/// That something was found at one of these places, and nothing else is called faulty that is
/// neither there nor a checkpoint.
fn is_found_at(report: &Report, places: &[Position]) -> Result<(), TestCaseError> {
    let at = |position: Option<Position>| position.is_some_and(|it| places.contains(&it));
    prop_assert!(report.faults.iter().any(|it| at(it.position)), "{places:?}: {report:#?}");
    for fault in &report.faults {
        let checkpoint = fault.stream.as_deref() == Some(STREAM);
        prop_assert!(at(fault.position) || checkpoint, "not at {places:?}: {fault:?}");
    }
    Ok(())
}

fn logs() -> impl Strategy<Value = Log> {
    let data = proptest::collection::vec(any::<u8>(), 0..4);
    let segment = proptest::collection::vec((0..3_u8, data), 1..7);
    proptest::collection::vec(segment, 1..6).prop_map(|segments| Log::of(&segments))
}

proptest! {
    #[test]
    fn a_verification_goes_on_when_the_log_has_grown(
        log in logs(),
        (then, stop) in any::<(Index, Index)>(),
    ) {
        let before = &log.events[..=then.index(log.events.len())];
        let report = resumed(before, stop.index(before.len() + 1), &log.events, &log.keys());
        prop_assert_eq!(report, Some(log.verify()));
    }
}

#[test]
fn a_verification_does_not_go_on_behind_other_checkpoints() {
    let segments = [vec![(0, b"one".to_vec())], vec![(0, b"two".to_vec())]];
    let (log, stop) = (Log::of(&segments), 3);
    let mut other = Log::of(&[vec![(0, b"eins".to_vec())], vec![(0, b"two".to_vec())]]);
    assert!(resumed(&log.events, stop, &log.events, &log.keys()).is_some());
    assert!(resumed(&log.events, stop, &other.events, &log.keys()).is_none());
    other.events.retain(|event| event.stream != STREAM);
    assert!(resumed(&log.events, stop, &other.events, &log.keys()).is_none());
    // Not even in the middle of what one of them signed.
    let [log, other] = [b"three", b"drei!"].map(|last| {
        Log::of(&[vec![(0, b"one".to_vec()), (0, b"two".to_vec()), (0, last.to_vec())]])
    });
    assert!(resumed(&log.events, 1, &log.events, &log.keys()).is_some());
    assert!(resumed(&log.events, 1, &other.events, &log.keys()).is_none());
}

#[test]
fn a_verification_begins_anew_where_a_second_key_has_signed_more_of_what_it_has_read() {
    let mut log = Log::of(&[vec![(0, b"one".to_vec())], vec![(0, b"two".to_vec())]]);
    let old = log.key.verifying_key();
    log.key = SigningKey::from_bytes(&[5; 32]);
    log.signed = None;
    let leaves: Vec<_> = log.events.iter().map(|it| (it.position, Leaf::of(it))).collect();
    let (first, second) = leaves.split_at(1);
    log.pending = first.to_vec();
    log.sign();
    // By now the new key has signed one event, and the old one four; all of them are read.
    let before = log.events.clone();
    log.pending = second.to_vec();
    log.sign();
    let keys = [old, log.key.verifying_key()];
    assert_eq!(resumed(&before, 3, &log.events, &keys), None);
    assert!(resumed(&before, 1, &log.events, &keys).is_some_and(|it| it.faults.is_empty()));
    assert_eq!(verify(&log.events, &keys).faults, []);
}

/// Changes one thing about an event.
fn change(event: &mut Stored, what: usize) {
    match what {
        0 => event.position = Position::at(event.position.commit + 1),
        1 => event.position.prepare -= 1,
        2 => event.stream.push('x'),
        3 => event.revision += 1,
        4 => event.id = Uuid::from_u128(event.id.as_u128() ^ 1),
        5 => event.event_type.push('x'),
        6 => event.content_type.push('x'),
        7 => event.created += 1,
        8 => event.data = [&event.data[..], b" "].concat().into(),
        9 => event.metadata = [&event.metadata[..], b" "].concat().into(),
        _ => unreachable!("there are ten"),
    }
}

proptest! {
    #[test]
    fn an_untouched_log_has_no_fault_and_its_tail_is_told(log in logs()) {
        let report = log.verify();
        prop_assert!(report.faults.is_empty(), "{:?}", report.faults);
        prop_assert_eq!(report.events, log.covered() as u64);
        prop_assert_eq!(report.unsigned, 1);
    }

    #[test]
    fn a_change_of_anything_in_any_event_is_found(
        mut log in logs(), which: Index, what in 0..10_usize,
    ) {
        let which = which.index(log.covered());
        let place = log.events[which].position;
        change(&mut log.events[which], what);
        let (now, event) = (log.events[which].position, &log.events[which]);
        prop_assert!(export::parse(&export::line(event)).as_ref() == Some(event));
        is_found_at(&log.verify(), &[place, now])?;
    }

    #[test]
    fn a_dropped_event_is_found(mut log in logs(), which: Index) {
        let which = which.index(log.covered());
        let dropped = log.events.remove(which);
        let report = log.verify();
        is_found_at(&report, &[dropped.position])?;
        let missing = |it: &super::verify::Fault| {
            it.kind == Kind::Missing && it.position == Some(dropped.position)
        };
        prop_assert!(report.faults.iter().any(missing));
    }

    #[test]
    fn an_inserted_event_is_found(mut log in logs(), before: Index, same_place: bool) {
        let before = before.index(log.covered());
        let mut event = log.events[before].clone();
        event.id = Uuid::from_u128(77);
        if !same_place {
            event.position = Position::at(event.position.commit - 3);
        }
        let place = event.position;
        log.events.insert(before, event);
        is_found_at(&log.verify(), &[place])?;
    }

    #[test]
    fn an_event_that_is_there_twice_is_found(mut log in logs(), which: Index, to: Index) {
        let which = which.index(log.covered());
        let event = log.events[which].clone();
        let place = event.position;
        log.events.insert(to.index(log.covered()), event);
        is_found_at(&log.verify(), &[place])?;
    }

    #[test]
    fn two_events_that_change_places_are_found(
        mut log in logs(), one: Index, other: Index, with_their_positions: bool,
    ) {
        let (one, other) = (one.index(log.covered()), other.index(log.covered()));
        prop_assume!(one != other);
        let places = [log.events[one].position, log.events[other].position];
        log.events.swap(one, other);
        if !with_their_positions {
            (log.events[one].position, log.events[other].position) = (places[0], places[1]);
        }
        let report = log.verify();
        let at = |position: Option<Position>| position.is_some_and(|it| places.contains(&it));
        prop_assert!(report.faults.iter().any(|fault| at(fault.position)), "{:#?}", report);
    }

    #[test]
    fn a_checkpoint_that_somebody_else_signed_is_found(mut log in logs(), which: Index) {
        let checkpoints: Vec<_> =
            (0..log.events.len()).filter(|&at| log.events[at].stream == STREAM).collect();
        let at = checkpoints[which.index(checkpoints.len())];
        let forger = SigningKey::from_bytes(&[8; 32]);
        let first = checkpoints.iter().rev().find(|&&it| it < at).map_or(0, |it| *it);
        let segment: Vec<_> =
            log.events[first..at].iter().map(|it| (it.position, Leaf::of(it))).collect();
        let time = Moment::from_timestamp(1_700_000_000, 0).unwrap();
        let forged = Signed::sign(None, &segment, time, &forger);
        let (position, revision) = (log.events[at].position, log.events[at].revision);
        log.events[at] = held(&forged, position, revision);
        let report = log.verify();
        let found = report.faults.iter().any(|fault| {
            fault.kind == Kind::BadSignature && fault.position == Some(position)
        });
        prop_assert!(found, "{:#?}", report);
        let by_forger = verify(&log.events, &[forger.verifying_key()]).faults;
        prop_assert!(checkpoints.len() == 1 || !by_forger.is_empty(), "the others are not theirs");
    }
}

#[test]
fn the_name_of_a_fault_says_what_was_done() {
    let segment = |from: u8| (from..from + 4).map(|it| (it, vec![it])).collect::<Vec<_>>();
    let kinds = |log: &Log| log.verify().faults.iter().map(|it| it.kind).collect::<Vec<_>>();
    let log = || Log::of(&[segment(0), segment(10)]);
    let mut it = log();
    it.events[1].data = Bytes::from_static(b"other");
    assert_eq!(kinds(&it), [Kind::Changed]);
    let mut it = log();
    it.events.remove(1);
    assert_eq!(kinds(&it), [Kind::Missing]);
    let mut it = log();
    it.events.swap(1, 2);
    assert_eq!(kinds(&it), [Kind::Reordered]);
    let (one, other) = (it.events[1].position, it.events[2].position);
    (it.events[1].position, it.events[2].position) = (other, one);
    assert_eq!(kinds(&it), [Kind::Reordered, Kind::Reordered]);
    let mut it = log();
    it.events.remove(4);
    let without_checkpoint = kinds(&it);
    assert!(without_checkpoint.contains(&Kind::Missing), "{without_checkpoint:?}");
}

#[test]
fn an_event_moved_far_away_is_one_fault_and_spoils_no_other() {
    let segment = |from: u8| (from..from + 9).map(|it| (it, vec![it])).collect::<Vec<_>>();
    for (from, to) in [(2, 22), (22, 2)] {
        let mut log = Log::of(&[segment(0), segment(10), segment(20)]);
        let event = log.events.remove(from);
        let place = event.position;
        log.events.insert(to, event);
        let report = log.verify();
        assert_eq!(report.faults.len(), 1, "{report:#?}");
        assert_eq!(
            (report.faults[0].kind, report.faults[0].position),
            (Kind::Reordered, Some(place))
        );
    }
}

#[test]
fn a_log_that_was_cut_off_is_found_by_who_knows_a_checkpoint() {
    let segment = || vec![(1, vec![1]), (2, vec![2])];
    let log = Log::of(&[segment(), segment(), segment()]);
    let known = log.signed.as_ref().unwrap().hash;
    let cut = |upto: usize| {
        let events = &log.events[..upto];
        let mut verifier = checkpoints(events, &log.keys()).read();
        events.iter().for_each(|event| verifier.take(event));
        verifier.end(Some(&known)).faults.iter().map(|it| it.kind).collect::<Vec<_>>()
    };
    assert_eq!(cut(log.events.len()), []);
    // Up to the second checkpoint: nothing in what is left is wrong.
    assert_eq!(cut(6), [Kind::Missing]);
}

#[test]
fn a_new_key_signs_the_whole_log_again_and_both_are_believed() {
    let mut log = Log::of(&[vec![(1, vec![1])], vec![(2, vec![2])]]);
    let old = log.key.verifying_key();
    log.key = SigningKey::from_bytes(&[5; 32]);
    log.signed = None;
    log.pending = log.events.iter().map(|it| (it.position, Leaf::of(it))).collect();
    log.sign();
    let keys = [log.key.verifying_key(), old];
    let both = |events: &[Stored]| verify(events, &keys);
    let report = both(&log.events);
    assert!(report.faults.is_empty(), "{report:#?}");
    assert_eq!((report.events, report.unsigned), (5, 0));
    let with_one_key: Vec<_> = log.verify().faults.iter().map(|it| it.kind).collect();
    assert_eq!(with_one_key, [Kind::BadSignature; 2]);
    let mut events = log.events.clone();
    events.remove(0);
    assert_eq!(both(&events).faults.len(), 1, "both say the same");
}
