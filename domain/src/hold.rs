//! Legal holds: for each matter somebody may order that a person or a conversation is kept.

use std::collections::BTreeSet;

use events::hold::Held;
use events::user::PlatformRole;
use events::{HoldEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// The most characters of a matter's name.
const LONGEST: usize = 100;

/// The matters for which something is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    matters: BTreeSet<String>,
}

impl Hold {
    /// Whether nothing of it may be erased or dropped.
    pub fn is_in_force(&self) -> bool {
        !self.matters.is_empty()
    }

    /// The matters it is kept for, in alphabetical order.
    pub fn matters(&self) -> impl Iterator<Item = &str> {
        self.matters.iter().map(String::as_str)
    }
}

/// What is ordered.
#[derive(Clone, Debug)]
pub struct Command {
    /// Of what.
    pub held: Held,
    /// For which matter.
    pub matter: String,
    /// Who orders it.
    pub by: UserId,
    /// Their role on the platform.
    pub by_role: PlatformRole,
    /// Whether it is to be kept, or needs to be no more.
    pub keep: bool,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Only an admin decides this.
    #[error("only an admin of the platform may do this")]
    NotAdmin,
    /// The name of a matter is none.
    #[error("a matter is named by 1 to 100 characters that are not all blank")]
    InvalidMatter,
}

impl Decider for Hold {
    type Command = Command;
    type Event = HoldEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<HoldEvent>, Rejection> {
        let Command { held, matter, by, by_role, keep } = command.clone();
        if by_role < PlatformRole::Admin {
            return Err(Rejection::NotAdmin);
        }
        let matter = matter.trim().to_owned();
        if matter.is_empty() || matter.chars().count() > LONGEST {
            return Err(Rejection::InvalidMatter);
        }
        Ok(match (keep, self.matters.contains(&matter)) {
            (true, false) => vec![HoldEvent::Placed { held, matter, by }],
            (false, true) => vec![HoldEvent::Released { held, matter, by }],
            (true, true) | (false, false) => vec![],
        })
    }

    fn evolve(mut self, event: &HoldEvent) -> Self {
        match event {
            HoldEvent::Placed { matter, .. } => {
                self.matters.insert(matter.clone());
            }
            HoldEvent::Released { matter, .. } => {
                self.matters.remove(matter);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decider::laws::{given, hold, user};

    fn order(matter: &str, keep: bool) -> Command {
        let (held, by_role) = (Held::User(user(2)), PlatformRole::Admin);
        Command { held, matter: matter.to_owned(), by: user(1), by_role, keep }
    }

    #[test]
    fn it_is_kept_until_every_matter_is_done_with() {
        let mut events = Vec::new();
        for (matter, keep, in_force) in
            [("A", true, true), (" B ", true, true), ("A", false, true), ("B", false, false)]
        {
            events.extend(given::<Hold>(&events).decide(&order(matter, keep)).unwrap());
            assert_eq!(given::<Hold>(&events).is_in_force(), in_force, "{matter} {keep}");
        }
    }

    #[test]
    fn who_is_no_admin_orders_nothing_and_a_matter_has_a_name() {
        let command = Command { by_role: PlatformRole::Moderator, ..order("A", true) };
        assert_eq!(Hold::default().decide(&command), Err(Rejection::NotAdmin));
        for name in ["", " \t", &"x".repeat(101)] {
            assert_eq!(Hold::default().decide(&order(name, true)), Err(Rejection::InvalidMatter));
        }
    }

    proptest! {
        #[test]
        fn the_laws_hold(
            commands in proptest::collection::vec(
                ("[ab ]", any::<bool>()).prop_map(|(matter, keep)| order(&matter, keep)),
                0..12,
            )
        ) {
            hold::<Hold>(&commands, |_| false, |_, _| {});
        }
    }
}
