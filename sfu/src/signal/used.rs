//! Tickets that were used: each is good for one time.

use std::collections::HashMap;
use std::sync::Mutex;

use events::Moment;
use service::tickets::LIFETIME;
use uuid::Uuid;

/// The most tickets that are remembered: far more than are issued in their lifetime.
const MOST: usize = 100_000;

/// Tickets that were used, until they have expired anyway.
#[derive(Debug, Default)]
pub(crate) struct Used(Mutex<HashMap<Uuid, i64>>);

impl Used {
    /// Uses a ticket. Returns false if it was used already.
    pub(crate) fn take(&self, ticket: Uuid, now: Moment) -> bool {
        let Ok(mut used) = self.0.lock() else { return false };
        let now = now.timestamp();
        if used.len() >= MOST {
            used.retain(|_, until| *until > now);
        }
        let until = now + LIFETIME.as_secs().cast_signed() + 10;
        used.len() < MOST && used.insert(ticket, until).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once() {
        let (used, now) = (Used::default(), service::clock::now());
        assert!(used.take(Uuid::from_u128(1), now));
        assert!(!used.take(Uuid::from_u128(1), now));
        assert!(used.take(Uuid::from_u128(2), now));
    }
}
