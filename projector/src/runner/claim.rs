//! The claim on a projection: an advisory lock of a connection.

use std::time::Duration;

use events::Position;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

/// The first key of our advisory locks; the second is the hash of the projection's name.
const LOCKS: i32 = 0x7274_706a;
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

/// How far the projection got.
pub(super) async fn checkpoint(
    db: &mut PgConnection,
    name: &'static str,
) -> Result<Position, sqlx::Error> {
    let bytes: Vec<u8> = sqlx::query_scalar(
        "insert into projection_checkpoint (projection, position) values ($1, $2)
         on conflict (projection) do update set position = projection_checkpoint.position
         returning position",
    )
    .bind(name)
    .bind(Position::START.to_bytes())
    .fetch_one(db)
    .await?;
    Position::from_bytes(&bytes).ok_or_else(|| sqlx::Error::Decode("16 bytes".into()))
}
