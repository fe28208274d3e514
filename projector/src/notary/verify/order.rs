//! Whether events lie in the order of their positions.

use serde::{Deserialize, Serialize};

use super::segment::Seen;
use super::{Fault, Kind};

/// The last two events that are in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Order {
    before: Option<Seen>,
    last: Option<Seen>,
}

impl Order {
    /// Takes the next event. Where the order is broken, one of the two is out of place: the earlier,
    /// if the later one follows what was before it.
    pub(super) fn take(&mut self, next: &Seen) -> Option<Fault> {
        let descends = self.last.as_ref().is_some_and(|last| next.position < last.position);
        if !descends {
            self.before = self.last.replace(next.clone());
            return None;
        }
        let last = self.last.as_ref()?;
        let follows = self.before.as_ref().is_none_or(|before| next.position > before.position);
        if follows {
            let what = format!("it stands before position {}", next.position);
            let fault = Fault::seen(Kind::Reordered, last, what);
            self.last = Some(next.clone());
            return Some(fault);
        }
        let what = format!("it stands after position {}", last.position);
        Some(Fault::seen(Kind::Reordered, next, what))
    }
}
