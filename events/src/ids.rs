//! Typed ids: a bare `Uuid` never crosses a function border.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[doc = $doc:literal] $name:ident,)*) => {$(
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Gives a UUID this meaning.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID beneath.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }
    )*};
}

id! {
    /// A person.
    UserId,
    /// A log-in: one device that a person signed in on, and its family of refresh tokens.
    LoginId,
    /// A conversation: direct or group.
    ConversationId,
    /// A message in a conversation.
    MessageId,
    /// A study session.
    StudySessionId,
    /// A file that was uploaded.
    FileId,
    /// A notification to one person.
    NotificationId,
    /// A report to the moderators.
    ReportId,
    /// An invitation into a group, which anybody who has its code may use.
    InviteId,
    /// A browser that gets notifications by web push.
    PushId,
    /// A call: voice or video in a conversation.
    CallId,
    /// A recording of a call.
    RecordingId,
    /// A webhook: an address elsewhere that is told of events.
    WebhookId,
    /// Something drawn on a whiteboard.
    ElementId,
    /// An event in the log.
    EventId,
}

/// The namespace of every id that Roundtable derives (UUIDv5, RFC 9562).
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0e_9a52_7a0b_5c3e_9d1f_2b86_c4f1_77a0);

impl UserId {
    /// The id of the person who signs up with this idempotency key and this e-mail digest: the
    /// same request twice is the same person.
    pub fn of_sign_up(email_digest: &str, key: Uuid) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, format!("user {email_digest} {key}").as_bytes()))
    }
}

impl LoginId {
    /// The id of the log-in that a request with this idempotency key opens.
    pub fn of_request(user: UserId, key: Uuid) -> Self {
        Self(Uuid::new_v5(&user.uuid(), format!("login {key}").as_bytes()))
    }

    /// The id of the API token that a request with this idempotency key makes: a token is a log-in
    /// without a password.
    pub fn of_token(user: UserId, key: Uuid) -> Self {
        Self(Uuid::new_v5(&user.uuid(), format!("token {key}").as_bytes()))
    }
}

impl ConversationId {
    /// The one direct conversation of two people, whoever of them opens it first.
    pub fn direct(one: UserId, other: UserId) -> Self {
        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        Self(Uuid::new_v5(&NAMESPACE, format!("direct {low} {high}").as_bytes()))
    }
}

impl NotificationId {
    /// The one notification that a person gets of an event, however often the event is seen.
    pub fn of(user: UserId, cause: EventId) -> Self {
        Self(Uuid::new_v5(&user.uuid(), format!("notification {cause}").as_bytes()))
    }
}

impl PushId {
    /// The id of a person's browser, which is known by the address that its notifications go to.
    pub fn of(user: UserId, endpoint: &str) -> Self {
        Self(Uuid::new_v5(&user.uuid(), format!("push {endpoint}").as_bytes()))
    }
}

impl WebhookId {
    /// The id of the webhook that a request with this idempotency key makes.
    pub fn of_request(owner: UserId, key: Uuid) -> Self {
        Self(Uuid::new_v5(&owner.uuid(), format!("webhook {key}").as_bytes()))
    }
}

impl EventId {
    /// The id of the `index`-th event that an actor's command with this idempotency key appends
    /// to this stream, so that a retry offers the store the same events again.
    pub fn derive(actor: UserId, key: Uuid, stream: &str, index: usize) -> Self {
        Self(Uuid::new_v5(&actor.uuid(), format!("{key} {stream} {index}").as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direct_conversation_has_one_id_for_both() {
        let (a, b) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        assert_eq!(ConversationId::direct(a, b), ConversationId::direct(b, a));
    }

    #[test]
    fn event_ids_differ_by_actor_key_stream_and_index() {
        let (a, b) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let (k, l) = (Uuid::from_u128(3), Uuid::from_u128(4));
        let first = EventId::derive(a, k, "user-1", 0);
        assert_eq!(first, EventId::derive(a, k, "user-1", 0));
        for other in [
            EventId::derive(b, k, "user-1", 0),
            EventId::derive(a, l, "user-1", 0),
            EventId::derive(a, k, "user-2", 0),
            EventId::derive(a, k, "user-1", 1),
        ] {
            assert_ne!(first, other);
        }
    }
}
