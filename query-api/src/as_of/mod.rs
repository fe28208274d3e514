//! `?as_of=`: what was true at a place in the past, for who was allowed to see it then and is now.

use events::Position;
use http::StatusCode;
use service::Problem;

use crate::failure::Failure;
use crate::history::when::When;
use crate::reads::Eyes;

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
        return Err(refused("as-of-in-the-future", "This is in the future").detail(detail).into());
    }
    let title = "Nothing had happened yet";
    Ok(when.last_event(eyes).await?.ok_or_else(|| refused("as-of-before-everything", title))?)
}

/// 422.
const fn refused(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, title)
}
