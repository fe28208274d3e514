//! The idempotency keys that were used on a stream lately, and what came of them.

use std::collections::VecDeque;

use chrono::Duration;
use events::{Metadata, Moment, Position, UserId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Context, Outcome};

const MAX_KEYS: usize = 1000;
const MAX_AGE: Duration = Duration::days(1);

/// The recent keys of one stream, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecentKeys(VecDeque<Used>);

#[derive(Clone, Debug)]
struct Used {
    actor: UserId,
    key: Uuid,
    /// Half of a digest of the body's digest: that one is a text that anybody may have written.
    body: [u8; 16],
    /// Of the last event under this key.
    position: Position,
    revision: u64,
    at: Moment,
}

/// What a key says about a command.
pub(crate) enum Known {
    /// It was carried out.
    Repeated(Outcome),
    /// Another one was, under the same key.
    Reused,
}

impl RecentKeys {
    /// Remembers the key of an event, and forgets those that are too old beside it, or too many.
    pub(crate) fn remember(
        &mut self,
        metadata: &Metadata,
        revision: u64,
        position: Position,
        at: Moment,
    ) {
        let body = digest(&metadata.body_hash);
        match self.0.back_mut() {
            Some(last) if last.key == metadata.key && last.actor == metadata.actor => {
                (last.position, last.revision, last.at) = (position, revision, at);
            }
            _ => {
                if self.0.is_empty() {
                    // Most streams have one event: room for four would be most of such a state.
                    self.0.reserve_exact(1);
                }
                self.0.push_back(Used {
                    actor: metadata.actor,
                    key: metadata.key,
                    body,
                    position,
                    revision,
                    at,
                });
            }
        }
        while self.0.len() > MAX_KEYS || self.0.front().is_some_and(|first| at - first.at > MAX_AGE)
        {
            self.0.pop_front();
        }
    }

    pub(crate) fn find(&self, context: &Context) -> Option<Known> {
        let used =
            self.0.iter().rev().find(|it| it.key == context.key && it.actor == context.actor)?;
        if used.body != digest(&context.body_hash) {
            return Some(Known::Reused);
        }
        Some(Known::Repeated(Outcome {
            position: used.position,
            revision: Some(used.revision),
            repeated: true,
        }))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn digest(text: &str) -> [u8; 16] {
    let digest = Sha256::digest(text);
    digest[..16].try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(key: u128, body: &str) -> Metadata {
        Metadata {
            schema_version: 1,
            actor: UserId::new(Uuid::from_u128(1)),
            correlation_id: Uuid::nil(),
            causation_id: Uuid::nil(),
            key: Uuid::from_u128(key),
            body_hash: body.to_owned(),
            decided_on: None,
            token: None,
        }
    }

    fn asks(actor: u128, key: u128, body: &str) -> Context {
        Context {
            actor: UserId::new(Uuid::from_u128(actor)),
            key: Uuid::from_u128(key),
            body_hash: body.to_owned(),
            correlation: Uuid::nil(),
            causation: Uuid::nil(),
            now: Moment::UNIX_EPOCH,
            decided_on: None,
            token: None,
        }
    }

    #[test]
    fn a_key_is_known_with_its_body_and_its_last_event() {
        let mut keys = RecentKeys::default();
        keys.remember(&metadata(7, "a"), 0, Position::at(10), Moment::UNIX_EPOCH);
        keys.remember(&metadata(7, "a"), 1, Position::at(20), Moment::UNIX_EPOCH);
        let Some(Known::Repeated(outcome)) = keys.find(&asks(1, 7, "a")) else { panic!() };
        assert_eq!((outcome.position, outcome.revision), (Position::at(20), Some(1)));
        assert!(matches!(keys.find(&asks(1, 7, "b")), Some(Known::Reused)));
        assert!(keys.find(&asks(2, 7, "a")).is_none(), "keys are in the scope of their actor");
        assert!(keys.find(&asks(1, 8, "a")).is_none());
    }

    #[test]
    fn old_keys_and_too_many_are_forgotten() {
        let mut keys = RecentKeys::default();
        keys.remember(&metadata(0, "a"), 0, Position::at(1), Moment::UNIX_EPOCH);
        let later = Moment::UNIX_EPOCH + MAX_AGE + Duration::seconds(1);
        for key in 1..=1001 {
            keys.remember(&metadata(key, "a"), 0, Position::at(1), later);
        }
        assert_eq!(keys.len(), 1000);
        assert!(keys.find(&asks(1, 0, "a")).is_none());
        assert!(keys.find(&asks(1, 1, "a")).is_none());
        assert!(keys.find(&asks(1, 2, "a")).is_some());
    }
}
