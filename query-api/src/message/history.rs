//! The messages of a conversation, in its order: pages, single ones, threads.

use axum::Extension;
use axum::extract::State;
use event_log::EventLog;
use events::{ConversationId, MessageId, Moment, UserId};
use serde::Deserialize;
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::FromRow;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Message, check_member, columns, count, find, no_such_message, tell_status};
use crate::as_of::{AsOf, Past};
use crate::asked::Asked;
use crate::failure::{Answer, Failure};
use crate::history::when::When;
use crate::page::{Limit, Page};
use crate::reads::{Eyes, Reads};

const PROJECTIONS: &[&str] = &["member", "message", "reaction", "read_cursor"];

pub(super) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(replies))
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Between {
    #[serde(default)]
    limit: Limit,
    /// Only messages with a smaller ordinal.
    before: Option<i64>,
    /// Only messages after this one.
    after_id: Option<MessageId>,
    /// Only messages with a larger ordinal, and the oldest of them first: the page then goes
    /// forward, and so does the next one.
    since: Option<i64>,
    /// The messages as they were then: a position in the log, or a moment.
    #[param(inline)]
    as_of: Option<When>,
}

/// Which page of a thread.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Since {
    #[serde(default)]
    limit: Limit,
    /// Only messages with a larger ordinal.
    since: Option<i64>,
}

/// The messages of a conversation, newest first; the next, older page with `?before=`, down to where
/// the client already is with `?after_id=`. Oldest first with `?since=`.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages",
    tag = "messages",
    params(("id" = ConversationId, Path), Between, After),
    responses((status = 200, body = Page<Message, i64>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    Path(id): Path<ConversationId>,
    asked: Asked<Between>,
) -> Answer<Page<Message, i64>> {
    let Asked { reader, after, query } = asked;
    if query.since.is_some() && (query.before.is_some() || query.after_id.is_some()) {
        return Err(Problem::invalid_query("since: goes forward, and the others back").into());
    }
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    check_member(&mut eyes, id, reader).await?;
    let floor = match query.after_id {
        Some(message) => ordinal_of(&mut eyes, id, message).await?,
        None => query.since.unwrap_or(0),
    };
    // Ordinals begin at 1. The query adds and takes away one, so the ends of the type are left out.
    let wanted = Wanted {
        conversation: id,
        floor: floor.clamp(0, i64::MAX - 1),
        ceiling: query.before.unwrap_or(i64::MAX).max(1),
        forward: query.since.is_some(),
        rows: query.limit.and_one(),
    };
    if let Some(when) = query.as_of {
        reads.checkpoints.reach(&["event_index"], after).await?;
        let past = Past::of(when, log, &mut eyes).await?;
        let messages = past.messages(&mut eyes, reader, wanted).await?;
        return Ok(Json(Page::of(messages, query.limit, |message| message.ordinal)));
    }
    let mut messages = wanted.fetch(&mut eyes).await?;
    finish(&mut eyes, id, reader, &mut messages).await?;
    eyes.commit().await?;
    Ok(Json(Page::of(messages, query.limit, |message| message.ordinal)))
}

/// One message.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages/{message}",
    tag = "messages",
    params(("id" = ConversationId, Path), ("message" = MessageId, Path), AsOf, After),
    responses((status = 200, body = Message), Refusal),
)]
async fn one(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    Path((id, message)): Path<(ConversationId, MessageId)>,
    asked: Asked<AsOf>,
) -> Answer<Message> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let found = find(&mut eyes, asked.reader, id, message).await?;
    if let Some(when) = asked.query.as_of {
        reads.checkpoints.reach(&["event_index"], asked.after).await?;
        let past = Past::of(when, log, &mut eyes).await?;
        return past.message(&mut eyes, asked.reader, id, found).await.map(Json);
    }
    let mut found = [found];
    finish(&mut eyes, id, asked.reader, &mut found).await?;
    eyes.commit().await?;
    let [found] = found;
    Ok(Json(found))
}

/// The thread that begins with a message, oldest first; the next page with `?since=`.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages/{message}/replies",
    tag = "messages",
    params(("id" = ConversationId, Path), ("message" = MessageId, Path), Since, After),
    responses((status = 200, body = Page<Message, i64>), Refusal),
)]
async fn replies(
    State(reads): State<Reads>,
    Path((id, message)): Path<(ConversationId, MessageId)>,
    asked: Asked<Since>,
) -> Answer<Page<Message, i64>> {
    let Asked { reader, after, query: Since { limit, since } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let first = find(&mut eyes, reader, id, message).await?;
    // Nothing in a thread is older than its first message.
    let mut messages: Vec<Message> = sqlx::query_as(concat!(
        "select ",
        columns!(),
        " from message m
          where m.thread = $1 and m.conversation_id = $2 and m.ordinal > $3 and m.sent_at >= $4
          order by m.ordinal limit $5"
    ))
    .bind(message.uuid())
    .bind(id.uuid())
    .bind(since.unwrap_or(0))
    .bind(first.sent_at)
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    finish(&mut eyes, id, reader, &mut messages).await?;
    eyes.commit().await?;
    Ok(Json(Page::of(messages, limit, |message| message.ordinal)))
}

async fn finish(
    eyes: &mut Eyes,
    conversation: ConversationId,
    reader: UserId,
    messages: &mut [Message],
) -> Result<(), sqlx::Error> {
    count(eyes, reader, messages).await?;
    tell_status(eyes, conversation, reader, messages).await
}

async fn ordinal_of(
    eyes: &mut Eyes,
    conversation: ConversationId,
    message: MessageId,
) -> Result<i64, Failure> {
    let ordinal = sqlx::query_scalar(
        "select ordinal from message where message_id = $1 and conversation_id = $2",
    )
    .bind(message.uuid())
    .bind(conversation.uuid())
    .fetch_optional(&mut **eyes)
    .await?;
    let detail = "after_id: names no message of this conversation";
    ordinal.ok_or_else(|| no_such_message().detail(detail).into())
}

/// Rows of a conversation by their ordinals.
pub(crate) struct Wanted {
    pub(crate) conversation: ConversationId,
    /// Only larger ordinals.
    pub(crate) floor: i64,
    /// Only smaller ordinals.
    pub(crate) ceiling: i64,
    /// The oldest first, rather than the newest.
    pub(crate) forward: bool,
    pub(crate) rows: i64,
}

/// In which months the rows of a page are.
#[derive(Debug, FromRow)]
pub(crate) struct Months {
    pub(crate) first: Option<Moment>,
    pub(crate) end: Option<Moment>,
    /// Whether there are no others that could have any.
    pub(crate) all: bool,
}

/// The months in the order of the page, until there are rows enough.
macro_rules! months {
    ($order:literal) => {
        concat!(
            "with may as (
               select month,
                 least(last_ordinal, $3 - 1) - greatest(first_ordinal, $2 + 1) + 1 as has
               from message_month
               where conversation_id = $1 and last_ordinal > $2 and first_ordinal < $3
             ),
             enough as (
               select month, coalesce(sum(has) over (
                   order by month ",
            $order,
            " rows between unbounded preceding and 1 preceding
                 ), 0) < $4 as needed
               from may
             )
             select min(month) filter (where needed) as first,
               (max(month) filter (where needed) at time zone 'UTC' + interval '1 month')
                 at time zone 'UTC' as end,
               coalesce(bool_and(needed), true) as all
             from enough"
        )
    };
}

/// The rows of a page, in months that are given, so that no other partition is touched.
macro_rules! page {
    ($order:literal) => {
        concat!(
            "select ",
            columns!(),
            " from message m
              where m.conversation_id = $1 and m.ordinal > $2 and m.ordinal < $3
                and m.sent_at >= $5 and m.sent_at < $6
              order by m.ordinal ",
            $order,
            " limit $4"
        )
    };
}

pub(crate) const PAGE_BACK: &str = page!("desc");
const PAGE_FORWARD: &str = page!("asc");

impl Wanted {
    pub(crate) async fn fetch(&self, eyes: &mut Eyes) -> Result<Vec<Message>, sqlx::Error> {
        let months = self.months(eyes).await?;
        let (Some(first), Some(end)) = (months.first, months.end) else { return Ok(vec![]) };
        let found = self.page(eyes, first, end).await?;
        let complete = months.all || i64::try_from(found.len()).is_ok_and(|n| n >= self.rows);
        if complete {
            return Ok(found);
        }
        // Where a clock was set back at the end of a month, the rows of two months overlap.
        self.page(eyes, Moment::UNIX_EPOCH, end.max(first) + chrono::TimeDelta::days(36_500)).await
    }

    /// See [`Months`].
    pub(crate) async fn months(&self, eyes: &mut Eyes) -> Result<Months, sqlx::Error> {
        sqlx::query_as(if self.forward { months!("asc") } else { months!("desc") })
            .bind(self.conversation.uuid())
            .bind(self.floor)
            .bind(self.ceiling)
            .bind(self.rows)
            .fetch_one(&mut **eyes)
            .await
    }

    async fn page(
        &self,
        eyes: &mut Eyes,
        first: Moment,
        end: Moment,
    ) -> Result<Vec<Message>, sqlx::Error> {
        sqlx::query_as(if self.forward { PAGE_FORWARD } else { PAGE_BACK })
            .bind(self.conversation.uuid())
            .bind(self.floor)
            .bind(self.ceiling)
            .bind(self.rows)
            .bind(first)
            .bind(end)
            .fetch_all(&mut **eyes)
            .await
    }
}
