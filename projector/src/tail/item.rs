//! An event of the log, as projections get it.

use event_log::Recorded;
use events::{DomainEvent, Envelope, EventId, Position, StreamName};

/// An event of the log and what could be made of it.
#[derive(Debug)]
pub struct Item {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream.
    pub revision: u64,
    /// Its id.
    pub id: EventId,
    /// What it says.
    pub content: Content,
}

/// What an event of the log says.
#[derive(Debug)]
pub enum Content {
    /// One of our events.
    Ours(Box<Envelope<DomainEvent>>),
    /// An event of somebody else.
    Foreign,
    /// One of our events, by its stream, that cannot be decoded; and why.
    Poison(String),
}

impl Item {
    pub(super) fn new(event: Recorded, content: Content) -> Self {
        let Recorded { id, stream, revision, position, .. } = event;
        Self { position, stream, revision, id, content }
    }
}
