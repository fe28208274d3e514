//! Which subscriber gets an event.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::subscriber::Subscriber;

/// How events are spread over the subscribers of a group.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Strategy {
    /// To one until it is full, then to the next.
    DispatchToSingle,
    /// To each in turn.
    RoundRobin,
    /// Events of one stream to the same one.
    Pinned,
    /// Events of one correlation to the same one.
    PinnedByCorrelation,
}

impl Strategy {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "DispatchToSingle" => Some(Self::DispatchToSingle),
            "RoundRobin" => Some(Self::RoundRobin),
            "Pinned" => Some(Self::Pinned),
            "PinnedByCorrelation" => Some(Self::PinnedByCorrelation),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DispatchToSingle => "DispatchToSingle",
            Self::RoundRobin => "RoundRobin",
            Self::Pinned => "Pinned",
            Self::PinnedByCorrelation => "PinnedByCorrelation",
        }
    }

    /// The place in the list of the subscriber that gets the event, or `None` when it has to wait.
    /// The cursor is where the last event went.
    pub(crate) fn pick(
        self,
        subscribers: &[Subscriber],
        cursor: &mut usize,
        affinity: u64,
    ) -> Option<usize> {
        let count = subscribers.len();
        if count == 0 {
            return None;
        }
        let first = match self {
            Self::DispatchToSingle => *cursor,
            Self::RoundRobin => *cursor + 1,
            Self::Pinned | Self::PinnedByCorrelation => {
                // The highest hash wins: when a subscriber comes or goes, no event moves but those
                // that it gets or had.
                let pinned = (0..count).max_by_key(|at| rank(affinity, &subscribers[*at]))?;
                return subscribers[pinned].has_room().then_some(pinned);
            }
        };
        let picked =
            (first..first + count).map(|at| at % count).find(|at| subscribers[*at].has_room())?;
        *cursor = picked;
        Some(picked)
    }
}

fn rank(affinity: u64, subscriber: &Subscriber) -> u64 {
    let mut hasher = DefaultHasher::new();
    (affinity, subscriber.id.0).hash(&mut hasher);
    hasher.finish()
}

/// What events that belong together have in common, as a number.
pub(crate) fn affinity(of: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
