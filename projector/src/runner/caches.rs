//! What is cached of a read model is dropped when its tables were replaced.

use std::time::Duration;

use events::Position;
use sqlx::{ConnectOptions, PgConnection};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Runner;
use super::claim::Checkpoint;
use crate::projections::Projection;

/// Longer than a read takes that saw the tables of before.
const READ: Duration = Duration::from_secs(6);

impl Runner {
    /// Begins to drop it, unless that was done since the tables were replaced. Twice: a reader of the
    /// tables of before may fill a cache after the first time. What is dropped is what begins before
    /// the next event: so long nothing is cached.
    pub(super) async fn drop_caches<P: Projection>(
        &self,
        db: &mut PgConnection,
        checkpoint: Checkpoint,
    ) -> Result<JoinSet<()>, sqlx::Error> {
        let mut tasks = JoinSet::new();
        let due: bool = sqlx::query_scalar(
            "select caches_generation < generation from projection_checkpoint
             where projection = $1",
        )
        .bind(P::NAME)
        .fetch_one(db)
        .await?;
        if !due {
            return Ok(tasks);
        }
        let Position { commit, prepare } = checkpoint.position;
        let floor = Position { commit: commit + 1, prepare: prepare + 1 };
        let runner = self.clone();
        tasks.spawn(async move {
            if !P::CACHES.is_empty() {
                runner.invalidations.sweep(P::CACHES, floor).await;
                sleep(READ).await;
                runner.invalidations.sweep(P::CACHES, floor).await;
            }
            if let Err(error) = runner.caches_dropped(P::NAME, checkpoint.generation).await {
                tracing::warn!(projection = P::NAME, %error, "its caches will be dropped again");
            }
        });
        Ok(tasks)
    }

    async fn caches_dropped(&self, name: &str, generation: i64) -> Result<(), sqlx::Error> {
        let mut db = self.postgres.clone().application_name("projector caches").connect().await?;
        sqlx::query(
            "update projection_checkpoint set caches_generation = $2
             where projection = $1 and caches_generation < $2",
        )
        .bind(name)
        .bind(generation)
        .execute(&mut db)
        .await?;
        Ok(())
    }
}
