//! Notifications: who is told of what happens, and how they are reached.
//!
//! - **Raised once.** The [`raiser`] follows the log and raises a notification for each person whom
//!   an event concerns ([`causes`], [`whom`]). Its id follows from the person and the event, so
//!   that an event seen twice, or by two projectors, is one notification.
//! - **Nobody is told of the past.** How far the raiser got, and what is to be delivered ([`rows`]),
//!   is kept beside the read models, not with them: rebuilding a projection tells nobody anything,
//!   and the first start begins at the end of the log.
//! - **Live** is nothing special: `notification.raised` goes to its person's devices as every event
//!   does.
//! - **Delivered until taken.** Who has no device connected a while later is told by web [`push`]
//!   and by [`email`]. What fails is tried again, ever more rarely, and then given up ([`deliver`]); each attempt is an
//!   event. A delivery is claimed with a lease, so of many projectors one makes it.

mod causes;
mod deliver;
mod email;
mod push;
mod raiser;
pub(crate) mod reach;
mod rows;
mod seal;
mod whom;
mod words;

pub use deliver::Deliveries;
pub use raiser::{Raiser, begin};

use events::UserId;
use uuid::Uuid;

/// Who raises notifications: nobody in particular.
const SYSTEM: UserId = UserId::new(Uuid::nil());

/// Why somebody's server did not take a notification.
#[derive(Debug)]
struct Refused {
    /// For people to read; no personal data.
    reason: String,
    /// Whether it would never take it.
    for_ever: bool,
}

impl Refused {
    fn for_ever(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), for_ever: true }
    }

    fn for_now(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), for_ever: false }
    }
}
