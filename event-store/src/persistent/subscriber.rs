//! One subscriber of a group: what it has in hand, and how it fares.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use super::{
    figures::{Latencies, Rate},
    group::Token,
};

/// A subscriber within its group.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct SubscriberId(pub(crate) u64);

/// What the group knows of a subscriber.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: SubscriberId,
    pub(crate) buffer_size: usize,
    /// Ids come from writers and can be twice in a stream, so the token tells them apart.
    in_flight: BTreeSet<(Uuid, Token)>,
    pub(crate) rate: Rate,
    pub(crate) latencies: Option<Latencies>,
}

impl Subscriber {
    pub(crate) fn new(id: SubscriberId, buffer_size: usize, now: Duration, measured: bool) -> Self {
        Self {
            id,
            buffer_size,
            in_flight: BTreeSet::new(),
            rate: Rate::new(now),
            latencies: measured.then(Latencies::default),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < self.buffer_size
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn give(&mut self, id: Uuid, token: Token) {
        self.in_flight.insert((id, token));
        self.rate.count(1);
    }

    pub(crate) fn take_back(&mut self, id: Uuid, token: Token) {
        self.in_flight.remove(&(id, token));
    }

    /// The oldest message in hand with this id.
    pub(crate) fn holding(&self, id: Uuid) -> Option<Token> {
        first_with(&self.in_flight, id)
    }

    /// All that is in hand, in the order it was read.
    pub(crate) fn into_tokens(self) -> BTreeSet<Token> {
        self.in_flight.into_iter().map(|(_, token)| token).collect()
    }
}

/// The oldest of the messages with this id.
pub(crate) fn first_with(messages: &BTreeSet<(Uuid, Token)>, id: Uuid) -> Option<Token> {
    let (found, token) = messages.range((id, Token::FIRST)..).next()?;
    (*found == id).then_some(*token)
}
