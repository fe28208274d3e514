//! The tail of the log: the newest events, decoded once in a process and shared by all of its
//! projections.
//!
//! Messages of `EVENTS` are the fast path. Whenever one does not follow what is here, or NATS is
//! away, the events are read from the event store.

mod item;
mod pages;
mod ring;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Client, Message};
use event_log::{EventLog, LogError, OpenError, Opened, Recorded};
use events::Position;
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

pub use item::{Content, Item};
use pages::Pages;
use ring::Ring;

use crate::relay::log_stream::{POSITION, PREVIOUS, REFERENCE};
use crate::subjects::Subjects;

/// How many events are read from the event store at once.
const PAGE: usize = 512;
/// How often the log is asked for what NATS did not bring.
const POLL: Duration = Duration::from_secs(1);
/// With the key vault or the event store away, the next try is after this long.
const PAUSE: Duration = Duration::from_millis(250);

/// The newest events of the log. Cheap to clone.
#[derive(Clone)]
pub struct Tail {
    shared: Arc<Shared>,
}

struct Shared {
    log: EventLog,
    ring: Mutex<Ring>,
    pages: Pages,
    /// The position of the newest event here.
    newest: watch::Sender<Position>,
}

impl Tail {
    /// A tail that begins at the present end of the log. [`Tail::follow`] keeps it current.
    ///
    /// # Errors
    /// When the event store is away.
    pub async fn new(log: EventLog) -> Result<Self, LogError> {
        let head = log.head().await?;
        let (newest, _) = watch::channel(head);
        let (ring, pages) = (Mutex::new(Ring::new(head)), Pages::default());
        Ok(Self { shared: Arc::new(Shared { log, ring, pages, newest }) })
    }

    /// Waits until there are events after `checkpoint` and answers with the next ones, in order,
    /// at most `max`. Waits as well while the event store or the key vault is away: a projection
    /// never sees sealed data.
    pub async fn after(&self, checkpoint: Position, max: usize) -> Vec<Arc<Item>> {
        let mut newest = self.shared.newest.subscribe();
        loop {
            newest.mark_unchanged();
            let here = self.shared.ring.lock().expect("no panic holds it").after(checkpoint, max);
            match here {
                Some(items) if !items.is_empty() => return items,
                Some(_) => {
                    // The sender lives as long as `self`.
                    let _ = newest.changed().await;
                }
                None => {
                    let page = self.shared.pages.page(checkpoint, || self.read(checkpoint)).await;
                    if !page.is_empty() {
                        return page.iter().take(max).cloned().collect();
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// The log that it is the tail of.
    pub(crate) fn log(&self) -> &EventLog {
        &self.shared.log
    }

    /// Keeps the tail current until it is dropped.
    pub async fn follow(&self, nats: Client, subjects: Subjects) {
        loop {
            match nats.subscribe(subjects.events()).await {
                Ok(messages) => self.follow_messages(messages.ready_chunks(PAGE)).await,
                Err(error) => tracing::warn!(%error, "cannot subscribe to the events"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow_messages(&self, messages: impl Stream<Item = Vec<Message>>) {
        let mut messages = pin!(messages);
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                messages = messages.next() => match messages {
                    Some(messages) => {
                        self.take(&messages).await;
                        poll.reset();
                    }
                    None => return,
                },
                _ = poll.tick() => self.catch_up().await,
            }
        }
    }

    /// Takes the events of messages of `EVENTS`, as far as they follow each other.
    async fn take(&self, messages: &[Message]) {
        let mut newest = *self.shared.newest.borrow();
        let mut events = Vec::with_capacity(messages.len());
        let mut missing = false;
        for message in messages {
            match next_event(message, newest) {
                Next::Event(event) => {
                    newest = event.position;
                    events.push(*event);
                }
                Next::Old => {}
                Next::Gap => {
                    missing = true;
                    break;
                }
            }
        }
        if !events.is_empty() {
            self.push(events).await;
        }
        if missing {
            self.catch_up().await;
        }
    }

    /// Reads what is missing up to the end of the log.
    async fn catch_up(&self) {
        loop {
            let newest = *self.shared.newest.borrow();
            match self.shared.log.read_all(newest, PAGE).await {
                Ok(events) if events.is_empty() => return,
                Ok(events) => self.push(events).await,
                Err(error) => {
                    tracing::debug!(%error, "the log cannot be read");
                    return;
                }
            }
        }
    }

    async fn push(&self, events: Vec<Recorded>) {
        let items = self.open_all(events).await;
        let newest = {
            let mut ring = self.shared.ring.lock().expect("no panic holds it");
            items.into_iter().for_each(|item| ring.push(item));
            ring.newest()
        };
        self.shared.newest.send_replace(newest);
    }

    /// Reads from the event store for a projection that is behind the tail.
    async fn read(&self, after: Position) -> Vec<Arc<Item>> {
        match self.shared.log.read_all(after, PAGE).await {
            Ok(events) => self.open_all(events).await,
            Err(error) => {
                tracing::debug!(%error, "the log cannot be read");
                vec![]
            }
        }
    }

    async fn open_all(&self, events: Vec<Recorded>) -> Vec<Arc<Item>> {
        let mut items = Vec::with_capacity(events.len());
        for event in events {
            items.push(Arc::new(open(&self.shared.log, event).await));
        }
        items
    }
}

/// Opens an event, waiting for the key vault if it has to.
pub(crate) async fn open(log: &EventLog, event: Recorded) -> Item {
    let mut warned = false;
    let content = loop {
        match log.open(&event).await {
            Ok(Opened::Ours(envelope)) => break Content::Ours(Box::new(envelope)),
            Ok(Opened::Foreign) => break Content::Foreign,
            Err(OpenError::Poison(error)) => break Content::Poison(error),
            Err(OpenError::VaultUnavailable(_)) => {
                if !warned {
                    tracing::warn!("the key vault is away: projections wait");
                }
                warned = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    Item::new(event, content)
}

/// What a message of `EVENTS` is to somebody who has everything up to some position.
enum Next {
    /// The next event.
    Event(Box<Recorded>),
    /// An event that is there already.
    Old,
    /// Something is missing in between, or the message does not hold the event.
    Gap,
}

fn next_event(message: &Message, newest: Position) -> Next {
    let header = |name| message.headers.as_ref().and_then(|headers| headers.get(name));
    let position = |name| header(name).and_then(|text| text.as_str().parse::<Position>().ok());
    match (position(PREVIOUS), position(POSITION)) {
        (Some(_), Some(position)) if position <= newest => Next::Old,
        (Some(previous), Some(_)) if previous == newest && header(REFERENCE).is_none() => {
            match serde_json::from_slice(&message.payload) {
                Ok(event) => Next::Event(Box::new(event)),
                Err(_) => Next::Gap,
            }
        }
        _ => Next::Gap,
    }
}
