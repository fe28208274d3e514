//! What belongs to messages: reactions, former versions, pins, mentions.

use axum::extract::State;
use events::{ConversationId, MessageId, Moment, Position};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Message, check_member, columns, count, find};
use crate::asked::{Asked, Nothing};
use crate::failure::Answer;
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::{Eyes, Reads};

pub(super) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new()
        .routes(routes!(reactions))
        .routes(routes!(edits))
        .routes(routes!(pins))
        .routes(routes!(mentions))
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Before {
    #[serde(default)]
    limit: Limit,
    before: Option<Position>,
}

/// Which page of the former versions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct BeforeVersion {
    #[serde(default)]
    limit: Limit,
    before: Option<i64>,
}

/// Somebody's reaction.
#[derive(Debug, Serialize, FromRow, ToSchema)]
struct Reaction {
    user_id: Uuid,
    emoji: String,
    #[schema(value_type = String, format = DateTime)]
    reacted_at: Moment,
    position: Place,
}

/// Who reacted to a message with what, the newest first; the next page with `?before=`.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages/{message}/reactions",
    tag = "messages",
    params(("id" = ConversationId, Path), ("message" = MessageId, Path), Before, After),
    responses((status = 200, body = Page<Reaction, Place>), Refusal),
)]
async fn reactions(
    State(reads): State<Reads>,
    Path((id, message)): Path<(ConversationId, MessageId)>,
    asked: Asked<Before>,
) -> Answer<Page<Reaction, Place>> {
    let Asked { reader, after, query: Before { limit, before } } = asked;
    reads.checkpoints.reach(&["member", "message", "reaction"], after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    find(&mut eyes, reader, id, message).await?;
    let found: Vec<Reaction> = sqlx::query_as(
        "select user_id, emoji, reacted_at, position from reaction
         where message_id = $1 and conversation_id = $2 and ($3::bytea is null or position < $3)
         order by position desc limit $4",
    )
    .bind(message.uuid())
    .bind(id.uuid())
    .bind(before.map(Place))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(found, limit, |reaction| reaction.position)))
}

/// What a message said before it was edited.
#[derive(Debug, Serialize, FromRow, ToSchema)]
struct Version {
    /// From 1 on.
    version: i64,
    /// `null` once erased.
    text: Option<String>,
    /// Since when it said so.
    #[schema(value_type = String, format = DateTime)]
    said_at: Moment,
}

/// What a message said before, the newest first; the next page with `?before=`. For its sender, and
/// for the owner and the admins of the group.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages/{message}/edits",
    tag = "messages",
    params(("id" = ConversationId, Path), ("message" = MessageId, Path), BeforeVersion, After),
    responses((status = 200, body = Page<Version, i64>), Refusal),
)]
async fn edits(
    State(reads): State<Reads>,
    Path((id, message)): Path<(ConversationId, MessageId)>,
    asked: Asked<BeforeVersion>,
) -> Answer<Page<Version, i64>> {
    let Asked { reader, after, query: BeforeVersion { limit, before } } = asked;
    reads.checkpoints.reach(&["member", "message"], after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let found = find(&mut eyes, reader, id, message).await?;
    if found.sender_id != reader && !moderates(&mut eyes, id).await? {
        let title = "Your role in the group does not allow this";
        return Err(Problem::new(StatusCode::FORBIDDEN, "role-forbids", title).into());
    }
    let versions: Vec<Version> = sqlx::query_as(
        "select version, text, said_at from message_edit
         where message_id = $1 and conversation_id = $2 and version < $3
         order by version desc limit $4",
    )
    .bind(message.uuid())
    .bind(id.uuid())
    .bind(before.unwrap_or(i64::MAX))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(versions, limit, |version| version.version)))
}

pub(crate) async fn moderates(
    eyes: &mut Eyes,
    conversation: ConversationId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select $1 in (select reader_moderates())")
        .bind(conversation.uuid())
        .fetch_one(&mut **eyes)
        .await
}

/// A pinned message.
#[derive(Debug, Serialize, ToSchema)]
struct Pinned {
    pinned_by: Uuid,
    #[schema(value_type = String, format = DateTime)]
    pinned_at: Moment,
    message: Message,
}

#[derive(FromRow)]
struct PinnedRow {
    pinned_by: Uuid,
    pinned_at: Moment,
    #[sqlx(flatten)]
    message: Message,
}

/// The pinned messages, the one pinned last first. There are at most 50.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/pins",
    tag = "messages",
    params(("id" = ConversationId, Path), After),
    responses((status = 200, body = Page<Pinned, i64>), Refusal),
)]
async fn pins(
    State(reads): State<Reads>,
    Path(id): Path<ConversationId>,
    asked: Asked<Nothing>,
) -> Answer<Page<Pinned, i64>> {
    reads.checkpoints.reach(&["member", "message", "pin", "reaction"], asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    check_member(&mut eyes, id, asked.reader).await?;
    let rows: Vec<PinnedRow> = sqlx::query_as(concat!(
        "select p.pinned_by, p.pinned_at, ",
        columns!(),
        " from pin p
          join message m on m.message_id = p.message_id and m.conversation_id = p.conversation_id
            and m.sent_at = p.sent_at
          where p.conversation_id = $1 and m.deleted_at is null
          order by p.position desc"
    ))
    .bind(id.uuid())
    .fetch_all(&mut *eyes)
    .await?;
    let (pins, mut messages): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|row| ((row.pinned_by, row.pinned_at), row.message)).unzip();
    count(&mut eyes, asked.reader, &mut messages).await?;
    eyes.commit().await?;
    let items = pins.into_iter().zip(messages);
    let items = items
        .map(|((pinned_by, pinned_at), message)| Pinned { pinned_by, pinned_at, message })
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// A message that mentions the reader.
#[derive(Debug, Serialize, ToSchema)]
struct Mentioned {
    /// Of the event that mentioned them: the sending, or an edit.
    position: Place,
    message: Message,
}

#[derive(FromRow)]
struct MentionedRow {
    mentioned_position: Place,
    #[sqlx(flatten)]
    message: Message,
}

/// The messages that mention the reader, in conversations they are in, the newest mention first;
/// the next page with `?before=`.
#[utoipa::path(
    get,
    path = "/v1/mentions",
    tag = "messages",
    params(Before, After),
    responses((status = 200, body = Page<Mentioned, Place>), Refusal),
)]
async fn mentions(
    State(reads): State<Reads>,
    asked: Asked<Before>,
) -> Answer<Page<Mentioned, Place>> {
    let Asked { reader, after, query: Before { limit, before } } = asked;
    reads.checkpoints.reach(&["member", "mention", "message", "reaction"], after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let rows: Vec<MentionedRow> = sqlx::query_as(concat!(
        "select n.position as mentioned_position, ",
        columns!(),
        " from mention n
          join message m on m.message_id = n.message_id and m.conversation_id = n.conversation_id
            and m.sent_at = n.sent_at
          where n.user_id = $1 and ($2::bytea is null or n.position < $2)
            and m.deleted_at is null
          order by n.position desc limit $3"
    ))
    .bind(reader.uuid())
    .bind(before.map(Place))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    let (places, mut messages): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|row| (row.mentioned_position, row.message)).unzip();
    count(&mut eyes, reader, &mut messages).await?;
    eyes.commit().await?;
    let items = places.into_iter().zip(messages);
    let items = items.map(|(position, message)| Mentioned { position, message }).collect();
    Ok(Json(Page::of(items, limit, |mentioned: &Mentioned| mentioned.position)))
}
