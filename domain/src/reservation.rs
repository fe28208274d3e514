//! A unique name (an e-mail address, a handle): reserved, confirmed, released.

use events::serde::Serialize;
use events::{Moment, ReservationEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// Whose a name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde", rename_all = "snake_case")]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decider::laws::{given, hold, user};

    fn at(second: u8) -> Moment {
        Moment::from_timestamp(second.into(), 0).unwrap()
    }

    fn reserve(who: u8, now: u8) -> Command {
        Command::Reserve { user: user(who), now: at(now), until: at(now + 10) }
    }

    fn held() -> Reservation {
        given(&[ReservationEvent::Reserved { user: user(1), until: at(10) }])
    }

    fn taken() -> Reservation {
        held().evolve(&ReservationEvent::Confirmed { user: user(1) })
    }

    #[test]
    fn a_free_name_is_held_for_the_first_who_asks() {
        let held = vec![ReservationEvent::Reserved { user: user(1), until: at(10) }];
        assert_eq!(Reservation::Free.decide(&reserve(1, 0)), Ok(held));
    }

    #[test]
    fn a_held_name_is_refused_to_others_until_it_expires() {
        assert_eq!(held().decide(&reserve(1, 1)), Ok(vec![]));
        assert_eq!(held().decide(&reserve(2, 9)), Err(Rejection::Taken));
        let moved = vec![
            ReservationEvent::Released { user: user(1) },
            ReservationEvent::Reserved { user: user(2), until: at(20) },
        ];
        assert_eq!(held().decide(&reserve(2, 10)), Ok(moved));
    }

    #[test]
    fn a_confirmed_name_stays_whoever_asks_whenever() {
        assert_eq!(taken().owner(), Some(user(1)));
        assert_eq!(taken().decide(&reserve(2, 200)), Err(Rejection::Taken));
        assert_eq!(taken().decide(&reserve(1, 200)), Ok(vec![]));
    }

    #[test]
    fn only_who_it_is_held_for_confirms() {
        let confirm = |who| Command::Confirm { user: user(who) };
        let confirmed = vec![ReservationEvent::Confirmed { user: user(1) }];
        assert_eq!(held().decide(&confirm(1)), Ok(confirmed));
        assert_eq!(held().decide(&confirm(2)), Err(Rejection::NotReserved));
        assert_eq!(Reservation::Free.decide(&confirm(1)), Err(Rejection::NotReserved));
        assert_eq!(taken().decide(&confirm(1)), Ok(vec![]));
        assert_eq!(taken().decide(&confirm(2)), Err(Rejection::NotReserved));
    }

    #[test]
    fn only_its_holder_gives_a_name_back() {
        let release = |who| Command::Release { user: user(who) };
        for state in [held(), taken()] {
            let released = vec![ReservationEvent::Released { user: user(1) }];
            assert_eq!(state.decide(&release(1)), Ok(released));
            assert_eq!(state.decide(&release(2)), Err(Rejection::NotReserved));
        }
        assert_eq!(Reservation::Free.decide(&release(1)), Ok(vec![]));
    }

    fn command() -> impl Strategy<Value = Command> {
        (1..4_u8, 0..50_u8, 0..3_u8).prop_map(|(who, now, kind)| match kind {
            0 => reserve(who, now),
            1 => Command::Confirm { user: user(who) },
            _ => Command::Release { user: user(who) },
        })
    }

    proptest! {
        #[test]
        fn the_laws_hold(commands in proptest::collection::vec(command(), 0..40)) {
            hold::<Reservation>(&commands, |_| false, |before, after| {
                if let (Some(one), Some(other)) = (before.owner(), after.owner()) {
                    assert_eq!(one, other, "a name passes on only by being released");
                }
            });
        }
    }
}
