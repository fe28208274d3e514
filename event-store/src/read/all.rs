//! Reading the whole log: pages in both directions, filtered.

use super::{Failure, PAGE_BYTES, PAGE_EVENTS, Resolved, Resolver};
use crate::{
    engine::Engine,
    filter::Filter,
    log::{
        frame::Record,
        reader::{LogReader, RANDOM, ReadError, SEQUENTIAL},
    },
};

/// Records that are looked at for one page, so that a filter nothing passes holds no thread.
const PAGE_CONSIDERED: usize = 8192;

/// What a page came to.
#[derive(Default)]
pub(crate) struct AllPage {
    pub(crate) events: Vec<Resolved>,
    /// The log has no more for this direction.
    pub(crate) ended: bool,
    /// How many records were looked at.
    pub(crate) considered: u64,
    /// The position of the record looked at last.
    pub(crate) last: Option<u64>,
}

/// A place in the log and a direction.
pub(crate) struct AllRead {
    /// Forwards: where the next record starts. Backwards: where it ends.
    pub(crate) next: u64,
    pub(crate) backwards: bool,
    pub(crate) filter: Option<Filter>,
    pub(crate) reader: LogReader,
    pub(crate) resolver: Resolver,
}

impl AllRead {
    /// Reads on: at most `most` events that pass, after at most `consider` records.
    pub(crate) fn page(
        &mut self,
        engine: &Engine,
        most: u64,
        consider: u64,
    ) -> Result<AllPage, Failure> {
        let most = most.min(PAGE_EVENTS as u64) as usize;
        let consider = consider.min(PAGE_CONSIDERED as u64);
        let mut page = AllPage::default();
        let mut bytes = 0;
        while page.events.len() < most && page.considered < consider && bytes < PAGE_BYTES {
            let Some(record) = self.step()? else {
                page.ended = true;
                break;
            };
            page.considered += 1;
            page.last = Some(record.position);
            let passes = match &self.filter {
                Some(filter) => filter.passes(&record)?,
                None => true,
            };
            if passes {
                bytes += record.next - record.position;
                page.events.push(self.resolver.resolve(engine, record)?);
            }
        }
        Ok(page)
    }

    fn step(&mut self) -> Result<Option<Record>, Failure> {
        let record = if self.backwards {
            self.reader.before(self.next)?
        } else {
            self.reader.at(self.next, SEQUENTIAL)?
        };
        if let Some(record) = &record {
            self.next = if self.backwards { record.position } else { record.next };
        }
        Ok(record)
    }
}

/// The record at the position, which a client gave; the head is as good as a record's position, and
/// so is the place of one that a scavenge has removed.
pub(crate) fn at_position(
    reader: &mut LogReader,
    position: u64,
) -> Result<Option<Record>, Failure> {
    match reader.at(position, RANDOM) {
        Ok(Some(record)) if record.position == position => Ok(Some(record)),
        Ok(None) if position == reader.limit() => Ok(None),
        Ok(_) if reader.is_removed(position)? => Ok(None),
        Ok(_) | Err(ReadError::NotARecord { .. }) => Err(Failure::InvalidPosition(position)),
        Err(error) => Err(error.into()),
    }
}
