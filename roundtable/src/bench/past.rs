//! Writes facts straight into the log of a stack: what would take hours over REST, where every
//! sign-up hashes a password and every request is one round trip.

use anyhow::Result;
use chrono::Utc;
use event_log::EventLog;
use events::{Moment, Position, UserId};
use service::Secrets;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::time::{Duration, sleep};

use crate::{client::new_id, stack::Stack};

/// A stack whose past is written.
pub(super) struct Past {
    pub(super) log: EventLog,
    pub(super) secrets: Secrets,
    postgres: PgPool,
}

impl Past {
    pub(super) async fn of(stack: &Stack) -> Result<Self> {
        let secrets = Secrets::load(&stack.data().join("secrets"))?;
        let postgres =
            PgPoolOptions::new().max_connections(8).connect_lazy(&stack.urls().postgres)?;
        let log = EventLog::connect(event_log::Config {
            eventstore_url: stack.urls().eventstore.clone(),
            postgres: postgres.clone(),
            secrets: secrets.log.clone(),
        })
        .await?;
        Ok(Self { log, secrets, postgres })
    }

    /// Waits until every read model has everything up to a position.
    pub(super) async fn shown(&self, position: Position) -> Result<()> {
        loop {
            let behind: bool = sqlx::query_scalar(
                "select count(*) filter (where position >= $1) = 0 or bool_or(position < $1)
                 from projection_checkpoint",
            )
            .bind(position.to_bytes().to_vec())
            .fetch_one(&self.postgres)
            .await?;
            if !behind {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Brings the statistics of the planner up to date, as autovacuum does in its own time.
    pub(super) async fn analyse(&self) -> Result<()> {
        sqlx::query("vacuum analyze").execute(&self.postgres).await?;
        Ok(())
    }
}

/// What surrounds one command of somebody, with a key of its own.
pub(super) fn context(actor: UserId) -> event_log::Context {
    let key = new_id();
    event_log::Context {
        actor,
        key,
        body_hash: String::new(),
        correlation: key,
        causation: key,
        now: now(),
        decided_on: None,
        token: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "the bench is an edge, where the time comes in")]
pub(super) fn now() -> Moment {
    Utc::now()
}
