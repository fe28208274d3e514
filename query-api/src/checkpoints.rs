//! How far the read models are, so that a read can wait for what its client has written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use events::Position;
use http::StatusCode;
use service::Problem;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::place::Place;

/// How long a read waits for its read model.
const PATIENCE: Duration = Duration::from_secs(5);
/// A notification may be lost with its connection, so who waits has the table read again, too.
const REREAD: Duration = Duration::from_secs(1);
/// Between attempts to listen.
const PAUSE: Duration = Duration::from_millis(500);

const CHANNEL: &str = "roundtable_checkpoint";
/// Where it is said who waits for what (projector, `runner/awaited.rs`): `{position} {projection}`.
const AWAITED: &str = "roundtable_awaited";

type Reached = BTreeMap<String, Position>;

/// How far each projection is, as this process has heard.
#[derive(Clone)]
pub(crate) struct Checkpoints {
    reached: watch::Sender<Reached>,
    asked: Arc<Asked>,
    times: Times,
}

/// How long things take here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// How long a read waits for its read model.
    pub(crate) patience: Duration,
    /// How often the table is read again while somebody waits.
    pub(crate) reread: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { patience: PATIENCE, reread: REREAD }
    }
}

/// For which projections somebody waits here, and how far: said by one who speaks for all.
#[derive(Default)]
struct Asked {
    waiting: Mutex<Reached>,
    some: Notify,
}

impl Checkpoints {
    /// Follows the checkpoints until the shutdown, by one connection that listens.
    pub(crate) fn follow(pool: PgPool, times: Times, shutdown: CancellationToken) -> Self {
        let reached = watch::Sender::new(Reached::new());
        let checkpoints = Self { reached, asked: Arc::default(), times };
        let (listening, rereading) = (checkpoints.clone(), checkpoints.clone());
        let (asking, own) = (checkpoints.asked.clone(), pool.clone());
        let (stop, again) = (shutdown.clone(), pool.clone());
        let ended = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = asking.tell(own) => {}
            }
        });
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
        let mut reached = self.reached.subscribe();
        let all = |reached: &Reached| {
            let has = |name: &&str| reached.get(*name).is_some_and(|position| *position >= after);
            projections.iter().all(has)
        };
        self.asked.ask(projections, after, &reached.borrow());
        match tokio::time::timeout(self.times.patience, reached.wait_for(all)).await {
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
            tokio::time::sleep(self.times.reread).await;
            let somebody_waits = self.reached.receiver_count() > 0;
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
        self.reached.send_if_modified(|reached| {
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

impl Asked {
    /// Somebody waits for those of the projections that are not there yet.
    fn ask(&self, projections: &[&str], after: Position, reached: &Reached) {
        let missing = projections
            .iter()
            .filter(|name| reached.get(**name).is_none_or(|position| *position < after));
        let mut waiting = self.waiting.lock().expect("no panic holds it");
        let before = waiting.len();
        for name in missing {
            let position = waiting.entry((*name).to_owned()).or_default();
            *position = after.max(*position);
        }
        if before == 0 && !waiting.is_empty() {
            self.some.notify_one();
        }
    }

    /// Says who waits, all of them at once, until it is dropped. That it is not heard is no harm: the
    /// checkpoints move a little later.
    async fn tell(&self, pool: PgPool) {
        loop {
            self.some.notified().await;
            let waiting = std::mem::take(&mut *self.waiting.lock().expect("no panic holds it"));
            let said: Vec<String> =
                waiting.iter().map(|(name, position)| format!("{position} {name}")).collect();
            let told = sqlx::query("select pg_notify($1, said) from unnest($2::text[]) as said")
                .bind(AWAITED)
                .bind(said)
                .execute(&pool)
                .await;
            if let Err(error) = told {
                tracing::debug!(%error, "nobody hears who waits for read models");
            }
        }
    }
}

fn parse(payload: &str) -> Option<(&str, Position)> {
    let (projection, position) = payload.split_once(' ')?;
    Some((projection, position.parse().ok()?))
}
