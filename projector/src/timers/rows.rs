//! The rows of timers: what is due is claimed with a lease, then deleted or put off.

use chrono::TimeDelta;
use events::{Moment, Position, StudySessionId, UserId};
use serde_json::Value;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::projections::{Projection, Timer};

/// How long a projector may work on a timer before another one takes it over.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// The longest rest of a timer that failed.
const LONGEST_REST: TimeDelta = TimeDelta::minutes(5);

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A study session is about to begin.
    Reminder,
    /// Somebody came into a study session or its room, or went: the two have to agree.
    Room,
    /// Somebody whose connection was lost has not come back in time.
    Grace,
    /// A call rings no more.
    Ring,
    /// Somebody was alone in a call for too long.
    Alone,
    /// A device in a call whose connection was lost has not come back in time.
    Lost,
    /// Somebody may not be in a call any more.
    Out,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Reminder, Self::Room, Self::Grace, Self::Ring, Self::Alone, Self::Lost, Self::Out];

    /// As the table and the metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reminder => "reminder",
            Self::Room => "room",
            Self::Grace => "grace",
            Self::Ring => "ring",
            Self::Alone => "alone",
            Self::Lost => "lost",
            Self::Out => "out",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A timer that is due, claimed by this process.
#[derive(Clone, Debug)]
pub struct Due {
    /// What it is for.
    pub kind: Kind,
    /// The session, or the call.
    pub subject: Uuid,
    /// Whom it is about.
    pub person: Option<UserId>,
    /// What else there is to know.
    pub detail: Value,
    /// When it was to go off.
    pub due_at: Moment,
    /// One at a time has it.
    pub key: String,
    /// What set it.
    pub set_by: String,
    /// The how-manieth try it is, from 1.
    pub attempts: i32,
}

impl Due {
    /// The study session that it is about.
    pub fn session(&self) -> StudySessionId {
        self.subject.into()
    }
}

#[derive(FromRow)]
struct Row {
    kind: String,
    subject: Uuid,
    person: Option<Uuid>,
    detail: Value,
    due_at: Moment,
    key: String,
    set_by: String,
    attempts: i32,
}

/// Whether anything is due that nobody works on.
pub(super) async fn any_due(postgres: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
           select from timer
           where due_at <= $1 and (claimed_until is null or claimed_until <= $1)
         )",
    )
    .bind(service::clock::now())
    .fetch_one(postgres)
    .await
}

/// How far the projection is that sets and cancels timers.
pub(super) async fn reached(postgres: &PgPool) -> Result<Position, sqlx::Error> {
    let bytes: Option<Vec<u8>> =
        sqlx::query_scalar("select position from projection_checkpoint where projection = $1")
            .bind(Timer::NAME)
            .fetch_optional(postgres)
            .await?;
    Ok(bytes.and_then(|bytes| Position::from_bytes(&bytes)).unwrap_or(Position::START))
}

/// Claims what is due: nobody else gets it before the lease ends.
pub(super) async fn claim(postgres: &PgPool, at_once: i64) -> Result<Vec<Due>, sqlx::Error> {
    let now = service::clock::now();
    let rows: Vec<Row> = sqlx::query_as(
        "with due as materialized (
           select key from timer
           where due_at <= $1 and (claimed_until is null or claimed_until <= $1)
           order by due_at limit $2
           for update skip locked
         )
         update timer set claimed_until = $3, attempts = attempts + 1
         from due where timer.key = due.key
         returning kind, subject, person, detail, due_at, timer.key, set_by, attempts",
    )
    .bind(now)
    .bind(at_once)
    .bind(now + LEASE)
    .fetch_all(postgres)
    .await?;
    Ok(rows.into_iter().filter_map(due).collect())
}

/// A kind that this version does not know waits for one that does.
fn due(row: Row) -> Option<Due> {
    let Some(kind) = Kind::named(&row.kind) else {
        tracing::error!(kind = %row.kind, "a timer is of an unknown kind");
        return None;
    };
    Some(Due {
        kind,
        subject: row.subject,
        person: row.person.map(UserId::from),
        detail: row.detail,
        due_at: row.due_at,
        key: row.key,
        set_by: row.set_by,
        attempts: row.attempts,
    })
}

/// It has gone off. One that was set anew meanwhile stays.
pub(super) async fn done(postgres: &PgPool, timer: &Due) -> Result<(), sqlx::Error> {
    sqlx::query("delete from timer where key = $1 and set_by = $2")
        .bind(&timer.key)
        .bind(&timer.set_by)
        .execute(postgres)
        .await?;
    Ok(())
}

/// It could not be done, and is tried again later: the longer, the more often it failed.
pub(super) async fn put_off(postgres: &PgPool, timer: &Due) -> Result<(), sqlx::Error> {
    let exponent = u32::try_from(timer.attempts - 1).unwrap_or(0).min(10);
    let rest = TimeDelta::milliseconds(500 << exponent).min(LONGEST_REST);
    sqlx::query("update timer set claimed_until = $3 where key = $1 and set_by = $2")
        .bind(&timer.key)
        .bind(&timer.set_by)
        .bind(service::clock::now() + rest)
        .execute(postgres)
        .await?;
    Ok(())
}
