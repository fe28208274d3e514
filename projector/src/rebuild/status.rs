//! What there is of each projection: live, next and old.

use events::Position;
use serde::Serialize;
use sqlx::PgConnection;

use super::{Slot, models};
use crate::runner::claim::decoded;

/// A projection and its versions.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Which.
    pub projection: &'static str,
    /// The version of its definition in this program.
    pub version: i32,
    /// The live tables; absent before the first start of a projector.
    pub live: Option<Kept>,
    /// The tables that are built.
    pub next: Option<Kept>,
    /// The tables that were replaced.
    pub old: Option<Kept>,
}

/// Tables that are there.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// Up to where.
    pub position: Position,
    /// By which version.
    pub version: i32,
    /// How many events are parked.
    pub parked: i64,
    /// With which others they are built.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<String>,
}

/// What there is.
///
/// # Errors
/// When Postgres does not answer.
pub async fn status(db: &mut PgConnection) -> Result<Vec<Status>, sqlx::Error> {
    let mut all = Vec::new();
    for model in models() {
        let (projection, version) = (model.name, model.version);
        let live = kept(db, "public", projection).await?;
        let mut next = kept(db, &Slot::Next.schema(projection), projection).await?;
        if let Some(next) = &mut next {
            next.together = together(db, projection).await?;
        }
        let old = kept(db, &Slot::Old.schema(projection), projection).await?;
        all.push(Status { projection, version, live, next, old });
    }
    Ok(all)
}

/// What is built together with a projection; nothing, if it is not built.
pub(super) async fn together(
    db: &mut PgConnection,
    projection: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let found: Option<Vec<String>> =
        sqlx::query_scalar("select together from public.projection_rebuild where projection = $1")
            .bind(projection)
            .fetch_optional(db)
            .await?;
    Ok(found.unwrap_or_default())
}

/// The tables of a projection in a schema.
pub(super) async fn kept(
    db: &mut PgConnection,
    schema: &str,
    projection: &str,
) -> Result<Option<Kept>, sqlx::Error> {
    let there: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(format!("{schema}.projection_checkpoint"))
        .fetch_one(&mut *db)
        .await?;
    if !there {
        return Ok(None);
    }
    let row: Option<(Vec<u8>, i32, i64)> = sqlx::query_as(&format!(
        "select position, version,
           (select count(*) from {schema}.parked_event where projection = $1)
         from {schema}.projection_checkpoint where projection = $1"
    ))
    .bind(projection)
    .fetch_optional(db)
    .await?;
    row.map(|(position, version, parked)| {
        Ok(Kept { position: decoded(&position)?, version, parked, together: vec![] })
    })
    .transpose()
}
