//! Who sees an event live.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    ConversationEvent, ConversationId, DomainEvent, FileEvent, FriendshipEvent, LoginEvent,
    MessageEvent, NotificationEvent, ReceiptEvent, ReportEvent, UserEvent, UserId,
};

/// A group of sockets that get the same frames, and the NATS subject they come on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// Every device of one person.
    User(UserId),
    /// Every device of everybody in a conversation.
    Conversation(ConversationId),
}

impl Audience {
    /// The NATS subject: `live.user.{id}` or `live.conversation.{id}`.
    pub fn subject(self) -> String {
        match self {
            Self::User(id) => format!("live.user.{id}"),
            Self::Conversation(id) => format!("live.conversation.{id}"),
        }
    }

    /// Everybody who has to see an event. A person may be in several of them, and sees it once.
    ///
    /// Who comes into a conversation or leaves it also sees that as themselves: their devices do
    /// not belong to the conversation's audience before, or after.
    pub fn of(event: &DomainEvent) -> Vec<Self> {
        match event {
            DomainEvent::User(event) => match event {
                UserEvent::SignedUp { user, .. }
                | UserEvent::ProfileChanged { user, .. }
                | UserEvent::Onboarded { user }
                | UserEvent::RoleChanged { user, .. }
                | UserEvent::Suspended { user, .. }
                | UserEvent::Reinstated { user, .. }
                | UserEvent::PushSubscribed { user, .. }
                | UserEvent::PushUnsubscribed { user, .. }
                | UserEvent::NotificationsRead { user, .. } => vec![Self::User(*user)],
                // Who had to do with the person forgets them.
                UserEvent::Erased { user, conversations, .. } => {
                    let theirs = conversations.iter().copied().map(Self::Conversation);
                    theirs.chain([Self::User(*user)]).collect()
                }
                UserEvent::PasswordRehashed { .. } | UserEvent::ErasureCertified { .. } => vec![],
            },
            DomainEvent::Reservation(_) => vec![],
            DomainEvent::Login(
                LoginEvent::Opened { user, .. }
                | LoginEvent::Refreshed { user, .. }
                | LoginEvent::Closed { user, .. }
                | LoginEvent::TokenMade { user, .. },
            ) => vec![Self::User(*user)],
            // That a token is in use is nothing to be told of every day.
            DomainEvent::Login(LoginEvent::TokenUsed { .. }) => vec![],
            DomainEvent::Friendship(
                FriendshipEvent::Requested { from: one, to: other }
                | FriendshipEvent::Accepted { by: one, of: other }
                | FriendshipEvent::Declined { by: one, of: other }
                | FriendshipEvent::Cancelled { by: one, to: other }
                | FriendshipEvent::Removed { by: one, of: other },
            ) => vec![Self::User(*one), Self::User(*other)],
            // Who is blocked is not told.
            DomainEvent::Friendship(
                FriendshipEvent::Blocked { by, .. } | FriendshipEvent::Unblocked { by, .. },
            ) => vec![Self::User(*by)],
            DomainEvent::Conversation(event) => match event {
                ConversationEvent::Opened { members, .. } => {
                    members.iter().map(|member| Self::User(member.user)).collect()
                }
                ConversationEvent::MemberAdded { conversation, user, .. }
                | ConversationEvent::MemberRemoved { conversation, user, .. }
                | ConversationEvent::MemberBanned { conversation, user, .. }
                | ConversationEvent::MemberUnbanned { conversation, user, .. } => {
                    vec![Self::Conversation(*conversation), Self::User(*user)]
                }
                ConversationEvent::TitleChanged { conversation, .. }
                | ConversationEvent::RoleChanged { conversation, .. }
                | ConversationEvent::OwnershipTransferred { conversation, .. }
                | ConversationEvent::SlowModeChanged { conversation, .. }
                | ConversationEvent::MessagePinned { conversation, .. }
                | ConversationEvent::MessageUnpinned { conversation, .. } => {
                    vec![Self::Conversation(*conversation)]
                }
                // An invitation is the secret of whoever made it.
                ConversationEvent::InviteMade { by, .. }
                | ConversationEvent::InviteRevoked { by, .. } => vec![Self::User(*by)],
            },
            DomainEvent::Message(
                MessageEvent::Sent { conversation, .. }
                | MessageEvent::Edited { conversation, .. }
                | MessageEvent::Deleted { conversation, .. }
                | MessageEvent::Reacted { conversation, .. }
                | MessageEvent::Unreacted { conversation, .. },
            ) => vec![Self::Conversation(*conversation)],
            DomainEvent::Receipt(
                ReceiptEvent::Delivered { conversation, .. }
                | ReceiptEvent::Read { conversation, .. },
            ) => vec![Self::Conversation(*conversation)],
            DomainEvent::Session(event) => vec![Self::Conversation(event.conversation())],
            DomainEvent::Whiteboard(event) => vec![Self::Conversation(event.conversation())],
            DomainEvent::File(
                FileEvent::Uploaded { owner, .. } | FileEvent::Removed { owner, .. },
            ) => vec![Self::User(*owner)],
            DomainEvent::Notification(
                NotificationEvent::Raised { user, .. } | NotificationEvent::Read { user, .. },
            ) => vec![Self::User(*user)],
            // How it was tried to reach somebody is not what they want to hear of.
            DomainEvent::Notification(NotificationEvent::Attempted { .. }) => vec![],
            DomainEvent::Report(
                ReportEvent::Filed { by, .. } | ReportEvent::Resolved { by, .. },
            ) => vec![Self::User(*by)],
            DomainEvent::Denial(_)
            | DomainEvent::Line(_)
            | DomainEvent::Hold(_)
            | DomainEvent::Access(_)
            | DomainEvent::Parked(_) => vec![],
            DomainEvent::Webhook(event) => vec![Self::User(event.whose().1)],
            DomainEvent::Call(event) => vec![Self::Conversation(event.place().1)],
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Conversation(id) => write!(f, "conversation:{id}"),
        }
    }
}

/// The text is no audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAudience;

impl fmt::Display for InvalidAudience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an audience is `user:` or `conversation:` and a UUID")
    }
}

impl std::error::Error for InvalidAudience {}

impl FromStr for Audience {
    type Err = InvalidAudience;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, id) = text.split_once(':').ok_or(InvalidAudience)?;
        match kind {
            "user" => id.parse().map(Self::User).map_err(|_| InvalidAudience),
            "conversation" => id.parse().map(Self::Conversation).map_err(|_| InvalidAudience),
            _ => Err(InvalidAudience),
        }
    }
}

impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn text_comes_back() {
        let id = Uuid::from_u128(9);
        for audience in [Audience::User(id.into()), Audience::Conversation(id.into())] {
            assert_eq!(audience.to_string().parse(), Ok(audience));
        }
        assert_eq!("room:1".parse::<Audience>(), Err(InvalidAudience));
        assert_eq!("user:1".parse::<Audience>(), Err(InvalidAudience));
    }
}
