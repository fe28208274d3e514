//! `standing`: what people may do on the whole platform, and who is suspended from it.

use events::user::PlatformRole;
use events::{Category, DomainEvent, Envelope, Moment, Position, UserEvent, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};

/// The read model.
#[derive(Debug, Default)]
pub struct Standing;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Whose standing changes.
    user: UserId,
    /// What changes.
    change: Change,
    /// By which event.
    position: Position,
}

/// What changes in somebody's standing.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Another role.
    Role(PlatformRole),
    /// They may do nothing.
    Suspended {
        /// Since when.
        at: Moment,
        /// Until when; for good when absent.
        until: Option<Moment>,
        /// Who decided it.
        by: UserId,
        /// Why, unless it was erased.
        reason: Option<String>,
    },
    /// They may act again.
    Reinstated,
}

impl Projection for Standing {
    const NAME: &'static str = "standing";
    const FOLLOWS: &'static [Category] = &[Category::User];
    const ERASE: &'static [&'static str] =
        &["update standing set role = 'user', reason = null where user_id = $1"];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let op = |user, change| vec![Op { user, change, position: event.position }];
        match &event.event {
            DomainEvent::User(about) => match about {
                UserEvent::RoleChanged { user, role, .. } => op(*user, Change::Role(*role)),
                UserEvent::Suspended { user, until, reason, by } => {
                    let (at, until, by) = (event.recorded_at, *until, *by);
                    op(*user, Change::Suspended { at, until, by, reason: text(reason) })
                }
                UserEvent::Reinstated { user, .. } => op(*user, Change::Reinstated),
                UserEvent::SignedUp { .. }
                | UserEvent::ProfileChanged { .. }
                | UserEvent::Onboarded { .. }
                | UserEvent::PasswordRehashed { .. }
                | UserEvent::PushSubscribed { .. }
                | UserEvent::PushUnsubscribed { .. }
                | UserEvent::NotificationsRead { .. }
                | UserEvent::Erased { .. }
                | UserEvent::ErasureCertified { .. } => vec![],
            },
            _ => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            apply(db, op).await?;
        }
        Ok(())
    }
}

const fn name(role: PlatformRole) -> &'static str {
    match role {
        PlatformRole::User => "user",
        PlatformRole::Moderator => "moderator",
        PlatformRole::Admin => "admin",
    }
}

async fn apply(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    let Op { user, change, position } = op;
    let query = match &change {
        Change::Role(role) => sqlx::query(
            "insert into standing (user_id, position, role) values ($1, $2, $3)
             on conflict (user_id) do update set
               role = excluded.role, position = excluded.position",
        )
        .bind(user.uuid())
        .bind(position.to_bytes())
        .bind(name(*role)),
        Change::Suspended { at, until, by, reason } => sqlx::query(
            "insert into standing
               (user_id, position, suspended_at, suspended_until, suspended_by, reason)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (user_id) do update set
               suspended_at = excluded.suspended_at, suspended_until = excluded.suspended_until,
               suspended_by = excluded.suspended_by, reason = excluded.reason,
               position = excluded.position",
        )
        .bind(user.uuid())
        .bind(position.to_bytes())
        .bind(at)
        .bind(until)
        .bind(by.uuid())
        .bind(reason),
        Change::Reinstated => sqlx::query(
            "insert into standing (user_id, position) values ($1, $2)
             on conflict (user_id) do update set
               suspended_at = null, suspended_until = null, suspended_by = null, reason = null,
               position = excluded.position",
        )
        .bind(user.uuid())
        .bind(position.to_bytes()),
    };
    query.execute(db).await.map(drop)
}

#[cfg(test)]
mod tests {
    use events::Personal;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn people_are_appointed_suspended_and_reinstated() {
        let (user, by) = (user(2), user(1));
        let project = |event: UserEvent| Standing::project(&recorded(event));
        let op = |change| vec![Op { user, change, position: Position::at(7) }];
        let role = PlatformRole::Moderator;
        assert_eq!(project(UserEvent::RoleChanged { user, role, by }), op(Change::Role(role)));
        for (reason, told) in [
            (Personal::new(user, "Spam".to_owned()), Some("Spam".to_owned())),
            (Personal::Erased { subject: user }, None),
        ] {
            let (at, until) = (moment(), Some(moment()));
            assert_eq!(
                project(UserEvent::Suspended { user, until, reason, by }),
                op(Change::Suspended { at, until, by, reason: told })
            );
        }
        assert_eq!(project(UserEvent::Reinstated { user, by }), op(Change::Reinstated));
        assert_eq!(project(UserEvent::Onboarded { user }), vec![]);
    }
}
