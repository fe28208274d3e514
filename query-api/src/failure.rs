//! Why a read has no answer, and what the client is told then.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use service::Problem;

/// What a handler answers with.
pub(crate) type Answer<T> = Result<service::Json<T>, Failure>;

/// Why a read has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request is refused.
    Problem(Problem),
    /// Postgres did not answer, or not as expected.
    Postgres(sqlx::Error),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(error)
    }
}

/// Logged here, once.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Postgres(error) if is_away(&error) => {
                tracing::warn!(%error, "Postgres did not answer a read");
                Problem::unavailable(Duration::from_secs(1)).into_response()
            }
            Self::Postgres(error) => {
                tracing::error!(%error, "a read failed");
                Problem::internal().into_response()
            }
        }
    }
}

/// Whether the same read may succeed later.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::BeginFailed => true,
        // Connection exceptions, no resources, stopped by an operator or a time limit.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| ["08", "53", "57"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}
