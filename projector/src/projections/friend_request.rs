//! `friend_request`: the requests that nobody has answered yet.

use events::{Category, DomainEvent, Envelope, FriendshipEvent, Moment, Position, UserId};
use sqlx::PgConnection;

use super::{ApplyError, Projection, last_of_each};
use crate::caches;

/// The read model.
#[derive(Debug, Default)]
pub struct FriendRequest;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A request is open.
    Open {
        /// Who asked.
        from: UserId,
        /// Who was asked.
        to: UserId,
        /// When.
        requested_at: Moment,
        /// By which event.
        position: Position,
    },
    /// It was answered, or taken back.
    Close {
        /// Who had asked.
        from: UserId,
        /// Who had been asked.
        to: UserId,
    },
}

impl Projection for FriendRequest {
    const NAME: &'static str = "friend_request";
    const FOLLOWS: &'static [Category] = &[Category::Friendship];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Friendship(event_of_two) => match *event_of_two {
                FriendshipEvent::Requested { from, to } => vec![Op::Open {
                    from,
                    to,
                    requested_at: event.recorded_at,
                    position: event.position,
                }],
                FriendshipEvent::Accepted { by, of } | FriendshipEvent::Declined { by, of } => {
                    vec![Op::Close { from: of, to: by }]
                }
                FriendshipEvent::Cancelled { by, to } => vec![Op::Close { from: by, to }],
                // Whoever of the two had asked.
                FriendshipEvent::Blocked { by, of } => {
                    vec![Op::Close { from: by, to: of }, Op::Close { from: of, to: by }]
                }
                FriendshipEvent::Removed { .. } | FriendshipEvent::Unblocked { .. } => vec![],
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
        // The last event about a request says whether it is open.
        let rows = last_of_each(ops.into_iter().map(|op| match op {
            Op::Open { from, to, requested_at, position } => {
                ((from, to), Some((requested_at, position)))
            }
            Op::Close { from, to } => ((from, to), None),
        }));
        delete(db, &rows).await?;
        insert(db, &rows).await?;
        Ok(())
    }

    fn stale_caches(op: &Op) -> Vec<String> {
        let (Op::Open { from, to, .. } | Op::Close { from, to }) = op;
        let stale = caches::request(*from, *to);
        stale.chain(caches::recommended_to_both([*from, *to])).collect()
    }
}

type Row = ((UserId, UserId), Option<(Moment, Position)>);

async fn delete(db: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let closed = rows.iter().filter(|(_, request)| request.is_none());
    let (from, to): (Vec<_>, Vec<_>) =
        closed.map(|((from, to), _)| (from.uuid(), to.uuid())).collect();
    if from.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from friend_request using unnest($1::uuid[], $2::uuid[]) as closed (a, b)
         where from_id = a and to_id = b",
    )
    .bind(from)
    .bind(to)
    .execute(db)
    .await?;
    Ok(())
}

async fn insert(db: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let open = rows.iter().filter_map(|((from, to), request)| {
        request.map(|(at, position)| (from.uuid(), to.uuid(), at, position.to_bytes()))
    });
    let (from, to, at, positions): (Vec<_>, Vec<_>, Vec<_>, Vec<_>) = open.collect();
    if from.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into friend_request (from_id, to_id, requested_at, position)
         select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bytea[])
         on conflict (from_id, to_id)
         do update set requested_at = excluded.requested_at, position = excluded.position",
    )
    .bind(from)
    .bind(to)
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
    fn a_request_is_open_until_it_is_answered_or_taken_back() {
        let (ada, bob) = (user(1), user(2));
        let project = |event: FriendshipEvent| FriendRequest::project(&recorded(event));
        let open =
            Op::Open { from: ada, to: bob, requested_at: moment(), position: Position::at(7) };
        let close = vec![Op::Close { from: ada, to: bob }];
        assert_eq!(project(FriendshipEvent::Requested { from: ada, to: bob }), vec![open.clone()]);
        assert_eq!(project(FriendshipEvent::Accepted { by: bob, of: ada }), close);
        assert_eq!(project(FriendshipEvent::Declined { by: bob, of: ada }), close);
        assert_eq!(project(FriendshipEvent::Cancelled { by: ada, to: bob }), close);
        assert_eq!(project(FriendshipEvent::Removed { by: bob, of: ada }), vec![]);
        let both = vec![Op::Close { from: ada, to: bob }, Op::Close { from: bob, to: ada }];
        assert_eq!(project(FriendshipEvent::Blocked { by: ada, of: bob }), both);
        assert_eq!(project(FriendshipEvent::Unblocked { by: ada, of: bob }), vec![]);
        let keys = [
            format!("friend_requests:out:{ada}"),
            format!("friend_requests:in:{bob}"),
            format!("recommended:{ada}"),
            format!("recommended:{bob}"),
        ];
        assert_eq!(FriendRequest::stale_caches(&open), keys);
    }
}
