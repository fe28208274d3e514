//! Looking for people: by a whole handle, or by how a handle or a name begins.

use axum::extract::State;
use events::UserId;
use serde::Deserialize;
use service::openapi::{After, Refusal};
use service::{Json, Problem};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::Asked;
use crate::failure::{Answer, Failure};
use crate::page::{Limit, Page};
use crate::reads::{Eyes, Reads};
use crate::user_profile::{COLUMNS, PROJECTIONS, Profile};

/// The most people on a page.
const PAGE: i64 = 50;

/// What is typed beyond this is not looked at: no name is kept for longer.
const CHARACTERS: usize = 64;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(find))
}

/// Whom to look for: either `handle` or `q`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Sought {
    /// A whole handle, in any case.
    handle: Option<String>,
    /// How a handle, a name, or a name from one of its words on, begins. Case and accents do not
    /// matter, nor does an `@` before it.
    q: Option<String>,
    /// With `q`, 1 to 50.
    #[serde(default)]
    limit: Limit,
    /// With `q`: the last one of the page before.
    after_id: Option<UserId>,
}

/// The person with a handle; or those whose handle or name begins so, in the order of what was
/// found. Blocked pairs do not find each other, and nobody finds who is suspended.
#[utoipa::path(
    get,
    path = "/v1/users",
    tag = "users",
    params(Sought, After),
    responses((status = 200, body = Page<Profile, UserId>), Refusal),
)]
async fn find(State(reads): State<Reads>, asked: Asked<Sought>) -> Answer<Page<Profile, UserId>> {
    let Asked { reader, after, query } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let eyes = reads.eyes_of(reader).await?;
    match query {
        Sought { handle: Some(handle), q: None, after_id: None, .. } => {
            by_handle(eyes, reader, &handle).await
        }
        Sought { handle: None, q: Some(q), limit, after_id } => {
            if limit.rows() > PAGE {
                return Err(Problem::invalid_query("limit: at most 50 people are on a page").into());
            }
            by_prefix(eyes, reader, &q, limit, after_id).await
        }
        _ => Err(Problem::invalid_query("either handle, or q with limit and after_id").into()),
    }
}

/// Whom the reader (`$1`) finds, of the profiles `p`.
const FINDABLE: &str = "(p.suspended_until is null or p.suspended_until <= now())
    and not exists (select from block b where b.blocker_id = $1 and b.blocked_id = p.user_id)
    and p.user_id not in (select reader_blocked_by())";

async fn by_handle(mut eyes: Eyes, reader: UserId, handle: &str) -> Answer<Page<Profile, UserId>> {
    let handle = handle.trim().to_lowercase();
    if handle.is_empty() || handle.contains('\0') {
        return Err(Problem::invalid_query("handle: must not be empty").into());
    }
    let items = sqlx::query_as(&format!(
        "select {COLUMNS} from user_profile p
         where p.handle = $2 and {FINDABLE}
         order by p.position desc limit 1"
    ))
    .bind(reader.uuid())
    .bind(handle)
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page { items, next: None }))
}

/// Everybody is listed at the first of their terms that matches, so the list is as stable as the
/// terms, and a person is on it once.
async fn by_prefix(
    mut eyes: Eyes,
    reader: UserId,
    q: &str,
    limit: Limit,
    after_id: Option<UserId>,
) -> Answer<Page<Profile, UserId>> {
    let prefix: String =
        service::fold(q.trim_start().trim_start_matches('@')).chars().take(CHARACTERS).collect();
    if prefix.is_empty() || prefix.contains('\0') {
        return Err(Problem::invalid_query("q: must not be empty").into());
    }
    // Terms are compared byte by byte: all with the prefix are before this one.
    let end = format!("{prefix}{}", char::MAX);
    let start = match after_id {
        Some(last) => term_of(&mut eyes, last, &prefix, &end).await?,
        None => prefix.clone(),
    };
    let rows = sqlx::query_as(&format!(
        "select {COLUMNS}
         from user_search_term t join user_profile p on p.user_id = t.user_id
         where (t.term, t.user_id) > ($2, $3) and t.term >= $4 and t.term < $5
           and not exists (
             select from user_search_term earlier
             where earlier.user_id = t.user_id and earlier.term >= $4 and earlier.term < t.term)
           and {FINDABLE}
         order by t.term, t.user_id limit $6"
    ))
    .bind(reader.uuid())
    .bind(&start)
    .bind(after_id.map_or(Uuid::nil(), UserId::uuid))
    .bind(&prefix)
    .bind(&end)
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(rows, limit, |person: &Profile| person.id)))
}

/// Where on the list somebody is.
async fn term_of(
    eyes: &mut Eyes,
    person: UserId,
    prefix: &str,
    end: &str,
) -> Result<String, Failure> {
    let term: Option<String> = sqlx::query_scalar(
        "select min(term) from user_search_term where user_id = $1 and term >= $2 and term < $3",
    )
    .bind(person.uuid())
    .bind(prefix)
    .bind(end)
    .fetch_one(&mut **eyes)
    .await?;
    let gone = "after_id: this person is not on the list, or not any more";
    term.ok_or_else(|| Problem::invalid_query(gone).into())
}
