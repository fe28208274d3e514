//! `friendship_interval`: who was friends with whom, or had asked whom, from where to where in the log.

use events::{Category, DomainEvent, Envelope, FriendshipEvent, Moment, Position, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct FriendshipInterval;

/// Two people are to each other something else from here on.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    pair: [UserId; 2],
    /// What the second is to the first, and the first to the second.
    tie: Option<[&'static str; 2]>,
    at: Moment,
    position: Position,
}

impl Projection for FriendshipInterval {
    const NAME: &'static str = "friendship_interval";
    const FOLLOWS: &'static [Category] = &[Category::Friendship];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let (pair, tie) = match &event.event {
            DomainEvent::Friendship(about) => match *about {
                FriendshipEvent::Requested { from, to } => {
                    ([from, to], Some(["outgoing", "incoming"]))
                }
                FriendshipEvent::Accepted { by, of } => ([by, of], Some(["friend", "friend"])),
                FriendshipEvent::Declined { by, of: other }
                | FriendshipEvent::Cancelled { by, to: other }
                | FriendshipEvent::Removed { by, of: other }
                | FriendshipEvent::Blocked { by, of: other } => ([by, other], None),
                FriendshipEvent::Unblocked { .. } => return vec![],
            },
            _ => return vec![],
        };
        vec![Op { pair, tie, at: event.recorded_at, position: event.position }]
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            let [one, other] = op.pair;
            sqlx::query(
                "update friendship_interval set until_position = $3
                 where until_position is null and from_position < $3
                   and (user_id, other_id) in (($1, $2), ($2, $1))",
            )
            .bind(one.uuid())
            .bind(other.uuid())
            .bind(op.position.to_bytes())
            .execute(&mut *db)
            .await?;
            let Some([to_one, to_other]) = op.tie else { continue };
            sqlx::query(
                "insert into friendship_interval (user_id, other_id, kind, since, from_position)
                 values ($1, $2, $3, $5, $6), ($2, $1, $4, $5, $6) on conflict do nothing",
            )
            .bind(one.uuid())
            .bind(other.uuid())
            .bind(to_one)
            .bind(to_other)
            .bind(op.at)
            .bind(op.position.to_bytes())
            .execute(&mut *db)
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_request_is_incoming_for_one_and_outgoing_for_the_other() {
        let project = |event: FriendshipEvent| FriendshipInterval::project(&recorded(event));
        let op = |pair, tie| Op { pair, tie, at: moment(), position: Position::at(7) };
        let pair = [user(1), user(2)];
        assert_eq!(
            project(FriendshipEvent::Requested { from: user(1), to: user(2) }),
            vec![op(pair, Some(["outgoing", "incoming"]))]
        );
        assert_eq!(
            project(FriendshipEvent::Blocked { by: user(1), of: user(2) }),
            vec![op(pair, None)]
        );
        assert_eq!(project(FriendshipEvent::Unblocked { by: user(1), of: user(2) }), vec![]);
    }
}
