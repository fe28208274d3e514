//! Why a caller is turned away, in the words that clients know.

use tonic::Code;

/// A call that is refused because of who makes it, or a change of users that cannot be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The credentials are wrong, or of a kind that is not taken.
    Unauthenticated,
    /// The caller may not do this.
    Denied,
    UserNotFound(String),
    /// There is a user of this name already.
    UserConflict(String),
    /// Too many passwords wait to be verified, or too many changes are made to the same user. It
    /// concerns this call alone, so clients must not take it for a sick connection.
    Busy,
}

impl Refusal {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Denied => Code::PermissionDenied,
            Self::UserNotFound(_) => Code::NotFound,
            Self::UserConflict(_) => Code::FailedPrecondition,
            Self::Busy => Code::ResourceExhausted,
        }
    }

    /// What clients switch on.
    pub(crate) fn exception(&self) -> Option<&'static str> {
        match self {
            Self::Denied => Some("access-denied"),
            Self::UserNotFound(_) => Some("user-not-found"),
            Self::UserConflict(_) => Some("user-conflict"),
            Self::Unauthenticated | Self::Busy => None,
        }
    }

    /// The user that the refusal is about.
    pub(crate) fn login(&self) -> Option<&str> {
        match self {
            Self::UserNotFound(login) | Self::UserConflict(login) => Some(login),
            Self::Unauthenticated | Self::Denied | Self::Busy => None,
        }
    }

    pub(crate) fn message(&self) -> String {
        match self {
            Self::Unauthenticated => "The credentials are wrong.".to_owned(),
            Self::Denied => "Access Denied.".to_owned(),
            Self::UserNotFound(login) => format!("User '{login}' is not found."),
            Self::UserConflict(login) => format!("User '{login}' exists already."),
            Self::Busy => "The server is busy with passwords; try again.".to_owned(),
        }
    }
}
