//! `member`: who is in which conversation now.

use events::conversation::Role;
use events::{
    Category, ConversationEvent, ConversationId, DomainEvent, Envelope, Moment, Position, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, last_of_each};

/// The read model.
#[derive(Debug, Default)]
pub struct Member;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody is in it.
    Join {
        /// In what.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// As what.
        role: Role,
        /// Since when.
        joined_at: Moment,
        /// By which event.
        position: Position,
    },
    /// Somebody is in it no more.
    Leave {
        /// In what.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
}

impl Projection for Member {
    const NAME: &'static str = "member";
    const FOLLOWS: &'static [Category] = &[Category::Conversation];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let join = |conversation, user, role| Op::Join {
            conversation,
            user,
            role,
            joined_at: event.recorded_at,
            position: event.position,
        };
        match &event.event {
            DomainEvent::Conversation(about) => match about {
                ConversationEvent::Opened { conversation, members, .. } => {
                    members.iter().map(|it| join(*conversation, it.user, it.role)).collect()
                }
                ConversationEvent::MemberAdded { conversation, user, .. } => {
                    vec![join(*conversation, *user, Role::Member)]
                }
                ConversationEvent::MemberRemoved { conversation, user, .. }
                | ConversationEvent::MemberBanned { conversation, user, .. } => {
                    vec![Op::Leave { conversation: *conversation, user: *user }]
                }
                ConversationEvent::MemberUnbanned { .. } => vec![],
            },
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // The last event about somebody says whether they are in it.
        let rows = last_of_each(ops.into_iter().map(|op| match op {
            Op::Join { conversation, user, role, joined_at, position } => {
                ((conversation, user), Some((role, joined_at, position)))
            }
            Op::Leave { conversation, user } => ((conversation, user), None),
        }));
        delete(db, &rows).await?;
        insert(db, &rows).await?;
        Ok(())
    }
}

type Row = ((ConversationId, UserId), Option<(Role, Moment, Position)>);

async fn delete(db: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let gone = rows.iter().filter(|(_, joined)| joined.is_none());
    let (conversations, users): (Vec<_>, Vec<_>) =
        gone.map(|((conversation, user), _)| (conversation.uuid(), user.uuid())).collect();
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from member using unnest($1::uuid[], $2::uuid[]) as gone (a, b)
         where conversation_id = a and user_id = b",
    )
    .bind(conversations)
    .bind(users)
    .execute(db)
    .await?;
    Ok(())
}

async fn insert(db: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let new = rows.iter().filter_map(|((conversation, user), joined)| {
        let (role, at, position) = joined.as_ref()?;
        let role = match role {
            Role::Owner => "owner",
            Role::Member => "member",
        };
        Some((conversation.uuid(), user.uuid(), role, *at, position.to_bytes()))
    });
    let (conversations, users, roles, times, positions): (Vec<_>, Vec<_>, Vec<_>, Vec<_>, Vec<_>) =
        new.collect();
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into member (conversation_id, user_id, role, joined_at, position)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::bytea[])
         on conflict (conversation_id, user_id)
         do update set role = excluded.role, joined_at = excluded.joined_at,
           position = excluded.position",
    )
    .bind(conversations)
    .bind(users)
    .bind(roles)
    .bind(times)
    .bind(positions)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::conversation::{ConversationKind, Member as In};
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn members_come_and_go() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let (ada, bob) = (user(1), user(2));
        let project = |event: ConversationEvent| Member::project(&recorded(event));
        let join = |user, role| Op::Join {
            conversation,
            user,
            role,
            joined_at: moment(),
            position: Position::at(7),
        };
        let opened = ConversationEvent::Opened {
            conversation,
            kind: ConversationKind::Group,
            title: None,
            members: vec![
                In { user: ada, role: Role::Owner },
                In { user: bob, role: Role::Member },
            ],
        };
        assert_eq!(project(opened), vec![join(ada, Role::Owner), join(bob, Role::Member)]);
        let leave = vec![Op::Leave { conversation, user: bob }];
        let (user, by) = (bob, ada);
        let removed = ConversationEvent::MemberRemoved { conversation, user, by };
        assert_eq!(project(removed), leave);
        let banned = ConversationEvent::MemberBanned { conversation, user, by };
        assert_eq!(project(banned), leave, "who is banned is out");
        let unbanned = ConversationEvent::MemberUnbanned { conversation, user, by };
        assert_eq!(project(unbanned), vec![], "and does not come back by being unbanned");
        let added = ConversationEvent::MemberAdded { conversation, user, by };
        assert_eq!(project(added), vec![join(bob, Role::Member)]);
    }
}
