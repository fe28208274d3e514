//! Who waits for which projection to get where, as their processes say it by `NOTIFY`.
//!
//! A checkpoint that nothing moves but events of no concern follows the log at a distance. Whoever
//! waits for it says so, and it moves at once. Without this (a notification is lost with its
//! connection) they wait for the distance to pass.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use events::Position;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// `{position text} {projection}`: somebody waits for it. `changed {projection}`: its tables were
/// changed by something else than its runner.
pub(crate) const CHANNEL: &str = "roundtable_awaited";
/// In place of a projection: any may have been.
const EVERY: &str = "*";
/// Whoever waited for longer has given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between attempts to listen.
const PAUSE: Duration = Duration::from_millis(500);

/// What was heard. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Awaited(Arc<watch::Sender<HashMap<String, Heard>>>);

#[derive(Clone, Copy, Debug)]
struct Heard {
    position: Position,
    until: Instant,
    changes: u64,
}

impl Awaited {
    /// Listens until it is dropped.
    pub(super) async fn listen(&self, postgres: &PgConnectOptions) {
        loop {
            if let Err(error) = self.listen_once(postgres).await {
                tracing::warn!(%error, "it is not heard who waits for projections");
            }
            // What was said meanwhile was heard by nobody.
            self.hear(&format!("changed {EVERY}"));
            sleep(PAUSE).await;
        }
    }

    async fn listen_once(&self, postgres: &PgConnectOptions) -> Result<(), sqlx::Error> {
        let options = postgres.clone().application_name("projector awaited");
        let own = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        let own = own.connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(CHANNEL).await?;
        while let Some(notification) = listener.try_recv().await? {
            self.hear(notification.payload());
        }
        Ok(())
    }

    fn hear(&self, payload: &str) {
        let Some((what, projection)) = payload.split_once(' ') else { return };
        let position = what.parse::<Position>().ok();
        if position.is_none() && what != "changed" {
            tracing::warn!("somebody waits for a projection in words that are not understood");
            return;
        }
        self.0.send_modify(|heard| {
            let now = Instant::now();
            let nothing = Heard { position: Position::START, until: now, changes: 0 };
            let it = heard.entry(projection.to_owned()).or_insert(nothing);
            match position {
                Some(position) if it.until <= now => it.position = position,
                Some(position) => it.position = position.max(it.position),
                None => it.changes += 1,
            }
            if position.is_some() {
                it.until = now + PATIENCE;
            }
        });
    }

    /// Whether somebody waits for a projection to get beyond a position.
    pub(super) fn beyond(&self, projection: &str, position: Position) -> bool {
        let heard = self.0.borrow();
        heard.get(projection).is_some_and(|it| it.position > position && it.until > Instant::now())
    }

    /// Waits until somebody does.
    pub(super) async fn wanted(&self, projection: &str, position: Position) {
        let mut heard = self.0.subscribe();
        while !self.beyond(projection, position) {
            if heard.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How often its tables were changed by something else than its runner, as far as was heard.
    pub(super) fn changes(&self, projection: &str) -> u64 {
        let heard = self.0.borrow();
        [projection, EVERY].iter().filter_map(|name| heard.get(*name)).map(|it| it.changes).sum()
    }

    /// Waits until they were changed more often.
    pub(super) async fn changed(&self, projection: &str, since: u64) {
        let mut heard = self.0.subscribe();
        while self.changes(projection) == since {
            if heard.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_heard_and_forgotten_when_they_have_given_up() {
        let awaited = Awaited::default();
        assert!(!awaited.beyond("member", Position::START));
        awaited.hear("70 member");
        awaited.hear("60 member");
        awaited.hear("nonsense");
        awaited.hear("what member");
        awaited.wanted("member", Position::at(69)).await;
        assert!(!awaited.beyond("member", Position::at(70)));
        assert!(!awaited.beyond("message", Position::START));
        tokio::time::advance(PATIENCE).await;
        assert!(!awaited.beyond("member", Position::START));
        awaited.hear("60 member");
        assert!(!awaited.beyond("member", Position::at(60)), "the one who wanted 70 is gone");
        assert_eq!(awaited.changes("member"), 0);
        awaited.hear("changed member");
        awaited.changed("member", 0).await;
    }
}
