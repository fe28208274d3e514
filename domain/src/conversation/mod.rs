//! Who is in a conversation, as what, and what they set for it.

mod command;
mod invites;
mod opening;
mod people;
mod roles;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use events::conversation::{ConversationKind, Role};
use events::serde::{Deserialize, Serialize};
use events::{ConversationEvent, ConversationId, InviteId, MessageId, Personal, UserId};

use crate::Decider;
pub use command::{Command, Rejection};
use invites::Invite;
pub use invites::MAX_OPEN_INVITES;
pub use people::MAX_BANS;
pub use roles::{Action, MATRIX, may, permitted};
pub use settings::{MAX_PINS, MAX_SLOW_MODE};

/// How many people a group may have.
pub const MAX_MEMBERS: usize = 1000;

/// Who is in a conversation, as what, and what they set for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "events::serde")]
pub struct Conversation {
    opened: Option<Opened>,
    title: Option<Personal<String>>,
    members: BTreeMap<UserId, Role>,
    banned: BTreeSet<UserId>,
    /// Every invitation ever made: the id of one that is over must not be used again.
    invites: BTreeMap<InviteId, Invite>,
    slow_mode: u32,
    pins: BTreeSet<MessageId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "events::serde")]
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

    /// What somebody is in it.
    pub fn role(&self, user: UserId) -> Option<Role> {
        self.members.get(&user).copied()
    }

    /// Whether somebody is banned from it.
    pub fn is_banned(&self, user: UserId) -> bool {
        self.banned.contains(&user)
    }

    /// Its kind, once it was opened.
    pub fn kind(&self) -> Option<ConversationKind> {
        self.opened.map(|opened| opened.kind)
    }

    /// How many seconds members wait between two messages.
    pub const fn slow_mode(&self) -> u32 {
        self.slow_mode
    }

    /// Whether a message is pinned.
    pub fn is_pinned(&self, message: MessageId) -> bool {
        self.pins.contains(&message)
    }

    /// The messages that are pinned, deleted ones among them.
    pub fn pins(&self) -> impl Iterator<Item = MessageId> {
        self.pins.iter().copied()
    }

    /// Whether somebody is in it and may do something there, whoever it is done to.
    pub fn may(&self, user: UserId, action: Action) -> bool {
        self.allow(user, action).is_ok()
    }

    /// The conversation, if `by` may do something in it. To who is not in it, it does not exist.
    fn allow(&self, by: UserId, action: Action) -> Result<ConversationId, Rejection> {
        let opened = self.opened.ok_or(Rejection::NoSuchConversation)?;
        let role = self.role(by).ok_or(Rejection::NoSuchConversation)?;
        match opened.kind {
            ConversationKind::Direct if roles::EITHER.contains(&action) => Ok(opened.conversation),
            ConversationKind::Direct => Err(Rejection::Direct),
            _ if !may(role, action) => Err(roles::refusal(action)),
            ConversationKind::Study if roles::NOT_IN_STUDY_ROOMS.contains(&action) => {
                Err(Rejection::StudyRoom)
            }
            ConversationKind::Study | ConversationKind::Group => Ok(opened.conversation),
        }
    }

    /// The conversation, if `by` may do something to `user`: only to those below them.
    fn allow_upon(
        &self,
        by: UserId,
        action: Action,
        user: UserId,
    ) -> Result<ConversationId, Rejection> {
        let conversation = self.allow(by, action)?;
        match (self.role(by), self.role(user)) {
            (Some(Role::Owner), Some(Role::Owner)) => Err(Rejection::OwnerStays),
            (Some(one), Some(other)) if !roles::outranks(one, other) => Err(Rejection::NotAllowed),
            _ => Ok(conversation),
        }
    }
}

impl Decider for Conversation {
    type Command = Command;
    type Event = ConversationEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<ConversationEvent>, Rejection> {
        match command {
            Command::OpenDirect { by, with, friends } => self.open_direct(*by, *with, *friends),
            Command::OpenGroup { conversation, by, title, members } => {
                self.open_group(*conversation, *by, title, members)
            }
            Command::OpenStudy { conversation, tutor, title } => {
                self.open_study(*conversation, *tutor, title)
            }
            Command::Add { by, user } => self.add(*by, *user),
            Command::Remove { by, user } => self.remove(*by, *user),
            Command::Ban { by, user } => self.ban(*by, *user),
            Command::Unban { by, user } => self.unban(*by, *user),
            Command::Enter { user, admitted } => self.enter(*user, *admitted),
            Command::Leave { user } => self.leave(*user),
            Command::ChangeRole { by, user, role } => self.change_role(*by, *user, *role),
            Command::TransferOwnership { by, to } => self.transfer_ownership(*by, *to),
            Command::MakeInvite { by, invite, expires, uses, now } => {
                self.make_invite(*by, *invite, Invite::new(*expires, *uses), *now)
            }
            Command::RevokeInvite { by, invite } => self.revoke_invite(*by, *invite),
            Command::AcceptInvite { user, invite, now } => self.accept_invite(*user, *invite, *now),
            Command::Rename { by, title } => self.rename(*by, title),
            Command::SetSlowMode { by, seconds } => self.set_slow_mode(*by, *seconds),
            Command::Pin { by, message, here } => self.pin(*by, *message, *here),
            Command::Unpin { by, message } => self.unpin(*by, *message),
        }
    }

    fn evolve(mut self, event: &ConversationEvent) -> Self {
        match event {
            ConversationEvent::Opened { conversation, kind, title, members } => {
                self.opened = Some(Opened { conversation: *conversation, kind: *kind });
                self.title.clone_from(title);
                self.members = members.iter().map(|member| (member.user, member.role)).collect();
            }
            ConversationEvent::MemberAdded { user, invite, .. } => {
                self.members.insert(*user, Role::Member);
                if let Some(used) = invite.and_then(|invite| self.invites.get_mut(&invite)) {
                    used.count();
                }
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
            ConversationEvent::TitleChanged { title, .. } => self.title = Some(title.clone()),
            ConversationEvent::RoleChanged { user, role, .. } => self.set_role(*user, *role),
            ConversationEvent::OwnershipTransferred { from, to, .. } => {
                self.set_role(*from, Role::Admin);
                self.set_role(*to, Role::Owner);
            }
            ConversationEvent::InviteMade { invite, expires, uses, .. } => {
                self.forget_closed_invites();
                self.invites.insert(*invite, Invite::new(*expires, *uses));
            }
            ConversationEvent::InviteRevoked { invite, .. } => {
                if let Some(revoked) = self.invites.get_mut(invite) {
                    revoked.revoke();
                }
            }
            ConversationEvent::SlowModeChanged { seconds, .. } => self.slow_mode = *seconds,
            ConversationEvent::MessagePinned { message, .. } => {
                self.pins.insert(*message);
            }
            ConversationEvent::MessageUnpinned { message, .. } => {
                self.pins.remove(message);
            }
        }
        self
    }
}
