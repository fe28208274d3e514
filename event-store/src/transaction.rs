//! Transactions: events for several streams, and checks on any, written all together or not at all.
//!
//! Everything is decided against the streams as they are before the transaction. Then all events go
//! into the log as one append, in the order they were given, so that recovery keeps all or none.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    batch::{Batch, Part},
    committer::{Committer, Metadata, Refusal, View, new_id},
    expected::{self, Current, Decision, Expected, Known},
    index::key::StreamKey,
    log::frame::{self, Proposed},
};

/// What is to be written, and what has to be true for it.
#[derive(Default)]
pub(crate) struct Transaction {
    targets: Vec<Target>,
    by_name: HashMap<Bytes, usize>,
    /// The events in the order of the log, in runs of one stream.
    runs: Vec<Run>,
    checks: Vec<Check>,
}

/// A stream that is written, and the revision its writer expects.
struct Target {
    stream: Bytes,
    expected: Expected,
}

struct Run {
    target: usize,
    events: Vec<Proposed>,
}

/// A stream that has to be in a state; it need not be written.
pub(crate) struct Check {
    pub(crate) stream: Bytes,
    pub(crate) state: State,
}

/// What a check wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Readers find nothing: never written, or deleted in either way.
    NoStream,
    Any,
    /// Readers find the stream.
    Exists,
    /// Readers find the stream, and its last event has this revision.
    Exact(u64),
    SoftDeleted,
    Tombstoned,
}

/// What a stream is found to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Actual {
    NoStream,
    Revision(u64),
    SoftDeleted,
    Tombstoned,
}

/// The last event of a stream that the transaction wrote.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) stream: Bytes,
    pub(crate) revision: u64,
    pub(crate) position: u64,
}

/// A check that does not hold, by its place among the checks.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) check: usize,
    pub(crate) stream: Bytes,
    pub(crate) state: State,
    pub(crate) actual: Actual,
}

/// Why nothing was written.
#[derive(Debug)]
pub(crate) enum Aborted {
    /// A stream is not at the expected revision, or some but not all events were written before.
    Conflict {
        stream: Bytes,
        expected: Expected,
        actual: Actual,
    },
    Tombstoned {
        stream: Bytes,
    },
    Violated(Vec<Violation>),
    Refused(Refusal),
}

impl From<Refusal> for Aborted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The streams in the order in which they were first named.
pub(crate) type Answer = Result<Vec<Last>, Aborted>;

impl Transaction {
    /// Names a stream that will be written; `None` when it was named before.
    pub(crate) fn target(&mut self, stream: Bytes, expected: Expected) -> Option<usize> {
        if self.by_name.contains_key(&stream) {
            return None;
        }
        let target = self.targets.len();
        self.by_name.insert(stream.clone(), target);
        self.targets.push(Target { stream, expected });
        Some(target)
    }

    /// The streams that will be written.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &Bytes> {
        self.targets.iter().map(|target| &target.stream)
    }

    pub(crate) fn target_of(&self, stream: &[u8]) -> Option<usize> {
        self.by_name.get(stream).copied()
    }

    /// Adds the next event of the log, for a stream that was named.
    pub(crate) fn write(&mut self, target: usize, event: Proposed) {
        match self.runs.last_mut() {
            Some(run) if run.target == target => run.events.push(event),
            _ => self.runs.push(Run { target, events: vec![event] }),
        }
    }

    /// Adds a check, after all streams were named. When it is on a stream that is written, a repeat
    /// is looked for where the check says the stream was: the recent events alone do not remember
    /// for ever.
    pub(crate) fn check(&mut self, check: Check) {
        if let Some(target) = self.target_of(&check.stream) {
            let expected = match check.state {
                State::NoStream => Some(Expected::NoStream),
                State::Exact(revision) => Some(Expected::Exact(revision)),
                _ => None,
            };
            let target = &mut self.targets[target];
            target.expected = expected.unwrap_or(target.expected);
        }
        self.checks.push(check);
    }

    /// The bytes that it will take in the log.
    pub(crate) fn bytes(&self) -> usize {
        let run = |run: &Run| -> usize {
            let stream = &self.targets[run.target].stream;
            run.events.iter().map(|event| frame::size(stream, event)).sum()
        };
        self.runs.iter().map(run).sum()
    }

    fn ids(&self) -> Vec<Vec<Uuid>> {
        let mut ids = vec![Vec::new(); self.targets.len()];
        for run in &self.runs {
            ids[run.target].extend(run.events.iter().map(|event| event.id));
        }
        ids
    }

    /// The first event of each target.
    fn first_events(&self) -> Vec<Option<&Proposed>> {
        let mut first = vec![None; self.targets.len()];
        for run in &self.runs {
            first[run.target] = first[run.target].or(run.events.first());
        }
        first
    }
}

impl State {
    fn holds(self, actual: Actual) -> bool {
        match self {
            Self::NoStream => !matches!(actual, Actual::Revision(_)),
            Self::Any => true,
            Self::Exists => matches!(actual, Actual::Revision(_)),
            Self::Exact(revision) => actual == Actual::Revision(revision),
            Self::SoftDeleted => actual == Actual::SoftDeleted,
            Self::Tombstoned => actual == Actual::Tombstoned,
        }
    }
}

impl Actual {
    fn of(current: Current) -> Self {
        if current.tombstoned {
            Self::Tombstoned
        } else if current.soft_deleted {
            Self::SoftDeleted
        } else {
            current.last.map_or(Self::NoStream, Self::Revision)
        }
    }
}

/// What was found out about a target.
struct Plan {
    key: StreamKey,
    current: Current,
    decision: Decision,
}

impl Committer {
    /// Decides every stream and every check, and then puts all events into the batch or none.
    pub(crate) fn transact(&self, batch: &mut Batch, transaction: &Transaction) -> Answer {
        let mut view = View { committer: self, batch, key: StreamKey::default() };
        let mut plans = Vec::with_capacity(transaction.targets.len());
        for (target, ids) in transaction.targets.iter().zip(transaction.ids()) {
            view.key = self.catalog.key(&target.stream);
            let current = view.current(&target.stream, target.expected)?;
            let decision = expected::decide(target.expected, current, &ids, &mut view)?;
            plans.push(Plan { key: view.key, current, decision });
        }
        if let Some(before) = repeated(transaction, &plans) {
            return Ok(before);
        }
        refuse_tombstoned(transaction, &plans)?;
        hold(transaction, &mut view)?;
        refuse_conflicts(transaction, &plans)?;
        write(transaction, &plans, view)
    }
}

/// The first outcome, when every event was written before.
fn repeated(transaction: &Transaction, plans: &[Plan]) -> Option<Vec<Last>> {
    let last = |(target, plan): (&Target, &Plan)| match plan.decision {
        Decision::Repeated(Known { revision, position, .. }) => {
            Some(Last { stream: target.stream.clone(), revision, position })
        }
        _ => None,
    };
    transaction.targets.iter().zip(plans).map(last).collect()
}

/// A tombstone comes before checks: nothing the client could check for would let it write.
fn refuse_tombstoned(transaction: &Transaction, plans: &[Plan]) -> Result<(), Aborted> {
    let mut targets = transaction.targets.iter().zip(plans);
    match targets.find(|(_, plan)| plan.current.tombstoned) {
        Some((target, _)) => Err(Aborted::Tombstoned { stream: target.stream.clone() }),
        None => Ok(()),
    }
}

fn hold(transaction: &Transaction, view: &mut View<'_>) -> Result<(), Aborted> {
    let mut violations = Vec::new();
    for (at, check) in transaction.checks.iter().enumerate() {
        view.key = view.committer.catalog.key(&check.stream);
        let actual = Actual::of(view.current(&check.stream, Expected::Any)?);
        if !check.state.holds(actual) {
            let Check { stream, state } = check;
            violations.push(Violation { check: at, stream: stream.clone(), state: *state, actual });
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Aborted::Violated(violations)) }
}

fn refuse_conflicts(transaction: &Transaction, plans: &[Plan]) -> Result<(), Aborted> {
    for (target, plan) in transaction.targets.iter().zip(plans) {
        let actual = match plan.decision {
            Decision::Write => continue,
            Decision::Deleted => Actual::of(plan.current),
            // Some streams have these events and others do not: it is not the same transaction.
            Decision::Repeated(_) | Decision::WrongVersion | Decision::Nothing => {
                plan.current.last.map_or(Actual::NoStream, Actual::Revision)
            }
        };
        let (stream, expected) = (target.stream.clone(), target.expected);
        return Err(Aborted::Conflict { stream, expected, actual });
    }
    Ok(())
}

fn write(transaction: &Transaction, plans: &[Plan], mut view: View<'_>) -> Answer {
    let mut next: Vec<u64> =
        plans.iter().map(|plan| plan.current.last.map_or(0, |last| last + 1)).collect();
    let first = transaction.first_events();
    let mut revivals: Vec<Metadata> = Vec::new();
    for (at, plan) in plans.iter().enumerate().filter(|(_, plan)| plan.current.soft_deleted) {
        let first = first[at].expect("what is named is written");
        view.key = plan.key;
        let stream = &transaction.targets[at].stream;
        let revival = view.metadata(stream, next[at], new_id(first))?;
        // The transaction may write this metadata too; then its own comes later, and wins.
        if let Some(described) = transaction.target_of(&revival.stream) {
            next[described] = revival.revision + 1;
        }
        revivals.push(revival);
    }
    let mut parts: Vec<Part<'_>> = Vec::with_capacity(revivals.len() + transaction.runs.len());
    parts.extend(revivals.iter().map(|Metadata { stream, revision, event }| Part {
        stream,
        revision: *revision,
        events: std::slice::from_ref(event),
    }));
    for Run { target, events } in &transaction.runs {
        let stream = &transaction.targets[*target].stream;
        parts.push(Part { stream, revision: next[*target], events });
        next[*target] += events.len() as u64;
    }
    let View { committer, batch, .. } = view;
    batch.append(&committer.catalog.index().keys, &parts);
    let last = |((target, plan), next): ((&Target, &Plan), u64)| {
        let known = batch.by_revision(plan.key, next - 1).expect("it is in the batch now");
        let Known { revision, position, .. } = known;
        Last { stream: target.stream.clone(), revision, position }
    };
    Ok(transaction.targets.iter().zip(plans).zip(next).map(last).collect())
}
