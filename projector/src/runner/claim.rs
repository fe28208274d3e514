//! The claim on a projection: an advisory lock of a connection.

use std::time::Duration;

use events::Position;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::projections::ApplyError;

/// The first key of our advisory locks; the second is the hash of the projection's name.
pub(crate) const LOCKS: i32 = 0x7274_706a;
/// How often somebody who waits for the claim asks for it.
const ASK: Duration = Duration::from_millis(500);

/// Waits until nobody else works on the projection. Whoever has the answer works on it until the
/// connection ends.
pub(crate) async fn claim(
    options: &PgConnectOptions,
    name: &'static str,
) -> Result<PgConnection, sqlx::Error> {
    let mut db = options.clone().application_name(&format!("projector {name}")).connect().await?;
    loop {
        let claimed: bool = sqlx::query_scalar("select pg_try_advisory_lock($1, hashtext($2))")
            .bind(LOCKS)
            .bind(name)
            .fetch_one(&mut db)
            .await?;
        if claimed {
            return Ok(db);
        }
        tokio::time::sleep(ASK).await;
    }
}

/// Where a projection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Everything up to here is in its tables.
    pub(crate) position: Position,
    /// Rises when something else than its runner changed its tables.
    pub(crate) generation: i64,
    /// Whether those who wait for it are told that it moves. Nobody waits for what is built beside the
    /// live tables.
    pub(crate) told: bool,
}

/// What `projection_checkpoint` says of the projection, and by which version its tables were built.
/// Tables in which nothing is yet are of the present version.
pub(crate) async fn checkpoint(
    db: &mut PgConnection,
    name: &'static str,
    version: i32,
) -> Result<(Checkpoint, i32), sqlx::Error> {
    let (bytes, generation, built_by): (Vec<u8>, i64, i32) = sqlx::query_as(
        "insert into projection_checkpoint (projection, position, version) values ($1, $2, $3)
         on conflict (projection) do update set version = case
           when projection_checkpoint.position = excluded.position then excluded.version
           else projection_checkpoint.version end
         returning position, generation, version",
    )
    .bind(name)
    .bind(Position::START.to_bytes())
    .bind(version)
    .fetch_one(db)
    .await?;
    Ok((Checkpoint { position: decoded(&bytes)?, generation, told: true }, built_by))
}

/// A position as Postgres keeps it.
pub(crate) fn decoded(bytes: &[u8]) -> Result<Position, sqlx::Error> {
    Position::from_bytes(bytes).ok_or_else(|| sqlx::Error::Decode("16 bytes".into()))
}

/// Moves a checkpoint, and tells those who wait for it.
const MOVE_AND_TELL: &str = "
    with moved as (
      update projection_checkpoint set position = $1, updated_at = now()
      where projection = $2 and position = $3 and generation = $4
      returning projection
    )
    select pg_notify('roundtable_checkpoint', projection || ' ' || $5) from moved";

/// Moves a checkpoint that nobody waits for.
const MOVE: &str = "
    update projection_checkpoint set position = $1, updated_at = now()
    where projection = $2 and position = $3 and generation = $4
    returning true";

impl Checkpoint {
    /// Moves it, if it is where it is thought to be.
    pub(crate) async fn move_to(
        self,
        db: &mut PgConnection,
        name: &'static str,
        to: Position,
    ) -> Result<(), ApplyError> {
        let (to_bytes, from_bytes) = (to.to_bytes(), self.position.to_bytes());
        let query = sqlx::query(if self.told { MOVE_AND_TELL } else { MOVE });
        let query = query.bind(to_bytes).bind(name).bind(from_bytes).bind(self.generation);
        let query = if self.told { query.bind(to.to_string()) } else { query };
        query.fetch_optional(db).await?.map(|_| ()).ok_or(ApplyError::Overtaken)
    }
}
