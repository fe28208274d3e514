//! What an API token may be used for.

use serde::{Deserialize, Serialize, Serializer};

macro_rules! scopes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)*) => {
        /// What an API token may be used for; what is written in no scope of it, it may not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum Scope {$(
            $(#[doc = $doc])+
            #[serde(rename = $text)]
            $name,
        )*}

        impl Scope {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {$(Self::$name => $text,)*}
            }
        }
    };
}

scopes! {
    /// Read profiles: the owner's and other people's.
    ProfileRead = "profile:read",
    /// Change the owner's profile.
    ProfileWrite = "profile:write",
    /// Read friends, friend requests and blocks.
    FriendsRead = "friends:read",
    /// Ask, answer, end and block.
    FriendsWrite = "friends:write",
    /// Read conversations: members, pins, bans and invitations.
    ConversationsRead = "conversations:read",
    /// Open and change conversations, and who is in them.
    ConversationsWrite = "conversations:write",
    /// Read and search messages, and how far they were read.
    MessagesRead = "messages:read",
    /// Send, edit and delete messages, react, acknowledge, and type.
    MessagesWrite = "messages:write",
    /// Read files.
    FilesRead = "files:read",
    /// Upload and remove files.
    FilesWrite = "files:write",
    /// Read study sessions and whiteboards.
    StudyRead = "study:read",
    /// Plan, run and join study sessions, and draw.
    StudyWrite = "study:write",
    /// Read calls and recordings.
    CallsRead = "calls:read",
    /// Call, answer, join and record.
    CallsWrite = "calls:write",
    /// Read notifications.
    NotificationsRead = "notifications:read",
    /// Note that notifications were read.
    NotificationsWrite = "notifications:write",
    /// See who is there, and be there oneself.
    Presence = "presence",
    /// Be told live, over the gateway and the feed, of everything that the owner is told of.
    EventsRead = "events:read",
    /// Read webhooks and what became of their deliveries.
    WebhooksRead = "webhooks:read",
    /// Make, change, test, replay and remove webhooks.
    WebhooksWrite = "webhooks:write",
    /// Report people and messages.
    ReportsWrite = "reports:write",
    /// What a moderator does, for owners who are one.
    Moderation = "moderation",
    /// What an administrator does under `/v1/admin`, for owners who are one.
    Admin = "admin",
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some of the scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u32);

impl Scopes {
    /// Whether a scope is among them.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In their order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u32))
    }
}

/// A list of their names.
impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_written_as_it_is_called_and_sets_hold_what_was_put_in() {
        assert!(Scope::ALL.len() <= 32, "a set is 32 bits");
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            let one: Scopes = [*scope, *scope].into_iter().collect();
            assert!(one.iter().eq([*scope]) && !one.is_empty());
        }
        assert!(Scopes::default().is_empty());
        assert!(Scope::ALL.iter().copied().collect::<Scopes>().iter().eq(Scope::ALL.to_vec()));
    }
}
