//! What is on the whiteboard of a study session, for who is in its room.

use axum::extract::State;
use events::{ElementId, StudySessionId, UserId};
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
use crate::place::Place;
use crate::reads::{Eyes, Reads, position_of};
use crate::study_session::{is_in_room, no_such_session};

const PROJECTION: &str = "whiteboard";

/// How many bytes of shapes one answer has at the most, unless its first element has more.
const MAX_BYTES: i64 = 2 * 1024 * 1024;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(one))
}

/// What is on a whiteboard, from back to front.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Whiteboard {
    /// What is on it.
    items: Vec<WhiteboardElement>,
    /// What to ask for with `after_id` to get the rest; `null` if there is no more.
    next: Option<ElementId>,
    /// Up to where in the log this shows it. Live frames beyond the position of the first answer,
    /// applied in order after all answers have come, make it what it is now.
    position: Place,
}

/// Something on a whiteboard.
#[derive(Debug, Serialize, FromRow, ToSchema)]
struct WhiteboardElement {
    #[sqlx(rename = "element_id", try_from = "Uuid")]
    id: ElementId,
    /// A text of JSON, which only clients understand; `null` once erased.
    shape: Option<String>,
    /// Who drew it as it is.
    #[sqlx(try_from = "Uuid")]
    drawn_by: UserId,
    /// When it was drawn first: the order.
    position: Place,
    /// When it was drawn as it is.
    changed_position: Place,
}

/// Which part.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FromElement {
    /// Only what was drawn after this element.
    after_id: Option<ElementId>,
}

/// What is on the whiteboard of a session.
#[utoipa::path(
    get,
    path = "/v1/study-sessions/{id}/whiteboard",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), FromElement, After),
    responses((status = 200, body = Whiteboard), Refusal),
)]
async fn one(
    State(reads): State<Reads>,
    Path(id): Path<StudySessionId>,
    asked: Asked<FromElement>,
) -> Answer<Whiteboard> {
    let Asked { reader, after, query: FromElement { after_id } } = asked;
    reads.checkpoints.reach(&[PROJECTION, "study_session", "member"], after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    check_in_room(&mut eyes, id, reader).await?;
    let from = match after_id {
        Some(element) => Some(place(&mut eyes, id, element).await?),
        None => None,
    };
    let items = elements(&mut eyes, id, from, after_id).await?;
    let next = match items.last() {
        Some(last) if has_more(&mut eyes, id, last).await? => Some(last.id),
        Some(_) | None => None,
    };
    let position = Place(position_of(&mut eyes, PROJECTION).await?);
    eyes.commit().await?;
    Ok(Json(Whiteboard { items, next, position }))
}

/// Sessions are known to everybody; what happens in them only to those who are in their room.
async fn check_in_room(eyes: &mut Eyes, id: StudySessionId, reader: UserId) -> Result<(), Failure> {
    let room: Option<Uuid> =
        sqlx::query_scalar("select conversation_id from study_session where session_id = $1")
            .bind(id.uuid())
            .fetch_optional(&mut **eyes)
            .await?;
    let room = room.ok_or_else(no_such_session)?;
    if is_in_room(eyes, room.into(), reader).await? {
        return Ok(());
    }
    let title = "Only people in the session use its whiteboard";
    Err(Problem::new(StatusCode::FORBIDDEN, "not-in-session", title).into())
}

/// Where an element stands. One that was wiped out since is no place to go on from.
async fn place(eyes: &mut Eyes, id: StudySessionId, element: ElementId) -> Result<Place, Failure> {
    let place = sqlx::query_scalar(
        "select position from whiteboard where session_id = $1 and element_id = $2",
    )
    .bind(id.uuid())
    .bind(element.uuid())
    .fetch_optional(&mut **eyes)
    .await?;
    place.ok_or_else(|| {
        let title = "This element is not on the whiteboard any more";
        Problem::new(StatusCode::CONFLICT, "whiteboard-changed", title)
            .detail("after_id: begin again without it")
            .into()
    })
}

/// As many as fit into an answer, and one at the least. Each counts for 200 bytes beside its shape, so
/// no more are looked at than could fit.
async fn elements(
    eyes: &mut Eyes,
    id: StudySessionId,
    from: Option<Place>,
    after_id: Option<ElementId>,
) -> Result<Vec<WhiteboardElement>, sqlx::Error> {
    sqlx::query_as(
        "select element_id, shape, drawn_by, position, changed_position from (
           select *, sum(coalesce(octet_length(shape), 0) + 200)
             over (order by position, element_id) as bytes,
             row_number() over (order by position, element_id) as number
           from (
             select * from whiteboard
             where session_id = $1 and ($2::bytea is null or (position, element_id) > ($2, $3))
             order by position, element_id limit $4 / 200 + 1
           ) page
         ) board
         where bytes <= $4 or number = 1
         order by position, element_id",
    )
    .bind(id.uuid())
    .bind(from)
    .bind(after_id.map(ElementId::uuid))
    .bind(MAX_BYTES)
    .fetch_all(&mut **eyes)
    .await
}

async fn has_more(
    eyes: &mut Eyes,
    id: StudySessionId,
    last: &WhiteboardElement,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
           select from whiteboard
           where session_id = $1 and (position, element_id) > ($2, $3)
         )",
    )
    .bind(id.uuid())
    .bind(last.position)
    .bind(last.id.uuid())
    .fetch_one(&mut **eyes)
    .await
}
