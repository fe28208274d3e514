//! `member`: who is in which conversation now.

use std::collections::BTreeMap;

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
    /// Somebody who is in it has another role.
    Become {
        /// In what.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// As what.
        role: Role,
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
                ConversationEvent::RoleChanged { conversation, user, role, .. } => {
                    vec![Op::Become { conversation: *conversation, user: *user, role: *role }]
                }
                ConversationEvent::OwnershipTransferred { conversation, from, to } => {
                    let conversation = *conversation;
                    vec![
                        Op::Become { conversation, user: *from, role: Role::Admin },
                        Op::Become { conversation, user: *to, role: Role::Owner },
                    ]
                }
                ConversationEvent::MemberUnbanned { .. }
                | ConversationEvent::TitleChanged { .. }
                | ConversationEvent::InviteMade { .. }
                | ConversationEvent::InviteRevoked { .. }
                | ConversationEvent::SlowModeChanged { .. }
                | ConversationEvent::MessagePinned { .. }
                | ConversationEvent::MessageUnpinned { .. } => vec![],
            },
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
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
        // What came last says whether somebody is in it, and as what.
        let mut roles = Vec::new();
        // Ordered by id, as everywhere, so that two transactions never wait for each other.
        let mut rows = BTreeMap::new();
        for op in &ops {
            match *op {
                Op::Join { conversation, user, role, joined_at, position } => {
                    rows.insert((conversation, user), Some((role, joined_at, position)));
                }
                Op::Leave { conversation, user } => {
                    rows.insert((conversation, user), None);
                }
                Op::Become { conversation, user, role } => {
                    match rows.get_mut(&(conversation, user)) {
                        Some(Some((now, ..))) => *now = role,
                        Some(None) => {}
                        None => roles.push(((conversation, user), role)),
                    }
                }
            }
        }
        let rows: Vec<Row> = rows.into_iter().collect();
        change_roles(db, last_of_each(roles)).await?;
        delete(db, &rows).await?;
        insert(db, &rows).await?;
        Ok(())
    }
}

type Who = (ConversationId, UserId);
type Row = (Who, Option<(Role, Moment, Position)>);

const fn name(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

/// Of people who were in it before this batch.
async fn change_roles(db: &mut PgConnection, roles: Vec<(Who, Role)>) -> Result<(), sqlx::Error> {
    if roles.is_empty() {
        return Ok(());
    }
    let rows = roles
        .into_iter()
        .map(|((conversation, user), role)| (conversation.uuid(), user.uuid(), name(role)));
    let (conversations, users, roles): (Vec<_>, Vec<_>, Vec<_>) = rows.collect();
    sqlx::query(
        "update member set role = new.role
         from unnest($1::uuid[], $2::uuid[], $3::text[]) as new (a, b, role)
         where conversation_id = a and user_id = b",
    )
    .bind(conversations)
    .bind(users)
    .bind(roles)
    .execute(db)
    .await?;
    Ok(())
}

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
        Some((conversation.uuid(), user.uuid(), name(*role), *at, position.to_bytes()))
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
        let added = ConversationEvent::MemberAdded { conversation, user, by, invite: None };
        assert_eq!(project(added), vec![join(bob, Role::Member)]);
    }

    #[test]
    fn roles_change_and_a_group_passes_on() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let (ada, bob) = (user(1), user(2));
        let now_is = |user, role| Op::Become { conversation, user, role };
        let role = Role::Admin;
        let changed = ConversationEvent::RoleChanged { conversation, user: bob, role, by: ada };
        assert_eq!(Member::project(&recorded(changed)), vec![now_is(bob, role)]);
        let passed = ConversationEvent::OwnershipTransferred { conversation, from: ada, to: bob };
        let both = vec![now_is(ada, Role::Admin), now_is(bob, Role::Owner)];
        assert_eq!(Member::project(&recorded(passed)), both);
    }
}
