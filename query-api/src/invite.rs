//! Invitations: of a group, for those who run it, and of anybody's, for who has the code.

use axum::Extension;
use axum::extract::State;
use domain::conversation::Action;
use event_log::Secrets;
use events::{ConversationId, InviteId, Moment, Position, UserId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{InviteCode, Json, Path, Problem, clock};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::{Asked, Nothing};
use crate::conversation::must_be_allowed;
use crate::failure::{Answer, Failure};
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::Reads;

const LIST: &[&str] = &["invite", "conversation", "member"];
const PREVIEW: &[&str] = &["invite", "conversation", "member", "conversation_ban"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(preview))
}

/// Derives the codes of invitations.
#[derive(Clone)]
pub(crate) struct Codes(Secrets);

impl Codes {
    pub(crate) fn of(secrets: &Secrets) -> Self {
        Self(secrets.clone())
    }
}

/// An invitation into a group.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invite {
    id: InviteId,
    /// Lets people in.
    #[schema(value_type = String)]
    code: InviteCode,
    made_by: UserId,
    #[schema(value_type = String, format = DateTime)]
    made_at: Moment,
    /// Until when it may be used; for ever when `null`.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
    /// By how many people; by any number when `null`.
    uses: Option<i64>,
    /// By how many people it was used.
    used: i64,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Moment>,
    position: Place,
}

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "Uuid")]
    invite_id: InviteId,
    #[sqlx(try_from = "Uuid")]
    made_by: UserId,
    made_at: Moment,
    expires_at: Option<Moment>,
    uses: Option<i64>,
    used: i64,
    revoked_at: Option<Moment>,
    position: Place,
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

/// The invitations into a group, the newest first; the next page with `?before=`. For those whose
/// role lets them invite.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/invites",
    tag = "invites",
    params(("id" = ConversationId, Path), Before, After),
    responses((status = 200, body = Page<Invite, Place>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Extension(Codes(secrets)): Extension<Codes>,
    Path(id): Path<ConversationId>,
    asked: Asked<Before>,
) -> Answer<Page<Invite, Place>> {
    let Asked { reader, after, query: Before { limit, before } } = asked;
    reads.checkpoints.reach(LIST, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    must_be_allowed(&mut eyes, reader, id, Action::Invite).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "select invite_id, made_by, made_at, expires_at, uses, used, revoked_at, position
         from invite
         where conversation_id = $1 and ($2::bytea is null or position < $2)
         order by position desc limit $3",
    )
    .bind(id.uuid())
    .bind(before.map(Place))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    let invites = rows.into_iter().map(|row| Invite {
        id: row.invite_id,
        code: InviteCode::of(&secrets, id, row.invite_id),
        made_by: row.made_by,
        made_at: row.made_at,
        expires_at: row.expires_at,
        uses: row.uses,
        used: row.used,
        revoked_at: row.revoked_at,
        position: row.position,
    });
    Ok(Json(Page::of(invites.collect(), limit, |invite| invite.position)))
}

/// What an invitation leads to.
#[derive(Serialize, ToSchema)]
struct Preview {
    conversation: ConversationId,
    kind: String,
    /// `null` once erased.
    title: Option<String>,
    members_count: i64,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
    /// How many people may still come by it; any number when `null`.
    uses_left: Option<i64>,
    /// Whether the reader is in it already.
    member: bool,
}

#[derive(FromRow)]
struct Known {
    #[sqlx(try_from = "Uuid")]
    conversation_id: ConversationId,
    kind: String,
    title: Option<String>,
    members: i64,
    expires_at: Option<Moment>,
    uses: Option<i64>,
    used: i64,
    revoked: bool,
    is_member: bool,
    is_banned: bool,
}

impl Known {
    /// Why the reader may not come in, in the order in which joining would say so.
    fn check(&self) -> Result<(), Problem> {
        let gone = |slug, title| Err(Problem::new(StatusCode::GONE, slug, title));
        if self.is_member {
            return Ok(());
        }
        if self.is_banned {
            let title = "This person is banned here";
            return Err(Problem::new(StatusCode::FORBIDDEN, "banned", title));
        }
        if self.revoked {
            return gone("invite-revoked", "This invitation was revoked");
        }
        if self.expires_at.is_some_and(|expires| clock::now() >= expires) {
            return gone("invite-expired", "This invitation has expired");
        }
        if self.uses.is_some_and(|uses| self.used >= uses) {
            return gone("invite-used-up", "This invitation is used up");
        }
        Ok(())
    }
}

/// What an invitation leads to, for anybody who has its code.
#[utoipa::path(
    get,
    path = "/v1/invites/{code}",
    tag = "invites",
    params(("code" = String, Path), After),
    responses((status = 200, body = Preview), Refusal),
)]
async fn preview(
    State(reads): State<Reads>,
    Extension(Codes(secrets)): Extension<Codes>,
    Path(code): Path<String>,
    asked: Asked<Nothing>,
) -> Answer<Preview> {
    let code = InviteCode::parse(&code).ok_or_else(unknown)?;
    reads.checkpoints.reach(PREVIEW, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let known: Option<Known> = sqlx::query_as("select * from invite_preview($1)")
        .bind(code.invite().uuid())
        .fetch_optional(&mut *eyes)
        .await?;
    eyes.commit().await?;
    let known = known.filter(|known| code.is_of(&secrets, known.conversation_id));
    let known = known.ok_or_else(unknown)?;
    known.check()?;
    Ok(Json(Preview {
        conversation: known.conversation_id,
        kind: known.kind,
        title: known.title,
        members_count: known.members,
        expires_at: known.expires_at,
        uses_left: known.uses.map(|uses| (uses - known.used).max(0)),
        member: known.is_member,
    }))
}

fn unknown() -> Failure {
    let title = "This invitation does not exist";
    Problem::new(StatusCode::NOT_FOUND, "no-such-invite", title).into()
}
