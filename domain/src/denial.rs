//! What a person was not allowed to do: every time is recorded, as often as it happens.

use std::convert::Infallible;

use events::denial::Target;
use events::serde::Serialize;
use events::{DenialEvent, Scope, UserId};

use crate::Decider;

/// What is known of a person's denials: nothing decides on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Denials;

/// Record that a command was refused because the person may not give it.
#[derive(Clone, Debug)]
pub struct Command {
    /// Who.
    pub user: UserId,
    /// The name of the command.
    pub command: String,
    /// The slug of the problem that the person was answered with.
    pub problem: String,
    /// What it was about, where that is one thing.
    pub target: Option<Target>,
    /// The scope that was missing, where an API token lacks one.
    pub scope: Option<Scope>,
}

impl Decider for Denials {
    type Command = Command;
    type Event = DenialEvent;
    type Rejection = Infallible;

    fn decide(&self, denied: &Command) -> Result<Vec<DenialEvent>, Infallible> {
        let Command { user, command, problem, target, scope } = denied.clone();
        Ok(vec![DenialEvent::Recorded { user, command, problem, target, scope }])
    }

    fn evolve(self, event: &DenialEvent) -> Self {
        match event {
            DenialEvent::Recorded { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{hold, user};

    fn record(command: &str, target: Option<u128>) -> Command {
        Command {
            user: user(1),
            command: command.to_owned(),
            problem: "not-owner".to_owned(),
            target: target.map(Uuid::from_u128),
            scope: None,
        }
    }

    #[test]
    fn every_denial_is_recorded_even_the_same_again() {
        let recorded = DenialEvent::Recorded {
            user: user(1),
            command: "conversation.ban".to_owned(),
            problem: "not-owner".to_owned(),
            target: Some(Uuid::from_u128(9)),
            scope: None,
        };
        let state = Denials.evolve(&recorded);
        let again = state.decide(&record("conversation.ban", Some(9)));
        assert_eq!(again, Ok(vec![recorded]));
    }

    proptest! {
        /// But for the one that says that a repeat has no effect: a repeat is another denial.
        #[test]
        fn the_laws_hold(
            commands in proptest::collection::vec(
                ("[ab]", proptest::option::of(0..3_u128))
                    .prop_map(|(command, target)| record(&command, target)),
                0..10,
            )
        ) {
            hold::<Denials>(&commands, |_| true, |_, _| {});
        }
    }
}
