//! Scavenged segments against the plain list of what was written: every place, both directions.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use uuid::Uuid;

use super::{
    frame::{self, Head, Proposed},
    reader::{LogReader, RANDOM, SEQUENTIAL},
    recovery::{self, Recovered},
    rewrite::{Keep, rewrite},
    segment::Segments,
    writer::Writer,
};
use crate::{Error, index::Reach};

/// Enough for tables of several blocks.
const RECORDS: u64 = 1200;
const SEGMENTS: u64 = 4;

/// Position and end of a record.
type Place = (u64, u64);

struct Log {
    segments: Arc<Segments>,
    head: u64,
    places: Vec<Place>,
}

/// Opens the log and reads it from the position on, as one does who knows what lies below.
fn recover(
    folder: &Path,
    from: u64,
    mut apply: impl FnMut(&frame::Record),
) -> Result<Recovered, Error> {
    let reach = Reach { covered: from, last: (Uuid::nil(), 0), recent_from: from };
    recovery::Log::open(folder)?.replay((from > 0).then_some(&reach), |record| {
        apply(record);
        Ok(())
    })
}

/// Writes closed segments of small records, and an open one with a single record.
fn write(folder: &Path) -> Log {
    let Recovered { segments, head, .. } = recover(folder, 0, |_| {}).expect("an empty log");
    let mut writer = Writer::new(folder, Arc::clone(&segments), 100, head);
    let mut places = Vec::new();
    for segment in 0..=SEGMENTS {
        let start = writer.begin().expect("a segment");
        let mut bytes = Vec::new();
        for revision in 0..if segment == SEGMENTS { 1 } else { RECORDS } {
            let position = start + bytes.len() as u64;
            let created = segment * RECORDS + revision + 1;
            let data = vec![segment as u8; (revision % 7) as usize];
            let event = Proposed {
                id: Uuid::from_u128(u128::from(created)),
                event_type: Bytes::from_static(b"kind"),
                is_json: false,
                custom_metadata: Bytes::new(),
                data: data.into(),
            };
            let (durable, following, stream) = (start, 0, &b"stream"[..]);
            let head = Head { position, durable, following, revision, created, stream };
            frame::encode(&mut bytes, &head, &event);
            places.push((position, start + bytes.len() as u64));
        }
        writer.commit(&bytes).expect("written");
    }
    Log { segments, head: writer.head(), places }
}

/// Writes all closed segments anew, with the records that are to be kept.
fn scavenge(folder: &Path, log: &Log, kept: &[Place]) {
    for base in log.segments.closed() {
        let (segment, next) = log.segments.holding(base).expect("a segment");
        let end = next.expect("a closed one");
        let mut keep = Keep::default();
        for (position, next) in kept.iter().filter(|place| (base..end).contains(&place.0)) {
            keep.record(*position, *next);
        }
        rewrite::<()>(folder, &log.segments, &segment, &keep, &mut |_| Ok(())).expect("rewritten");
        let (new, _) = log.segments.holding(base).expect("a segment");
        assert_eq!(new.length().expect("a length"), keep.file_length());
        assert_eq!(new.end().expect("an end"), end);
        assert!(!segment.path.exists() && new.path.exists());
    }
}

fn assert_holds(log: &Log, kept: &[Place]) {
    let mut reader = LogReader::new(Arc::clone(&log.segments), log.head);
    let mut position = 0;
    for place in kept {
        let record = reader.at(position, SEQUENTIAL).expect("read").expect("one more");
        assert_eq!((record.position, record.next), *place);
        position = record.next;
    }
    assert!(reader.at(position, SEQUENTIAL).expect("read").is_none());
    let mut end = log.head;
    for place in kept.iter().rev() {
        let record = reader.before(end).expect("read").expect("one more");
        assert_eq!((record.position, record.next), *place);
        end = record.position;
    }
    assert!(reader.before(end).expect("read").is_none());
    // Far jumps, so that blocks and buffers are of no use to the next one.
    let stride = 1009;
    assert_ne!(log.places.len() % stride, 0);
    for number in 0..log.places.len() {
        let (position, _) = log.places[number * stride % log.places.len()];
        let behind = kept.partition_point(|place| place.0 < position);
        let there = kept.get(behind).is_some_and(|place| place.0 == position);
        let found = reader.at(position, RANDOM).expect("read").map(|record| record.position);
        assert_eq!(found, kept.get(behind).map(|place| place.0));
        assert_eq!(reader.exactly(position, RANDOM).expect("read").is_some(), there);
        assert_eq!(reader.is_removed(position).expect("read"), !there);
        assert_eq!(log.segments.holds_record(position).expect("read"), there);
        let found = reader.before(position).expect("read").map(|record| record.position);
        assert_eq!(found, behind.checked_sub(1).map(|at| kept[at].0));
    }
}

fn assert_recovers(folder: &Path, log: &Log, kept: &[Place]) {
    let ends = log.segments.closed();
    let some = log.places.iter().map(|place| place.0).step_by(173);
    for from in some.chain(ends).chain([log.head]) {
        let mut applied = Vec::new();
        let apply = |record: &frame::Record| applied.push((record.position, record.next));
        let recovered = recover(folder, from, apply).expect("a whole log");
        assert_eq!(applied, kept[kept.partition_point(|place| place.0 < from)..]);
        assert_eq!(recovered.head, log.head);
        assert_eq!(recovered.last_created, SEGMENTS * RECORDS + 1);
    }
    assert!(recover(folder, log.head + 1, |_| {}).is_err(), "the log is shorter than that");
}

fn after_removing(removed: impl Fn(u64) -> bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(folder.path());
    assert_holds(&log, &log.places);
    let last = log.places.len() - 1;
    // First a part of what is to go, then the rest: a scavenged segment is scavenged too.
    for part in [3, 1] {
        let stays = |at: &usize| *at == last || !(removed(*at as u64) && at.is_multiple_of(part));
        let kept: Vec<_> = (0..=last).filter(stays).map(|at| log.places[at]).collect();
        scavenge(folder.path(), &log, &kept);
        assert_holds(&log, &kept);
        assert_recovers(folder.path(), &log, &kept);
    }
}

#[test]
fn a_segment_that_lost_every_other_record_reads_as_the_rest_of_it() {
    after_removing(|number| number.is_multiple_of(2));
}

#[test]
fn segments_that_lost_nothing_everything_or_long_parts_read_as_the_rest_of_them() {
    after_removing(|number| match number / RECORDS {
        0 => false,
        1 => true,
        2 => !(number % RECORDS).is_multiple_of(400),
        _ => (300..700).contains(&(number % RECORDS)),
    });
}

#[test]
fn segments_that_lost_records_here_and_there_read_as_the_rest_of_them() {
    after_removing(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 != 0);
}

#[test]
fn a_reader_goes_on_when_segments_are_replaced_under_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(folder.path());
    let mut forwards = LogReader::new(Arc::clone(&log.segments), log.head);
    let mut backwards = LogReader::new(Arc::clone(&log.segments), log.head);
    let middle = log.places[log.places.len() / 2 + 100].0;
    let first = forwards.at(middle, SEQUENTIAL).expect("read").expect("a record");
    backwards.before(middle).expect("read").expect("a record");
    let kept: Vec<_> = log.places.iter().skip(1).step_by(3).copied().collect();
    let kept = [&kept[..], &log.places[log.places.len() - 1..]].concat();
    scavenge(folder.path(), &log, &kept);
    let mut position = first.next;
    let mut seen = Vec::new();
    while let Some(record) = forwards.at(position, SEQUENTIAL).expect("read") {
        seen.push((record.position, record.next));
        position = record.next;
    }
    // What was in the buffer may still come, in its order; everything that was kept comes.
    assert!(seen.is_sorted());
    let expected = kept.iter().filter(|place| place.0 >= first.next);
    assert!(expected.clone().all(|place| seen.contains(place)));
    assert!(seen.len() < expected.count() + SEQUENTIAL / 60);
    let mut end = middle;
    let mut count = 0;
    while let Some(record) = backwards.before(end).expect("read") {
        assert!(record.next <= end);
        end = record.position;
        count += usize::from(kept.contains(&(record.position, record.next)));
    }
    assert_eq!(count, kept.iter().filter(|place| place.0 < middle).count());
}

#[test]
fn a_scavenged_segment_is_never_written_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = write(folder.path());
    scavenge(folder.path(), &log, &log.places);
    // As after a stop in the middle of making the next segment.
    let (newest, _) = log.segments.holding(log.head).expect("a segment");
    newest.file.set_len(7).expect("cut");
    let recovered = recover(folder.path(), 0, |_| {}).expect("a whole log");
    assert_eq!(recovered.head, newest.first());
    let mut writer = Writer::new(folder.path(), recovered.segments, u64::MAX, recovered.head);
    assert_eq!(writer.begin().expect("a segment"), newest.first());
}
