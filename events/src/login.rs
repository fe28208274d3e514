//! What happens to a log-in: a device that a person signed in on.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Day, DomainEvent, Event, LoginId, Personal, Scope, UserId};

/// An event of a `login-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum LoginEvent {
    /// A person logged in.
    #[serde(rename = "login.opened")]
    Opened {
        /// The log-in.
        login: LoginId,
        /// Who.
        user: UserId,
        /// SHA-256 of the refresh token, in hex.
        refresh_digest: Personal<String>,
        /// Until when the refresh token may be used.
        expires: DateTime<Utc>,
        /// What the device calls itself, for the person to tell their log-ins apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<Personal<String>>,
    },
    /// The refresh token was used, and replaced.
    #[serde(rename = "login.refreshed")]
    Refreshed {
        /// The log-in.
        login: LoginId,
        /// Whose.
        user: UserId,
        /// SHA-256 of the new refresh token, in hex.
        refresh_digest: Personal<String>,
        /// Until when the new refresh token may be used.
        expires: DateTime<Utc>,
    },
    /// The log-in ended; none of its tokens is good any more.
    #[serde(rename = "login.closed")]
    Closed {
        /// The log-in.
        login: LoginId,
        /// Whose.
        user: UserId,
        /// Why.
        reason: CloseReason,
    },
    /// A person made an API token: a log-in without a password, for a program.
    #[serde(rename = "login.token_made")]
    TokenMade {
        /// The log-in that the token is.
        login: LoginId,
        /// As whom it acts.
        user: UserId,
        /// What the person calls it.
        name: Personal<String>,
        /// The keyed digest of its secret, in hex.
        digest: Personal<String>,
        /// What it may be used for.
        scopes: Vec<Scope>,
        /// Until when it may be used; for ever where there is no such moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<DateTime<Utc>>,
    },
    /// An API token was used on a day.
    #[serde(rename = "login.token_used")]
    TokenUsed {
        /// The log-in that the token is.
        login: LoginId,
        /// As whom it acts.
        user: UserId,
        /// Which day, in UTC.
        on: Day,
    },
}

impl Event for LoginEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "login.opened",
            Self::Refreshed { .. } => "login.refreshed",
            Self::Closed { .. } => "login.closed",
            Self::TokenMade { .. } => "login.token_made",
            Self::TokenUsed { .. } => "login.token_used",
        }
    }
}

impl From<LoginEvent> for DomainEvent {
    fn from(event: LoginEvent) -> Self {
        Self::Login(event)
    }
}

/// Why a log-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The person logged out.
    LoggedOut,
    /// A refresh token that had been replaced was used again: somebody has stolen one.
    RefreshReused,
    /// The person ended it from another device.
    Revoked,
    /// The person changed their password on another device.
    PasswordChanged,
}
