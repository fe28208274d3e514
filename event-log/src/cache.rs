//! The folded states of the streams used lately, never older than what the follower has seen.
//!
//! Invariant: a state in the cache includes every event of its stream that the follower passed
//! before it was put in. A state is read, or decided on, within a [`Visit`]; the follower notes in
//! the visit which events it passes meanwhile, and what came in too late is not kept.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use domain::Decider;
use events::{Category, StreamName};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::Value;

use crate::Recorded;
use crate::fold::{AnyFolded, Folded, next};

/// In the units of [`AnyFolded::weight`]: some 100 MB of states without keys, at the most.
const MAX_WEIGHT: u64 = 1_000_000;

/// Folded states by stream. Cheap to clone.
///
/// A stream has one decider, so there is one state for each; asked for as another type, it is
/// as if it were not there.
#[derive(Clone)]
pub(crate) struct States {
    states: Cache<StreamName, Arc<dyn AnyFolded>>,
    /// Everything that changes a state happens under this lock.
    visits: Arc<Mutex<HashMap<StreamName, Visited>>>,
}

#[derive(Default)]
struct Visited {
    visitors: usize,
    /// The newest revision that the follower passed meanwhile.
    passed: Option<u64>,
}

impl States {
    pub(crate) fn new() -> Self {
        let states = Cache::builder()
            .max_capacity(MAX_WEIGHT)
            .weigher(|_, folded: &Arc<dyn AnyFolded>| folded.weight())
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { states, visits: Arc::default() }
    }

    /// Message streams are as many as messages, and hardly ever used twice.
    pub(crate) fn keeps(stream: &StreamName) -> bool {
        stream.category() != Some(Category::Message)
    }

    /// Begins to read a stream, or to decide on it.
    pub(crate) fn visit(&self, stream: &StreamName) -> Visit {
        if Self::keeps(stream) {
            self.lock().entry(stream.clone()).or_default().visitors += 1;
        }
        Visit { states: self.clone(), stream: stream.clone() }
    }

    /// The follower comes by an event: says whether there is a state to be evolved.
    pub(crate) fn pass(&self, stream: &StreamName, revision: u64) -> bool {
        if let Some(visited) = self.lock().get_mut(stream) {
            visited.passed = visited.passed.max(Some(revision));
        }
        self.states.get(stream).is_some_and(|state| state.revision() < Some(revision))
    }

    /// Evolves a state by the event after it; a state that cannot be evolved goes.
    pub(crate) fn evolve(&self, recorded: &Recorded, data: Option<Value>, sealed: bool) {
        let _changing = self.lock();
        let Some(state) = self.states.get(&recorded.stream) else { return };
        if state.revision() >= Some(recorded.revision) {
            return;
        }
        let follows = next(state.revision()) == recorded.revision;
        match data.filter(|_| follows).and_then(|data| state.after(recorded, data, sealed)) {
            Some(evolved) => self.states.insert(recorded.stream.clone(), evolved),
            None => self.states.invalidate(&recorded.stream),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamName, Visited>> {
        // A panic under the lock is a bug of `evolve`; what it leaves behind is consistent.
        self.visits.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Reading a stream, or deciding on it, from a moment on.
pub(crate) struct Visit {
    states: States,
    stream: StreamName,
}

impl Visit {
    /// The state in the cache, if there is one.
    pub(crate) fn state<D: Decider>(&self) -> Option<Arc<Folded<D>>> {
        let state: Arc<dyn Any + Send + Sync> = self.states.states.get(&self.stream)?;
        state.downcast().ok()
    }

    /// Keeps a state, if none is there that is newer, and the follower has passed nothing newer.
    pub(crate) fn keep<D: Decider>(&self, folded: &Arc<Folded<D>>) {
        if !States::keeps(&self.stream) {
            return;
        }
        let visits = self.states.lock();
        let passed = visits.get(&self.stream).and_then(|visited| visited.passed);
        let newer = self.states.states.get(&self.stream).is_some_and(|state| {
            // The same revision again replaces a state whose personal data was sealed.
            state.revision() > folded.revision
        });
        if passed <= folded.revision && !newer {
            self.states.states.insert(self.stream.clone(), folded.clone());
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !States::keeps(&self.stream) {
            return;
        }
        let mut visits = self.states.lock();
        if let Some(visited) = visits.get_mut(&self.stream) {
            visited.visitors -= 1;
            if visited.visitors == 0 {
                visits.remove(&self.stream);
            }
        }
    }
}
