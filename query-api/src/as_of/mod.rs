//! `?as_of=`: what was true at a place in the past, for who was allowed to see it then and is now.
//!
//! It is folded from the log, up to that place; tables say only where to look. A person sees the
//! past of a conversation for times when they were in it, and as long as they are in it. What was
//! said then is shown unless it may not be read any more: what was deleted since, or, to others than
//! its sender and the moderators of the group, what was edited since. Who was erased is erased in
//! the past too. People are shown by the names they have now.

pub(crate) mod call;
pub(crate) mod conversation;
pub(crate) mod friends;
pub(crate) mod messages;
mod receipts;
mod room;
pub(crate) mod study_session;

use std::sync::Arc;
use std::time::Duration;

use event_log::{EventLog, OpenError, Opened};
use events::{DomainEvent, Envelope, Moment, Position, StreamName};
use http::StatusCode;
use serde::Deserialize;
use service::Problem;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::IntoParams;

use crate::failure::Failure;
use crate::history::HistoryError;
use crate::history::when::When;
use crate::place::Place;
use crate::reads::Eyes;

/// A query that can be asked about the past and has no other parts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AsOf {
    /// What was true then, rather than what is now: a position in the log, or a moment.
    #[param(inline)]
    pub(crate) as_of: Option<When>,
}

/// How many look into the past at once, in this process: it may read many streams from the beginning,
/// and there are sixteen connections for all reads.
static TURNS: Semaphore = Semaphore::const_new(6);
/// When it makes sense to ask again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A place in the past, and the log to read up to it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Past {
    _turn: Arc<SemaphorePermit<'static>>,
    log: EventLog,
    /// The last event that counts.
    at: Position,
    /// When that event was recorded.
    moment: Moment,
}

impl Past {
    /// Finds the place.
    ///
    /// # Errors
    /// When it is in the future, or before everything, or a server is away.
    pub(crate) async fn of(when: When, log: EventLog, eyes: &mut Eyes) -> Result<Self, Failure> {
        // Who asks holds a connection: whoever waited for a turn would keep it from all other reads.
        let turn = TURNS.try_acquire().map_err(|_| Problem::unavailable(RETRY_AFTER))?;
        let turn = Arc::new(turn);
        let head = log.head().await?;
        let at = position(when, head, eyes).await?;
        let moment: Option<Moment> = sqlx::query_scalar("select moment_at($1)")
            .bind(Place(at))
            .fetch_one(&mut **eyes)
            .await?;
        Ok(Self { _turn: turn, log, at, moment: moment.ok_or_else(before_everything)? })
    }

    /// What had happened in a stream by then, its personal data open, or erased.
    async fn events_of(&self, stream: &StreamName) -> Result<Vec<Envelope<DomainEvent>>, Failure> {
        let recorded = self.log.read_stream_until(stream, self.at).await?;
        let mut events = Vec::with_capacity(recorded.len());
        for recorded in &recorded {
            match self.log.open(recorded).await {
                Ok(Opened::Ours(envelope)) => events.push(envelope),
                // As the tables have it: what cannot be read is parked there.
                Ok(Opened::Foreign) | Err(OpenError::Poison(_)) => {}
                Err(away) => return Err(HistoryError::from(away).into()),
            }
        }
        Ok(events)
    }

    /// Whether the read models still have rows of then.
    async fn is_kept(&self, eyes: &mut Eyes) -> Result<(), Failure> {
        let dropped: bool = sqlx::query_scalar("select is_before_message_horizon($1)")
            .bind(self.moment)
            .fetch_one(&mut **eyes)
            .await?;
        if !dropped {
            return Ok(());
        }
        let title = "Messages of then are not kept any more";
        Err(Problem::new(StatusCode::GONE, "as-of-beyond-retention", title).into())
    }
}

/// Which position a place in the past is.
///
/// # Errors
/// When it is in the future, or before everything, or Postgres is away.
pub(crate) async fn position(
    when: When,
    head: Position,
    eyes: &mut Eyes,
) -> Result<Position, Failure> {
    let future = match when {
        When::At(position) => position > head,
        When::Moment(moment) => moment > service::clock::now(),
    };
    if future {
        let detail = format!("the log ends at {head} for now");
        let title = "This is in the future";
        return Err(refused("as-of-in-the-future", title).detail(detail).into());
    }
    Ok(when.last_event(eyes).await?.ok_or_else(before_everything)?)
}

const fn before_everything() -> Problem {
    refused("as-of-before-everything", "Nothing had happened yet")
}

/// 422.
const fn refused(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, title)
}
