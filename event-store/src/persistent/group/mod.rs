//! The rules of a group, without I/O and without a clock: what was read, said and written goes in,
//! and what is to be sent, parked and recorded comes out.
//!
//! An event is finished when it was acknowledged, skipped, or durably parked. The checkpoint is the
//! place below which everything is finished, so a restart may repeat events and never loses one.

mod handing;
mod outcome;
mod replaying;

#[cfg(test)]
mod property;
#[cfg(test)]
pub(super) mod rules;

use std::{collections::VecDeque, ops::Range, time::Duration};

use uuid::Uuid;

use super::{
    book::Book,
    figures::Rate,
    progress::{Mark, Progress},
    settings::Settings,
    subscriber::{Subscriber, SubscriberId},
};

/// Bytes of events that are read ahead of the subscribers; one event more may follow.
const MOST_BYTES: u64 = 4 << 20;

/// A message of a group. Tokens count up in the order of reading.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    pub(crate) const FIRST: Self = Self(0);
}

/// Where a message comes from: a place of the source, or a revision of the parked messages.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Place {
    Source(u64),
    Parked(u64),
}

/// An event that was read.
#[derive(Debug)]
pub(crate) struct Found<E> {
    pub(crate) place: u64,
    /// What subscribers acknowledge it by.
    pub(crate) id: Uuid,
    /// What it has in common with the events that belong to it.
    pub(crate) affinity: u64,
    pub(crate) bytes: u64,
    pub(crate) event: E,
}

/// A message for a subscriber. The event of one that is sent again has to be read again.
#[derive(Debug)]
pub(crate) struct Delivery<E> {
    pub(crate) subscriber: SubscriberId,
    pub(crate) token: Token,
    pub(crate) place: Place,
    pub(crate) id: Uuid,
    pub(crate) retries: u32,
    pub(crate) bytes: u64,
    pub(crate) event: Option<E>,
}

/// A message to be parked, and why.
#[derive(Clone, Debug)]
pub(crate) struct ToPark {
    pub(crate) token: Token,
    pub(crate) place: Place,
    pub(crate) id: Uuid,
    pub(crate) reason: String,
}

/// What a subscriber wants done with a message it could not handle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Nack {
    Park,
    Retry,
    Skip,
    /// Give it to another, and end this subscriber.
    Stop,
}

/// A message that was read and not handed out.
#[derive(Debug)]
struct Fresh<E> {
    token: Token,
    found: Found<E>,
}

/// The state of a group.
#[derive(Debug)]
pub(crate) struct Group<E> {
    pub(crate) settings: Settings,
    pub(crate) subscribers: Vec<Subscriber>,
    next_subscriber: u64,
    next_token: u64,
    cursor: usize,
    fresh: VecDeque<Fresh<E>>,
    fresh_bytes: u64,
    replayed: VecDeque<Fresh<E>>,
    pub(crate) book: Book,
    to_park: Vec<ToPark>,
    progress: Progress,
    /// The source was read to its end.
    pub(crate) live: bool,
    checkpoint: Mark,
    checkpoint_at: Duration,
    writing: Option<Mark>,
    replaying: Progress,
    /// The parked messages that are being replayed and were not read yet.
    replay: Range<u64>,
    cut: u64,
    pub(crate) rate: Rate,
}

impl<E> Group<E> {
    /// A group whose events up to the given place are finished.
    pub(crate) fn new(settings: Settings, finished: Option<u64>, now: Duration) -> Self {
        let progress = Progress::new(finished);
        Self {
            checkpoint: progress.finished(),
            checkpoint_at: now + Duration::from_millis(settings.checkpoint_after.into()),
            settings,
            subscribers: Vec::new(),
            next_subscriber: 0,
            next_token: 0,
            cursor: 0,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            replayed: VecDeque::new(),
            book: Book::default(),
            to_park: Vec::new(),
            progress,
            live: false,
            writing: None,
            replaying: Progress::default(),
            replay: 0..0,
            cut: 0,
            rate: Rate::new(now),
        }
    }

    /// Takes a subscriber in; `None` when there are as many as may be.
    pub(crate) fn join(&mut self, buffer_size: usize, now: Duration) -> Option<SubscriberId> {
        let most = self.settings.max_subscriber_count as usize;
        if most > 0 && self.subscribers.len() >= most {
            return None;
        }
        let id = SubscriberId(self.next_subscriber);
        self.next_subscriber += 1;
        let measured = self.settings.extra_statistics;
        self.subscribers.push(Subscriber::new(id, buffer_size, now, measured));
        Some(id)
    }

    /// What the subscriber had in hand goes to the others, or to the parked messages.
    pub(crate) fn leave(&mut self, id: SubscriberId) {
        let Some(at) = self.at(id) else { return };
        let gone = self.subscribers.remove(at);
        if self.cursor > at || self.cursor == self.subscribers.len() {
            self.cursor = self.cursor.saturating_sub(1);
        }
        for token in gone.into_tokens() {
            self.retry(token, "The consumer is gone.");
        }
    }

    /// How many events should be read.
    pub(crate) fn wanted(&self) -> usize {
        if self.subscribers.is_empty() || self.fresh_bytes >= MOST_BYTES {
            return 0;
        }
        let settings = &self.settings;
        let most = if self.live { settings.live_buffer_size } else { settings.history_buffer_size };
        let most = most.max(1) as usize;
        let batch = most.min(settings.read_batch_size as usize);
        if most.saturating_sub(self.fresh.len()) < batch { 0 } else { batch }
    }

    /// Takes in what was read: the events, the last place that was looked at, how many events were
    /// passed over, and whether that is all there is.
    pub(crate) fn read(
        &mut self,
        events: Vec<Found<E>>,
        last: Option<u64>,
        passed: u64,
        all: bool,
    ) {
        for found in events {
            self.progress.add(found.place);
            self.fresh_bytes += found.bytes;
            let token = self.token();
            self.fresh.push_back(Fresh { token, found });
        }
        if let Some(last) = last {
            self.progress.pass(last, passed);
        }
        self.live = all;
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// The checkpoint to be written now, if one is due. It has to be told
    /// [`recorded`](Self::recorded). A flush writes what otherwise waits for more.
    pub(crate) fn checkpoint(&mut self, now: Duration, flush: bool) -> Option<u64> {
        let (finished, count) = self.ahead_of_checkpoint()?;
        let most = u64::from(self.settings.max_checkpoint_count).max(1);
        if count >= most || flush || (count >= self.least() && now >= self.checkpoint_at) {
            self.writing = Some(finished);
            return finished.place;
        }
        None
    }

    /// What could be written as a checkpoint, and how many events more that would be.
    fn ahead_of_checkpoint(&self) -> Option<(Mark, u64)> {
        let finished = self.progress.finished();
        let count = finished.count - self.checkpoint.count;
        (self.writing.is_none() && count > 0).then_some((finished, count))
    }

    fn least(&self) -> u64 {
        u64::from(self.settings.min_checkpoint_count).max(1)
    }

    /// The checkpoint is durable, or could not be written.
    pub(crate) fn recorded(&mut self, durable: bool, now: Duration) {
        if let Some(written) = self.writing.take().filter(|_| durable) {
            self.checkpoint = written;
        }
        self.checkpoint_at = now + Duration::from_millis(self.settings.checkpoint_after.into());
    }

    /// The place of the last durable checkpoint.
    pub(crate) fn last_checkpoint(&self) -> Option<u64> {
        self.checkpoint.place
    }

    /// Whether something is finished, which another start must not undo.
    pub(crate) fn has_begun(&self) -> bool {
        self.checkpoint.place.is_some() || self.progress.finished().count > 0
    }

    /// The last place that was looked at.
    pub(crate) fn considered(&self) -> Option<u64> {
        self.progress.considered()
    }

    /// When time alone will bring something to do.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let checkpoint = self
            .ahead_of_checkpoint()
            .filter(|(_, count)| *count >= self.least())
            .map(|_| self.checkpoint_at);
        self.book.next_due().into_iter().chain(checkpoint).min()
    }

    /// Events that were read ahead, from the source and from the parked messages.
    pub(crate) fn read_ahead(&self) -> (usize, usize) {
        (self.fresh.len(), self.replayed.len())
    }
}
