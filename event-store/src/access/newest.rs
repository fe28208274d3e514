//! The newest event of a stream, read once and then remembered by its position.

use std::{sync::Arc, time::Instant};

use super::cache::Cache;
use crate::{
    engine::Engine,
    grpc::{Fault, blocking},
    log::{frame::Record, reader::RANDOM},
    read::{
        Failure,
        stream::{Look, look},
    },
};

/// How many events are remembered.
const CAPACITY: usize = 8192;
/// What an event with more bytes says is not remembered: the memory is bounded by both.
const LARGEST: usize = 4096;

/// Where the newest event is that a reader of the stream can see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) revision: u64,
    pub(crate) position: u64,
}

/// What newest events say, by the position of the event.
pub(crate) struct Newest<T> {
    read: fn(&Record) -> T,
    known: Cache<u64, Arc<T>>,
}

impl<T: Send + Sync + 'static> Newest<T> {
    /// Reads events with the function given.
    pub(crate) fn new(read: fn(&Record) -> T) -> Self {
        Self { read, known: Cache::new(CAPACITY, None) }
    }

    /// What the newest event of the stream says; `None` when there is no event to be seen.
    ///
    /// The index is asked on this thread, as appends and subscriptions do: it reads a page or two,
    /// which are nearly always in memory. The log is read where it may block.
    pub(crate) async fn of(
        &self,
        engine: &Arc<Engine>,
        stream: &[u8],
    ) -> Result<Option<(Place, Arc<T>)>, Fault> {
        let Some(place) = place(engine, stream)? else { return Ok(None) };
        if let Some(known) = self.known.find(&place.position, Instant::now()) {
            return Ok(Some((place, known)));
        }
        let (engine, read) = (Arc::clone(engine), self.read);
        let (value, size) = blocking(move || {
            let record = record(&engine, place.position)?;
            Ok::<_, Fault>((Arc::new(read(&record)), record.data.len()))
        })
        .await??;
        if size <= LARGEST {
            self.known.keep(place.position, Arc::clone(&value), Instant::now());
        }
        Ok(Some((place, value)))
    }
}

/// Where the newest event of the stream is.
pub(crate) fn place(engine: &Engine, stream: &[u8]) -> Result<Option<Place>, Fault> {
    match look(engine, stream, &mut engine.reader()).map_err(Fault::failed)? {
        Look::Present { key, first, last } if first <= last => {
            let position = engine.catalog.position(key, last);
            let position = position.map_err(|error| Fault::failed(error.into()))?;
            Ok(position.map(|position| Place { revision: last, position }))
        }
        Look::Present { .. } | Look::Missing | Look::Deleted(_) => Ok(None),
    }
}

/// The event at a position that the index gave. It reads the disk.
pub(crate) fn record(engine: &Engine, position: u64) -> Result<Record, Fault> {
    let found =
        engine.reader().at(position, RANDOM).map_err(|error| Fault::failed(error.into()))?;
    found.ok_or_else(|| Fault::failed(Failure::InvalidPosition(position)))
}
