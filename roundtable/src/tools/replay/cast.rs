//! Who was there, and what was between them, when a slice begins.

use std::collections::{BTreeSet, HashMap};

use domain::{Decider as _, conversation::Conversation};
use events::{
    ConversationId, DomainEvent, FriendshipEvent, UserId, about,
    conversation::{ConversationKind, Role},
};

/// The people and the conversations before a slice.
#[derive(Default)]
pub(super) struct Cast {
    friends: BTreeSet<(UserId, UserId)>,
    conversations: HashMap<ConversationId, Conversation>,
}

/// A conversation as it is to be made.
pub(super) struct Room {
    pub(super) id: ConversationId,
    pub(super) kind: ConversationKind,
    /// The owner first, in a group.
    pub(super) people: Vec<UserId>,
}

impl Cast {
    /// Takes in an event from before the slice.
    pub(super) fn learn(&mut self, whole: &DomainEvent) {
        match whole {
            DomainEvent::Friendship(FriendshipEvent::Accepted { by, of }) => {
                self.friends.insert(pair(*by, *of));
            }
            DomainEvent::Friendship(
                FriendshipEvent::Removed { by, of } | FriendshipEvent::Blocked { by, of },
            ) => {
                self.friends.remove(&pair(*by, *of));
            }
            DomainEvent::Conversation(event) => {
                if let Some(id) = about::conversation(whole) {
                    let known = self.conversations.remove(&id).unwrap_or_default();
                    self.conversations.insert(id, known.evolve(event));
                }
            }
            _ => {}
        }
    }

    /// Whether the two were friends.
    pub(super) fn are_friends(&self, one: UserId, other: UserId) -> bool {
        self.friends.contains(&pair(one, other))
    }

    /// The conversations, of those that are asked for.
    pub(super) fn rooms<'a>(
        &'a self,
        wanted: &'a BTreeSet<ConversationId>,
    ) -> impl Iterator<Item = Room> + 'a {
        wanted.iter().filter_map(|id| {
            let known = self.conversations.get(id)?;
            let mut people: Vec<_> = known.members().collect();
            people.sort_by_key(|user| known.role(*user) != Some(Role::Owner));
            Some(Room { id: *id, kind: known.kind()?, people })
        })
    }
}

fn pair(one: UserId, other: UserId) -> (UserId, UserId) {
    if one <= other { (one, other) } else { (other, one) }
}
