//! What each rule that says no is called for clients: one function for each decider.

mod bots;
mod calls;
mod files;
mod people;
mod sessions;
mod talk;

use std::time::Duration;

use event_log::TransactError;
use http::StatusCode;
use service::Problem;

pub(crate) use bots::{
    invalid_webhook_url, no_such_token, of_webhook, too_many_tokens, too_many_webhooks,
};
pub(crate) use calls::{
    call_in_progress, in_another_call, of_call, peer_not_in_call, registry_away, rings_at_stranger,
    too_many_lines,
};
pub(crate) use files::{
    file_too_large, files_full, files_not_counted, of_intake, of_picture, picture_grown,
    storage_away,
};
pub(crate) use people::{
    of_friendship, of_hold, of_login, of_notification, of_parked, of_report, of_reservation,
    of_user,
};
pub(crate) use sessions::{of_session, of_whiteboard};
pub(crate) use talk::{of_conversation, of_file, of_message, of_receipt};

/// Why a command had no effect; `rejected` names the rule, where one said no.
pub(crate) fn of_transaction<R: std::error::Error + 'static>(
    error: TransactError<R>,
    rejected: impl FnOnce(R) -> Problem,
) -> Problem {
    match error {
        TransactError::Rejected(rejection) => rejected(rejection),
        TransactError::KeyReused => Problem::key_reused(),
        TransactError::Contention => Problem::contention(),
        TransactError::TooLarge => Problem::too_large(),
        TransactError::Erased => Problem::no_such_user(),
        TransactError::Unavailable(away) => {
            tracing::warn!(error = %away, "a command could not be recorded");
            Problem::unavailable(away.retry_after)
        }
        TransactError::Failed(fault) => {
            tracing::error!(
                error = &fault as &dyn std::error::Error,
                "the log failed a command and would again"
            );
            Problem::internal()
        }
    }
}

/// 422: ids of version 5 follow from something, and are not a client's to choose.
pub(crate) const fn id_not_to_choose() -> Problem {
    invalid("id-not-to-choose", "The id of something new is a UUID of version 4 or 7")
}

/// 401: the address or the password is wrong, and it is not said which.
pub(crate) const fn wrong_credentials() -> Problem {
    unauthorized("wrong-credentials", "The address or the password is wrong")
}

/// 403: the old password, which a new one takes, is wrong.
pub(crate) const fn wrong_password() -> Problem {
    forbidden("wrong-password", "The password is wrong")
}

/// 404: no log-in with this id, or none of the person who asks.
pub(crate) const fn no_such_login() -> Problem {
    missing("no-such-login", "This log-in does not exist")
}

/// 401: no log-in has this refresh token.
pub(crate) const fn wrong_refresh_token() -> Problem {
    unauthorized("refresh-invalid", "The refresh token is not one of ours")
}

/// 401: a refresh token that had been replaced was shown again; its log-in has ended.
pub(crate) const fn refresh_reused() -> Problem {
    unauthorized("refresh-reused", "This refresh token was used before; the log-in has ended")
}

/// 422: nothing follows from this verdict on what was reported.
pub(crate) const fn verdict_does_not_fit() -> Problem {
    invalid("verdict-does-not-fit", "Only messages are removed, and only people suspended")
}

/// 503: Postgres did not say what was asked.
pub(crate) fn of_postgres(error: &sqlx::Error) -> Problem {
    tracing::warn!(%error, "Postgres did not answer a command");
    Problem::unavailable(Duration::from_secs(1))
}

/// 503: what is sealed cannot be read now.
pub(crate) const fn vault_away() -> Problem {
    Problem::unavailable(Duration::from_secs(1))
}

const fn oneself() -> Problem {
    invalid("oneself", "This takes two people")
}

const fn not_friends() -> Problem {
    forbidden("not-friends", "A direct conversation is between friends")
}

const fn banned() -> Problem {
    forbidden("banned", "This person is banned here")
}

const fn moderators_only() -> Problem {
    forbidden("moderators-only", "Only a moderator of the platform may do this")
}

pub(crate) const fn no_such_message() -> Problem {
    missing("no-such-message", "This message does not exist in the conversation")
}

const fn invalid_title() -> Problem {
    invalid("invalid-title", "A title has 1 to 200 characters that are not all blank")
}

const fn unauthorized(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, slug, title)
}

const fn forbidden(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, slug, title)
}

const fn missing(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, slug, title)
}

const fn gone(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::GONE, slug, title)
}

const fn conflict(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, slug, title)
}

const fn invalid(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, title)
}
