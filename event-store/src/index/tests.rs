//! The index against a plain map: whatever is frozen, written, merged and reopened, it says the same.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, atomic::AtomicBool},
};

use proptest::prelude::*;
use uuid::Uuid;

use super::{
    Index, Opened, Reach, checkpoint,
    entry::{Entry, METADATA, Range, State, TOMBSTONE},
    keeper::Keeper,
    key::StreamKey,
};

#[derive(Clone, Debug)]
enum Step {
    Event(u8),
    Tombstone(u8),
    Metadata(u8),
    Freeze,
    Write,
    Merge,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => any::<u8>().prop_map(|stream| Step::Event(stream % 40)),
        1 => any::<u8>().prop_map(|stream| Step::Tombstone(stream % 40)),
        2 => any::<u8>().prop_map(|stream| Step::Metadata(stream % 40)),
        1 => Just(Step::Freeze),
        1 => Just(Step::Write),
        1 => Just(Step::Merge),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 0..600)
}

/// What the index should say, and the entries that a reopened one has to be told again.
#[derive(Default)]
struct Model {
    streams: BTreeMap<u8, (Vec<u64>, State)>,
    head: u64,
    uncovered: Vec<Entry>,
}

impl Model {
    fn add(&mut self, stream: u8, key: StreamKey, what: Option<u64>) -> Option<Entry> {
        let (positions, state) = self.streams.entry(stream).or_default();
        if state.tombstone.is_some() {
            return None;
        }
        let slot = what.unwrap_or(positions.len() as u64);
        self.head += 10;
        match slot {
            METADATA => state.metadata = Some(self.head),
            TOMBSTONE => state.tombstone = Some(self.head),
            revision => {
                positions.push(self.head);
                state.last = Some(revision);
            }
        }
        let entry = Entry { key, slot, position: self.head };
        self.uncovered.push(entry);
        Some(entry)
    }

    fn reach(&self) -> Reach {
        Reach { covered: self.head + 1, last_id: Uuid::nil(), recent_from: 1 }
    }
}

fn assert_same(index: &Index, model: &Model) {
    for (stream, (positions, state)) in &model.streams {
        let key = index.keys.key(&[*stream]);
        assert_eq!(index.state(key).expect("the index is whole"), *state);
        let expected: Vec<_> = (0..).zip(positions.iter().copied()).collect();
        let range = |from, to, most| Range { from, to, most };
        let places = |range| index.places(key, range).expect("the index is whole");
        assert_eq!(places(range(0, TOMBSTONE - 1, usize::MAX)), expected);
        let part = places(range(2, 6, 3));
        assert_eq!(part[..], expected[expected.len().min(2)..expected.len().min(5)]);
        for (revision, position) in expected {
            assert_eq!(index.position(key, revision).expect("whole"), Some(position));
        }
    }
    assert_eq!(index.state(index.keys.key(b"unknown")).expect("whole"), State::default());
}

fn freeze(index: &Index, model: &mut Model) {
    // While an earlier table waits, nothing is frozen.
    if index.freeze(model.reach(), 1, u64::MAX) {
        model.uncovered.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_index_says_what_it_was_told(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = Index::open(folder.path()).expect("it opens").index;
        let mut model = Model::default();
        let never = AtomicBool::new(false);
        for step in steps {
            let told = match step {
                Step::Event(stream) => Some((stream, None)),
                Step::Tombstone(stream) => Some((stream, Some(TOMBSTONE))),
                Step::Metadata(stream) => Some((stream, Some(METADATA))),
                Step::Freeze => { freeze(&index, &mut model); None }
                Step::Write => { index.write_frozen().expect("written"); None }
                Step::Merge => { index.merge_due(&never).expect("merged"); None }
                Step::Reopen => {
                    // What is frozen and not written is told again by the log; here it is written.
                    index.write_frozen().expect("written");
                    let opened = Index::open(folder.path()).expect("it opens");
                    index = opened.index;
                    index.insert(model.uncovered.iter().copied(), || ());
                    assert_same(&index, &model);
                    None
                }
            };
            if let Some((stream, what)) = told {
                let key = index.keys.key(&[stream]);
                index.insert(model.add(stream, key, what).into_iter(), || ());
            }
        }
        assert_same(&index, &model);
        freeze(&index, &mut model);
        index.write_frozen().expect("written");
        assert_same(&index, &model);
        index.merge_due(&never).expect("merged");
        assert_same(&index, &model);
        prop_assert!(index.read().runs.len() < 12);
    }
}

/// An index of many streams in several runs, and how many there are.
fn filled(index: &Index, model: &mut Model) -> usize {
    for round in 0..9 {
        for number in 0..200u8 {
            let key = index.keys.key(&[number]);
            let entry = model.add(number, key, None);
            index.insert(entry.into_iter(), || ());
        }
        freeze(index, model);
        index.write_frozen().expect("written");
        assert_eq!(index.read().runs.len(), round + 1);
    }
    index.read().runs.len()
}

#[test]
fn runs_are_merged_until_they_are_few_and_their_files_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Arc::new(Index::open(folder.path()).expect("it opens").index);
    let mut model = Model::default();
    let runs = filled(&index, &mut model);
    index.merge_due(&AtomicBool::new(false)).expect("merged");
    let merged = index.read().runs.len();
    assert!(merged < runs);
    assert_same(&index, &model);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), merged + 1);
    drop(Keeper::start(Arc::clone(&index)).expect("a keeper that has nothing to do"));
}

#[test]
fn a_sweep_drops_what_is_no_longer_there_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::open(folder.path()).expect("it opens").index;
    let mut model = Model::default();
    filled(&index, &mut model);
    let gone = 5000;
    let never = AtomicBool::new(false);
    let present = Box::new(move |position| Ok(position >= gone));
    index.sweep(&(present as super::keeper::Present), &never).expect("swept");
    assert_eq!(index.read().runs.len(), 1);
    let again = Index::open(folder.path()).expect("it opens").index;
    for (stream, (positions, state)) in &model.streams {
        let key = index.keys.key(&[*stream]);
        assert_eq!(index.state(key).expect("whole"), *state, "the newest event stays");
        let kept = (0..).zip(positions.iter().copied()).filter(|(_, position)| *position >= gone);
        let kept: Vec<_> = kept.collect();
        let range = Range { from: 0, to: TOMBSTONE - 1, most: usize::MAX };
        assert_eq!(index.places(key, range).expect("whole"), kept);
        assert_eq!(again.places(key, range).expect("whole"), kept);
    }
}

#[test]
fn a_damaged_index_is_noticed_and_begun_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::open(folder.path()).expect("it opens").index;
    let mut model = Model::default();
    filled(&index, &mut model);
    let number = index.read().runs[3].0;
    let damaged = checkpoint::run_path(folder.path(), number);
    let length = fs::metadata(&damaged).expect("a run").len() as usize;
    for at in (0..length).step_by(7).chain(length - 8..length) {
        let copy = tempfile::tempdir().expect("a folder");
        for file in fs::read_dir(folder.path()).expect("a folder") {
            let path = file.expect("a file").path();
            let mut bytes = fs::read(&path).expect("a file");
            if path == damaged {
                bytes[at] ^= 1;
            }
            fs::write(copy.path().join(path.file_name().expect("a name")), bytes).expect("copied");
        }
        let Opened { index, reach } = Index::open(copy.path()).expect("it opens");
        let fails = |stream: &u8| index.state(index.keys.key(&[*stream])).is_err();
        let noticed = reach.is_none() || model.streams.keys().any(fails);
        // The last four bytes of the file mean nothing.
        assert_eq!(noticed, at < length - 4, "byte {at} of {length}");
        let again = Index::open(copy.path()).expect("it opens");
        assert_eq!(again.reach.is_none(), noticed, "what was damaged is not used again");
    }
}
