//! Raises notifications: follows the log from where it got, one projector at a time.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use domain::notification::{Command, Notification};
use event_log::{Context, EventLog, LogError, Opened, Recorded, TransactError};
use events::notification::About;
use events::{DomainEvent, Envelope, NotificationId, Position, StreamName, UserId};
use futures::{StreamExt, TryStreamExt};
use service::Connections;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, PgPool};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::whom::Whom;
use super::{SYSTEM, causes, rows};
use crate::runner::claim;

/// What the claim is called.
const NAME: &str = "notifications";
/// The most events between two notes of how far it got.
const BATCH: usize = 256;
/// How many events are worked on at once.
const AT_ONCE: usize = 32;
/// How often it is noted how far it got, while there is nobody to tell.
const NOTE: Duration = Duration::from_secs(1);
/// After a failure, the next try is after this long.
const PAUSE: Duration = Duration::from_millis(500);

/// Why it pauses.
#[derive(Debug, Error)]
enum Stopped {
    /// Postgres is away.
    #[error(transparent)]
    Postgres(#[from] sqlx::Error),
    /// The log is away.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log is busy, or ended.
    #[error("{0}")]
    Away(String),
    /// Somebody else goes on.
    #[error("another projector raises notifications")]
    Overtaken,
}

/// The follower of the log that raises notifications.
pub struct Raiser {
    postgres: PgConnectOptions,
    log: EventLog,
    whom: Whom,
    /// How long connected devices have to show it, before it is sent in other ways.
    after: Duration,
}

/// A notification that was raised.
pub(super) struct Raised {
    pub(super) notification: NotificationId,
    pub(super) user: UserId,
    /// Of the event that raised it.
    pub(super) position: Position,
}

/// Sets where the very first start begins: at the head of the log.
///
/// # Errors
/// When Postgres or the event store is away.
pub async fn begin(postgres: &PgPool, log: &EventLog) -> anyhow::Result<()> {
    let begun: bool = sqlx::query_scalar("select exists (select from notification_follower)")
        .fetch_one(postgres)
        .await?;
    if !begun {
        let head = log.head().await?;
        sqlx::query(
            "insert into notification_follower (position) values ($1) on conflict do nothing",
        )
        .bind(head.to_bytes())
        .execute(postgres)
        .await?;
    }
    Ok(())
}

impl Raiser {
    /// One that works on a connection of its own.
    pub fn new(
        postgres: PgConnectOptions,
        log: EventLog,
        connections: Connections,
        after: Duration,
    ) -> Self {
        // The keep-alives end the claim of a process whose machine is gone.
        let postgres = postgres.options([
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
        ]);
        Self { postgres, whom: Whom { log: log.clone(), connections }, log, after }
    }

    /// Works whenever no other projector does, until it is dropped.
    pub async fn run(self) {
        let mut failing = false;
        loop {
            let error = match claim::claim(&self.postgres, NAME).await {
                Ok(mut db) => {
                    failing = false;
                    let Err(error) = self.work(&mut db).await;
                    error
                }
                Err(error) => error.into(),
            };
            if !failing {
                tracing::warn!(%error, "no notifications are raised for a while");
            }
            failing = true;
            sleep(PAUSE).await;
        }
    }

    async fn work(&self, db: &mut PgConnection) -> Result<Infallible, Stopped> {
        let mut noted = checkpoint(db).await?;
        let mut noted_at = Instant::now();
        let mut log = pin!(self.log.subscribe_all(noted).ready_chunks(BATCH));
        while let Some(chunk) = log.next().await {
            let events = chunk.into_iter().collect::<Result<Vec<Recorded>, _>>()?;
            let Some(reached) = events.last().map(|event| event.position) else { continue };
            let raised: Vec<Vec<Raised>> = futures::stream::iter(events)
                .map(|event| self.raise_all(event))
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
            let raised: Vec<Raised> = raised.into_iter().flatten().collect();
            if !raised.is_empty() || noted_at.elapsed() >= NOTE {
                self.note(db, noted, reached, &raised).await?;
                (noted, noted_at) = (reached, Instant::now());
            }
        }
        Err(Stopped::Away("the log ended".to_owned()))
    }

    /// Notes how far it got, and what is to be delivered, unless somebody else noted something
    /// meanwhile.
    async fn note(
        &self,
        db: &mut PgConnection,
        from: Position,
        to: Position,
        raised: &[Raised],
    ) -> Result<(), Stopped> {
        let mut transaction = db.begin().await?;
        let noted =
            sqlx::query("update notification_follower set position = $2 where position = $1")
                .bind(from.to_bytes())
                .bind(to.to_bytes())
                .execute(&mut *transaction)
                .await?;
        if noted.rows_affected() != 1 {
            return Err(Stopped::Overtaken);
        }
        rows::insert(&mut transaction, raised, service::clock::now() + self.after).await?;
        Ok(transaction.commit().await?)
    }

    /// Raises a notification for everybody whom an event concerns. What cannot be read concerns
    /// nobody: it is parked by the projections.
    async fn raise_all(&self, recorded: Recorded) -> Result<Vec<Raised>, Stopped> {
        if !causes::TYPES.contains(&recorded.event_type.as_str()) {
            return Ok(vec![]);
        }
        // Nothing personal is needed to know whom it concerns.
        let event = match self.log.open_sealed(&recorded) {
            Ok(Opened::Ours(event)) => event,
            Ok(Opened::Foreign) => return Ok(vec![]),
            Err(error) => {
                tracing::error!(event.id = %recorded.id, %error, "nobody is told of an event");
                return Ok(vec![]);
            }
        };
        let Some(cause) = causes::of(&event.event) else { return Ok(vec![]) };
        let told = match self.whom.of(&cause).await {
            Err(LogError::Unavailable(away)) => return Err(LogError::from(away).into()),
            Err(error) => {
                tracing::error!(event.id = %event.id, %error, "nobody is told of an event");
                return Ok(vec![]);
            }
            Ok(told) => told,
        };
        let raised = futures::stream::iter(told)
            .map(|(user, about)| self.raise(&event, user, about))
            .buffered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(raised.into_iter().flatten().collect())
    }

    /// Raises one, unless it was raised before.
    async fn raise(
        &self,
        event: &Envelope<DomainEvent>,
        user: UserId,
        about: About,
    ) -> Result<Option<Raised>, Stopped> {
        let notification = NotificationId::of(user, event.id);
        let command = Command::Raise { notification, user, about, cause: event.id };
        let context = Context {
            actor: SYSTEM,
            key: notification.uuid(),
            body_hash: String::new(),
            correlation: event.metadata.correlation_id,
            causation: event.id.uuid(),
            now: service::clock::now(),
            decided_on: None,
            token: None,
        };
        let stream = StreamName::notification(notification);
        match self.log.transact_new::<Notification>(&stream, &command, &context).await {
            Ok(outcome) => {
                if !outcome.repeated {
                    metrics::counter!("roundtable_notifications_raised_total").increment(1);
                }
                Ok(Some(Raised { notification, user, position: outcome.position }))
            }
            Err(TransactError::Unavailable(away)) => Err(LogError::from(away).into()),
            Err(TransactError::Contention) => Err(Stopped::Away("the stream is busy".to_owned())),
            // The same event is a reason for something else by now: a repeat that finds somebody
            // away whom the first found mentioned, or the like.
            Err(TransactError::Rejected(_)) => Ok(None),
            Err(error) => {
                tracing::error!(event.id = %event.id, %error, "a notification was not raised");
                Ok(None)
            }
        }
    }
}

async fn checkpoint(db: &mut PgConnection) -> Result<Position, sqlx::Error> {
    let bytes: Vec<u8> =
        sqlx::query_scalar("select position from notification_follower").fetch_one(db).await?;
    Position::from_bytes(&bytes).ok_or_else(|| sqlx::Error::Decode("16 bytes".into()))
}
