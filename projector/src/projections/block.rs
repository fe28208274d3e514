//! `block`: who blocks whom.

use events::{Category, DomainEvent, Envelope, FriendshipEvent, Moment, Position, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, last_of_each};
use crate::caches;

/// The read model.
#[derive(Debug, Default)]
pub struct Block;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// One blocks the other from now on.
    Set {
        /// Who blocks.
        by: UserId,
        /// Whom.
        of: UserId,
        /// Since when.
        blocked_at: Moment,
        /// By which event.
        position: Position,
    },
    /// No more.
    Lift {
        /// Who had blocked.
        by: UserId,
        /// Whom.
        of: UserId,
    },
}

impl Projection for Block {
    const NAME: &'static str = "block";
    const FOLLOWS: &'static [Category] = &[Category::Friendship];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Friendship(event_of_two) => match *event_of_two {
                FriendshipEvent::Blocked { by, of } => vec![Op::Set {
                    by,
                    of,
                    blocked_at: event.recorded_at,
                    position: event.position,
                }],
                FriendshipEvent::Unblocked { by, of } => vec![Op::Lift { by, of }],
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
            | DomainEvent::Denial(_)
            | DomainEvent::Call(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // The last event of one about the other says whether they block them.
        let rows = last_of_each(ops.into_iter().map(|op| match op {
            Op::Set { by, of, blocked_at, position } => ((by, of), Some((blocked_at, position))),
            Op::Lift { by, of } => ((by, of), None),
        }));
        lift(db, &rows).await?;
        set(db, &rows).await?;
        Ok(())
    }

    fn stale_caches(op: &Op) -> Vec<String> {
        let (Op::Set { by, of, .. } | Op::Lift { by, of }) = op;
        caches::recommended_to_both([*by, *of]).collect()
    }
}

type Row = ((UserId, UserId), Option<(Moment, Position)>);

async fn lift(db: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let lifted = rows.iter().filter(|(_, block)| block.is_none());
    let (blockers, blocked): (Vec<_>, Vec<_>) =
        lifted.map(|((by, of), _)| (by.uuid(), of.uuid())).collect();
    if blockers.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from block using unnest($1::uuid[], $2::uuid[]) as lifted (a, b)
         where blocker_id = a and blocked_id = b",
    )
    .bind(blockers)
    .bind(blocked)
    .execute(db)
    .await?;
    Ok(())
}

async fn set(db: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let new = rows.iter().filter_map(|((by, of), block)| {
        block.map(|(at, position)| (by.uuid(), of.uuid(), at, position.to_bytes()))
    });
    let (blockers, blocked, at, positions): (Vec<_>, Vec<_>, Vec<_>, Vec<_>) = new.collect();
    if blockers.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into block (blocker_id, blocked_id, blocked_at, position)
         select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bytea[])
         on conflict (blocker_id, blocked_id)
         do update set blocked_at = excluded.blocked_at, position = excluded.position",
    )
    .bind(blockers)
    .bind(blocked)
    .bind(at)
    .bind(positions)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn only_blocks_are_kept() {
        let (ada, bob) = (user(1), user(2));
        let project = |event: FriendshipEvent| Block::project(&recorded(event));
        let position = Position::at(7);
        let set = Op::Set { by: ada, of: bob, blocked_at: moment(), position };
        assert_eq!(project(FriendshipEvent::Blocked { by: ada, of: bob }), vec![set.clone()]);
        let lift = Op::Lift { by: ada, of: bob };
        assert_eq!(project(FriendshipEvent::Unblocked { by: ada, of: bob }), vec![lift.clone()]);
        assert_eq!(project(FriendshipEvent::Accepted { by: ada, of: bob }), vec![]);
        for op in [set, lift] {
            let keys = [ada, bob].map(|of| format!("recommended:{of}"));
            assert_eq!(Block::stale_caches(&op), keys);
        }
    }
}
