//! What somebody read of others with the rights of an administrator: every time is recorded.

use std::convert::Infallible;

use events::serde::Serialize;
use events::{AccessEvent, UserId};

use crate::Decider;

/// What is known of what an administrator read: nothing decides on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Accesses;

/// Record that personal data of others was opened.
#[derive(Clone, Debug)]
pub struct Command {
    /// Who reads it.
    pub by: UserId,
    /// What they use.
    pub view: String,
    /// What they ask for.
    pub asked: String,
    /// Whose data is opened.
    pub subjects: Vec<UserId>,
}

impl Decider for Accesses {
    type Command = Command;
    type Event = AccessEvent;
    type Rejection = Infallible;

    fn decide(&self, read: &Command) -> Result<Vec<AccessEvent>, Infallible> {
        let Command { by, view, asked, subjects } = read.clone();
        Ok(vec![AccessEvent::Recorded { by, view, asked, subjects }])
    }

    fn evolve(self, event: &AccessEvent) -> Self {
        match event {
            AccessEvent::Recorded { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decider::laws::{hold, user};

    proptest! {
        /// But for the one that says that a repeat has no effect: whoever looks again has looked twice.
        #[test]
        fn the_laws_hold(views in proptest::collection::vec("[ab]", 0..10)) {
            let read = |view: &String| Command {
                by: user(1),
                view: view.clone(),
                asked: String::new(),
                subjects: vec![user(2)],
            };
            let commands: Vec<Command> = views.iter().map(read).collect();
            hold::<Accesses>(&commands, |_| true, |_, _| {});
        }
    }
}
