//! Invitations into a group.

use events::serde::{Deserialize, Serialize};
use events::{ConversationEvent, ConversationId, InviteId, Moment, UserId};

use super::{Action, Conversation, Rejection};

/// How many invitations may be open at a time.
pub const MAX_OPEN_INVITES: usize = 100;

/// How many invitations are remembered, so that one that is over is told from one that never was.
const REMEMBERED: usize = 1000;

type Decision = Result<Vec<ConversationEvent>, Rejection>;

/// An invitation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "events::serde")]
pub(super) struct Invite {
    expires: Option<Moment>,
    uses: Option<u32>,
    used: u32,
    revoked: bool,
}

impl Invite {
    pub(super) const fn new(expires: Option<Moment>, uses: Option<u32>) -> Self {
        Self { expires, uses, used: 0, revoked: false }
    }

    pub(super) const fn count(&mut self) {
        self.used = self.used.saturating_add(1);
    }

    pub(super) const fn revoke(&mut self) {
        self.revoked = true;
    }

    /// Whether somebody may still come by it.
    pub(super) fn check(&self, now: Moment) -> Result<(), Rejection> {
        if self.revoked {
            return Err(Rejection::InviteRevoked);
        }
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(Rejection::InviteExpired);
        }
        if self.uses.is_some_and(|uses| self.used >= uses) {
            return Err(Rejection::InviteUsedUp);
        }
        Ok(())
    }

    /// Whether it was revoked or used up, whatever the time is.
    fn is_closed(&self) -> bool {
        self.revoked || self.uses.is_some_and(|uses| self.used >= uses)
    }

    /// Whether it was made with the same limits.
    fn was_made_as(&self, other: &Self) -> bool {
        (self.expires, self.uses) == (other.expires, other.uses)
    }
}

impl Conversation {
    /// How many people may still come by an invitation of some kind.
    pub(super) fn open_invites(&self, now: Moment) -> usize {
        self.invites.values().filter(|invite| invite.check(now).is_ok()).count()
    }

    pub(super) fn make_invite(
        &self,
        by: UserId,
        invite: InviteId,
        made: Invite,
        now: Moment,
    ) -> Decision {
        let conversation = self.allow(by, Action::Invite)?;
        match self.invites.get(&invite) {
            Some(known) if !known.revoked && known.was_made_as(&made) => return Ok(vec![]),
            Some(_) => return Err(Rejection::InviteExists),
            None => {}
        }
        made.check(now).map_err(|_| Rejection::InvalidInvite)?;
        if self.open_invites(now) >= MAX_OPEN_INVITES {
            return Err(Rejection::TooManyInvites);
        }
        let Invite { expires, uses, .. } = made;
        let mut events = self.expired_to_revoke(conversation, by, now);
        events.push(ConversationEvent::InviteMade { conversation, invite, expires, uses, by });
        Ok(events)
    }

    /// Those that ran out are revoked once there are too many to remember: after that they can be
    /// forgotten.
    fn expired_to_revoke(
        &self,
        conversation: ConversationId,
        by: UserId,
        now: Moment,
    ) -> Vec<ConversationEvent> {
        if self.invites.len() < REMEMBERED {
            return vec![];
        }
        let over = self.invites.iter().filter(|(_, it)| !it.is_closed() && it.check(now).is_err());
        over.map(|(id, _)| ConversationEvent::InviteRevoked { conversation, invite: *id, by })
            .collect()
    }

    pub(super) fn forget_closed_invites(&mut self) {
        if self.invites.len() >= REMEMBERED {
            self.invites.retain(|_, invite| !invite.is_closed());
        }
    }

    pub(super) fn revoke_invite(&self, by: UserId, invite: InviteId) -> Decision {
        let conversation = self.allow(by, Action::Invite)?;
        match self.invites.get(&invite) {
            None => Err(Rejection::NoSuchInvite),
            Some(known) if known.revoked => Ok(vec![]),
            Some(_) => Ok(vec![ConversationEvent::InviteRevoked { conversation, invite, by }]),
        }
    }

    pub(super) fn accept_invite(&self, user: UserId, invite: InviteId, now: Moment) -> Decision {
        let known = self.invites.get(&invite).ok_or(Rejection::NoSuchInvite)?;
        if self.has_member(user) {
            return Ok(vec![]);
        }
        if self.is_banned(user) {
            return Err(Rejection::Banned);
        }
        known.check(now)?;
        self.come(user, user, Some(invite))
    }
}
