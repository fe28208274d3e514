//! A log-in: opened once, refreshed by the token it gave out last, closed for good.

use events::login::CloseReason;
use events::{LoginEvent, LoginId, Moment, Personal, UserId};
use thiserror::Error;

use crate::Decider;

/// What is known of a log-in.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Login {
    /// Not opened.
    #[default]
    None,
    /// In use.
    Open {
        /// The log-in.
        login: LoginId,
        /// Whose.
        user: UserId,
        /// SHA-256 of the refresh token that is good now, in hex.
        refresh_digest: Personal<String>,
        /// Until when that token is good.
        expires: Moment,
    },
    /// Over.
    Closed {
        /// Whose it was.
        user: UserId,
    },
}

impl Login {
    /// Whether this person's access tokens are still good.
    pub fn is_open_for(&self, person: UserId) -> bool {
        matches!(self, Self::Open { user, .. } if *user == person)
    }

    /// Whose log-in it is, or was.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::None => None,
            Self::Open { user, .. } | Self::Closed { user } => Some(*user),
        }
    }
}

/// What a device does to its log-in.
#[derive(Clone, Debug)]
pub enum Command {
    /// Log in; the password was checked.
    Open {
        /// The log-in.
        login: LoginId,
        /// Who.
        user: UserId,
        /// SHA-256 of the refresh token, in hex.
        refresh_digest: String,
        /// Until when it is good.
        expires: Moment,
    },
    /// Replace the refresh token.
    Refresh {
        /// SHA-256 of the token that was shown, in hex.
        shown_digest: String,
        /// SHA-256 of the next one, in hex.
        next_digest: String,
        /// The present.
        now: Moment,
        /// Until when the next one is good.
        expires: Moment,
    },
    /// Log out.
    Close {
        /// Whose log-in is to end.
        user: UserId,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The id was used before.
    #[error("this log-in exists already")]
    AlreadyOpened,
    /// There is none, or it is somebody else's.
    #[error("this log-in does not exist")]
    NoSuchLogin,
    /// It is over.
    #[error("this log-in has ended")]
    Closed,
    /// The token is too old.
    #[error("the refresh token has expired")]
    Expired,
    /// The key that would open the stored digest is not at hand.
    #[error("the log-in cannot be read")]
    Unreadable,
}

impl Decider for Login {
    type Command = Command;
    type Event = LoginEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<LoginEvent>, Rejection> {
        match (command, self) {
            (Command::Open { login, user, refresh_digest, expires }, Self::None) => {
                Ok(vec![LoginEvent::Opened {
                    login: *login,
                    user: *user,
                    refresh_digest: Personal::new(*user, refresh_digest.clone()),
                    expires: *expires,
                }])
            }
            (Command::Open { .. }, _) => Err(Rejection::AlreadyOpened),
            (
                Command::Refresh { shown_digest, next_digest, now, expires },
                Self::Open { login, user, refresh_digest, expires: end },
            ) => {
                let current = refresh_digest.open().ok_or(Rejection::Unreadable)?;
                if current != shown_digest {
                    let reason = CloseReason::RefreshReused;
                    return Ok(vec![LoginEvent::Closed { login: *login, user: *user, reason }]);
                }
                if now >= end {
                    return Err(Rejection::Expired);
                }
                Ok(vec![LoginEvent::Refreshed {
                    login: *login,
                    user: *user,
                    refresh_digest: Personal::new(*user, next_digest.clone()),
                    expires: *expires,
                }])
            }
            (Command::Refresh { .. }, Self::Closed { .. }) => Err(Rejection::Closed),
            (Command::Close { user: by }, Self::Open { login, user, .. }) if by == user => {
                let reason = CloseReason::LoggedOut;
                Ok(vec![LoginEvent::Closed { login: *login, user: *user, reason }])
            }
            (Command::Close { user: by }, Self::Closed { user }) if by == user => Ok(vec![]),
            (Command::Refresh { .. } | Command::Close { .. }, _) => Err(Rejection::NoSuchLogin),
        }
    }

    fn evolve(self, event: &LoginEvent) -> Self {
        match event {
            LoginEvent::Opened { login, user, refresh_digest, expires }
            | LoginEvent::Refreshed { login, user, refresh_digest, expires } => Self::Open {
                login: *login,
                user: *user,
                refresh_digest: refresh_digest.clone(),
                expires: *expires,
            },
            LoginEvent::Closed { user, .. } => Self::Closed { user: *user },
        }
    }
}
