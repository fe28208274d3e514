//! What happens to a person: signing up and telling who one is.

use serde::{Deserialize, Serialize};

use crate::{DomainEvent, Event, Personal, UserId};

/// An event of a `user-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum UserEvent {
    /// A person signed up.
    #[serde(rename = "user.signed_up")]
    SignedUp {
        /// Who.
        user: UserId,
        /// The address, normalised.
        email: Personal<String>,
        /// The unique short name, normalised.
        handle: Personal<String>,
        /// The name that others see.
        name: Personal<String>,
        /// The password's hash, as a PHC string.
        password_hash: Personal<String>,
    },
    /// A person changed what others see of them; what is absent stays as it was.
    #[serde(rename = "user.profile_changed")]
    ProfileChanged {
        /// Who.
        user: UserId,
        /// The new name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Personal<String>>,
        /// The new text about oneself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bio: Option<Personal<String>>,
    },
}

impl Event for UserEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::SignedUp { .. } => "user.signed_up",
            Self::ProfileChanged { .. } => "user.profile_changed",
        }
    }
}

impl From<UserEvent> for DomainEvent {
    fn from(event: UserEvent) -> Self {
        Self::User(event)
    }
}
