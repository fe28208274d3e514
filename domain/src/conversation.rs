//! Who is in a conversation, and who decides that.

use std::collections::{BTreeMap, BTreeSet};

use events::conversation::{ConversationKind, Member, Role};
use events::{ConversationEvent, ConversationId, Personal, UserId};
use thiserror::Error;

use crate::Decider;

/// How many people a group may have.
pub const MAX_MEMBERS: usize = 1000;

/// Who is in a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    opened: Option<Opened>,
    members: BTreeMap<UserId, Role>,
    banned: BTreeSet<UserId>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Opened {
    conversation: ConversationId,
    kind: ConversationKind,
}

impl Conversation {
    /// Whether somebody is in it now.
    pub fn has_member(&self, user: UserId) -> bool {
        self.members.contains_key(&user)
    }

    /// Everybody who is in it now.
    pub fn members(&self) -> impl Iterator<Item = UserId> {
        self.members.keys().copied()
    }

    /// Its kind, once it was opened.
    pub fn kind(&self) -> Option<ConversationKind> {
        self.opened.map(|opened| opened.kind)
    }
}

/// What somebody does to a conversation.
#[derive(Clone, Debug)]
pub enum Command {
    /// Open the direct conversation with a friend.
    OpenDirect {
        /// Who opens it.
        by: UserId,
        /// With whom.
        with: UserId,
        /// Whether the two are friends now.
        friends: bool,
    },
    /// Open a group, as its owner.
    OpenGroup {
        /// The new id.
        conversation: ConversationId,
        /// Who opens it.
        by: UserId,
        /// Its title.
        title: String,
        /// Who else is in it from the start.
        members: Vec<UserId>,
    },
    /// Add somebody to the group.
    Add {
        /// Who adds.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Remove somebody from the group, or leave it.
    Remove {
        /// Who removes.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Remove somebody for good.
    Ban {
        /// Who bans.
        by: UserId,
        /// Whom.
        user: UserId,
    },
    /// Let somebody be added again.
    Unban {
        /// Who unbans.
        by: UserId,
        /// Whom.
        user: UserId,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// It takes two.
    #[error("nobody can talk with themselves")]
    Oneself,
    /// Direct conversations are between friends.
    #[error("a direct conversation is between friends")]
    NotFriends,
    /// The id is taken.
    #[error("this conversation exists already")]
    AlreadyOpened,
    /// There is none, or not for this person.
    #[error("this conversation does not exist")]
    NoSuchConversation,
    /// Only groups change.
    #[error("a direct conversation has the same two people for ever")]
    Direct,
    /// Only the owner decides.
    #[error("only the owner of the group may do this")]
    NotOwner,
    /// Groups have owners.
    #[error("the owner cannot leave the group")]
    OwnerStays,
    /// The person was banned.
    #[error("this person is banned from the group")]
    Banned,
    /// Too many.
    #[error("a group has at most 1000 members")]
    Full,
    /// Nothing to show.
    #[error("a title has 1 to 200 characters that are not all blank")]
    InvalidTitle,
}

impl Conversation {
    /// The group, if `by` may decide who is in it.
    fn owned(&self, by: UserId) -> Result<ConversationId, Rejection> {
        let conversation = self.group(by)?;
        match self.members.get(&by) {
            Some(Role::Owner) => Ok(conversation),
            Some(Role::Member) | None => Err(Rejection::NotOwner),
        }
    }

    /// The group, if `by` is in it. To others it does not exist.
    fn group(&self, by: UserId) -> Result<ConversationId, Rejection> {
        match self.opened {
            Some(_) if !self.has_member(by) => Err(Rejection::NoSuchConversation),
            Some(Opened { kind: ConversationKind::Group, conversation }) => Ok(conversation),
            Some(Opened { kind: ConversationKind::Direct, .. }) => Err(Rejection::Direct),
            None => Err(Rejection::NoSuchConversation),
        }
    }
}

impl Decider for Conversation {
    type Command = Command;
    type Event = ConversationEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<ConversationEvent>, Rejection> {
        match command {
            Command::OpenDirect { by, with, .. } if by == with => Err(Rejection::Oneself),
            Command::OpenDirect { .. } if self.opened.is_some() => Ok(vec![]),
            Command::OpenDirect { friends: false, .. } => Err(Rejection::NotFriends),
            Command::OpenDirect { by, with, friends: true } => {
                Ok(vec![ConversationEvent::Opened {
                    conversation: ConversationId::direct(*by, *with),
                    kind: ConversationKind::Direct,
                    title: None,
                    members: [*by, *with].map(|user| Member { user, role: Role::Member }).to_vec(),
                }])
            }
            Command::OpenGroup { conversation, by, title, members } => {
                if self.opened.is_some() {
                    return Err(Rejection::AlreadyOpened);
                }
                if title.trim().is_empty() || title.chars().count() > 200 {
                    return Err(Rejection::InvalidTitle);
                }
                let others: BTreeSet<_> = members.iter().filter(|user| *user != by).collect();
                if others.len() >= MAX_MEMBERS {
                    return Err(Rejection::Full);
                }
                let owner = Member { user: *by, role: Role::Owner };
                let others =
                    others.into_iter().map(|user| Member { user: *user, role: Role::Member });
                Ok(vec![ConversationEvent::Opened {
                    conversation: *conversation,
                    kind: ConversationKind::Group,
                    title: Some(Personal::new(*by, title.clone())),
                    members: std::iter::once(owner).chain(others).collect(),
                }])
            }
            Command::Add { by, user } => {
                let conversation = self.owned(*by)?;
                if self.has_member(*user) {
                    return Ok(vec![]);
                }
                if self.banned.contains(user) {
                    return Err(Rejection::Banned);
                }
                if self.members.len() >= MAX_MEMBERS {
                    return Err(Rejection::Full);
                }
                Ok(vec![ConversationEvent::MemberAdded { conversation, user: *user, by: *by }])
            }
            Command::Remove { by, user } => {
                let leaves = by == user;
                let conversation = if leaves { self.group(*by)? } else { self.owned(*by)? };
                match self.members.get(user) {
                    None => Ok(vec![]),
                    Some(Role::Owner) => Err(Rejection::OwnerStays),
                    Some(Role::Member) => Ok(vec![ConversationEvent::MemberRemoved {
                        conversation,
                        user: *user,
                        by: *by,
                    }]),
                }
            }
            Command::Ban { by, user } => {
                let conversation = self.owned(*by)?;
                if by == user {
                    return Err(Rejection::OwnerStays);
                }
                if self.banned.contains(user) {
                    return Ok(vec![]);
                }
                Ok(vec![ConversationEvent::MemberBanned { conversation, user: *user, by: *by }])
            }
            Command::Unban { by, user } => {
                let conversation = self.owned(*by)?;
                if !self.banned.contains(user) {
                    return Ok(vec![]);
                }
                Ok(vec![ConversationEvent::MemberUnbanned { conversation, user: *user, by: *by }])
            }
        }
    }

    fn evolve(mut self, event: &ConversationEvent) -> Self {
        match event {
            ConversationEvent::Opened { conversation, kind, members, .. } => {
                self.opened = Some(Opened { conversation: *conversation, kind: *kind });
                self.members = members.iter().map(|member| (member.user, member.role)).collect();
            }
            ConversationEvent::MemberAdded { user, .. } => {
                self.members.insert(*user, Role::Member);
            }
            ConversationEvent::MemberRemoved { user, .. } => {
                self.members.remove(user);
            }
            ConversationEvent::MemberBanned { user, .. } => {
                self.members.remove(user);
                self.banned.insert(*user);
            }
            ConversationEvent::MemberUnbanned { user, .. } => {
                self.banned.remove(user);
            }
        }
        self
    }
}
