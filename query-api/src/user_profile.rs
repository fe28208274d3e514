//! People, as everybody signed in may know them, and oneself.

use axum::extract::State;
use events::user::Avatar;
use events::{Moment, UserId};
use serde::Serialize;
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::FromRow;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::{Asked, Nothing};
use crate::failure::{Answer, Failure};
use crate::place::Place;
use crate::reads::Reads;

/// What has to be known to show a person to somebody: who they are, and who blocks whom.
pub(crate) const PROJECTIONS: &[&str] = &["user_profile", "block"];

/// What a [`Profile`] is read from, of `user_profile p`.
pub(crate) const COLUMNS: &str = "p.user_id, p.handle, p.name, p.bio, p.native_language,
    p.learning_language, p.location, p.avatar, p.created_at, p.position";

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(me)).routes(routes!(by_id))
}

/// A person. What was erased is `null`, and so is what they never said.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct Profile {
    #[sqlx(rename = "user_id", try_from = "Uuid")]
    pub(crate) id: UserId,
    handle: Option<String>,
    name: Option<String>,
    bio: Option<String>,
    /// A tag of BCP 47, as the person wrote it.
    native_language: Option<String>,
    /// A tag of BCP 47, as the person wrote it.
    learning_language: Option<String>,
    location: Option<String>,
    #[schema(value_type = Option<Avatar>)]
    avatar: Option<sqlx::types::Json<Avatar>>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    position: Place,
}

/// The person who asks, with what is nobody else's to know.
#[derive(Serialize, FromRow, ToSchema)]
struct Me {
    #[serde(flatten)]
    #[sqlx(flatten)]
    profile: Profile,
    email: Option<String>,
    /// `user`, `moderator` or `admin`, on the whole platform.
    role: String,
    /// Whether everything is told that others need.
    onboarded: bool,
}

/// The person who asks.
#[utoipa::path(
    get,
    path = "/v1/users/me",
    tag = "users",
    params(After),
    responses((status = 200, body = Me), Refusal),
)]
async fn me(State(reads): State<Reads>, asked: Asked<Nothing>) -> Answer<Me> {
    reads.checkpoints.reach(&["user_profile"], asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let me = sqlx::query_as(&format!(
        "select {COLUMNS}, p.onboarded, a.email, a.role
         from user_profile p join user_account a using (user_id) where p.user_id = $1"
    ))
    .bind(asked.reader.uuid())
    .fetch_optional(&mut *eyes)
    .await?;
    eyes.commit().await?;
    me.map(Json).ok_or_else(|| Failure::from(Problem::no_such_user()))
}

/// A person. To whom they block, they do not exist.
#[utoipa::path(
    get,
    path = "/v1/users/{id}",
    tag = "users",
    params(("id" = UserId, Path), After),
    responses((status = 200, body = Profile), Refusal),
)]
async fn by_id(
    State(reads): State<Reads>,
    Path(id): Path<UserId>,
    asked: Asked<Nothing>,
) -> Answer<Profile> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let profile = sqlx::query_as(&format!(
        "select {COLUMNS} from user_profile p
         where p.user_id = $1 and p.user_id not in (select reader_blocked_by())"
    ))
    .bind(id.uuid())
    .fetch_optional(&mut *eyes)
    .await?;
    eyes.commit().await?;
    profile.map(Json).ok_or_else(|| Failure::from(Problem::no_such_user()))
}
