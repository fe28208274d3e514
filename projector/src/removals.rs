//! Removes bytes: of files that were removed, and of uploads that came to nothing.
//!
//! Every projector does this at once: what there is to do is claimed for a while, and the sweep by an
//! advisory lock. To remove bytes that are gone is no error, so a crash between the removal and its
//! note costs one more try, and so does a claim that ran out.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::file::File;
use event_log::EventLog;
use events::{FileId, StreamName};
use files::{Orphan, Storage};
use futures::{StreamExt, TryStreamExt};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How often there is something to look for.
const LOOK: Duration = Duration::from_secs(1);
/// The most files of one round.
const ROUND: i64 = 32;
/// How long the files of a round are its own: longer than a storage takes for them.
const CLAIM: Duration = Duration::from_secs(600);
/// How often orphans are swept.
const SWEEP: Duration = Duration::from_secs(6 * 3600);
/// After a start, the first sweep waits this long: many processes may start at once.
const FIRST_SWEEP: Duration = Duration::from_secs(300);
/// What is younger than this may still become a file.
const AGE: TimeDelta = TimeDelta::days(1);
/// How many old objects are looked up at once.
const PAGE: usize = 500;
/// The advisory lock of the sweep: "rtfs".
const LOCK: i64 = 0x7274_6673;

/// The worker.
#[derive(Clone, Debug)]
pub struct Removals {
    postgres: PgPool,
    storage: Storage,
}

impl Removals {
    /// A worker on a storage.
    pub fn new(postgres: PgPool, storage: Storage) -> Self {
        Self { postgres, storage }
    }

    /// Works until it is dropped.
    pub async fn run(self, log: EventLog) {
        let mut next_sweep = Instant::now() + FIRST_SWEEP;
        let mut failing = false;
        loop {
            let done = self.round().await;
            if let Err(error) = &done
                && !failing
            {
                tracing::warn!(%error, "it cannot be read which files are to be removed");
            }
            failing = done.is_err();
            if Instant::now() >= next_sweep {
                next_sweep = Instant::now() + SWEEP;
                if let Err(error) = self.sweep(&log, service::clock::now() - AGE).await {
                    tracing::warn!(%error, "the file storage was not swept to its end");
                }
            }
            if done.is_ok_and(|done| done < ROUND as usize) || failing {
                sleep(LOOK).await;
            }
        }
    }

    /// Removes what is due, and answers with how many files that were. No transaction is open while
    /// the storage is asked.
    ///
    /// # Errors
    /// When Postgres is away. A storage that is away is asked again later, ever more rarely.
    pub async fn round(&self) -> Result<usize, sqlx::Error> {
        let due: Vec<Uuid> = sqlx::query_scalar(
            "update file_removal set next_at = clock_timestamp() + make_interval(secs => $2)
             where file_id = any(array(
               select file_id from file_removal where done_at is null and next_at <= now()
               order by next_at limit $1 for update skip locked
             ))
             returning file_id",
        )
        .bind(ROUND)
        .bind(CLAIM.as_secs_f64())
        .fetch_all(&self.postgres)
        .await?;
        for file in &due {
            let removed = self.storage.remove(FileId::new(*file)).await;
            if let Err(error) = &removed {
                tracing::warn!(file.id = %file, %error, "the bytes of a file are not removed yet");
            }
            sqlx::query(
                "update file_removal set attempts = attempts + 1,
                   done_at = case when $2 then clock_timestamp() end,
                   next_at = clock_timestamp() + interval '5 seconds' * 2 ^ least(attempts, 10)
                 where file_id = $1 and done_at is null",
            )
            .bind(file)
            .bind(removed.is_ok())
            .execute(&self.postgres)
            .await?;
        }
        Ok(due.len())
    }

    /// Removes what was stored before a moment and belongs to no file, unless another process does.
    /// Answers with how many objects that were.
    ///
    /// # Errors
    /// When a server is away.
    pub async fn sweep(&self, log: &EventLog, before: DateTime<Utc>) -> anyhow::Result<usize> {
        let mut claim = self.postgres.begin().await?;
        let claimed: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *claim)
            .await?;
        if !claimed {
            return Ok(0);
        }
        let mut removed = self.storage.remove_halves(before).await?;
        let mut pages = self.storage.older_than(before).try_chunks(PAGE).boxed();
        while let Some(page) = pages.next().await {
            removed += self.sweep_page(log, page.map_err(|error| error.1)?, before).await?;
        }
        claim.rollback().await?;
        if removed > 0 {
            tracing::info!(removed, "objects that belonged to no file were removed");
        }
        Ok(removed)
    }

    async fn sweep_page(
        &self,
        log: &EventLog,
        page: Vec<Orphan>,
        before: DateTime<Utc>,
    ) -> anyhow::Result<usize> {
        let ids: HashSet<Uuid> =
            page.iter().filter_map(|it| it.of.as_ref().map(|(file, _)| file.uuid())).collect();
        let known: HashSet<(Uuid, String)> =
            sqlx::query_as("select file_id, digest from file where file_id = any($1)")
                .bind(ids.into_iter().collect::<Vec<_>>())
                .fetch_all(&self.postgres)
                .await?
                .into_iter()
                .collect();
        let mut removed = 0;
        for orphan in page {
            let belongs = match &orphan.of {
                None => false,
                Some((file, digest)) if known.contains(&(file.uuid(), digest.clone())) => true,
                // A read model may be behind, or be built anew: the log decides.
                Some((file, digest)) => {
                    let state = log.load::<File>(&StreamName::file(*file)).await?.state;
                    state.stored().is_some_and(|stored| stored.digest == *digest)
                }
            };
            if !belongs {
                removed += usize::from(self.storage.remove_orphan(orphan, before).await?);
            }
        }
        Ok(removed)
    }
}
