//! What every kind of stream has: a state that decides and evolves.

use events::Event;

/// The state of one stream, folded from its events.
///
/// After Jérémie Chassaing's "Functional Event Sourcing Decider". Two laws hold for every decider,
/// and are tested as properties: evolving by what `decide` returned never contradicts the rule
/// that allowed it, and the same command decided again at once changes nothing (it returns no
/// event, or is rejected).
pub trait Decider: Clone + Default + Send + Sync + 'static {
    /// What somebody wants.
    type Command: Send + Sync;
    /// What has happened.
    type Event: Event;
    /// Why a rule said no.
    type Rejection: std::error::Error + Send + Sync + 'static;

    /// Says what happens now; nothing at all, if what is wanted is already so.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after an event. It cannot fail: what is recorded has happened.
    #[must_use]
    fn evolve(self, event: &Self::Event) -> Self;
}

#[cfg(test)]
pub(crate) mod laws {
    //! What the tests of all deciders share: given/when/then, and the laws as a property.

    use std::fmt::Debug;

    use events::UserId;
    use uuid::Uuid;

    use super::*;

    /// The state after some events.
    pub(crate) fn given<D: Decider>(events: &[D::Event]) -> D {
        events.iter().fold(D::default(), D::evolve)
    }

    pub(crate) fn user(number: u8) -> UserId {
        UserId::new(Uuid::from_u128(number.into()))
    }

    /// Carries out commands one after the other; each is decided again at once, where only the
    /// excepted ones may have another effect. `check` sees the state before and after each.
    pub(crate) fn hold<D: Decider<Command: Debug>>(
        commands: &[D::Command],
        excepted: impl Fn(&D::Command) -> bool,
        mut check: impl FnMut(&D, &D),
    ) {
        let mut state = D::default();
        let mut happened = Vec::new();
        for command in commands {
            let Ok(events) = state.decide(command) else { continue };
            let next = events.iter().fold(state.clone(), D::evolve);
            if let Ok(again) = next.decide(command)
                && !excepted(command)
            {
                assert!(again.is_empty(), "{command:?} has an effect twice: {again:?}");
            }
            check(&state, &next);
            happened.extend(events);
            state = next;
        }
        // What is recorded has happened, in whatever order a fold may meet it.
        let _ = happened.iter().rev().chain(&happened).fold(D::default(), D::evolve);
    }
}
