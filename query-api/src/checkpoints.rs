//! How far the read models are, so that a read can wait for what its client has written.

use std::collections::BTreeMap;
use std::time::Duration;

use events::Position;
use http::StatusCode;
use service::Problem;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::place::Place;

/// How long a read waits for its read model.
const PATIENCE: Duration = Duration::from_secs(5);
/// A notification may be lost with its connection, so who waits has the table read again, too.
const REREAD: Duration = Duration::from_secs(1);
/// Between attempts to listen.
const PAUSE: Duration = Duration::from_millis(500);

const CHANNEL: &str = "roundtable_checkpoint";

type Reached = BTreeMap<String, Position>;

/// How far each projection is, as this process has heard.
#[derive(Clone)]
pub(crate) struct Checkpoints(watch::Sender<Reached>);

impl Checkpoints {
    /// Follows the checkpoints until the shutdown, by one connection that listens.
    pub(crate) fn follow(pool: PgPool, shutdown: CancellationToken) -> Self {
        let checkpoints = Self(watch::Sender::new(Reached::new()));
        let (listening, rereading) = (checkpoints.clone(), checkpoints.clone());
        let (stop, again) = (shutdown.clone(), pool.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = listening.listen(pool) => {}
            }
        });
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = rereading.reread(again) => {}
            }
        });
        checkpoints
    }

    /// Waits until all of these projections have reached a position.
    ///
    /// # Errors
    /// 503 `read-model-behind` when they do not in time.
    pub(crate) async fn reach(&self, projections: &[&str], after: Position) -> Result<(), Problem> {
        if after == Position::START {
            return Ok(());
        }
        let mut reached = self.0.subscribe();
        let all = |reached: &Reached| {
            let has = |name: &&str| reached.get(*name).is_some_and(|position| *position >= after);
            projections.iter().all(has)
        };
        match tokio::time::timeout(PATIENCE, reached.wait_for(all)).await {
            Ok(Ok(_)) => Ok(()),
            // The sender lives as long as the process: this is the shutdown.
            Ok(Err(_)) => Err(Problem::unavailable(Duration::from_secs(1))),
            Err(_) => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "read-model-behind",
                "What was written is not readable yet",
            )
            .detail("the write is safe; read again later")
            .retry_after(Duration::from_secs(1))),
        }
    }

    async fn listen(self, pool: PgPool) {
        loop {
            if let Err(error) = self.listen_once(&pool).await {
                tracing::warn!(%error, "checkpoints cannot be listened to");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Listens until the connection is lost. It is a connection of its own, not one of the pool's.
    async fn listen_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let own = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with((*pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&own).await?;
        listener.listen(CHANNEL).await?;
        // What was reached before now was told to nobody here.
        self.read(pool).await?;
        while let Some(notification) = listener.try_recv().await? {
            match parse(notification.payload()) {
                Some((projection, position)) => self.heard([(projection.to_owned(), position)]),
                None => tracing::warn!("a checkpoint was announced that cannot be read"),
            }
        }
        Ok(())
    }

    async fn reread(self, pool: PgPool) {
        loop {
            tokio::time::sleep(REREAD).await;
            let somebody_waits = self.0.receiver_count() > 0;
            if somebody_waits && let Err(error) = self.read(&pool).await {
                tracing::warn!(%error, "checkpoints cannot be read");
            }
        }
    }

    async fn read(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let rows: Vec<(String, Place)> =
            sqlx::query_as("select projection, position from projection_checkpoint")
                .fetch_all(pool)
                .await?;
        self.heard(rows.into_iter().map(|(projection, Place(position))| (projection, position)));
        Ok(())
    }

    /// Whoever tells the older news last does not undo the newer.
    fn heard(&self, news: impl IntoIterator<Item = (String, Position)>) {
        self.0.send_if_modified(|reached| {
            let mut changed = false;
            for (projection, position) in news {
                let known = reached.entry(projection).or_default();
                changed |= position > *known;
                *known = position.max(*known);
            }
            changed
        });
    }
}

fn parse(payload: &str) -> Option<(&str, Position)> {
    let (projection, position) = payload.split_once(' ')?;
    Some((projection, position.parse().ok()?))
}
