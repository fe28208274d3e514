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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{hold, user};

    const GROUP: ConversationId = ConversationId::new(Uuid::from_u128(9));

    fn open_group(by: u8, title: &str, members: Vec<UserId>) -> Command {
        Command::OpenGroup { conversation: GROUP, by: user(by), title: title.to_owned(), members }
    }

    fn open_direct(by: u8, with: u8, friends: bool) -> Command {
        Command::OpenDirect { by: user(by), with: user(with), friends }
    }

    fn after(commands: &[Command]) -> Conversation {
        commands.iter().fold(Conversation::default(), |state, command| {
            state.decide(command).unwrap().iter().fold(state, Conversation::evolve)
        })
    }

    /// Owned by 1, with 2 and 3 in it.
    fn group() -> Conversation {
        after(&[open_group(1, "Study", vec![user(2), user(3)])])
    }

    fn direct() -> Conversation {
        after(&[open_direct(1, 2, true)])
    }

    /// Adds, removes, bans, unbans.
    fn changes(by: u8, of: u8) -> [Command; 4] {
        let (by, user) = (user(by), user(of));
        [
            Command::Add { by, user },
            Command::Remove { by, user },
            Command::Ban { by, user },
            Command::Unban { by, user },
        ]
    }

    #[test]
    fn friends_open_their_one_direct_conversation() {
        assert_eq!(direct().kind(), Some(ConversationKind::Direct));
        assert!(direct().has_member(user(1)) && direct().has_member(user(2)));
        assert_eq!(direct().decide(&open_direct(2, 1, true)), Ok(vec![]));
        assert_eq!(direct().decide(&open_direct(2, 1, false)), Ok(vec![]), "it is still there");
        let new = Conversation::default();
        assert_eq!(new.decide(&open_direct(1, 2, false)), Err(Rejection::NotFriends));
        assert_eq!(new.decide(&open_direct(1, 1, true)), Err(Rejection::Oneself));
    }

    #[test]
    fn a_direct_conversation_never_changes() {
        for command in changes(1, 2).iter().chain(&changes(1, 3)).chain(&changes(1, 1)) {
            assert_eq!(direct().decide(command), Err(Rejection::Direct));
        }
    }

    #[test]
    fn a_group_has_its_opener_as_owner_and_everyone_once() {
        let twice = open_group(1, "Study", vec![user(2), user(1), user(2)]);
        let state = after(&[twice]);
        assert_eq!(state.members().collect::<Vec<_>>(), [user(1), user(2)]);
        assert_eq!(state.members[&user(1)], Role::Owner);
        let again = state.decide(&open_group(1, "Study", vec![]));
        assert_eq!(again, Err(Rejection::AlreadyOpened));
    }

    #[test]
    fn a_title_is_neither_blank_nor_endless() {
        let longest = "é".repeat(200);
        assert!(Conversation::default().decide(&open_group(1, &longest, vec![])).is_ok());
        for title in ["", "  ", &format!("{longest}!")] {
            let refused = Conversation::default().decide(&open_group(1, title, vec![]));
            assert_eq!(refused, Err(Rejection::InvalidTitle));
        }
    }

    #[test]
    fn a_group_is_full_at_its_limit() {
        let crowd = |count: u128| -> Vec<UserId> {
            (1000..1000 + count).map(|number| UserId::new(Uuid::from_u128(number))).collect()
        };
        let most = MAX_MEMBERS as u128 - 1;
        let full = after(&[open_group(1, "Study", crowd(most))]);
        let add = Command::Add { by: user(1), user: user(2) };
        assert_eq!(full.decide(&add), Err(Rejection::Full));
        let more = Conversation::default().decide(&open_group(1, "Study", crowd(most + 1)));
        assert_eq!(more, Err(Rejection::Full));
    }

    #[test]
    fn only_the_owner_decides_who_is_in_and_others_do_not_see_the_group() {
        for (by, refusal) in [(2, Rejection::NotOwner), (4, Rejection::NoSuchConversation)] {
            for command in changes(by, 3) {
                assert_eq!(group().decide(&command), Err(refusal));
            }
        }
        for command in changes(1, 3) {
            let refused = Conversation::default().decide(&command);
            assert_eq!(refused, Err(Rejection::NoSuchConversation));
        }
    }

    #[test]
    fn people_are_added_and_removed_once() {
        let [add, remove, _, _] = changes(1, 4);
        let added =
            ConversationEvent::MemberAdded { conversation: GROUP, user: user(4), by: user(1) };
        assert_eq!(group().decide(&add), Ok(vec![added.clone()]));
        let state = group().evolve(&added);
        assert_eq!(state.decide(&add), Ok(vec![]));
        let removed =
            ConversationEvent::MemberRemoved { conversation: GROUP, user: user(4), by: user(1) };
        assert_eq!(state.decide(&remove), Ok(vec![removed.clone()]));
        assert_eq!(state.evolve(&removed).decide(&remove), Ok(vec![]));
    }

    #[test]
    fn everybody_may_leave_but_the_owner() {
        let leave = |who| Command::Remove { by: user(who), user: user(who) };
        let state = after(&[open_group(1, "Study", vec![user(2)]), leave(2)]);
        assert!(!state.has_member(user(2)));
        assert_eq!(state.decide(&leave(2)), Err(Rejection::NoSuchConversation));
        assert_eq!(state.decide(&leave(1)), Err(Rejection::OwnerStays));
        assert_eq!(state.decide(&changes(1, 1)[2]), Err(Rejection::OwnerStays));
    }

    #[test]
    fn who_is_banned_is_out_until_unbanned() {
        let [add, _, ban, unban] = changes(1, 2);
        let state = after(&[open_group(1, "Study", vec![user(2)]), ban.clone()]);
        assert!(!state.has_member(user(2)));
        assert_eq!(state.decide(&ban), Ok(vec![]));
        assert_eq!(state.decide(&add), Err(Rejection::Banned));
        let state = state.decide(&unban).unwrap().iter().fold(state, Conversation::evolve);
        assert!(!state.has_member(user(2)), "to be let in is not to be in");
        assert_eq!(state.decide(&unban), Ok(vec![]));
        assert_eq!(state.decide(&add).unwrap().len(), 1);
    }

    fn command() -> impl Strategy<Value = Command> {
        (0..6_usize, 1..5_u8, 1..5_u8, any::<bool>()).prop_map(|(kind, by, of, friends)| match kind
        {
            0 => open_group(by, "Study", vec![user(of)]),
            1 => open_direct(by, of, friends),
            change => changes(by, of)[change - 2].clone(),
        })
    }

    proptest! {
        #[test]
        fn the_laws_hold(commands in proptest::collection::vec(command(), 0..60)) {
            hold::<Conversation>(&commands, |_| false, |before, after| {
                assert!(before.opened.is_none() || before.opened == after.opened);
                assert!(after.banned.iter().all(|user| !after.has_member(*user)));
                let owners = after.members.values().filter(|role| **role == Role::Owner).count();
                match after.kind() {
                    Some(ConversationKind::Group) => assert_eq!(owners, 1),
                    Some(ConversationKind::Direct) => assert_eq!((owners, after.members.len()), (0, 2)),
                    None => assert!(after.members.is_empty()),
                }
            });
        }
    }
}
