//! The conversations that the reader is in.

use axum::Extension;
use axum::extract::State;
use domain::conversation::{Action, permitted};
use event_log::EventLog;
use events::conversation::{ConversationKind, Role};
use events::{ConversationId, Moment, Position, Scope, UserId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Identity, Json, Path, Problem};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::as_of::{AsOf, Past};
use crate::asked::Asked;
use crate::failure::{Answer, Failure};
use crate::message::{Newest, Preview};
use crate::page::{Limit, Page};
use crate::pending;
use crate::place::Place;
use crate::reads::{Eyes, Reads};

const PROJECTIONS: &[&str] = &["conversation", "member", "message", "read_cursor"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// A conversation of the reader.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Conversation {
    pub(crate) id: ConversationId,
    /// `direct` or `group`.
    pub(crate) kind: String,
    /// Of a group; `null` once erased.
    pub(crate) title: Option<String>,
    /// The other, in a direct conversation.
    pub(crate) with: Option<UserId>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) opened_at: Moment,
    /// What the reader is in it.
    pub(crate) role: String,
    pub(crate) members_count: i64,
    /// Messages of others that the reader has not read.
    pub(crate) unread: i64,
    pub(crate) last_message: Option<Preview>,
    /// How many seconds members wait between two messages; 0 when they need not.
    pub(crate) slow_mode_seconds: i32,
    /// Of the newest message, or of the opening: the order of the list.
    pub(crate) position: Place,
}

impl Conversation {
    /// Without what its newest message says.
    fn withhold(&mut self) {
        if let Some(newest) = &mut self.last_message {
            newest.withhold();
        }
    }
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "Uuid")]
    conversation_id: ConversationId,
    kind: String,
    title: Option<String>,
    with_user: Option<Uuid>,
    opened_at: Moment,
    role: String,
    members: i64,
    unread: i64,
    slow_mode_seconds: i32,
    active: Place,
    #[sqlx(flatten)]
    newest: Newest,
}

impl From<Row> for Conversation {
    fn from(row: Row) -> Self {
        Self {
            id: row.conversation_id,
            kind: row.kind,
            title: row.title,
            with: row.with_user.map(UserId::from),
            opened_at: row.opened_at,
            role: row.role,
            members_count: row.members,
            unread: row.unread,
            last_message: row.newest.of(row.conversation_id),
            slow_mode_seconds: row.slow_mode_seconds,
            position: row.active,
        }
    }
}

/// A conversation and everybody in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Detail {
    #[serde(flatten)]
    pub(crate) conversation: Conversation,
    /// What the reader may do there, to whom their role allows it: the row of the role matrix.
    pub(crate) my_permissions: Vec<&'static str>,
    pub(crate) members: Vec<Member>,
}

/// Somebody in a conversation, and how far they received and read.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Member {
    #[sqlx(try_from = "Uuid")]
    pub(crate) user_id: UserId,
    pub(crate) role: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) joined_at: Moment,
    pub(crate) delivered_ordinal: i64,
    pub(crate) read_ordinal: i64,
    pub(crate) delivered_position: Option<Place>,
    pub(crate) read_position: Option<Place>,
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

/// The conversations, the most recently active first; the next page with `?before=`.
#[utoipa::path(
    get,
    path = "/v1/conversations",
    tag = "conversations",
    params(Before, After),
    responses((status = 200, body = Page<Conversation, Place>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Extension(identity): Extension<Identity>,
    asked: Asked<Before>,
) -> Answer<Page<Conversation, Place>> {
    let Asked { reader, after, query: Before { limit, before } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let mut conversations = select(&mut eyes, reader, None, before, limit).await?;
    count_pending(&reads, &mut eyes, reader, &mut conversations).await?;
    eyes.commit().await?;
    if !identity.has(Scope::MessagesRead) {
        conversations.iter_mut().for_each(Conversation::withhold);
    }
    Ok(Json(Page::of(conversations, limit, |conversation| conversation.position)))
}

/// A conversation; to who is not in it, it does not exist.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}",
    tag = "conversations",
    params(("id" = ConversationId, Path), AsOf, After),
    responses((status = 200, body = Detail), Refusal),
)]
async fn one(
    State(reads): State<Reads>,
    Path(id): Path<ConversationId>,
    Extension(log): Extension<EventLog>,
    Extension(identity): Extension<Identity>,
    asked: Asked<AsOf>,
) -> Answer<Detail> {
    let reads_messages = identity.has(Scope::MessagesRead);
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    if let Some(when) = asked.query.as_of {
        reads.checkpoints.reach(&["event_index"], asked.after).await?;
        let past = Past::of(when, log, &mut eyes).await?;
        let mut detail = past.conversation(&mut eyes, id, asked.reader).await?;
        if !reads_messages {
            detail.conversation.withhold();
        }
        return Ok(Json(detail));
    }
    let mut found = select(&mut eyes, asked.reader, Some(id), None, Limit::default()).await?;
    count_pending(&reads, &mut eyes, asked.reader, &mut found).await?;
    let mut conversation = found.pop().ok_or_else(Problem::no_such_conversation)?;
    if !reads_messages {
        conversation.withhold();
    }
    let members = members(&mut eyes, id).await?;
    eyes.commit().await?;
    let my_permissions =
        permissions(&conversation.kind, &conversation.role).map(Action::name).collect();
    Ok(Json(Detail { conversation, my_permissions, members }))
}

/// What a role may do in a kind of conversation, both as their columns name them.
pub(crate) fn permissions(kind: &str, role: &str) -> impl Iterator<Item = Action> + use<> {
    let kind = match kind {
        "direct" => ConversationKind::Direct,
        "study" => ConversationKind::Study,
        _ => ConversationKind::Group,
    };
    let role = match role {
        "owner" => Role::Owner,
        "admin" => Role::Admin,
        _ => Role::Member,
    };
    permitted(kind, role)
}

/// Refuses a reader whose role there does not allow something; to who is not in it, the
/// conversation does not exist.
pub(crate) async fn must_be_allowed(
    eyes: &mut Eyes,
    reader: UserId,
    id: ConversationId,
    action: Action,
) -> Result<(), Failure> {
    let row: Option<(String, String)> = sqlx::query_as(
        "select c.kind, m.role from member m join conversation c using (conversation_id)
         where m.conversation_id = $1 and m.user_id = $2",
    )
    .bind(id.uuid())
    .bind(reader.uuid())
    .fetch_optional(&mut **eyes)
    .await?;
    let (kind, role) = row.ok_or_else(Problem::no_such_conversation)?;
    if permissions(&kind, &role).any(|permitted| permitted == action) {
        return Ok(());
    }
    let title = "Your role in the group does not allow this";
    Err(Problem::new(StatusCode::FORBIDDEN, "role-forbids", title).into())
}

/// What the reader has just read is not unread.
async fn count_pending(
    reads: &Reads,
    eyes: &mut Eyes,
    reader: UserId,
    conversations: &mut [Conversation],
) -> Result<(), sqlx::Error> {
    let ids: Vec<ConversationId> = conversations.iter().map(|one| one.id).collect();
    let unread = pending::unread(&reads.redis, eyes, reader, &ids).await?;
    for conversation in conversations {
        if let Some(unread) = unread.get(&conversation.id) {
            conversation.unread = *unread;
        }
    }
    Ok(())
}

/// The page is chosen first, so that only its rows are counted and looked up.
async fn select(
    eyes: &mut Eyes,
    reader: UserId,
    only: Option<ConversationId>,
    before: Option<Position>,
    limit: Limit,
) -> Result<Vec<Conversation>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "with page as materialized (
           select c.conversation_id, c.kind, c.title, c.opened_at, c.slow_mode_seconds, me.role,
             coalesce(c.last_message_position, c.position) as active
           from member me join conversation c on c.conversation_id = me.conversation_id
           where me.user_id = $1
             and ($2::uuid is null or me.conversation_id = $2)
             and ($3::bytea is null or coalesce(c.last_message_position, c.position) < $3)
           order by active desc limit $4
         )
         select page.*, coalesce(u.unread, 0) as unread,
           (select count(*) from member m where m.conversation_id = page.conversation_id)
             as members,
           case when page.kind = 'direct' then (
             select m.user_id from member m
             where m.conversation_id = page.conversation_id and m.user_id <> $1 limit 1
           ) end as with_user,
           l.message_id, l.ordinal, l.sender_id, l.kind as message_kind, l.text, l.sent_at,
           l.edited_at, l.deleted_at, l.attachments, l.position as sent_position
         from page
         left join unread_count u
           on u.conversation_id = page.conversation_id and u.user_id = $1
         left join newest_message l on l.conversation_id = page.conversation_id
         order by page.active desc",
    )
    .bind(reader.uuid())
    .bind(only.map(ConversationId::uuid))
    .bind(before.map(Place))
    .bind(limit.and_one())
    .fetch_all(&mut **eyes)
    .await?;
    Ok(rows.into_iter().map(Conversation::from).collect())
}

async fn members(eyes: &mut Eyes, id: ConversationId) -> Result<Vec<Member>, sqlx::Error> {
    sqlx::query_as(
        "select m.user_id, m.role, m.joined_at,
           coalesce(r.delivered_ordinal, 0) as delivered_ordinal,
           coalesce(r.read_ordinal, 0) as read_ordinal,
           r.delivered_position, r.read_position
         from member m
         left join read_cursor r on r.conversation_id = m.conversation_id and r.user_id = m.user_id
         where m.conversation_id = $1
         order by m.position, m.user_id",
    )
    .bind(id.uuid())
    .fetch_all(&mut **eyes)
    .await
}
