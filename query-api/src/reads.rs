//! What every read stands on: Postgres as the person who asks, the checkpoints, the cache.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use events::{Position, UserId};
use files::Storage;
use http::StatusCode;
use service::{Problem, Redis};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::checkpoints::{Checkpoints, Times};
use crate::failure::Failure;
use crate::place::Place;

/// What every read stands on.
#[derive(Clone)]
pub(crate) struct Reads {
    pool: PgPool,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) cache: Cache,
    pub(crate) redis: Redis,
    pub(crate) files: Storage,
}

/// A transaction that sees one moment, with the eyes of one person.
pub(crate) type Eyes = Transaction<'static, Postgres>;

impl Reads {
    pub(crate) fn start(
        reader_url: &str,
        redis_url: &str,
        files: Storage,
        times: Times,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(reader_url)
            .context("ROUNDTABLE_POSTGRES_READER_URL is no URL of Postgres")?
            .application_name("roundtable-query-api")
            // No read may hold a connection for long, whatever is asked. To compile a read takes
            // longer than any of ours: the planner, which counts on more rows than come, would.
            .options([
                ("statement_timeout", "5000"),
                ("default_transaction_read_only", "on"),
                ("jit", "off"),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(3))
            .connect_lazy_with(options);
        let checkpoints = Checkpoints::follow(pool.clone(), times, shutdown);
        let redis = Redis::new(redis_url, "").context("ROUNDTABLE_REDIS_URL is no URL of Redis")?;
        Ok(Self { pool, checkpoints, cache: Cache::new(redis.clone()), redis, files })
    }

    /// Begins to read as somebody. Row-level security goes by the setting, which ends with the
    /// transaction; all its queries see the same moment.
    pub(crate) async fn eyes_of(&self, reader: UserId) -> Result<Eyes, sqlx::Error> {
        // One message to the server. The id is a UUID: nothing in it needs to be quoted.
        let begin = format!(
            "begin isolation level repeatable read, read only; \
             set local roundtable.reader = '{reader}'"
        );
        self.pool.begin_with(begin).await
    }

    /// As [`eyes_of`](Self::eyes_of), for what is there for the admins of the platform alone.
    pub(crate) async fn eyes_of_admin(&self, reader: UserId) -> Result<Eyes, Failure> {
        let mut eyes = self.eyes_of(reader).await?;
        let is_one = sqlx::query_scalar("select reader_is_admin()").fetch_one(&mut *eyes).await?;
        if is_one {
            return Ok(eyes);
        }
        let title = "Only an admin of the platform may do this";
        Err(Problem::new(StatusCode::FORBIDDEN, "admins-only", title).into())
    }

    /// Whether Postgres answers, and to the right role.
    pub(crate) async fn probe(&self) -> Result<String, String> {
        let bypasses: bool = sqlx::query_scalar(
            "select rolsuper or rolbypassrls from pg_roles where rolname = current_user",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(|error| error.to_string())?;
        match bypasses {
            false => Ok("answers".to_owned()),
            true => Err("the reader's role bypasses row-level security".to_owned()),
        }
    }
}

/// How far all of these projections are, as this transaction sees it.
pub(crate) async fn position_of_all(
    eyes: &mut Eyes,
    projections: &[&str],
) -> Result<Position, sqlx::Error> {
    let positions: Vec<Place> =
        sqlx::query_scalar("select position from projection_checkpoint where projection = any($1)")
            .bind(projections)
            .fetch_all(&mut **eyes)
            .await?;
    let all = positions.len() == projections.len();
    let least = positions.into_iter().map(|Place(position)| position).min().filter(|_| all);
    Ok(least.unwrap_or(Position::START))
}

/// How far a projection is, as this transaction sees it.
pub(crate) async fn position_of(
    eyes: &mut Eyes,
    projection: &str,
) -> Result<Position, sqlx::Error> {
    let position: Option<Place> =
        sqlx::query_scalar("select position from projection_checkpoint where projection = $1")
            .bind(projection)
            .fetch_optional(&mut **eyes)
            .await?;
    Ok(position.map_or(Position::START, |Place(position)| position))
}
