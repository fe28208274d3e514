//! `invite`: the invitations into groups, and how often they were used.

use events::{
    Category, ConversationEvent, ConversationId, DomainEvent, Envelope, InviteId, Moment, Position,
    UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct Invite;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// An invitation is new.
    Insert {
        /// Which.
        invite: InviteId,
        /// Into what.
        conversation: ConversationId,
        /// Who made it.
        by: UserId,
        /// When.
        made_at: Moment,
        /// Until when it may be used.
        expires: Option<Moment>,
        /// By how many people.
        uses: Option<u32>,
        /// By which event.
        position: Position,
    },
    /// Somebody came by it.
    Use(InviteId),
    /// It may be used no more.
    Revoke(InviteId, Moment),
}

impl Projection for Invite {
    const NAME: &'static str = "invite";
    const FOLLOWS: &'static [Category] = &[Category::Conversation];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Conversation(about) => match about {
                ConversationEvent::InviteMade { conversation, invite, expires, uses, by } => {
                    vec![Op::Insert {
                        invite: *invite,
                        conversation: *conversation,
                        by: *by,
                        made_at: event.recorded_at,
                        expires: *expires,
                        uses: *uses,
                        position: event.position,
                    }]
                }
                ConversationEvent::InviteRevoked { invite, .. } => {
                    vec![Op::Revoke(*invite, event.recorded_at)]
                }
                ConversationEvent::MemberAdded { invite, .. } => {
                    invite.iter().map(|invite| Op::Use(*invite)).collect()
                }
                ConversationEvent::Opened { .. }
                | ConversationEvent::MemberRemoved { .. }
                | ConversationEvent::MemberBanned { .. }
                | ConversationEvent::MemberUnbanned { .. }
                | ConversationEvent::TitleChanged { .. }
                | ConversationEvent::RoleChanged { .. }
                | ConversationEvent::OwnershipTransferred { .. }
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
        for op in ops {
            apply(db, op).await?;
        }
        Ok(())
    }
}

async fn apply(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    let query = match op {
        Op::Insert { invite, conversation, by, made_at, expires, uses, position } => sqlx::query(
            "insert into invite
               (invite_id, conversation_id, made_by, made_at, expires_at, uses, position)
             values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(invite.uuid())
        .bind(conversation.uuid())
        .bind(by.uuid())
        .bind(made_at)
        .bind(expires)
        .bind(uses.map(i64::from))
        .bind(position.to_bytes()),
        Op::Use(invite) => sqlx::query("update invite set used = used + 1 where invite_id = $1")
            .bind(invite.uuid()),
        Op::Revoke(invite, at) => {
            sqlx::query("update invite set revoked_at = $2 where invite_id = $1")
                .bind(invite.uuid())
                .bind(at)
        }
    };
    query.execute(db).await.map(drop)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn an_invitation_is_made_used_and_revoked() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let invite = InviteId::new(Uuid::from_u128(3));
        let (by, guest) = (user(1), user(2));
        let project = |event: ConversationEvent| Invite::project(&recorded(event));
        let (expires, uses) = (Some(moment()), Some(2));
        assert_eq!(
            project(ConversationEvent::InviteMade { conversation, invite, expires, uses, by }),
            vec![Op::Insert {
                invite,
                conversation,
                by,
                made_at: moment(),
                expires,
                uses,
                position: Position::at(7),
            }]
        );
        let came = |invite| ConversationEvent::MemberAdded {
            conversation,
            user: guest,
            by: guest,
            invite,
        };
        assert_eq!(project(came(Some(invite))), vec![Op::Use(invite)]);
        assert_eq!(project(came(None)), vec![], "who was added used no invitation");
        let revoked = ConversationEvent::InviteRevoked { conversation, invite, by };
        assert_eq!(project(revoked), vec![Op::Revoke(invite, moment())]);
    }
}
