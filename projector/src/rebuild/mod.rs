//! Rebuilding: the next version of projections is made beside the live one, from the event store,
//! while the system serves; the two are compared at one position, and switched in one transaction.
//!
//! - **Beside.** The next tables are in schemas of their own ([`tables`]), where the same `project`
//!   and `apply` write through the search path of their connections. Nothing else is done for an
//!   event: caches, notifications, timers and removals follow live tables only.
//! - **Held.** The row of a checkpoint is the gate of its projection: every batch takes it first.
//!   Whoever has it locked knows that no batch is half applied, and none goes on.
//! - **Compared.** The gate is held only until the next tables are at the same position and a
//!   snapshot is taken that shows both ([`compare`]).
//! - **Switched.** Under the gate, the tables change their schemas ([`switch`]), with their policies,
//!   grants and views. What was replaced is kept, and is switched back the same way.
//! - **Resumable.** Every batch moves a checkpoint in the schema of the next tables.

mod builder;
mod compare;
mod feed;
mod job;
mod status;
mod switch;
mod tables;

pub use builder::Model;
pub(crate) use builder::{Build, Builder};
pub use compare::{Compared, Difference};
pub use job::{Job, Progress};
pub use status::{Kept, Status, status};
pub use switch::discard;

/// Which version of its tables a projection has beside the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The one that is built.
    Next,
    /// The one that was replaced.
    Old,
}

impl Slot {
    /// The schema of a projection's tables.
    pub fn schema(self, projection: &str) -> String {
        match self {
            Self::Next => format!("next_{projection}"),
            Self::Old => format!("old_{projection}"),
        }
    }
}

/// The projections that can be rebuilt, in the order of their names.
pub fn models() -> Vec<Model> {
    let models = crate::start::builds().into_iter().map(|build| build.model());
    models.filter(|model| !model.tables.is_empty()).collect()
}
