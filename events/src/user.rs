//! What happens to a person: signing up and telling who one is.

use serde::{Deserialize, Serialize};

use crate::{
    ConversationId, DomainEvent, Event, FileId, Moment, Personal, Position, PushId, UserId,
};

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
        /// The language they speak, as a tag of BCP 47.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        native_language: Option<Personal<String>>,
        /// The language they learn, as a tag of BCP 47.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        learning_language: Option<Personal<String>>,
        /// Where they are, in their own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<Personal<String>>,
        /// Their picture.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        avatar: Option<Avatar>,
    },
    /// A person told everything that others need to find them.
    #[serde(rename = "user.onboarded")]
    Onboarded {
        /// Who.
        user: UserId,
    },
    /// The password was hashed anew: because the hash was of an old kind, or because the person
    /// chose another password.
    #[serde(rename = "user.password_rehashed")]
    PasswordRehashed {
        /// Whose.
        user: UserId,
        /// The new hash, as a PHC string.
        password_hash: Personal<String>,
        /// Whether it is another password.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        chosen: bool,
    },
    /// A person's role on the whole platform changed.
    #[serde(rename = "user.role_changed")]
    RoleChanged {
        /// Whose.
        user: UserId,
        /// The new role.
        role: PlatformRole,
        /// Who changed it.
        by: UserId,
    },
    /// A person may not do anything for a while, or for good.
    #[serde(rename = "user.suspended")]
    Suspended {
        /// Who.
        user: UserId,
        /// Until when; for good when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Moment>,
        /// Why, for the person to read.
        reason: Personal<String>,
        /// Who decided it.
        by: UserId,
    },
    /// A suspended person may act again.
    #[serde(rename = "user.reinstated")]
    Reinstated {
        /// Who.
        user: UserId,
        /// Who decided it.
        by: UserId,
    },
    /// A browser is to get notifications by web push (RFC 8030).
    #[serde(rename = "user.push_subscribed")]
    PushSubscribed {
        /// Whose.
        user: UserId,
        /// Which subscription.
        push: PushId,
        /// Where to send to.
        endpoint: Personal<String>,
        /// The browser's public key, P-256 in base64url (RFC 8291).
        p256dh: Personal<String>,
        /// The shared secret, 16 bytes in base64url (RFC 8291).
        auth: Personal<String>,
    },
    /// A browser is to get no more notifications, or has gone.
    #[serde(rename = "user.push_unsubscribed")]
    PushUnsubscribed {
        /// Whose.
        user: UserId,
        /// Which subscription.
        push: PushId,
    },
    /// The person has seen all notifications up to a position.
    #[serde(rename = "user.notifications_read")]
    NotificationsRead {
        /// Who.
        user: UserId,
        /// Up to and including the notification that was raised there.
        upto: Position,
    },
    /// A person is erased: nothing of theirs is sealed, opened or shown any more, and their key is
    /// destroyed.
    #[serde(rename = "user.erased")]
    Erased {
        /// Who.
        user: UserId,
        /// Who asked for it: themselves, an admin, or nobody (the nil UUID) for the operator.
        by: UserId,
        /// The conversations they were in, whose people are told.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        conversations: Vec<ConversationId>,
        /// The streams of the reservations of their address and handle, which are released.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<String>,
    },
    /// Everything that follows from an erasure is done.
    #[serde(rename = "user.erasure_certified")]
    ErasureCertified {
        /// Who was erased.
        user: UserId,
        /// What was destroyed: the JSON text that is signed.
        certificate: String,
        /// The Ed25519 signature of its bytes, in base64.
        signature: String,
    },
}

/// A person's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Avatar {
    /// One of the pictures that everybody may use, counted from 1.
    Preset(u8),
    /// A picture of their own.
    File(FileId),
}

/// What a person may do on the whole platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlatformRole {
    /// What everybody may.
    #[default]
    User,
    /// Also decide on reports.
    Moderator,
    /// Also decide who is a moderator.
    Admin,
}

impl Event for UserEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::SignedUp { .. } => "user.signed_up",
            Self::ProfileChanged { .. } => "user.profile_changed",
            Self::Onboarded { .. } => "user.onboarded",
            Self::PasswordRehashed { .. } => "user.password_rehashed",
            Self::RoleChanged { .. } => "user.role_changed",
            Self::Suspended { .. } => "user.suspended",
            Self::Reinstated { .. } => "user.reinstated",
            Self::PushSubscribed { .. } => "user.push_subscribed",
            Self::PushUnsubscribed { .. } => "user.push_unsubscribed",
            Self::NotificationsRead { .. } => "user.notifications_read",
            Self::Erased { .. } => "user.erased",
            Self::ErasureCertified { .. } => "user.erasure_certified",
        }
    }
}

impl From<UserEvent> for DomainEvent {
    fn from(event: UserEvent) -> Self {
        Self::User(event)
    }
}
