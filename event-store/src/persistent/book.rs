//! The messages that were handed out and are not finished: where they are, and until when.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    time::Duration,
};

use uuid::Uuid;

use super::{
    group::{Place, Token},
    subscriber::{SubscriberId, first_with},
};

/// Where a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// With a subscriber, since then.
    InFlight { subscriber: SubscriberId, since: Duration, due: Option<Duration> },
    /// To be sent again.
    Waiting,
    /// On its way to the parked messages.
    Parking,
}

/// A message that was handed out. Its event is not kept: it is read again when it is sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) place: Place,
    pub(crate) affinity: u64,
    pub(crate) retries: u32,
    pub(crate) state: State,
}

/// All messages of a group that were handed out.
#[derive(Debug, Default)]
pub(crate) struct Book {
    messages: HashMap<Token, Message>,
    waiting: BTreeSet<Token>,
    waiting_ids: BTreeSet<(Uuid, Token)>,
    due: BTreeSet<(Duration, Token)>,
    parking: usize,
}

impl Book {
    /// Takes a message in, or changes what is known of it; tells what was known before.
    pub(crate) fn put(&mut self, token: Token, message: Message) -> Option<Message> {
        let before = self.remove(token);
        match message.state {
            State::InFlight { due, .. } => self.due.extend(due.map(|due| (due, token))),
            State::Waiting => {
                self.waiting.insert(token);
                self.waiting_ids.insert((message.id, token));
            }
            State::Parking => self.parking += 1,
        }
        self.messages.insert(token, message);
        before
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<Message> {
        let message = self.messages.remove(&token)?;
        match message.state {
            State::InFlight { due, .. } => {
                if let Some(due) = due {
                    self.due.remove(&(due, token));
                }
            }
            State::Waiting => {
                self.waiting.remove(&token);
                self.waiting_ids.remove(&(message.id, token));
            }
            State::Parking => self.parking -= 1,
        }
        Some(message)
    }

    pub(crate) fn get(&self, token: Token) -> Option<Message> {
        self.messages.get(&token).copied()
    }

    /// The first message to be sent again behind this one, or of all.
    pub(crate) fn waiting_after(&self, after: Option<Token>) -> Option<Token> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.waiting.range((from, Bound::Unbounded)).next().copied()
    }

    pub(crate) fn waiting_with(&self, id: Uuid) -> Option<Token> {
        first_with(&self.waiting_ids, id)
    }

    /// When the next subscriber will have taken too long.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// A message whose subscriber has taken too long.
    pub(crate) fn overdue(&self, now: Duration) -> Option<Token> {
        self.due.first().filter(|(due, _)| *due <= now).map(|(_, token)| *token)
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn parking(&self) -> usize {
        self.parking
    }
}
