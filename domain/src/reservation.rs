//! A unique name (an e-mail address, a handle): reserved, confirmed, released.

use events::{Moment, ReservationEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// Whose a name is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Reservation {
    /// Nobody's.
    #[default]
    Free,
    /// Held for a sign-up.
    Held {
        /// For whom.
        user: UserId,
        /// From then on somebody else may take it.
        until: Moment,
    },
    /// Somebody's.
    Taken {
        /// Whose.
        user: UserId,
    },
}

impl Reservation {
    /// Whose name it is, once confirmed.
    pub const fn owner(&self) -> Option<UserId> {
        match self {
            Self::Taken { user } => Some(*user),
            Self::Free | Self::Held { .. } => None,
        }
    }
}

/// What a sign-up does to a name.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Hold the name.
    Reserve {
        /// For whom.
        user: UserId,
        /// The present.
        now: Moment,
        /// Until when.
        until: Moment,
    },
    /// Finish the sign-up.
    Confirm {
        /// Whose name it becomes.
        user: UserId,
    },
    /// Give the name back.
    Release {
        /// Whose it was.
        user: UserId,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Somebody else has it.
    #[error("this name is taken")]
    Taken,
    /// It is not held for this person.
    #[error("this name is not reserved for this person")]
    NotReserved,
}

impl Decider for Reservation {
    type Command = Command;
    type Event = ReservationEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<ReservationEvent>, Rejection> {
        match (*command, *self) {
            (Command::Reserve { user, until, .. }, Self::Free) => {
                Ok(vec![ReservationEvent::Reserved { user, until }])
            }
            (
                Command::Reserve { user, .. },
                Self::Held { user: holder, .. } | Self::Taken { user: holder },
            ) if user == holder => Ok(vec![]),
            (Command::Reserve { user, now, until }, Self::Held { user: holder, until: end })
                if now >= end =>
            {
                Ok(vec![
                    ReservationEvent::Released { user: holder },
                    ReservationEvent::Reserved { user, until },
                ])
            }
            (Command::Reserve { .. }, Self::Held { .. } | Self::Taken { .. }) => {
                Err(Rejection::Taken)
            }
            (Command::Confirm { user }, Self::Held { user: holder, .. }) if user == holder => {
                Ok(vec![ReservationEvent::Confirmed { user }])
            }
            (Command::Confirm { user }, Self::Taken { user: owner }) if user == owner => Ok(vec![]),
            (Command::Confirm { .. }, _) => Err(Rejection::NotReserved),
            (
                Command::Release { user },
                Self::Held { user: holder, .. } | Self::Taken { user: holder },
            ) if user == holder => Ok(vec![ReservationEvent::Released { user }]),
            (Command::Release { .. }, Self::Free) => Ok(vec![]),
            (Command::Release { .. }, _) => Err(Rejection::NotReserved),
        }
    }

    fn evolve(self, event: &ReservationEvent) -> Self {
        match *event {
            ReservationEvent::Reserved { user, until } => Self::Held { user, until },
            ReservationEvent::Confirmed { user } => Self::Taken { user },
            ReservationEvent::Released { .. } => Self::Free,
        }
    }
}
