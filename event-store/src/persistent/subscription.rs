//! A subscriber's side of a group: what it gets, and what it may say.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    GroupId, Nack,
    group::{Place, Token},
    io,
    runner::Input,
    subscriber::SubscriberId,
};
use crate::{engine::Engine, read::Resolved};

/// Bytes of events that wait in memory for one subscriber; others are read again when it comes to
/// them, so that one who does not take what it gets costs little.
const WAITING_BYTES: u64 = 1 << 20;

/// Who subscribes.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) from: String,
    pub(crate) user: String,
    pub(crate) connection: String,
}

/// Why a subscription has ended. It never ends well.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// The group was changed, or the subscriber wished it.
    Dropped,
    Deleted,
    /// The subscriber does not take what it is sent.
    TooSlow,
    /// What the subscriber said makes no sense.
    Bad(String),
    /// The log cannot be read.
    Lost(String),
    Stopping,
}

/// An event that is sent, and how often it was sent before.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) resolved: Resolved,
    pub(crate) retries: u32,
}

/// What a subscriber says.
#[derive(Debug)]
pub(crate) enum Said {
    Done(Vec<Uuid>),
    Refused(Vec<Uuid>, Nack, String),
    /// Something that cannot be understood, for this reason.
    Nonsense(String),
}

/// A message on its way to a subscriber.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) token: Token,
    pub(crate) place: Place,
    pub(crate) id: Uuid,
    pub(crate) retries: u32,
    pub(crate) bytes: u64,
    pub(crate) event: Option<Resolved>,
}

/// The bytes that wait for a subscriber.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<AtomicU64>);

impl Waiting {
    /// Keeps the event in memory, if there is room.
    pub(crate) fn admit(&self, ticket: &mut Ticket) {
        if ticket.event.is_some()
            && self.0.fetch_add(ticket.bytes, Ordering::Relaxed) > WAITING_BYTES
        {
            self.release(ticket.bytes);
            ticket.event = None;
        }
    }

    fn release(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A subscription to a group, from the inside of its call.
pub(crate) struct Subscription {
    pub(crate) engine: Arc<Engine>,
    pub(crate) id: Arc<GroupId>,
    pub(crate) resolve_links: bool,
    pub(crate) subscriber: SubscriberId,
    pub(crate) tickets: mpsc::Receiver<Ticket>,
    pub(crate) ended: oneshot::Receiver<Ended>,
    pub(crate) waiting: Waiting,
    pub(crate) inputs: mpsc::Sender<Input>,
}

impl Subscription {
    /// What speaks for the subscriber.
    pub(crate) fn voice(&self) -> Voice {
        Voice { subscriber: self.subscriber, inputs: self.inputs.clone() }
    }

    /// The next event, as soon as there is one.
    pub(crate) async fn next(&mut self) -> Result<Event, Ended> {
        loop {
            let ticket = tokio::select! {
                biased;
                ended = &mut self.ended => return Err(ended.unwrap_or(Ended::Stopping)),
                ticket = self.tickets.recv() => ticket,
            };
            let Some(ticket) = ticket else {
                // The group has ended between the two looks, and said how before.
                return Err((&mut self.ended).await.unwrap_or(Ended::Stopping));
            };
            let retries = ticket.retries;
            if let Some(resolved) = self.event(ticket).await? {
                return Ok(Event { resolved, retries });
            }
        }
    }

    async fn event(&self, ticket: Ticket) -> Result<Option<Resolved>, Ended> {
        let Ticket { token, place, id, bytes, event, .. } = ticket;
        if let Some(resolved) = event {
            self.waiting.release(bytes);
            return Ok(Some(resolved));
        }
        let (engine, group) = (Arc::clone(&self.engine), Arc::clone(&self.id));
        let resolve = self.resolve_links;
        let read = tokio::task::spawn_blocking(move || {
            io::read_again(&engine, &group, resolve, place).map_err(|error| error.to_string())
        });
        let resolved = read.await.map_err(|_| Ended::Stopping)?.map_err(Ended::Lost)?;
        let resolved = resolved.filter(|resolved| super::source::original(resolved).id == id);
        if resolved.is_none() {
            // A group that has ended has no use for this.
            let _ = self.inputs.send(Input::Lost(token)).await;
        }
        Ok(resolved)
    }
}

/// Speaks for a subscriber.
pub(crate) struct Voice {
    subscriber: SubscriberId,
    inputs: mpsc::Sender<Input>,
}

impl Voice {
    /// Tells the group; `false` when it has ended.
    pub(crate) async fn say(&self, said: Said) -> bool {
        self.inputs.send(Input::Said(self.subscriber, said)).await.is_ok()
    }
}
