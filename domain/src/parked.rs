//! What is done about an event that projections could not work on: it is tried again, or skipped.

use std::collections::BTreeSet;

use events::serde::Serialize;
use events::user::PlatformRole;
use events::{EventId, ParkedEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// The most characters of a reason.
const LONGEST: usize = 500;
/// The most characters of a projection's name.
const LONGEST_NAME: usize = 64;

/// What was decided about one event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Parked {
    skipped: BTreeSet<String>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Try it again.
    Retry,
    /// Do without it.
    Skip {
        /// Why.
        reason: String,
    },
}

/// What somebody wants to be done.
#[derive(Clone, Debug)]
pub struct Command {
    /// About which event.
    pub event: EventId,
    /// By which projection.
    pub projection: String,
    /// Who.
    pub by: UserId,
    /// Their role on the platform.
    pub by_role: PlatformRole,
    /// What.
    pub action: Action,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Only an admin decides this.
    #[error("only an admin of the platform may do this")]
    NotAdmin,
    /// No projection is called so.
    #[error("a projection is named by 1 to 64 small letters and underscores")]
    InvalidProjection,
    /// What is skipped needs a reason.
    #[error("a reason has 1 to 500 characters that are not all blank")]
    InvalidReason,
    /// The projection does without it.
    #[error("the event was skipped")]
    Skipped,
}

impl Decider for Parked {
    type Command = Command;
    type Event = ParkedEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<ParkedEvent>, Rejection> {
        let Command { event, projection, by, by_role, action } = command.clone();
        if by_role < PlatformRole::Admin {
            return Err(Rejection::NotAdmin);
        }
        let plain = projection.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !plain || projection.is_empty() || projection.len() > LONGEST_NAME {
            return Err(Rejection::InvalidProjection);
        }
        let skipped = self.skipped.contains(&projection);
        match action {
            Action::Retry if skipped => Err(Rejection::Skipped),
            Action::Retry => Ok(vec![ParkedEvent::Retried { event, projection, by }]),
            Action::Skip { reason } => {
                let reason = reason.trim().to_owned();
                if reason.is_empty() || reason.chars().count() > LONGEST {
                    return Err(Rejection::InvalidReason);
                }
                match skipped {
                    true => Ok(vec![]),
                    false => Ok(vec![ParkedEvent::Skipped { event, projection, by, reason }]),
                }
            }
        }
    }

    fn evolve(mut self, event: &ParkedEvent) -> Self {
        match event {
            ParkedEvent::Retried { .. } => {}
            ParkedEvent::Skipped { projection, .. } => {
                self.skipped.insert(projection.clone());
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::user;

    fn command(projection: &str, action: Action) -> Command {
        let event = EventId::new(Uuid::from_u128(0xe0));
        let (by, by_role) = (user(1), PlatformRole::Admin);
        Command { event, projection: projection.to_owned(), by, by_role, action }
    }

    fn skip(reason: &str) -> Action {
        Action::Skip { reason: reason.to_owned() }
    }

    #[test]
    fn it_is_tried_again_as_often_as_an_admin_wants_until_it_is_skipped() {
        let mut parked = Parked::default();
        for _ in 0..2 {
            let retried = parked.decide(&command("member", Action::Retry)).unwrap();
            assert!(matches!(&retried[..], [ParkedEvent::Retried { .. }]));
            parked = parked.evolve(&retried[0]);
        }
        let skipped = parked.decide(&command("member", skip(" broken "))).unwrap();
        let [ParkedEvent::Skipped { reason, .. }] = &skipped[..] else { panic!("{skipped:?}") };
        assert_eq!(reason, "broken");
        parked = parked.evolve(&skipped[0]);
        assert_eq!(parked.decide(&command("member", skip("again"))), Ok(vec![]));
        let again = command("member", Action::Retry);
        assert_eq!(parked.decide(&again), Err(Rejection::Skipped));
        assert!(parked.decide(&command("message", Action::Retry)).is_ok(), "another one");
    }

    #[test]
    fn only_admins_do_so_and_say_why() {
        let parked = Parked::default();
        let person = Command { by_role: PlatformRole::Moderator, ..command("member", skip("why")) };
        assert_eq!(parked.decide(&person), Err(Rejection::NotAdmin));
        let blank = command("member", skip(" "));
        assert_eq!(parked.decide(&blank), Err(Rejection::InvalidReason));
        let long = command("member", skip(&"x".repeat(501)));
        assert_eq!(parked.decide(&long), Err(Rejection::InvalidReason));
        for name in ["", "Member", "a b", &"x".repeat(65)] {
            let wrong = parked.decide(&command(name, Action::Retry));
            assert_eq!(wrong, Err(Rejection::InvalidProjection), "{name}");
        }
    }
}
