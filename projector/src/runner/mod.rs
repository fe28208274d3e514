//! The runner of a projection: claims it, applies what is new in batches, and advances the
//! checkpoint in the same transaction.
//!
//! Invariants: a batch has its effect exactly once, because the checkpoint moves with a compare in
//! its transaction. Only one runner works, because it holds an advisory lock on the connection it
//! works on: when one breaks, so does the other.

mod awaited;
pub(crate) mod batch;
mod caches;
pub(crate) mod claim;
pub(crate) mod outdated;
pub(crate) mod parked;
pub(crate) mod remedy;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use events::Position;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, Interval, MissedTickBehavior, sleep, sleep_until};

use crate::invalidation::Invalidations;
use crate::projections::{ApplyError, Projection, Retention};
use crate::tail::{Item, Tail};
use awaited::Awaited;
pub(crate) use awaited::CHANNEL as AWAITED;
use batch::{Batch, concerns};
use claim::Checkpoint;
use parked::Parked;

/// The most events of one batch.
const BATCH: usize = 512;
/// Batches of a projection begin at least this long after each other, so that under load each
/// carries more; the first event after a silence is applied at once.
const PACE: Duration = Duration::from_millis(20);
/// As long as nothing concerns a projection, its checkpoint follows the log at this distance: of
/// dozens of projections, a message concerns a few. Unless somebody waits for it.
pub const IDLE_PACE: Duration = Duration::from_millis(100);
/// After a failure, the next try is after this long.
const PAUSE: Duration = Duration::from_millis(500);

/// What every projection needs.
#[derive(Clone)]
pub struct Runner {
    postgres: PgConnectOptions,
    tail: Tail,
    invalidations: Invalidations,
    retention: Retention,
    idle_pace: Duration,
    awaited: Awaited,
}

impl Runner {
    /// A runner whose projections work on connections of their own.
    pub fn new(
        postgres: PgConnectOptions,
        tail: Tail,
        invalidations: Invalidations,
        retention: Retention,
        idle_pace: Duration,
    ) -> Self {
        // A crash of Postgres may take the last batches with it, and their checkpoints: they are
        // applied again. So they need not wait for the disk. The keep-alives end the claim of a
        // process whose machine is gone.
        let postgres = postgres.options([
            ("synchronous_commit", "off"),
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
        ]);
        let awaited = Awaited::default();
        Self { postgres, tail, invalidations, retention, idle_pace, awaited }
    }

    /// Hears who waits for which projection, until it is dropped: once for all that a process runs.
    pub async fn listen(self) {
        self.awaited.listen(&self.postgres).await;
    }

    /// Works on a projection whenever nobody else does, until it is dropped.
    pub async fn run<P: Projection>(self) {
        let mut failing = false;
        loop {
            let error = match claim::claim(&self.postgres, P::NAME).await {
                Ok(mut db) => {
                    failing = false;
                    tracing::info!(projection = P::NAME, "claimed");
                    metrics::gauge!("roundtable_projection_claimed", "projection" => P::NAME)
                        .set(1.0);
                    let Err(error) = self.work::<P>(&mut db).await;
                    error
                }
                Err(error) => error.into(),
            };
            metrics::gauge!("roundtable_projection_claimed", "projection" => P::NAME).set(0.0);
            if !failing {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(projection = P::NAME, error, "the projection pauses");
            }
            failing = true;
            sleep(PAUSE).await;
        }
    }

    /// Applies batch after batch, until something is wrong.
    async fn work<P: Projection>(&self, db: &mut PgConnection) -> Result<Infallible, ApplyError> {
        let mut upkeep = tokio::time::interval(P::UPKEEP);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // The tables may have been changed by something else: begin again from what they are.
            match self.work_on_tables::<P>(db, &mut upkeep).await {
                Err(ApplyError::Overtaken) => {
                    tracing::info!(projection = P::NAME, "its tables were changed");
                }
                Err(error) => return Err(error),
                Ok(never) => match never {},
            }
        }
    }

    /// Applies batch after batch, until something is wrong or the tables are not as it left them.
    async fn work_on_tables<P: Projection>(
        &self,
        db: &mut PgConnection,
        upkeep: &mut Interval,
    ) -> Result<Infallible, ApplyError> {
        let mut projection = P::default();
        let changes = self.awaited.changes(P::NAME);
        let (mut checkpoint, version) = claim::checkpoint(db, P::NAME, P::VERSION).await?;
        outdated::report::<P>(version);
        // Ends with this: if it came to nothing, the next one begins it again.
        let _caches = self.drop_caches::<P>(db, checkpoint).await?;
        let mut parked = Parked::load(db, P::NAME).await?;
        let mut rested = Instant::now();
        loop {
            tokio::select! {
                biased;
                _ = upkeep.tick() => {
                    P::upkeep(db, self.retention).await?;
                    // What it remembers of the tables may not be so any more.
                    projection = P::default();
                }
                () = self.awaited.changed(P::NAME, changes) => return Err(ApplyError::Overtaken),
                items = self.tail.after(checkpoint.position, BATCH) => {
                    let started = Instant::now();
                    let full = items.len() == BATCH;
                    let items = remedy::alone::<P>(items);
                    let concern = |item: &Arc<Item>| {
                        concerns::<P>(item) || remedy::of::<P>(item).is_some()
                    };
                    let idle = !full && !items.iter().any(concern);
                    let wanted = self.awaited.beyond(P::NAME, checkpoint.position);
                    if !idle || wanted || started >= rested {
                        checkpoint.position = self
                            .advance(db, &mut projection, &mut parked, checkpoint, items)
                            .await?;
                        rested = started + self.idle_pace;
                    }
                    if !full {
                        tokio::select! {
                            () = sleep_until(started + PACE) => {}
                            () = self.awaited.wanted(P::NAME, checkpoint.position), if idle => {}
                        }
                    }
                }
            }
        }
    }

    /// Applies one batch and answers with the new checkpoint.
    async fn advance<P: Projection>(
        &self,
        db: &mut PgConnection,
        projection: &mut P,
        parked: &mut Parked,
        checkpoint: Checkpoint,
        items: Vec<Arc<Item>>,
    ) -> Result<Position, ApplyError> {
        if let [item] = &items[..]
            && let Some(remedy) = remedy::of::<P>(item)
        {
            let log = self.tail.log();
            let stale =
                remedy::carry_out(db, log, projection, parked, (checkpoint, item.position), remedy)
                    .await?;
            self.invalidations.mark(stale, item.position);
            return Ok(item.position);
        }
        let batch = Batch::<P>::new(checkpoint, &items, parked);
        let stale = self.invalidations.mark_later(batch.stale_caches(), batch.end());
        let started = Instant::now();
        batch.carry_out(db, projection, parked).await?;
        drop(stale);
        let labels = [("projection", P::NAME)];
        metrics::counter!("roundtable_projection_events", &labels).increment(items.len() as u64);
        metrics::histogram!("roundtable_projection_batch_seconds", &labels)
            .record(started.elapsed().as_secs_f64());
        Ok(batch.end())
    }
}

/// Whether the data of an event is at fault, and not the server: a data exception or a violated
/// constraint (SQLSTATE classes 22 and 23), or a limit of the program (54).
fn is_poison(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}
