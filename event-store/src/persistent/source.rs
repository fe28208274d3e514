//! Reads on in what a group follows.

use bytes::Bytes;
use serde_json::Value;

use super::{Definition, EventSource, Problem, Strategy, group::Found, names, strategy::affinity};
use crate::{
    engine::Engine,
    filter::Filter,
    log::{frame::Record, reader::LogReader},
    read::{
        Failure, PAGE_EVENTS, Resolved, Resolver,
        all::{self, AllRead},
        stream::{self, Look},
    },
};

/// So near the head the bytes are in the page cache: they are read without a change of thread.
const NEAR: u64 = 64 << 10;
/// Records that are looked at for one page when a filter lets few of them through.
const CONSIDERED: u64 = 8192;

/// What was read.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) events: Vec<Found<Resolved>>,
    /// The last place that was looked at.
    pub(crate) last: Option<u64>,
    /// How many events were passed over.
    pub(crate) passed: u64,
    /// There is no more.
    pub(crate) all: bool,
}

/// A place in what a group follows.
pub(crate) struct SourceReader {
    kind: Kind,
    by_correlation: bool,
    /// The head when it was last read to the end.
    read_to: u64,
}

enum Kind {
    Stream { name: Bytes, next: u64, reader: Box<LogReader>, resolver: Box<Resolver> },
    All { read: Box<AllRead>, filter: Option<Filter> },
}

impl SourceReader {
    /// Begins behind what is finished, or where the group begins.
    pub(crate) fn new(
        engine: &Engine,
        source: &EventSource,
        definition: &Definition,
        finished: Option<u64>,
    ) -> Result<Self, Problem> {
        let mut reader = engine.reader();
        let resolver = Resolver::new(engine, definition.settings.resolve_links);
        let kind = match source {
            EventSource::Stream(name) => Kind::Stream {
                name: Bytes::from(name.clone()),
                next: finished.map_or(definition.begin, |finished| finished + 1),
                reader: Box::new(reader),
                resolver: Box::new(resolver),
            },
            EventSource::All => {
                let filter = definition.filter.as_ref().map(|rule| rule.build()).transpose()?;
                let next = behind(&mut reader, finished, definition.begin)?;
                let read = AllRead { next, backwards: false, filter: None, reader, resolver };
                Kind::All { read: Box::new(read), filter }
            }
        };
        let by_correlation = definition.settings.strategy == Strategy::PinnedByCorrelation;
        Ok(Self { kind, by_correlation, read_to: 0 })
    }

    /// Whether what comes next is likely to be in memory.
    pub(crate) fn is_near(&self, head: u64) -> bool {
        match &self.kind {
            Kind::Stream { .. } => self.read_to + NEAR >= head,
            Kind::All { read, .. } => read.next + NEAR >= head,
        }
    }

    /// Reads at most so many events; those of a page that fails are read again with the next.
    pub(crate) fn page(&mut self, engine: &Engine, most: usize) -> Result<Page, Failure> {
        let by_correlation = self.by_correlation;
        let (page, head) = match &mut self.kind {
            Kind::Stream { name, next, reader, resolver } => {
                let look = stream::look(engine, name, reader)?;
                let head = engine.head();
                reader.set_limit(head);
                let mut page = Page { all: true, ..Page::default() };
                let rest = match look {
                    Look::Present { key, first, last } => Some((key, first, last)),
                    // What was written before the end of the stream is still handed out.
                    Look::Deleted(_) => {
                        let key = engine.catalog.key(name);
                        engine.catalog.state(key)?.last.map(|last| (key, 0, last))
                    }
                    Look::Missing => None,
                };
                if let Some((key, first, last)) = rest {
                    // What was cut off the stream will never be read.
                    let from = first.max(*next);
                    page.last = from.checked_sub(1);
                    if from <= last {
                        let (range, most) = ((from, last), most as u64);
                        let read = stream::records(engine, key, range, false, most, reader)?;
                        for record in read.records {
                            let place = record.revision;
                            let resolved = resolver.resolve(engine, record)?;
                            page.events.push(found(place, resolved, by_correlation));
                        }
                        // Events that were scavenged are passed over.
                        *next = read.next.unwrap_or(last + 1);
                        page.last = next.checked_sub(1);
                        page.all = *next > last;
                    }
                }
                (page, head)
            }
            Kind::All { read, filter } => {
                let head = engine.head();
                read.reader.set_limit(head);
                let from = read.next;
                let page = whole_log(engine, read, filter.as_ref(), most, by_correlation);
                if page.is_err() {
                    read.next = from;
                }
                (page?, head)
            }
        };
        if page.all {
            self.read_to = head;
        }
        Ok(page)
    }
}

fn whole_log(
    engine: &Engine,
    read: &mut AllRead,
    filter: Option<&Filter>,
    most: usize,
    by_correlation: bool,
) -> Result<Page, Failure> {
    let mut page = Page::default();
    let mut considered = 0;
    while page.events.is_empty() && !page.all && considered < CONSIDERED {
        let most = most.min(PAGE_EVENTS) as u64;
        let found_here = read.page(engine, most, u64::MAX)?;
        considered += found_here.considered;
        page.all = found_here.ended;
        page.last = found_here.last.or(page.last);
        for resolved in found_here.events {
            let original = original(&resolved);
            if names::is_bookkeeping(&original.stream) {
                continue;
            }
            if filter.is_some_and(|filter| !passes(filter, original)) {
                page.passed += 1;
                continue;
            }
            let place = original.position;
            let resolved = if filter.is_some() { detached(resolved) } else { resolved };
            page.events.push(found(place, resolved, by_correlation));
        }
    }
    Ok(page)
}

/// An event that the filter cannot decide on is let through: better one too many than one lost.
fn passes(filter: &Filter, record: &Record) -> bool {
    filter.passes(record).unwrap_or_else(|error| {
        tracing::warn!(%error, "the filter of a group needs too many steps for an event");
        true
    })
}

/// Events that are few among many must not keep all of them in memory.
fn detached(resolved: Resolved) -> Resolved {
    let copy = |record: Record| Record {
        stream: Bytes::copy_from_slice(&record.stream),
        event_type: Bytes::copy_from_slice(&record.event_type),
        custom_metadata: Bytes::copy_from_slice(&record.custom_metadata),
        data: Bytes::copy_from_slice(&record.data),
        ..record
    };
    Resolved { event: resolved.event.map(copy), link: resolved.link.map(copy) }
}

/// The record as it stands in what is followed.
pub(crate) fn original(resolved: &Resolved) -> &Record {
    let Resolved { event, link } = resolved;
    link.as_ref().or(event.as_ref()).expect("a resolved event has an event or a link")
}

/// A resolved event as a group takes it.
pub(crate) fn found(place: u64, resolved: Resolved, by_correlation: bool) -> Found<Resolved> {
    let original = original(&resolved);
    let meant = resolved.event.as_ref().unwrap_or(original);
    let correlation = if by_correlation { correlation(&meant.custom_metadata) } else { None };
    let affinity = match &correlation {
        Some(correlation) => affinity(correlation.as_bytes()),
        None => affinity(&meant.stream),
    };
    let bytes = [&resolved.event, &resolved.link]
        .into_iter()
        .flatten()
        .map(|record| record.next - record.position)
        .sum();
    Found { place, id: original.id, affinity, bytes, event: resolved }
}

fn correlation(metadata: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Value>(metadata).ok()?.get("$correlationId")? {
        Value::String(id) => Some(id.clone()),
        _ => None,
    }
}

/// Where to read on behind the position, whose event may have been scavenged. When no event can have
/// been there, the group begins again: it may repeat events, and skips none.
fn behind(reader: &mut LogReader, finished: Option<u64>, begin: u64) -> Result<u64, Problem> {
    let Some(finished) = finished else { return Ok(begin) };
    match all::at_position(reader, finished) {
        Ok(Some(record)) => Ok(record.next),
        Ok(None) => Ok(finished),
        Err(Failure::InvalidPosition(position)) => {
            tracing::warn!(position, "there is no event at a checkpoint; its group begins again");
            Ok(begin)
        }
        Err(failure) => Err(Problem::Lost(failure.to_string())),
    }
}
