//! Waiting for the read models: a few commands ask them, and must not be told the past.

use std::time::Duration;

use events::Position;
use service::Problem;
use sqlx::PgPool;

use crate::{App, problems};

/// How long a command waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to look.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until these projections have everything up to a position.
///
/// # Errors
/// 503 when they do not have it in time, or Postgres does not answer.
pub(crate) async fn reach(app: &App, projections: &[&str], upto: Position) -> Result<(), Problem> {
    reach_in(app.postgres(), projections, upto).await
}

/// As [`reach`], of this database.
///
/// # Errors
/// As [`reach`].
pub(crate) async fn reach_in(
    postgres: &PgPool,
    projections: &[&str],
    upto: Position,
) -> Result<(), Problem> {
    let reached = async {
        while !have_reached(postgres, projections, upto).await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, reached).await {
        Ok(reached) => reached.map_err(|error: sqlx::Error| problems::of_postgres(&error)),
        Err(_) => {
            tracing::warn!(?projections, "read models are behind");
            Err(Problem::unavailable(Duration::from_secs(1)))
        }
    }
}

/// Whether they have it now.
pub(crate) async fn have_reached(
    postgres: &PgPool,
    projections: &[&str],
    upto: Position,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) = cardinality($1) from projection_checkpoint
         where projection = any($1) and position >= $2",
    )
    .bind(projections)
    .bind(upto.to_bytes())
    .fetch_one(postgres)
    .await
}
