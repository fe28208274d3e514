//! The messages of a conversation.

use axum::extract::State;
use events::{ConversationId, MessageId, Moment, Position, UserId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::Asked;
use crate::failure::{Answer, Failure};
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::{Eyes, Reads};
use crate::receipts::{Status, cursors, status};

const PROJECTIONS: &[&str] = &["member", "message", "read_cursor"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A message. An erased text is `null`.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Message {
    #[sqlx(rename = "message_id", try_from = "Uuid")]
    id: MessageId,
    ordinal: i64,
    #[sqlx(try_from = "Uuid")]
    conversation_id: ConversationId,
    #[sqlx(try_from = "Uuid")]
    sender_id: UserId,
    text: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    sent_at: Moment,
    position: Place,
    /// Of the reader's own messages.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
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
}

/// The messages of a conversation, newest first; the next, older page with `?before=`, down to where
/// the client already is with `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages",
    tag = "messages",
    params(("id" = ConversationId, Path), Between, After),
    responses((status = 200, body = Page<Message, i64>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Path(id): Path<ConversationId>,
    asked: Asked<Between>,
) -> Answer<Page<Message, i64>> {
    let Asked { reader, after, query: Between { limit, before, after_id } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    check_member(&mut eyes, id, reader).await?;
    let floor = match after_id {
        Some(message) => ordinal_of(&mut eyes, id, message).await?,
        None => 0,
    };
    let mut messages: Vec<Message> = sqlx::query_as(
        "select message_id, ordinal, conversation_id, sender_id, text, sent_at, position
         from message
         where conversation_id = $1 and ordinal < $2 and ordinal > $3
         order by ordinal desc limit $4",
    )
    .bind(id.uuid())
    .bind(before.unwrap_or(i64::MAX))
    .bind(floor)
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    tell_status(&mut eyes, id, reader, &mut messages).await?;
    eyes.commit().await?;
    Ok(Json(Page::of(messages, limit, |message| message.ordinal)))
}

/// To who is not in it, a conversation does not exist.
async fn check_member(eyes: &mut Eyes, id: ConversationId, reader: UserId) -> Result<(), Failure> {
    let is_member: bool = sqlx::query_scalar(
        "select exists (select from member where conversation_id = $1 and user_id = $2)",
    )
    .bind(id.uuid())
    .bind(reader.uuid())
    .fetch_one(&mut **eyes)
    .await?;
    if is_member { Ok(()) } else { Err(Problem::no_such_conversation().into()) }
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
    ordinal.ok_or_else(|| {
        let title = "This message does not exist";
        Problem::new(StatusCode::NOT_FOUND, "no-such-message", title)
            .detail("after_id: names no message of this conversation")
            .into()
    })
}

async fn tell_status(
    eyes: &mut Eyes,
    conversation: ConversationId,
    reader: UserId,
    messages: &mut [Message],
) -> Result<(), sqlx::Error> {
    if !messages.iter().any(|message| message.sender_id == reader) {
        return Ok(());
    }
    let cursors = cursors(eyes, conversation.uuid()).await?;
    for message in messages.iter_mut().filter(|message| message.sender_id == reader) {
        message.status = Some(status(reader, message.ordinal, message.position, &cursors));
    }
    Ok(())
}

/// The newest message of a conversation, as a row that has it beside something else.
#[derive(Debug, FromRow)]
pub(crate) struct Newest {
    message_id: Option<Uuid>,
    ordinal: Option<i64>,
    sender_id: Option<Uuid>,
    text: Option<String>,
    sent_at: Option<Moment>,
    sent_position: Option<Place>,
}

impl Newest {
    /// The message, unless the conversation has none.
    pub(crate) fn of(self, conversation_id: ConversationId) -> Option<Message> {
        Some(Message {
            id: self.message_id?.into(),
            ordinal: self.ordinal?,
            conversation_id,
            sender_id: self.sender_id?.into(),
            text: self.text,
            sent_at: self.sent_at?,
            position: self.sent_position.unwrap_or(Place(Position::START)),
            status: None,
        })
    }
}
