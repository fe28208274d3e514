//! Reads of the log: pages of all of it, the head of it, and one stream of it.

use events::{Position, StreamName, UserId};
use eventstore::{ReadAllOptions, ReadStreamOptions, RecordedEvent, StreamPosition};

use crate::connect::Store;
use crate::erasures;
use crate::recorded::{Recorded, position};

impl Store {
    /// The events of a stream from a revision on; none, if there is no such stream.
    pub(crate) async fn read_stream(
        &self,
        stream: &StreamName,
        from: u64,
    ) -> Result<Vec<Recorded>, eventstore::Error> {
        let options = ReadStreamOptions::default().position(StreamPosition::Position(from));
        self.call(async |client| {
            let mut events = Vec::new();
            let mut read = match client.read_stream(stream.as_str(), &options).await {
                Err(eventstore::Error::ResourceNotFound) => return Ok(events),
                read => read?,
            };
            loop {
                match read.next().await {
                    Err(eventstore::Error::ResourceNotFound) | Ok(None) => return Ok(events),
                    Ok(Some(resolved)) => {
                        events.push(Recorded::from(resolved.get_original_event()))
                    }
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    /// The next events after a position, without those of the store itself; empty only at the end.
    pub(crate) async fn read_all(
        &self,
        after: Position,
        max: usize,
    ) -> Result<Vec<Recorded>, eventstore::Error> {
        let mut found = Vec::new();
        let mut last = after;
        while found.len() < max {
            // The store begins with the event at the position, which was read before.
            let count = (max - found.len()).max(32) + 1;
            let options = ReadAllOptions::default().position(from(last)).max_count(count);
            let page = self.page(&options, |event| (position(event.position), ours(event))).await?;
            let at_the_end = page.len() < count;
            for (place, event) in page {
                if place > last && found.len() < max {
                    last = place;
                    found.extend(event);
                }
            }
            if at_the_end {
                break;
            }
        }
        Ok(found)
    }

    /// The event at a position, if one of ours or a foreign one is there.
    pub(crate) async fn read_at(
        &self,
        position: Position,
    ) -> Result<Option<Recorded>, eventstore::Error> {
        let options = ReadAllOptions::default().position(from(position)).max_count(1);
        let page = self.page(&options, ours).await?;
        Ok(page.into_iter().flatten().find(|event| event.position == position))
    }

    /// Who is erased by the events from a position on, and where the first and last of them stand.
    pub(crate) async fn erasures(
        &self,
        after: Position,
        max: usize,
    ) -> Result<(Vec<UserId>, Option<(Position, Position)>), eventstore::Error> {
        let options = ReadAllOptions::default().position(from(after)).max_count(max);
        let page = self
            .page(&options, |event| {
                (position(event.position), erasures::erased_by(&event.event_type, &event.data))
            })
            .await?;
        let ends = page.first().zip(page.last()).map(|(first, last)| (first.0, last.0));
        Ok((page.into_iter().filter_map(|(_, user)| user).collect(), ends))
    }

    /// The position of the last event that is not the store's own.
    pub(crate) async fn head(&self) -> Result<Position, eventstore::Error> {
        let mut count = 1;
        loop {
            let page = self
                .page(&backwards(count), |event| {
                    (!is_system(event)).then(|| position(event.position))
                })
                .await?;
            match page.iter().flatten().next() {
                Some(head) => return Ok(*head),
                None if page.len() < count => return Ok(Position::START),
                None => count *= 32,
            }
        }
    }

    /// The position of the very last event.
    pub(crate) async fn end(&self) -> Result<Position, eventstore::Error> {
        let last = self.page(&backwards(1), |event| position(event.position)).await?;
        Ok(last.first().copied().unwrap_or(Position::START))
    }

    async fn page<T>(
        &self,
        options: &ReadAllOptions,
        take: impl Fn(&RecordedEvent) -> T,
    ) -> Result<Vec<T>, eventstore::Error> {
        self.call(async |client| {
            let mut page = Vec::new();
            let mut read = client.read_all(options).await?;
            while let Some(resolved) = read.next().await? {
                page.push(take(resolved.get_original_event()));
            }
            Ok(page)
        })
        .await
    }
}

fn ours(event: &RecordedEvent) -> Option<Recorded> {
    (!is_system(event)).then(|| event.into())
}

pub(crate) fn is_system(event: &RecordedEvent) -> bool {
    event.stream_id().starts_with('$')
}

/// Where a read or a subscription begins that has seen everything up to a position.
pub(crate) fn from(after: Position) -> StreamPosition<eventstore::Position> {
    if after == Position::START {
        return StreamPosition::Start;
    }
    let Position { commit, prepare } = after;
    StreamPosition::Position(eventstore::Position { commit, prepare })
}

fn backwards(count: usize) -> ReadAllOptions {
    ReadAllOptions::default().position(StreamPosition::End).backwards().max_count(count)
}
