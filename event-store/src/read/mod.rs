//! Reading: pages of events from streams and from the whole log, with links resolved.

pub(crate) mod all;
pub(crate) mod stream;

use crate::{
    engine::Engine,
    log::{
        frame::Record,
        reader::{LogReader, RANDOM, ReadError},
    },
    metadata::link_target,
};

/// A page ends after this many events.
pub(crate) const PAGE_EVENTS: usize = 256;
/// A page ends after this many bytes.
pub(crate) const PAGE_BYTES: u64 = 1 << 20;

/// An event as a reader sees it: as it was recorded, or behind a link.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) event: Option<Record>,
    pub(crate) link: Option<Record>,
}

/// Why reading cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error("the filter needs too many steps: {0}")]
    Filter(#[from] Box<fancy_regex::Error>),
    #[error("invalid position: {0} is not that of an event")]
    InvalidPosition(u64),
}

/// Follows links, when asked to, with a buffer apart from that of the page.
pub(crate) struct Resolver(Option<LogReader>);

impl Resolver {
    pub(crate) fn new(engine: &Engine, resolve: bool) -> Self {
        Self(resolve.then(|| engine.reader()))
    }

    pub(crate) fn resolve(&mut self, engine: &Engine, record: Record) -> Result<Resolved, Failure> {
        let Some(reader) = &mut self.0 else {
            return Ok(Resolved { event: Some(record), link: None });
        };
        let Some((revision, stream)) = link_target(&record) else {
            return Ok(Resolved { event: Some(record), link: None });
        };
        let event = match stream::look(engine, stream, reader)? {
            stream::Look::Present { first, last, key } if (first..=last).contains(&revision) => {
                let position = engine.catalog.position(key, revision)?;
                reader.set_limit(engine.head());
                position.map(|position| reader.exactly(position, RANDOM)).transpose()?.flatten()
            }
            _ => None,
        };
        Ok(Resolved { event, link: Some(record) })
    }
}
