//! `presence_hidden`: who blocks whom, so that neither sees whether the other is there.

use events::{Category, DomainEvent, Envelope, FriendshipEvent, Position, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, last_of_each};

/// The read model.
#[derive(Debug, Default)]
pub struct PresenceHidden;

/// Somebody blocks somebody from now on, or no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Who blocks.
    pub user: UserId,
    /// Whom.
    pub from: UserId,
    /// By which event; none, if they do not any more.
    pub since: Option<Position>,
}

impl Projection for PresenceHidden {
    const NAME: &'static str = "presence_hidden";
    const FOLLOWS: &'static [Category] = &[Category::Friendship];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Friendship(of_two) => match *of_two {
                FriendshipEvent::Blocked { by, of } => {
                    vec![Op { user: by, from: of, since: Some(event.position) }]
                }
                FriendshipEvent::Unblocked { by, of } => {
                    vec![Op { user: by, from: of, since: None }]
                }
                FriendshipEvent::Requested { .. }
                | FriendshipEvent::Accepted { .. }
                | FriendshipEvent::Declined { .. }
                | FriendshipEvent::Cancelled { .. }
                | FriendshipEvent::Removed { .. } => vec![],
            },
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        let rows = last_of_each(ops.into_iter().map(|op| ((op.user, op.from), op.since)));
        for ((user, from), since) in rows {
            match since {
                Some(position) => {
                    sqlx::query(
                        "insert into presence_hidden (user_id, from_id, position)
                         values ($1, $2, $3)
                         on conflict (user_id, from_id) do update set position = excluded.position",
                    )
                    .bind(user.uuid())
                    .bind(from.uuid())
                    .bind(position.to_bytes())
                    .execute(&mut *db)
                    .await?;
                }
                None => {
                    sqlx::query("delete from presence_hidden where user_id = $1 and from_id = $2")
                        .bind(user.uuid())
                        .bind(from.uuid())
                        .execute(&mut *db)
                        .await?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::testing::{recorded, user};

    #[test]
    fn a_block_hides_until_it_is_taken_back_and_nothing_else_does() {
        let (by, of) = (user(1), user(2));
        let project = |event: FriendshipEvent| PresenceHidden::project(&recorded(event));
        let since = Some(Position::at(7));
        let hidden = Op { user: by, from: of, since };
        assert_eq!(project(FriendshipEvent::Blocked { by, of }), [hidden.clone()]);
        let shown = Op { since: None, ..hidden };
        assert_eq!(project(FriendshipEvent::Unblocked { by, of }), [shown]);
        assert_eq!(project(FriendshipEvent::Removed { by, of }), []);
        assert_eq!(project(FriendshipEvent::Accepted { by, of }), []);
    }
}
