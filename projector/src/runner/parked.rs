//! Parked events: those that cannot be projected, and the later ones of their streams.

use std::collections::HashSet;

use events::StreamName;
use sqlx::PgConnection;

use crate::tail::Item;

/// The streams of which events are parked.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    streams: HashSet<StreamName>,
}

impl Parked {
    /// Those of a projection.
    pub(crate) async fn load(
        db: &mut PgConnection,
        projection: &'static str,
    ) -> Result<Self, sqlx::Error> {
        let streams: Vec<String> =
            sqlx::query_scalar("select distinct stream from parked_event where projection = $1")
                .bind(projection)
                .fetch_all(db)
                .await?;
        Ok(Self { streams: streams.into_iter().map(StreamName::recorded).collect() })
    }

    pub(super) fn has(&self, stream: &StreamName) -> bool {
        self.streams.contains(stream)
    }

    pub(super) fn add(&mut self, stream: &StreamName) {
        self.streams.insert(stream.clone());
    }
}

/// Writes down that an event is parked.
pub(super) async fn park(
    db: &mut PgConnection,
    projection: &'static str,
    item: &Item,
    error: &str,
) -> Result<(), sqlx::Error> {
    // The error may quote what the event says, which belongs into no log file.
    tracing::error!(projection, event.position = %item.position, "an event is parked");
    sqlx::query(
        "insert into parked_event (projection, position, stream, revision, event_id, error)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (projection, position) do nothing",
    )
    .bind(projection)
    .bind(item.position.to_bytes())
    .bind(item.stream.as_str())
    .bind(i64::try_from(item.revision).unwrap_or(i64::MAX))
    .bind(item.id.uuid())
    .bind(error.replace('\0', "\u{FFFD}"))
    .execute(db)
    .await?;
    metrics::counter!("roundtable_projection_parked", "projection" => projection).increment(1);
    Ok(())
}
