//! Who is in a study session and has no connection is away: a timer ends their grace. The same for
//! devices in calls.
//!
//! This is the one kind of timer that is not made by an event. That somebody is away for a moment
//! is presence, and presence is not in the log; only that they left is. The watch compares who is
//! inside with who is connected, once a second, so that nothing has to be told when a gateway, or
//! everything, dies: whoever is not there when it runs again is away from then on.

use std::time::Duration;

use events::{StudySessionId, UserId};
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::time::sleep;
use uuid::Uuid;

use super::{Kind, Timers};
use crate::projections::timer::grace_key;

/// How often it is looked who is away.
const LOOK: Duration = Duration::from_secs(1);

/// How many people Redis is asked about at once.
const AT_ONCE: usize = 500;

/// The advisory lock of whoever looks: several at once would only do the same.
const LOCK: i64 = 0x526f_6f6d_5761_7463;

/// Somebody in a session.
type Stay = (StudySessionId, UserId);

impl Timers {
    pub(super) async fn watch(&self) {
        let mut failing = false;
        loop {
            match self.look().await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "it is not seen who is away from sessions and calls");
                    }
                    failing = true;
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Sets a timer for everybody who is away, and takes it from those who are back. With Redis
    /// away nobody knows who is away, and everything stays as it is.
    async fn look(&self) -> anyhow::Result<()> {
        let mut transaction = self.postgres.begin().await?;
        let mine: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *transaction)
            .await?;
        if mine {
            let inside = inside(&mut transaction).await?;
            for stays in inside.chunks(AT_ONCE) {
                let users: Vec<UserId> = stays.iter().map(|(_, user)| *user).collect();
                let connected = self.connections.anywhere(&users).await?;
                let (there, away): (Vec<_>, Vec<_>) =
                    stays.iter().copied().zip(connected).partition(|(_, connected)| *connected);
                self.set(&mut transaction, &stays_of(&away)).await?;
                clear(&mut transaction, &stays_of(&there)).await?;
            }
            self.look_at_calls(&mut transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn set(&self, db: &mut PgConnection, away: &[Stay]) -> Result<(), sqlx::Error> {
        if away.is_empty() {
            return Ok(());
        }
        let now = service::clock::now();
        let (sessions, users) = ids(away);
        sqlx::query(
            "insert into timer (key, kind, subject, person, due_at, source, set_by)
             select key, $2, session, person, $3, 'presence', $4
             from unnest($1::text[], $5::uuid[], $6::uuid[]) as away (key, session, person)
             on conflict (key) do nothing",
        )
        .bind(keys(away))
        .bind(Kind::Grace.name())
        .bind(now + self.settings.grace)
        .bind(now.timestamp_micros().to_string())
        .bind(sessions)
        .bind(users)
        .execute(db)
        .await?;
        Ok(())
    }
}

async fn inside(db: &mut Transaction<'_, Postgres>) -> Result<Vec<Stay>, sqlx::Error> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "select session_id, user_id from study_participant where left_at is null order by 1, 2",
    )
    .fetch_all(&mut **db)
    .await?;
    Ok(rows.into_iter().map(|(session, user)| (session.into(), user.into())).collect())
}

async fn clear(db: &mut PgConnection, there: &[Stay]) -> Result<(), sqlx::Error> {
    if there.is_empty() {
        return Ok(());
    }
    sqlx::query("delete from timer where key = any($1)").bind(keys(there)).execute(db).await?;
    Ok(())
}

fn stays_of(found: &[(Stay, bool)]) -> Vec<Stay> {
    found.iter().map(|(stay, _)| *stay).collect()
}

fn keys(stays: &[Stay]) -> Vec<String> {
    stays.iter().map(|(session, user)| grace_key(*session, *user)).collect()
}

fn ids(stays: &[Stay]) -> (Vec<Uuid>, Vec<Uuid>) {
    stays.iter().map(|(session, user)| (session.uuid(), user.uuid())).collect()
}
