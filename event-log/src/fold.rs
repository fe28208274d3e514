//! The state of one stream, folded from its events, with what surrounds it.

use std::any::Any;
use std::sync::Arc;

use domain::Decider;
use events::{Event, Metadata, Moment, Position};
use serde_json::Value;

use crate::idempotency::RecentKeys;
use crate::{OpenError, Recorded};

/// The state of a stream, as it was read.
#[derive(Debug)]
pub struct Loaded<D> {
    /// The state: shared, because the state of a big group is not copied for each message.
    pub state: Arc<D>,
    /// The revision of the stream's last event; none if there is no event.
    pub revision: Option<u64>,
    /// Where the stream's last event stands.
    pub last: Option<Position>,
    /// Where the stream's first event stands.
    pub first: Option<Position>,
    /// Whether personal data in it is still sealed, because the vault is away.
    pub sealed: bool,
}

impl<D> Clone for Loaded<D> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), ..*self }
    }
}

/// A folded state that can be folded further.
#[derive(Clone)]
pub(crate) struct Folded<D> {
    pub(crate) state: Arc<D>,
    pub(crate) revision: Option<u64>,
    pub(crate) last: Option<Position>,
    pub(crate) first: Option<Position>,
    pub(crate) sealed: bool,
    pub(crate) keys: RecentKeys,
}

impl<D: Default> Default for Folded<D> {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            revision: None,
            last: None,
            first: None,
            sealed: false,
            keys: RecentKeys::default(),
        }
    }
}

/// An event and its place, for the fold.
pub(crate) struct Step<'a, E> {
    pub(crate) event: &'a E,
    pub(crate) metadata: &'a Metadata,
    pub(crate) revision: u64,
    pub(crate) position: Position,
    pub(crate) at: Moment,
}

impl<D: Decider> Folded<D> {
    pub(crate) fn loaded(&self) -> Loaded<D> {
        Loaded {
            state: self.state.clone(),
            revision: self.revision,
            last: self.last,
            first: self.first,
            sealed: self.sealed,
        }
    }

    /// The revision that the stream's next event has.
    pub(crate) fn next_revision(&self) -> u64 {
        next(self.revision)
    }

    pub(crate) fn evolve(&mut self, step: &Step<'_, D::Event>) {
        let state = std::mem::take(&mut self.state);
        self.state = Arc::new(Arc::unwrap_or_clone(state).evolve(step.event));
        self.keys.remember(step.metadata, step.revision, step.position, step.at);
        self.pass(step.revision, step.position);
    }

    /// Goes on to an event that changes nothing here, because it is not ours.
    fn pass(&mut self, revision: u64, position: Position) {
        self.revision = Some(revision);
        self.last = Some(position);
        self.first.get_or_insert(position);
    }

    /// Evolves by what was read from the log.
    ///
    /// # Errors
    /// If the event is ours and has not the shape of its type.
    pub(crate) fn read(&mut self, recorded: &Recorded, data: Value) -> Result<(), OpenError> {
        let Some((_, metadata)) = recorded.ours() else {
            self.pass(recorded.revision, recorded.position);
            return Ok(());
        };
        let event = D::Event::from_data(&recorded.event_type, metadata.schema_version, data)
            .map_err(|error| OpenError::Poison(error.to_string()))?;
        self.evolve(&Step {
            event: &event,
            metadata: &metadata,
            revision: recorded.revision,
            position: recorded.position,
            at: recorded.created,
        });
        Ok(())
    }
}

pub(crate) fn next(revision: Option<u64>) -> u64 {
    revision.map_or(0, |revision| revision + 1)
}

/// A folded state of any decider, as the cache holds it.
pub(crate) trait AnyFolded: Any + Send + Sync {
    fn revision(&self) -> Option<u64>;
    /// In units of about 100 bytes.
    fn weight(&self) -> u32;
    /// The state after one more event; `sealed` says that its personal data could not be opened.
    fn after(&self, recorded: &Recorded, data: Value, sealed: bool) -> Option<Arc<dyn AnyFolded>>;
}

impl<D: Decider> AnyFolded for Folded<D> {
    fn revision(&self) -> Option<u64> {
        self.revision
    }

    fn weight(&self) -> u32 {
        // States differ in size; most are small, and the keys are counted.
        u32::try_from(self.keys.len()).map_or(u32::MAX, |keys| keys + 8)
    }

    fn after(&self, recorded: &Recorded, data: Value, sealed: bool) -> Option<Arc<dyn AnyFolded>> {
        let mut folded = self.clone();
        folded.read(recorded, data).ok()?;
        folded.sealed |= sealed;
        Some(Arc::new(folded))
    }
}
