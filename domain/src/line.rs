//! Lines: a device is in one call at a time, and a conversation has one.
//!
//! What a line holds is a pointer to a call, and the call alone knows whether it is still true:
//! whoever wants a line looks there first, and says in the command what is over. So a line need not
//! be given back for another call to take it, and nobody is kept out by a process that died.

#[cfg(test)]
mod model;

use std::collections::{BTreeMap, BTreeSet};

use events::call::Participant;
use events::line::Slot;
use events::serde::{Serialize, Serializer};
use events::{CallId, LineEvent, Moment};
use thiserror::Error;

use crate::Decider;
use crate::call::Call;

/// How many lines of one person may be in calls.
pub const MAX_LINES: usize = 32;

/// The lines of a person, or the one of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(crate = "events::serde")]
pub struct Line {
    #[serde(serialize_with = "as_pairs")]
    held: BTreeMap<Slot, Held>,
}

/// A slot is no text, which the keys of an object are.
fn as_pairs<S: Serializer>(held: &BTreeMap<Slot, Held>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(held)
}

/// What a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(crate = "events::serde")]
pub struct Held {
    /// The call.
    pub call: CallId,
    /// Until when it is kept for somebody who is on the way into the call.
    pub until: Moment,
}

impl Held {
    /// Whether the line is free, as its call says: the call is over, or the device (where it is the
    /// line of one) is not in it, and is not on the way into it either.
    pub fn is_over(&self, call: &Call, device: Option<Participant>, now: Moment) -> bool {
        let expired = self.until <= now;
        match (call.begun(), device) {
            (None, _) => expired,
            (Some(begun), _) if begun.is_over() => true,
            (Some(begun), Some(device)) => expired && !begun.has(device),
            (Some(_), None) => false,
        }
    }
}

impl Line {
    /// What a line belongs to, as far as is known here: the call knows better.
    pub fn held(&self, slot: Slot) -> Option<Held> {
        self.held.get(&slot).copied()
    }

    /// All lines.
    pub fn all(&self) -> impl Iterator<Item = (Slot, Held)> {
        self.held.iter().map(|(slot, held)| (*slot, *held))
    }
}

/// What is done with a line.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take it for a call.
    Take {
        /// Which line.
        slot: Slot,
        /// For which call.
        call: CallId,
        /// The present.
        now: Moment,
        /// Until when the line is kept for who is on the way into the call.
        until: Moment,
        /// Lines that a look at their calls has shown to be free, with the calls they had.
        over: BTreeSet<(Slot, CallId)>,
    },
    /// Give it back.
    Free {
        /// Which line.
        slot: Slot,
        /// What it was taken for.
        call: CallId,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It is in use.
    #[error("the line belongs to another call")]
    Engaged,
    /// Too many.
    #[error("a person has at most 32 devices in calls")]
    TooManyLines,
}

impl Decider for Line {
    type Command = Command;
    type Event = LineEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<LineEvent>, Rejection> {
        match command {
            Command::Take { slot, call, now, until, over } => {
                let (slot, call, until) = (*slot, *call, *until);
                let is_over = |slot: Slot, held: &Held| over.contains(&(slot, held.call));
                match self.held.get(&slot) {
                    Some(held) if held.call == call && held.until > *now => return Ok(vec![]),
                    Some(held) if held.call != call && !is_over(slot, held) => {
                        return Err(Rejection::Engaged);
                    }
                    Some(_) | None => {}
                }
                let others = self.held.iter().filter(|(other, _)| **other != slot);
                let (dropped, kept): (Vec<_>, Vec<_>) =
                    others.partition(|(other, held)| is_over(**other, held));
                if kept.len() >= MAX_LINES {
                    return Err(Rejection::TooManyLines);
                }
                let dropped = dropped.into_iter().map(|(other, _)| *other).collect();
                Ok(vec![LineEvent::Taken { slot, call, until, dropped }])
            }
            Command::Free { slot, call } => {
                let (slot, call) = (*slot, *call);
                let held = self.held.get(&slot).is_some_and(|held| held.call == call);
                Ok(if held { vec![LineEvent::Freed { slot, call }] } else { vec![] })
            }
        }
    }

    fn evolve(mut self, event: &LineEvent) -> Self {
        match event {
            LineEvent::Taken { slot, call, until, dropped } => {
                self.held.retain(|other, _| !dropped.contains(other));
                self.held.insert(*slot, Held { call: *call, until: *until });
            }
            LineEvent::Freed { slot, .. } => {
                self.held.remove(slot);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use events::LoginId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{given, hold};

    fn slot(device: u128) -> Slot {
        Slot::Device(LoginId::new(Uuid::from_u128(device)))
    }

    fn call(number: u128) -> CallId {
        CallId::new(Uuid::from_u128(number))
    }

    fn at(second: i64) -> Moment {
        Moment::from_timestamp(second, 0).unwrap()
    }

    fn take(device: u128, number: u128, now: i64, over: &[(u128, u128)]) -> Command {
        let over = over.iter().map(|(device, number)| (slot(*device), call(*number))).collect();
        let (slot, call) = (slot(device), call(number));
        Command::Take { slot, call, now: at(now), until: at(now + 10), over }
    }

    fn taken(device: u128, number: u128) -> LineEvent {
        LineEvent::Taken { slot: slot(device), call: call(number), until: at(10), dropped: vec![] }
    }

    #[test]
    fn a_line_is_taken_by_one_call_until_that_is_over() {
        let free = Line::default();
        assert_eq!(free.decide(&take(1, 7, 0, &[])), Ok(vec![taken(1, 7)]));
        let busy = given::<Line>(&[taken(1, 7)]);
        assert_eq!(busy.decide(&take(1, 8, 5, &[])), Err(Rejection::Engaged));
        assert_eq!(busy.decide(&take(1, 8, 500, &[])), Err(Rejection::Engaged), "the call knows");
        assert_eq!(busy.decide(&take(1, 8, 5, &[(1, 6)])), Err(Rejection::Engaged));
        assert!(busy.decide(&take(1, 8, 5, &[(1, 7)])).is_ok());
        assert!(busy.decide(&take(2, 8, 5, &[])).is_ok(), "another device");
    }

    #[test]
    fn who_comes_back_keeps_the_line_for_as_long_again() {
        let busy = given::<Line>(&[taken(1, 7)]);
        assert_eq!(busy.decide(&take(1, 7, 5, &[])), Ok(vec![]));
        let again = busy.decide(&take(1, 7, 20, &[])).unwrap();
        assert_eq!(busy.evolve(&again[0]).held(slot(1)).unwrap().until, at(30));
    }

    #[test]
    fn a_line_is_given_back_by_its_own_call_only() {
        let busy = given::<Line>(&[taken(1, 7)]);
        let free = |number| busy.decide(&Command::Free { slot: slot(1), call: call(number) });
        assert_eq!(free(8), Ok(vec![]));
        assert_eq!(free(7), Ok(vec![LineEvent::Freed { slot: slot(1), call: call(7) }]));
    }

    #[test]
    fn what_is_over_makes_room() {
        let many: Vec<_> = (0..MAX_LINES as u128).map(|device| taken(device, 7)).collect();
        let full = given::<Line>(&many);
        assert_eq!(full.decide(&take(99, 8, 50, &[])), Err(Rejection::TooManyLines));
        let made = full.decide(&take(99, 8, 50, &[(3, 7), (4, 7)])).unwrap();
        assert_eq!(made.iter().fold(full, Line::evolve).all().count(), MAX_LINES - 1);
    }

    proptest! {
        #[test]
        fn the_laws_hold(
            commands in proptest::collection::vec(
                (any::<bool>(), 0..4_u128, 0..3_u128, 0..30_i64, 0..4_u128, 0..3_u128).prop_map(
                    |(takes, device, number, now, other, over)| match takes {
                        true => take(device, number, now, &[(other, over)]),
                        false => Command::Free { slot: slot(device), call: call(number) },
                    },
                ),
                0..40,
            )
        ) {
            hold::<Line>(&commands, |_| false, |_, after| {
                assert!(after.all().count() <= MAX_LINES);
            });
        }
    }
}
