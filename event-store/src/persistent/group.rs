//! The rules of a group, without I/O and without a clock: what was read, said and written goes in,
//! and what is to be sent, parked and recorded comes out.
//!
//! An event is finished when it was acknowledged, skipped, or durably parked. The checkpoint is the
//! place below which everything is finished, so a restart may repeat events and never loses one.

use std::{collections::VecDeque, time::Duration};

use uuid::Uuid;

use super::{
    book::{Book, Message, State},
    figures::{Latencies, Rate},
    progress::{Mark, Progress},
    settings::Settings,
    subscriber::{Subscriber, SubscriberId},
};

/// Bytes of events that are read ahead of the subscribers; one event more may follow.
const MOST_BYTES: u64 = 4 << 20;
/// Messages on their way to the parked ones, beyond which nothing is handed out.
const MOST_PARKING: usize = 1024;
/// Replayed messages that are finished before their stream is cut again.
const CUT_EVERY: u64 = 64;

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
    replay: std::ops::Range<u64>,
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

    /// Hands out all that subscribers have room for: first what was sent before.
    pub(crate) fn deliver(&mut self, now: Duration) -> Vec<Delivery<E>> {
        let mut deliveries = Vec::new();
        if self.book.parking() >= MOST_PARKING {
            return deliveries;
        }
        let mut after = None;
        while let Some(token) = self.book.waiting_after(after)
            && self.any_room()
        {
            after = Some(token);
            let message = self.book.get(token).expect("what waits is in the book");
            if let Some(at) = self.pick(message.affinity) {
                deliveries.push(self.give(at, token, message, now));
            }
        }
        let mut replayed = std::mem::take(&mut self.replayed);
        self.hand_out(&mut replayed, Place::Parked, now, &mut deliveries);
        self.replayed = replayed;
        let mut fresh = std::mem::take(&mut self.fresh);
        self.fresh_bytes -= self.hand_out(&mut fresh, Place::Source, now, &mut deliveries);
        self.fresh = fresh;
        deliveries
    }

    /// Hands out messages for the first time, and tells how many bytes they have.
    fn hand_out(
        &mut self,
        queue: &mut VecDeque<Fresh<E>>,
        place: fn(u64) -> Place,
        now: Duration,
        deliveries: &mut Vec<Delivery<E>>,
    ) -> u64 {
        let (mut next, mut bytes) = (0, 0);
        while next < queue.len() && self.any_room() {
            let Some(at) = self.pick(queue[next].found.affinity) else {
                next += 1;
                continue;
            };
            let Fresh { token, found } = queue.remove(next).expect("the queue is so long");
            let Found { id, affinity, .. } = found;
            let state = State::Waiting;
            let place = place(found.place);
            let message = Message { id, place, affinity, retries: 0, state };
            bytes += found.bytes;
            let delivery = self.give(at, token, message, now);
            deliveries.push(Delivery { bytes: found.bytes, event: Some(found.event), ..delivery });
        }
        bytes
    }

    fn any_room(&self) -> bool {
        self.subscribers.iter().any(Subscriber::has_room)
    }

    fn pick(&mut self, affinity: u64) -> Option<usize> {
        self.settings.strategy.pick(&self.subscribers, &mut self.cursor, affinity)
    }

    fn give(&mut self, at: usize, token: Token, message: Message, now: Duration) -> Delivery<E> {
        let Message { id, place, retries, .. } = message;
        let subscriber = self.subscribers[at].id;
        let timeout = self.settings.message_timeout;
        let due = (timeout > 0).then(|| now + Duration::from_millis(timeout.into()));
        let state = State::InFlight { subscriber, since: now, due };
        self.book.put(token, Message { state, ..message });
        self.subscribers[at].give(id, token);
        self.rate.count(1);
        Delivery { subscriber, token, place, id, retries, bytes: 0, event: None }
    }

    fn at(&self, id: SubscriberId) -> Option<usize> {
        self.subscribers.iter().position(|subscriber| subscriber.id == id)
    }

    /// The message a subscriber speaks of: in its hands, or taken from them because it was late.
    fn spoken_of(&self, by: SubscriberId, id: Uuid) -> Option<Token> {
        let subscriber = &self.subscribers[self.at(by)?];
        subscriber.holding(id).or_else(|| self.book.waiting_with(id))
    }

    pub(crate) fn acknowledge(&mut self, by: SubscriberId, id: Uuid, now: Duration) {
        let Some(token) = self.spoken_of(by, id) else { return };
        if let Some(Message { state: State::InFlight { since, .. }, .. }) = self.book.get(token)
            && let Some(at) = self.at(by)
        {
            let latencies: Option<&mut Latencies> = self.subscribers[at].latencies.as_mut();
            latencies.into_iter().for_each(|latencies| latencies.add(now.saturating_sub(since)));
        }
        self.finish(token);
    }

    /// Does with the message what the subscriber wants.
    pub(crate) fn refuse(&mut self, by: SubscriberId, id: Uuid, what: Nack, reason: &str) {
        let Some(token) = self.spoken_of(by, id) else { return };
        match what {
            Nack::Park => self.park(token, reason),
            Nack::Skip => self.finish(token),
            Nack::Retry | Nack::Stop => self.retry(token, reason),
        }
    }

    /// Takes messages back from subscribers that have taken too long.
    pub(crate) fn expire(&mut self, now: Duration) {
        while let Some(token) = self.book.overdue(now) {
            self.retry(token, "The consumer took too long.");
        }
    }

    /// The event of a message is gone from the log, so there is nothing left to be done.
    pub(crate) fn lost(&mut self, token: Token) {
        self.finish(token);
    }

    fn retry(&mut self, token: Token, why: &str) {
        let Some(message) = self.book.get(token) else { return };
        if message.state == State::Waiting {
            return;
        }
        if message.retries >= self.settings.max_retry_count {
            let reason = format!("Sent again {} times. {why}", message.retries);
            return self.park(token, &reason);
        }
        let retries = message.retries + 1;
        self.change(token, Message { retries, state: State::Waiting, ..message });
    }

    fn park(&mut self, token: Token, reason: &str) {
        let Some(message) = self.book.get(token) else { return };
        let Message { id, place, .. } = message;
        self.change(token, Message { state: State::Parking, ..message });
        self.to_park.push(ToPark { token, place, id, reason: reason.to_owned() });
    }

    fn change(&mut self, token: Token, message: Message) {
        let before = self.book.put(token, message);
        self.take_back(token, before);
    }

    fn take_back(&mut self, token: Token, message: Option<Message>) {
        if let Some(Message { id, state: State::InFlight { subscriber, .. }, .. }) = message
            && let Some(at) = self.at(subscriber)
        {
            self.subscribers[at].take_back(id, token);
        }
    }

    fn finish(&mut self, token: Token) {
        let message = self.book.remove(token);
        self.take_back(token, message);
        match message.map(|message| message.place) {
            Some(Place::Source(place)) => self.progress.finish(place),
            Some(Place::Parked(place)) => self.replaying.finish(place),
            None => {}
        }
    }

    /// What is to be parked now; each has to be told [`parked`](Self::parked) or
    /// [`not_parked`](Self::not_parked).
    pub(crate) fn take_to_park(&mut self) -> Vec<ToPark> {
        std::mem::take(&mut self.to_park)
    }

    pub(crate) fn has_to_park(&self) -> bool {
        !self.to_park.is_empty()
    }

    /// The message is durable among the parked ones.
    pub(crate) fn parked(&mut self, token: Token) {
        self.finish(token);
    }

    /// Parking did not work, and is to be tried again.
    pub(crate) fn not_parked(&mut self, mut again: Vec<ToPark>) {
        again.append(&mut self.to_park);
        self.to_park = again;
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

    /// Replays parked messages: the revisions in the range that are not being replayed already.
    pub(crate) fn replay(&mut self, revisions: std::ops::Range<u64>) {
        let from = self.replay.start.max(revisions.start);
        self.replay = from..self.replay.end.max(revisions.end).max(from);
        if self.replaying.is_all_finished() && self.replayed.is_empty() {
            self.replaying = Progress::new(from.checked_sub(1));
            self.cut = from;
        }
    }

    /// The parked messages that should be read.
    pub(crate) fn wanted_parked(&self) -> Option<std::ops::Range<u64>> {
        let batch = u64::from(self.settings.read_batch_size);
        let wanted = !self.replay.is_empty()
            && !self.subscribers.is_empty()
            && (self.replayed.len() as u64) < batch;
        let start = self.replay.start;
        wanted.then(|| start..self.replay.end.min(start.saturating_add(batch)))
    }

    /// Takes in parked messages that were read; the next revision is the given one.
    pub(crate) fn read_parked(&mut self, events: Vec<Found<E>>, next: u64) {
        for found in events {
            self.replaying.add(found.place);
            let token = self.token();
            self.replayed.push_back(Fresh { token, found });
        }
        if let Some(last) = next.checked_sub(1) {
            self.replaying.pass(last, 0);
        }
        self.replay.start = self.replay.start.max(next);
        self.replay.end = self.replay.end.max(self.replay.start);
    }

    /// Parked messages before this revision were replayed and are finished: they can be cut off.
    pub(crate) fn to_cut(&self, flush: bool) -> Option<u64> {
        let to = self.replaying.finished().place? + 1;
        let all = self.replay.is_empty() && self.replaying.is_all_finished();
        (to > self.cut && (all || flush || to - self.cut >= CUT_EVERY)).then_some(to)
    }

    /// Parked messages before this revision are cut off.
    pub(crate) fn was_cut(&mut self, to: u64) {
        self.cut = self.cut.max(to);
    }

    /// Whether parked messages are being replayed, and the first revision that is not.
    pub(crate) fn replayed_to(&self) -> (bool, u64) {
        let busy = !self.replay.is_empty() || !self.replaying.is_all_finished();
        (busy, self.replay.end)
    }

    /// Events that were read ahead, from the source and from the parked messages.
    pub(crate) fn read_ahead(&self) -> (usize, usize) {
        (self.fresh.len(), self.replayed.len())
    }
}
