//! What each rule that says no is called for clients: one function for each decider.

use std::time::Duration;

use domain::{conversation, friendship, login, message, receipt, reservation, user};
use event_log::TransactError;
use http::StatusCode;
use service::Problem;

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

/// A rule of friendships.
pub(crate) fn of_friendship(rejection: friendship::Rejection) -> Problem {
    use friendship::Rejection;
    match rejection {
        Rejection::Oneself => oneself(),
        Rejection::NoRequest => Problem::new(
            StatusCode::NOT_FOUND,
            "no-request",
            "There is no friend request of this person",
        ),
        Rejection::AlreadyFriends => conflict("already-friends", "The two are friends already"),
    }
}

/// A rule of conversations.
pub(crate) fn of_conversation(rejection: conversation::Rejection) -> Problem {
    use conversation::Rejection;
    match rejection {
        Rejection::Oneself => oneself(),
        Rejection::NotFriends => {
            forbidden("not-friends", "A direct conversation is between friends")
        }
        Rejection::AlreadyOpened => {
            conflict("conversation-exists", "This conversation exists already")
        }
        Rejection::NoSuchConversation => Problem::no_such_conversation(),
        Rejection::Direct => conflict(
            "direct-conversation",
            "A direct conversation has the same two people for ever",
        ),
        Rejection::NotOwner => forbidden("not-owner", "Only the owner of the group may do this"),
        Rejection::OwnerStays => conflict("owner-stays", "The owner cannot leave the group"),
        Rejection::Banned => forbidden("banned", "This person is banned from the group"),
        Rejection::Full => conflict("conversation-full", "A group has at most 1000 members"),
        Rejection::InvalidTitle => {
            invalid("invalid-title", "A title has 1 to 200 characters that are not all blank")
        }
    }
}

/// A rule of messages.
pub(crate) fn of_message(rejection: message::Rejection) -> Problem {
    use message::Rejection;
    match rejection {
        Rejection::NoSuchConversation => Problem::no_such_conversation(),
        Rejection::AlreadySent => {
            conflict("message-exists", "A message with this id exists already")
        }
        Rejection::InvalidText => {
            invalid("invalid-text", "A message has 1 to 8000 characters that are not all blank")
        }
    }
}

/// A rule of receipts.
pub(crate) fn of_receipt(rejection: receipt::Rejection) -> Problem {
    match rejection {
        receipt::Rejection::NoSuchMessage => Problem::new(
            StatusCode::NOT_FOUND,
            "no-such-message",
            "This message does not exist in the conversation",
        ),
    }
}

/// A rule of accounts.
pub(crate) fn of_user(rejection: user::Rejection) -> Problem {
    use user::Rejection;
    match rejection {
        Rejection::AlreadySignedUp => conflict("account-exists", "This account exists already"),
        Rejection::NoSuchUser => Problem::no_such_user(),
        Rejection::InvalidName => {
            invalid("invalid-name", "A name has 1 to 100 characters that are not all blank")
        }
        Rejection::BioTooLong => {
            invalid("bio-too-long", "A text about oneself has at most 1000 characters")
        }
    }
}

/// A rule of unique names; the slug says which kind of name it is.
pub(crate) fn of_reservation(rejection: reservation::Rejection, taken: &'static str) -> Problem {
    use reservation::Rejection;
    match rejection {
        Rejection::Taken | Rejection::NotReserved => {
            conflict(taken, "Somebody else has this name already")
        }
    }
}

/// A rule of log-ins.
pub(crate) fn of_login(rejection: login::Rejection) -> Problem {
    use login::Rejection;
    match rejection {
        Rejection::AlreadyOpened => conflict("login-exists", "This log-in exists already"),
        Rejection::NoSuchLogin => wrong_refresh_token(),
        Rejection::Closed => unauthorized("login-ended", "This log-in has ended"),
        Rejection::Expired => unauthorized("refresh-expired", "The refresh token has expired"),
        Rejection::Unreadable => vault_away(),
    }
}

/// 401: the address or the password is wrong, and it is not said which.
pub(crate) const fn wrong_credentials() -> Problem {
    unauthorized("wrong-credentials", "The address or the password is wrong")
}

/// 401: no log-in has this refresh token.
pub(crate) const fn wrong_refresh_token() -> Problem {
    unauthorized("refresh-invalid", "The refresh token is not one of ours")
}

/// 401: a refresh token that had been replaced was shown again; its log-in has ended.
pub(crate) const fn refresh_reused() -> Problem {
    unauthorized("refresh-reused", "This refresh token was used before; the log-in has ended")
}

/// 503: what is sealed cannot be read now.
pub(crate) const fn vault_away() -> Problem {
    Problem::unavailable(Duration::from_secs(1))
}

const fn oneself() -> Problem {
    invalid("oneself", "This takes two people")
}

const fn unauthorized(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, slug, title)
}

const fn forbidden(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, slug, title)
}

const fn conflict(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, slug, title)
}

const fn invalid(slug: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, title)
}
