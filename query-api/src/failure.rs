//! Why a read has no answer, and what the client is told then.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use event_log::{LogError, OpenError};
use service::Problem;

use crate::history::HistoryError;

/// What a handler answers with.
pub(crate) type Answer<T> = Result<service::Json<T>, Failure>;

/// Why a read has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request is refused.
    Problem(Problem),
    /// Postgres did not answer, or not as expected.
    Postgres(sqlx::Error),
    /// The past cannot be told.
    History(HistoryError),
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

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Postgres(error) => Self::Postgres(error),
            other => Self::History(other),
        }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::History(error.into())
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
            Self::History(
                HistoryError::Log(LogError::Unavailable(away))
                | HistoryError::Open(OpenError::VaultUnavailable(away)),
            ) => {
                tracing::warn!(error = %away, "the log did not answer a read");
                Problem::unavailable(away.retry_after).into_response()
            }
            Self::History(error @ HistoryError::NotRecorded(_)) => {
                tracing::warn!(%error, "personal data is not shown");
                Problem::unavailable(Duration::from_secs(1)).into_response()
            }
            Self::History(error) => {
                tracing::error!(%error, "a read of the log failed");
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
