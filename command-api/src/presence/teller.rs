//! Tells those whom it concerns that somebody came or went.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use chrono::DateTime;
use events::{Audience, UserId};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::circle::Circle;
use super::memory::{Edge, Memory, State};
use super::{Pace, about};
use crate::gateway::Whispers;

/// How many changes are told together: one look at Postgres for all.
const AT_ONCE: usize = 256;

/// Changes within so long are told together.
const TOGETHER: Duration = Duration::from_millis(50);

/// How long telling may take, before the changes are somebody else's to tell.
const LEASE: Duration = Duration::from_secs(5);

/// Less than the lease, so that nobody tells what another one tells.
const TELLING: Duration = Duration::from_secs(4);

/// The one task of a gateway that tells changes.
pub(super) struct Teller {
    pub(super) memory: Memory,
    pub(super) circle: Circle,
    pub(super) whispers: Whispers,
    pub(super) pace: Pace,
    /// When something is due, as far as this gateway knows.
    pub(super) due: watch::Receiver<Instant>,
}

impl Teller {
    pub(super) async fn run(mut self) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                changed = self.due.changed() => match changed {
                    Ok(()) => {
                        next = next.min(*self.due.borrow_and_update());
                        continue;
                    }
                    Err(_) => return,
                },
            }
            tokio::time::sleep(TOGETHER).await;
            let due = self.tell().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "presence is not told");
                None
            });
            // What others left behind is looked for as often as the rest is swept.
            let most = about(self.pace.sweep / 2);
            next = Instant::now() + due.map_or(most, |due| due.min(most));
        }
    }

    /// Tells all that is due; says when the next is.
    async fn tell(&self) -> anyhow::Result<Option<Duration>> {
        loop {
            let (edges, next) = self.memory.claim(AT_ONCE, LEASE).await?;
            if edges.is_empty() {
                return Ok(next);
            }
            let told = tokio::time::timeout(TELLING, self.spread(&edges)).await;
            told.context("it takes too long")??;
            metrics::counter!("roundtable_presence_edges_total")
                .increment(u64::try_from(edges.len()).unwrap_or(u64::MAX));
            self.memory.told(&edges, self.pace.grace).await?;
        }
    }

    async fn spread(&self, edges: &[Edge]) -> anyhow::Result<()> {
        let users: Vec<_> = edges.iter().map(|edge| edge.user).collect();
        let mut circles: HashMap<UserId, Vec<UserId>> = HashMap::new();
        for (user, other) in self.circle.of(&users).await? {
            circles.entry(user).or_default().push(other);
        }
        for edge in edges {
            let frame = frame(edge);
            for other in circles.remove(&edge.user).unwrap_or_default() {
                self.whispers.say(Audience::User(other), frame.clone(), None).await?;
            }
        }
        self.whispers.flush().await
    }
}

/// What a client is told. Of two frames about one person the one with the larger version is newer.
fn frame(edge: &Edge) -> String {
    let online = edge.state != State::Offline;
    let seen = edge.seen.filter(|_| !online).and_then(DateTime::from_timestamp_millis);
    json!({
        "op": "presence",
        "user": edge.user,
        "online": online,
        "state": edge.state.name(),
        "last_seen": seen,
        "version": edge.version,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_frame_says_who_and_when_they_were_last_there_if_they_are_not() {
        let user = Uuid::from_u128(1).into();
        let frame = |state| -> Value {
            let edge = Edge { user, state, version: 7, seen: Some(1_000) };
            serde_json::from_str(&super::frame(&edge)).unwrap()
        };
        assert_eq!(
            frame(State::Offline),
            json!({"op": "presence", "user": user, "online": false, "state": "offline",
                   "last_seen": "1970-01-01T00:00:01Z", "version": 7})
        );
        let away = frame(State::Away);
        assert_eq!((&away["online"], &away["state"]), (&json!(true), &json!("away")));
        assert_eq!(away["last_seen"], Value::Null);
    }
}
