//! `conversation_ban`: who may not come back into a conversation.

use events::{
    Category, ConversationEvent, ConversationId, DomainEvent, Envelope, Moment, Position, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct ConversationBan;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody may not come back.
    Ban {
        /// Into what.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Who decided it.
        by: UserId,
        /// When.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// Somebody may be added again.
    Unban {
        /// To what.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
}

impl Projection for ConversationBan {
    const NAME: &'static str = "conversation_ban";
    const FOLLOWS: &'static [Category] = &[Category::Conversation];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Conversation(about) => match *about {
                ConversationEvent::MemberBanned { conversation, user, by } => {
                    let (at, position) = (event.recorded_at, event.position);
                    vec![Op::Ban { conversation, user, by, at, position }]
                }
                ConversationEvent::MemberUnbanned { conversation, user, .. } => {
                    vec![Op::Unban { conversation, user }]
                }
                ConversationEvent::Opened { .. }
                | ConversationEvent::MemberAdded { .. }
                | ConversationEvent::MemberRemoved { .. }
                | ConversationEvent::TitleChanged { .. }
                | ConversationEvent::RoleChanged { .. }
                | ConversationEvent::OwnershipTransferred { .. }
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
        for op in ops {
            apply(db, op).await?;
        }
        Ok(())
    }
}

async fn apply(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    let query = match op {
        Op::Ban { conversation, user, by, at, position } => sqlx::query(
            "insert into conversation_ban
               (conversation_id, user_id, banned_by, banned_at, position)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(conversation.uuid())
        .bind(user.uuid())
        .bind(by.uuid())
        .bind(at)
        .bind(position.to_bytes()),
        Op::Unban { conversation, user } => {
            sqlx::query("delete from conversation_ban where conversation_id = $1 and user_id = $2")
                .bind(conversation.uuid())
                .bind(user.uuid())
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
    fn people_are_banned_and_let_in_again() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let (user, by) = (user(2), user(1));
        let project = |event: ConversationEvent| ConversationBan::project(&recorded(event));
        let (at, position) = (moment(), Position::at(7));
        assert_eq!(
            project(ConversationEvent::MemberBanned { conversation, user, by }),
            vec![Op::Ban { conversation, user, by, at, position }]
        );
        assert_eq!(
            project(ConversationEvent::MemberUnbanned { conversation, user, by }),
            vec![Op::Unban { conversation, user }]
        );
        assert_eq!(project(ConversationEvent::MemberRemoved { conversation, user, by }), vec![]);
    }
}
