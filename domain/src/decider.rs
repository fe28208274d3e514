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
