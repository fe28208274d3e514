//! `friend_list`: who is friends with whom, two rows for each friendship.

use events::{Category, DomainEvent, Envelope, FriendshipEvent, Moment, Position, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, last_of_each};
use crate::caches;

/// The read model.
#[derive(Debug, Default)]
pub struct FriendList;

/// What there is to do for two people, in both directions.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// They are friends now.
    Befriend {
        /// The two.
        pair: [UserId; 2],
        /// Since when.
        since: Moment,
        /// By which event.
        position: Position,
    },
    /// They are friends no more.
    Part {
        /// The two.
        pair: [UserId; 2],
    },
}

impl Projection for FriendList {
    const NAME: &'static str = "friend_list";
    const FOLLOWS: &'static [Category] = &[Category::Friendship];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Friendship(event_of_two) => match *event_of_two {
                FriendshipEvent::Accepted { by, of } => vec![Op::Befriend {
                    pair: [by, of],
                    since: event.recorded_at,
                    position: event.position,
                }],
                FriendshipEvent::Removed { by, of } | FriendshipEvent::Blocked { by, of } => {
                    vec![Op::Part { pair: [by, of] }]
                }
                FriendshipEvent::Requested { .. }
                | FriendshipEvent::Declined { .. }
                | FriendshipEvent::Cancelled { .. }
                | FriendshipEvent::Unblocked { .. } => vec![],
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
        // The last event of two people says what they are.
        let rows = ops.iter().flat_map(|op| {
            let (pair, friends) = match op {
                Op::Befriend { pair, since, position } => (*pair, Some((*since, *position))),
                Op::Part { pair } => (*pair, None),
            };
            let [one, other] = pair;
            [((one, other), friends), ((other, one), friends)]
        });
        let rows = last_of_each(rows);
        delete(db, &rows).await?;
        insert(db, &rows).await?;
        Ok(())
    }

    fn stale_caches(op: &Op) -> Vec<String> {
        let (Op::Befriend { pair, .. } | Op::Part { pair }) = op;
        caches::friends(*pair).chain(caches::recommended_to_both(*pair)).collect()
    }
}

type Row = ((UserId, UserId), Option<(Moment, Position)>);

async fn delete(db: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let gone = rows.iter().filter(|(_, friends)| friends.is_none());
    let (users, friends): (Vec<_>, Vec<_>) =
        gone.map(|((user, friend), _)| (user.uuid(), friend.uuid())).collect();
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from friend_list using unnest($1::uuid[], $2::uuid[]) as gone (a, b)
         where user_id = a and friend_id = b",
    )
    .bind(users)
    .bind(friends)
    .execute(db)
    .await?;
    Ok(())
}

async fn insert(db: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let new = rows.iter().filter_map(|((user, friend), friends)| {
        friends.map(|(since, at)| (user.uuid(), friend.uuid(), since, at.to_bytes()))
    });
    let (users, friends, since, positions): (Vec<_>, Vec<_>, Vec<_>, Vec<_>) = new.collect();
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into friend_list (user_id, friend_id, since, position)
         select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bytea[])
         on conflict (user_id, friend_id)
         do update set since = excluded.since, position = excluded.position",
    )
    .bind(users)
    .bind(friends)
    .bind(since)
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
    fn only_an_answered_request_makes_friends() {
        let (ada, bob) = (user(1), user(2));
        let project = |event: FriendshipEvent| FriendList::project(&recorded(event));
        assert_eq!(project(FriendshipEvent::Requested { from: ada, to: bob }), vec![]);
        assert_eq!(project(FriendshipEvent::Declined { by: bob, of: ada }), vec![]);
        assert_eq!(project(FriendshipEvent::Cancelled { by: ada, to: bob }), vec![]);
        let position = Position::at(7);
        let befriend = Op::Befriend { pair: [bob, ada], since: moment(), position };
        assert_eq!(project(FriendshipEvent::Accepted { by: bob, of: ada }), vec![befriend.clone()]);
        let part = Op::Part { pair: [ada, bob] };
        assert_eq!(project(FriendshipEvent::Removed { by: ada, of: bob }), vec![part.clone()]);
        assert_eq!(project(FriendshipEvent::Blocked { by: ada, of: bob }), vec![part]);
        assert_eq!(project(FriendshipEvent::Unblocked { by: ada, of: bob }), vec![]);
        let keys =
            ["friends", "recommended"].map(|list| [bob, ada].map(|of| format!("{list}:{of}")));
        assert_eq!(FriendList::stale_caches(&befriend), keys.concat());
    }
}
