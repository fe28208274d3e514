//! The checkpoints of one key, and the segments between them.

use std::collections::HashMap;

use events::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::checkpoint::{Checkpoint, Signed};
use super::super::leaf::Digest;
use super::segment::{self, Seen};
use super::{Fault, Kind};

/// The checkpoints of one key that follow each other.
pub(super) struct Chain {
    links: Vec<Link>,
    /// The segments that are begun and do not fit yet.
    open: HashMap<usize, Vec<Seen>>,
}

/// A checkpoint that has its place in the chain.
struct Link {
    signed: Signed,
    /// The head of the chain before its segment, unless the checkpoint before is missing.
    head: Option<Digest>,
    /// Its segment fits.
    done: bool,
}

impl Chain {
    /// Puts together what belongs together, and tells what does not.
    pub(super) fn new(mut signed: Vec<(u64, Position, Signed)>, faults: &mut Vec<Fault>) -> Self {
        signed.sort_by_key(|(revision, position, _)| (*revision, *position));
        let mut links: Vec<Link> = Vec::with_capacity(signed.len());
        for (revision, position, signed) in signed {
            let before = links.last().map(|link| &link.signed);
            let tell = |kind, what: &str| Fault::checkpoint(kind, (revision, position), what);
            match follows(before, &signed) {
                Follows::Directly => {
                    let head = Some(before.map_or([0; 32], |before| before.checkpoint.chain));
                    links.push(Link { signed, head, done: false });
                }
                Follows::After { missing } => {
                    let to = signed.checkpoint.number - 1;
                    let what = format!(
                        "the checkpoints {missing} to {to} before it are gone: what only they cover is not verified"
                    );
                    faults.push(tell(Kind::Missing, &what));
                    links.push(Link { signed, head: None, done: false });
                }
                Follows::Not => {
                    faults.push(tell(Kind::BrokenChain, "it does not follow the one before"));
                }
            }
        }
        Self { links, open: HashMap::new() }
    }

    pub(super) fn newest_signed(&self) -> Option<&Signed> {
        self.links.last().map(|link| &link.signed)
    }

    pub(super) fn newest(&self) -> Option<&Checkpoint> {
        self.newest_signed().map(|signed| &signed.checkpoint)
    }

    pub(super) fn has(&self, hash: &Digest) -> bool {
        self.links.iter().any(|link| link.signed.hash == *hash)
    }

    /// Takes an event; whether a checkpoint covers the place where it stands.
    pub(super) fn take(&mut self, seen: &Seen, faults: &mut Vec<Fault>) -> bool {
        let last = |link: &Link| link.signed.checkpoint.last;
        let index = self.links.partition_point(|link| last(link) < seen.position);
        let Some(link) = self.links.get_mut(index) else { return false };
        let at = &link.signed.checkpoint;
        if link.head.is_none() && seen.position < at.first {
            return false;
        }
        if link.done {
            faults.push(Fault::seen(Kind::Inserted, seen, "nobody signed it"));
            return true;
        }
        let events = self.open.entry(index).or_default();
        events.push(seen.clone());
        if segment::fits(at, link.head.as_ref(), events) {
            link.done = true;
            self.open.remove(&index);
        }
        true
    }

    /// How far it is, when all events up to this position are taken.
    pub(super) fn halfway(&self, after: Position) -> Halfway {
        let passed = self.links.partition_point(|link| link.signed.checkpoint.last <= after);
        let begun = self.links.partition_point(|link| link.signed.checkpoint.first <= after);
        let behind = self.links.iter().enumerate().take(passed);
        let empty = behind.filter(|(index, link)| !link.done && !self.open.contains_key(index));
        let mut open = self.open.clone();
        open.extend(empty.map(|(index, _)| (index, vec![])));
        Halfway { passed, begun, digest: self.digest(begun), links: self.links.len(), open }
    }

    /// Whether the checkpoints of what was taken are those that it had.
    pub(super) fn fits(&self, from: &Halfway, after: Position) -> bool {
        let is_ahead = |link: &Link| link.signed.checkpoint.first > after;
        from.passed <= from.begun
            && from.begun <= self.links.len()
            && self.digest(from.begun) == from.digest
            && self.links.get(from.links).is_none_or(is_ahead)
            && from.open.keys().all(|index| *index < self.links.len())
    }

    /// Goes on where another was, which it fits.
    pub(super) fn resume(&mut self, from: Halfway) {
        for (index, link) in self.links.iter_mut().enumerate().take(from.passed) {
            link.done = !from.open.contains_key(&index);
        }
        self.open = from.open;
    }

    /// Of the hashes of so many checkpoints.
    fn digest(&self, count: usize) -> Digest {
        let mut digest = Sha256::new();
        self.links.iter().take(count).for_each(|link| digest.update(link.signed.hash));
        digest.finalize().into()
    }

    /// Tells what is wrong with the segments that do not fit.
    pub(super) fn end(&mut self, faults: &mut Vec<Fault>) {
        for (index, link) in self.links.iter().enumerate().filter(|(_, link)| !link.done) {
            let seen = self.open.remove(&index).unwrap_or_default();
            faults.extend(segment::faults(&link.signed, &seen));
        }
    }
}

/// How far the events of a chain are read.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Halfway {
    /// The checkpoints whose segments lie behind: how many.
    passed: usize,
    /// And those whose segments are begun, with them.
    begun: usize,
    digest: Digest,
    /// How many checkpoints there were: events beyond them were not kept.
    links: usize,
    /// The segments that are begun and do not fit yet, and those behind that have no event.
    open: HashMap<usize, Vec<Seen>>,
}

/// How a checkpoint stands to the one before it.
enum Follows {
    Directly,
    /// The checkpoints from `missing` on are not there.
    After {
        missing: u64,
    },
    Not,
}

fn follows(before: Option<&Signed>, next: &Signed) -> Follows {
    let at = &next.checkpoint;
    let (number, total, last, hash) = match before {
        None => (0, 0, None, [0; 32]),
        Some(signed) => {
            let at = &signed.checkpoint;
            (at.number + 1, at.total, Some(at.last), signed.hash)
        }
    };
    let grows = at.events > 0 && at.first <= at.last && last.is_none_or(|last| at.first > last);
    match () {
        () if !grows || at.number < number => Follows::Not,
        () if at.number > number => Follows::After { missing: number },
        () if at.previous == hash && Some(at.total) == total.checked_add(at.events) => {
            Follows::Directly
        }
        () => Follows::Not,
    }
}
