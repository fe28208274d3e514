//! What can be read from the change feed: frames of the last days, and who was where when.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use events::{Audience, ConversationId, Position, UserId};
use sqlx::postgres::{PgListener, PgRow};
use sqlx::{PgPool, Row};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The projection whose checkpoint is that of the feed.
const PROJECTION: &str = "change_feed";
const CHANNEL: &str = "roundtable_checkpoint";

/// How long after a fault the checkpoint is followed again.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a waiting reader asks for the checkpoint, should a notification be lost.
const ASK: Duration = Duration::from_millis(250);

/// How long a query may take.
const QUERY: Duration = Duration::from_secs(3);

/// How long it may take when Postgres did not answer before.
const SHORT_QUERY: Duration = Duration::from_millis(250);

/// The change feed in Postgres.
pub(crate) struct Feed {
    postgres: PgPool,
    /// Nothing while it is not known.
    checkpoint: watch::Receiver<Option<Position>>,
}

/// The feed is not where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It is this far only.
    At(Position),
    /// Postgres does not answer.
    Away,
}

/// An event of the feed, with its audiences.
pub(crate) struct Entry {
    pub(crate) position: Position,
    pub(crate) audiences: Vec<Audience>,
    pub(crate) frame: Utf8Bytes,
}

impl Feed {
    /// Follows the feed's checkpoint until the shutdown.
    pub(crate) fn follow(postgres: PgPool, shutdown: CancellationToken) -> Self {
        let (sender, checkpoint) = watch::channel(None);
        let pool = postgres.clone();
        tokio::spawn(shutdown.run_until_cancelled_owned(async move {
            loop {
                if let Err(error) = listen(&pool, &sender).await {
                    tracing::debug!(%error, "the checkpoint of the change feed is not followed");
                }
                sender.send_replace(None);
                tokio::time::sleep(PAUSE).await;
            }
        }));
        Self { postgres, checkpoint }
    }

    /// Waits until the feed has reached a position, but not for ever.
    pub(crate) async fn reached(
        &self,
        position: Position,
        patience: Duration,
    ) -> Result<(), Behind> {
        let mut checkpoint = self.checkpoint.clone();
        let deadline = Instant::now() + patience;
        loop {
            let known = *checkpoint.borrow_and_update();
            if known.is_some_and(|known| known >= position) {
                return Ok(());
            }
            let ask = (Instant::now() + ASK).min(deadline);
            // An error means that nobody follows any more: the timeout goes on waiting.
            if let Ok(Ok(())) = tokio::time::timeout_at(ask, checkpoint.changed()).await {
                continue;
            }
            let patience = if known.is_some() { QUERY } else { SHORT_QUERY };
            let asked = tokio::time::timeout(patience, checkpoint_of(&self.postgres)).await;
            let Ok(Ok(at)) = asked else { return Err(Behind::Away) };
            if at >= position {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Behind::At(at));
            }
        }
    }

    /// Frames up to and including this position may be gone.
    pub(crate) async fn horizon(&self) -> sqlx::Result<Position> {
        let query = sqlx::query("select position from change_feed_horizon");
        let row = bounded(query.fetch_optional(&self.postgres)).await?;
        row.map_or(Ok(Position::START), |row| position(&row))
    }

    /// A page of the events after one position up to another, in order.
    pub(crate) async fn entries(
        &self,
        after: Position,
        to: Position,
        limit: i64,
    ) -> sqlx::Result<Vec<Entry>> {
        let query = sqlx::query(
            "select position, array_agg(audience) as audiences, (array_agg(frame))[1] as frame
             from change_feed where position > $1 and position <= $2
             group by position order by position limit $3",
        )
        .bind(after.to_bytes().to_vec())
        .bind(to.to_bytes().to_vec())
        .bind(limit);
        let rows = bounded(query.fetch_all(&self.postgres)).await?;
        rows.iter()
            .map(|row| {
                let audiences: Vec<String> = row.try_get("audiences")?;
                Ok(Entry {
                    position: position(row)?,
                    audiences: audiences.iter().filter_map(|text| text.parse().ok()).collect(),
                    frame: row.try_get::<String, _>("frame")?.into(),
                })
            })
            .collect()
    }

    /// A page of what a person may see after one position up to another, in order: what is for
    /// them, and what was said in conversations while they were in.
    pub(crate) async fn frames_of(
        &self,
        user: UserId,
        after: Position,
        to: Position,
        limit: i64,
    ) -> sqlx::Result<Vec<(Position, Utf8Bytes)>> {
        let query = sqlx::query(
            "with scope as (
               select 'user:' || $1::uuid as audience, $2::bytea as since, $3::bytea as until
               union all
               select 'conversation:' || conversation_id, from_position,
                 coalesce(until_position, $3)
               from change_feed_member
               where user_id = $1 and from_position <= $3
                 and (until_position is null or until_position > $2)
             )
             select distinct on (e.position) e.position, e.frame
             from scope cross join lateral (
               select position, frame from change_feed f
               where f.audience = scope.audience and f.position > $2 and f.position <= $3
                 and f.position >= scope.since and f.position <= scope.until
               order by f.position limit $4
             ) e
             order by e.position limit $4",
        )
        .bind(user.uuid())
        .bind(after.to_bytes().to_vec())
        .bind(to.to_bytes().to_vec())
        .bind(limit);
        let rows = bounded(query.fetch_all(&self.postgres)).await?;
        rows.iter()
            .map(|row| Ok((position(row)?, row.try_get::<String, _>("frame")?.into())))
            .collect()
    }

    /// The conversations that a person was in just after a position.
    pub(crate) async fn conversations_of(
        &self,
        user: UserId,
        at: Position,
    ) -> sqlx::Result<BTreeSet<ConversationId>> {
        let query = sqlx::query_scalar::<_, uuid::Uuid>(
            "select conversation_id from change_feed_member
             where user_id = $1 and from_position <= $2
               and (until_position is null or until_position > $2)",
        )
        .bind(user.uuid())
        .bind(at.to_bytes().to_vec());
        let ids = bounded(query.fetch_all(&self.postgres)).await?;
        Ok(ids.into_iter().map(ConversationId::new).collect())
    }
}

/// Keeps the checkpoint current until something fails; then nobody knows it.
async fn listen(postgres: &PgPool, sender: &watch::Sender<Option<Position>>) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(postgres).await?;
    listener.listen(CHANNEL).await?;
    sender.send_replace(Some(checkpoint_of(postgres).await?));
    loop {
        // Nothing, if the connection was lost: some notifications may have been, too.
        let Some(notification) = listener.try_recv().await? else {
            sender.send_replace(Some(checkpoint_of(postgres).await?));
            continue;
        };
        let of_feed =
            notification.payload().split_once(' ').filter(|(name, _)| *name == PROJECTION);
        if let Some(at) = of_feed.and_then(|(_, text)| text.parse().ok()) {
            sender.send_replace(Some(at));
        }
    }
}

async fn checkpoint_of(postgres: &PgPool) -> sqlx::Result<Position> {
    let query = sqlx::query("select position from projection_checkpoint where projection = $1")
        .bind(PROJECTION);
    let row = bounded(query.fetch_optional(postgres)).await?;
    row.map_or(Ok(Position::START), |row| position(&row))
}

async fn bounded<T>(query: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(QUERY, query).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn position(row: &PgRow) -> sqlx::Result<Position> {
    let bytes: Vec<u8> = row.try_get("position")?;
    Position::from_bytes(&bytes)
        .ok_or_else(|| sqlx::Error::Decode("a position has 16 bytes".into()))
}
