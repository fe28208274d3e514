//! Who comes and goes, and as what.

use events::conversation::{ConversationKind, Role};
use events::{ConversationEvent, InviteId, UserId};

use super::{Action, Conversation, MAX_MEMBERS, Opened, Rejection};

/// How many people can be banned from a group: all of them are part of its state.
pub const MAX_BANS: usize = 10_000;

type Decision = Result<Vec<ConversationEvent>, Rejection>;

impl Conversation {
    pub(super) fn add(&self, by: UserId, user: UserId) -> Decision {
        self.allow(by, Action::Add)?;
        self.come(user, by, None)
    }

    /// Somebody who may come in does, unless they are in already.
    pub(super) fn come(&self, user: UserId, by: UserId, invite: Option<InviteId>) -> Decision {
        let Some(Opened { conversation, .. }) = self.opened else {
            return Err(Rejection::NoSuchConversation);
        };
        if self.has_member(user) {
            return Ok(vec![]);
        }
        if self.is_banned(user) {
            return Err(Rejection::Banned);
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(Rejection::Full);
        }
        Ok(vec![ConversationEvent::MemberAdded { conversation, user, by, invite }])
    }

    pub(super) fn remove(&self, by: UserId, user: UserId) -> Decision {
        let conversation = if by == user {
            self.allow(by, Action::Leave)?
        } else {
            self.allow_upon(by, Action::Remove, user)?
        };
        if !self.has_member(user) {
            return Ok(vec![]);
        }
        Ok(vec![ConversationEvent::MemberRemoved { conversation, user, by }])
    }

    pub(super) fn ban(&self, by: UserId, user: UserId) -> Decision {
        let conversation = self.allow_upon(by, Action::Ban, user)?;
        if self.is_banned(user) {
            return Ok(vec![]);
        }
        if self.banned.len() >= MAX_BANS {
            return Err(Rejection::TooManyBans);
        }
        Ok(vec![ConversationEvent::MemberBanned { conversation, user, by }])
    }

    pub(super) fn unban(&self, by: UserId, user: UserId) -> Decision {
        let conversation = self.allow(by, Action::Unban)?;
        if !self.is_banned(user) {
            return Ok(vec![]);
        }
        Ok(vec![ConversationEvent::MemberUnbanned { conversation, user, by }])
    }

    pub(super) fn enter(&self, user: UserId, admitted: bool) -> Decision {
        match self.kind() {
            Some(ConversationKind::Study) if admitted || self.has_member(user) => {
                self.come(user, user, None)
            }
            Some(ConversationKind::Study) => Err(Rejection::StudyRoom),
            Some(ConversationKind::Direct | ConversationKind::Group) | None => {
                Err(Rejection::NoSuchConversation)
            }
        }
    }

    pub(super) fn leave(&self, user: UserId) -> Decision {
        let Some(Opened { kind: ConversationKind::Study, conversation }) = self.opened else {
            return Err(Rejection::NoSuchConversation);
        };
        match self.role(user) {
            None | Some(Role::Owner) => Ok(vec![]),
            Some(Role::Admin | Role::Member) => {
                Ok(vec![ConversationEvent::MemberRemoved { conversation, user, by: user }])
            }
        }
    }

    pub(super) fn change_role(&self, by: UserId, user: UserId, role: Role) -> Decision {
        let conversation = self.allow_upon(by, Action::ChangeRole, user)?;
        let now = self.role(user).ok_or(Rejection::NoSuchMember)?;
        if role == Role::Owner {
            return Err(Rejection::OwnerIsNoRole);
        }
        if role == now {
            return Ok(vec![]);
        }
        Ok(vec![ConversationEvent::RoleChanged { conversation, user, role, by }])
    }

    pub(super) fn transfer_ownership(&self, by: UserId, to: UserId) -> Decision {
        let conversation = self.allow(by, Action::TransferOwnership)?;
        match self.role(to) {
            None => Err(Rejection::NoSuchMember),
            Some(Role::Owner) => Ok(vec![]),
            Some(Role::Admin | Role::Member) => {
                Ok(vec![ConversationEvent::OwnershipTransferred { conversation, from: by, to }])
            }
        }
    }

    /// Of somebody who is in it; who is not has no role.
    pub(super) fn set_role(&mut self, user: UserId, role: Role) {
        if let Some(now) = self.members.get_mut(&user) {
            *now = role;
        }
    }
}
