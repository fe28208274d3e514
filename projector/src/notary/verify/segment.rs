//! The events of one segment, compared with what was signed.

use std::collections::HashMap;
use std::sync::Arc;

use event_log::Stored;
use events::Position;
use serde::{Deserialize, Serialize};

use super::super::checkpoint::{Checkpoint, Signed, Witness};
use super::super::leaf::{Digest, Leaf};
use super::super::tree;
use super::{Fault, Kind};

/// What is kept of an event until its segment is done with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) position: Position,
    pub(super) stream: Arc<str>,
    pub(super) revision: u64,
    leaf: Digest,
    witness: Witness,
}

impl Seen {
    pub(super) fn of(event: &Stored, leaf: &Leaf) -> Self {
        Self {
            position: event.position,
            stream: event.stream.as_str().into(),
            revision: event.revision,
            leaf: leaf.digest,
            witness: Witness::of(event.position, leaf),
        }
    }
}

/// Whether these events, in whatever order they came, are exactly those of the checkpoint. The
/// chain is looked at where its head before the segment is known.
pub(super) fn fits(at: &Checkpoint, chain: Option<&Digest>, seen: &mut [Seen]) -> bool {
    if seen.len() as u64 != at.events {
        return false;
    }
    seen.sort_by_key(|event| event.position);
    let ends = (seen[0].position, seen[seen.len() - 1].position);
    let head =
        |start: &Digest| seen.iter().fold(*start, |head, event| tree::link(&head, &event.leaf));
    ends == (at.first, at.last)
        && tree::root(seen.iter().map(|event| event.leaf).collect()) == at.root
        && chain.is_none_or(|start| head(start) == at.chain)
}

/// What is wrong with a segment that does not fit: one fault at least.
pub(super) fn faults(signed: &Signed, seen: &[Seen]) -> Vec<Fault> {
    let (first, last) = (signed.checkpoint.first, signed.checkpoint.last);
    let whole = || {
        let number = signed.checkpoint.number;
        let what = format!("something from here to {last} is not as checkpoint {number} signed it");
        vec![Fault::at(Kind::Changed, first, what)]
    };
    if fits(&signed.checkpoint, None, &mut seen.to_vec()) {
        let what = "the chain up to this segment does not lead to its head";
        return vec![Fault::at(Kind::BrokenChain, first, what)];
    }
    let Some(expected) = &signed.witnesses else { return whole() };
    let found = compare(expected, seen);
    if !found.is_empty() {
        return found;
    }
    // A witness holds no prepare position, which is nearly always the commit position.
    let odd = seen.iter().filter(|event| event.position.prepare != event.position.commit);
    let odd: Vec<_> =
        odd.map(|event| Fault::seen(Kind::Changed, event, "its place was changed")).collect();
    if odd.is_empty() { whole() } else { odd }
}

fn compare(expected: &[Witness], seen: &[Seen]) -> Vec<Fault> {
    let places: HashMap<u64, usize> =
        expected.iter().enumerate().map(|(index, witness)| (witness.position, index)).collect();
    let mut taken = vec![false; expected.len()];
    let mut faults = Vec::new();
    let mut strangers = Vec::new();
    for event in seen {
        match places.get(&event.position.commit) {
            Some(&index) if expected[index].content == event.witness.content => {
                if std::mem::replace(&mut taken[index], true) {
                    faults.push(Fault::seen(Kind::Inserted, event, "it is there twice"));
                }
            }
            _ => strangers.push(event),
        }
    }
    let free = taken.iter().enumerate().filter(|(_, taken)| !**taken);
    let contents: HashMap<[u8; 8], usize> =
        free.map(|(index, _)| (expected[index].content, index)).collect();
    strangers.retain(|event| match contents.get(&event.witness.content) {
        Some(&index) if !taken[index] => {
            taken[index] = true;
            let what = format!("it was signed at position {}", expected[index].position);
            faults.push(Fault::seen(Kind::Reordered, event, what));
            false
        }
        _ => true,
    });
    for event in strangers {
        match places.get(&event.position.commit) {
            Some(&index) if !taken[index] => {
                taken[index] = true;
                faults.push(Fault::seen(Kind::Changed, event, "something else was signed here"));
            }
            _ => faults.push(Fault::seen(Kind::Inserted, event, "nobody signed it")),
        }
    }
    let missing = taken.iter().zip(expected).filter(|(taken, _)| !**taken);
    faults.extend(missing.map(|(_, witness)| {
        Fault::at(Kind::Missing, Position::at(witness.position), "what was signed here is gone")
    }));
    faults
}
