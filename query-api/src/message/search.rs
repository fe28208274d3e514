//! Looking for messages by their words.

use axum::extract::State;
use events::{ConversationId, Moment, Position, UserId};
use serde::Deserialize;
use service::openapi::{After, Refusal};
use service::{Json, Problem, words};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Message, check_member, columns, count};
use crate::asked::Asked;
use crate::failure::Answer;
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::{Eyes, Reads};

const PROJECTIONS: &[&str] = &["member", "message", "message_search", "reaction"];

/// The longest question, in characters.
const LONGEST: usize = 200;

pub(super) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(search))
}

/// What is looked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Question {
    /// Beginnings of words, all of which must be there; any part of a text in Chinese, Japanese or
    /// Korean. At most 200 characters. Case and accents do not matter.
    q: String,
    /// Only in this conversation.
    conversation: Option<ConversationId>,
    /// Only by this person.
    sender: Option<UserId>,
    #[serde(default)]
    limit: Limit,
    /// Only messages before this position.
    before: Option<Position>,
}

/// The messages with certain words in the reader's conversations, newest first; the next page with
/// `?before=`.
#[utoipa::path(
    get,
    path = "/v1/search/messages",
    tag = "messages",
    params(Question, After),
    responses((status = 200, body = Page<Message, Place>), Refusal),
)]
async fn search(
    State(reads): State<Reads>,
    asked: Asked<Question>,
) -> Answer<Page<Message, Place>> {
    let Asked { reader, after, query } = asked;
    if query.q.chars().count() > LONGEST {
        return Err(Problem::invalid_query("q: has at most 200 characters").into());
    }
    let words = words::query(&query.q);
    let words = words.ok_or_else(|| Problem::invalid_query("q: has no word in it"))?;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    if let Some(conversation) = query.conversation {
        check_member(&mut eyes, conversation, reader).await?;
    }
    let found = hits(&mut eyes, &words, &query).await?;
    let Page { items: found, next } = Page::of(found, query.limit, |(_, _, position)| *position);
    let mut messages = load(&mut eyes, &found).await?;
    count(&mut eyes, reader, &mut messages).await?;
    eyes.commit().await?;
    Ok(Json(Page { items: messages, next }))
}

type Hit = (Uuid, Moment, Place);

async fn hits(eyes: &mut Eyes, words: &str, query: &Question) -> Result<Vec<Hit>, sqlx::Error> {
    sqlx::query_as(
        "select message_id, sent_at, position from search_messages($1, $2, $3, $4, $5)
         order by position desc",
    )
    .bind(words)
    .bind(query.conversation.map(ConversationId::uuid))
    .bind(query.sender.map(UserId::uuid))
    .bind(query.before.map_or([u8::MAX; 16], |position| position.to_bytes()))
    .bind(query.limit.and_one())
    .fetch_all(&mut **eyes)
    .await
}

/// The messages of hits, from no other partitions than theirs.
pub(crate) const LOAD: &str = concat!(
    "select ",
    columns!(),
    " from message m where m.message_id = any($1) and m.sent_at = any($2) and m.deleted_at is null
      order by m.position desc"
);

async fn load(eyes: &mut Eyes, hits: &[Hit]) -> Result<Vec<Message>, sqlx::Error> {
    let (ids, times): (Vec<_>, Vec<_>) = hits.iter().map(|(id, at, _)| (*id, *at)).unzip();
    sqlx::query_as(LOAD).bind(ids).bind(times).fetch_all(&mut **eyes).await
}
