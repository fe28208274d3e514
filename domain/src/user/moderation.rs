//! What those with a role on the platform do to others.

use events::user::PlatformRole;
use events::{Moment, UserEvent, UserId};

use super::Rejection;
use super::account::{Account, Decision};

impl Account {
    pub(super) fn change_role(
        &self,
        by: UserId,
        by_role: PlatformRole,
        role: PlatformRole,
        last_admin: bool,
    ) -> Decision {
        if by_role < PlatformRole::Admin {
            return Err(Rejection::NotAdmin);
        }
        if role == self.role {
            return Ok(vec![]);
        }
        if self.role == PlatformRole::Admin && last_admin {
            return Err(Rejection::LastAdmin);
        }
        Ok(vec![UserEvent::RoleChanged { user: self.user, role, by }])
    }

    pub(super) fn suspend(
        &self,
        by: UserId,
        by_role: PlatformRole,
        until: Option<Moment>,
        reason: &str,
        now: Moment,
    ) -> Decision {
        self.is_below(by_role)?;
        if reason.trim().is_empty() || reason.chars().count() > 1000 {
            return Err(Rejection::InvalidReason);
        }
        if until.is_some_and(|until| until <= now) {
            return Err(Rejection::InvalidEnd);
        }
        let same = self.suspension.as_ref().is_some_and(|it| {
            it.until == until && it.reason.open().is_some_and(|known| known == reason)
        });
        if same {
            return Ok(vec![]);
        }
        let reason = self.personal(reason);
        Ok(vec![UserEvent::Suspended { user: self.user, until, reason, by }])
    }

    pub(super) fn reinstate(&self, by: UserId, by_role: PlatformRole) -> Decision {
        self.is_below(by_role)?;
        if self.suspension.is_none() {
            return Ok(vec![]);
        }
        Ok(vec![UserEvent::Reinstated { user: self.user, by }])
    }

    /// Moderators and admins act upon those of a lower role.
    fn is_below(&self, by_role: PlatformRole) -> Result<(), Rejection> {
        if by_role < PlatformRole::Moderator {
            return Err(Rejection::NotModerator);
        }
        if self.role >= by_role {
            return Err(Rejection::NotBelow);
        }
        Ok(())
    }
}
