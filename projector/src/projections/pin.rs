//! `pin`: which messages a conversation shows at the top.

use events::{
    Category, ConversationEvent, ConversationId, DomainEvent, Envelope, MessageEvent, MessageId,
    Moment, Position, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, Retention, horizon};

/// The read model.
#[derive(Debug, Default)]
pub struct Pin;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A message is pinned.
    Put {
        /// Where.
        conversation: ConversationId,
        /// Which.
        message: MessageId,
        /// By whom.
        by: UserId,
        /// When.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// It is pinned no more, or not shown any more.
    Take {
        /// Where.
        conversation: ConversationId,
        /// Which.
        message: MessageId,
    },
}

impl Projection for Pin {
    const NAME: &'static str = "pin";
    const FOLLOWS: &'static [Category] = &[Category::Conversation, Category::Message];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Conversation(about) => match about {
                ConversationEvent::MessagePinned { conversation, message, by } => vec![Op::Put {
                    conversation: *conversation,
                    message: *message,
                    by: *by,
                    at: event.recorded_at,
                    position: event.position,
                }],
                ConversationEvent::MessageUnpinned { conversation, message, .. } => {
                    vec![Op::Take { conversation: *conversation, message: *message }]
                }
                ConversationEvent::Opened { .. }
                | ConversationEvent::MemberAdded { .. }
                | ConversationEvent::MemberRemoved { .. }
                | ConversationEvent::MemberBanned { .. }
                | ConversationEvent::MemberUnbanned { .. }
                | ConversationEvent::TitleChanged { .. }
                | ConversationEvent::RoleChanged { .. }
                | ConversationEvent::OwnershipTransferred { .. }
                | ConversationEvent::InviteMade { .. }
                | ConversationEvent::InviteRevoked { .. }
                | ConversationEvent::SlowModeChanged { .. } => vec![],
            },
            DomainEvent::Message(about) => match about {
                MessageEvent::Deleted { conversation, message, .. } => {
                    vec![Op::Take { conversation: *conversation, message: *message }]
                }
                MessageEvent::Sent { .. }
                | MessageEvent::Edited { .. }
                | MessageEvent::Reacted { .. }
                | MessageEvent::Unreacted { .. } => vec![],
            },
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
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

    /// Pins are rare: one by one. A message that is not kept any more is not pinned.
    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            match op {
                Op::Put { conversation, message, by, at, position } => {
                    horizon::message_reaches(db, position).await?;
                    sqlx::query(
                        "insert into pin
                           (conversation_id, message_id, pinned_by, pinned_at, position, sent_at)
                         select $1, $2, $3, $4, $5, sent_at from message
                         where message_id = $2
                           and sent_at >= (select horizon from message_horizon)
                         on conflict (conversation_id, message_id) do update set
                           pinned_by = excluded.pinned_by, pinned_at = excluded.pinned_at,
                           position = excluded.position",
                    )
                    .bind(conversation.uuid())
                    .bind(message.uuid())
                    .bind(by.uuid())
                    .bind(at)
                    .bind(position.to_bytes())
                    .execute(&mut *db)
                    .await?;
                }
                Op::Take { conversation, message } => {
                    sqlx::query("delete from pin where conversation_id = $1 and message_id = $2")
                        .bind(conversation.uuid())
                        .bind(message.uuid())
                        .execute(&mut *db)
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn upkeep(db: &mut PgConnection, _: Retention) -> Result<(), sqlx::Error> {
        horizon::forget(db, "pin").await
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_pin_ends_with_its_message() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let message = MessageId::new(Uuid::from_u128(3));
        let by = user(1);
        let pinned = ConversationEvent::MessagePinned { conversation, message, by };
        let (at, position) = (moment(), Position::at(7));
        let put = Op::Put { conversation, message, by, at, position };
        assert_eq!(Pin::project(&recorded(pinned)), vec![put]);
        let take = vec![Op::Take { conversation, message }];
        let unpinned = ConversationEvent::MessageUnpinned { conversation, message, by };
        assert_eq!(Pin::project(&recorded(unpinned)), take);
        let deleted = MessageEvent::Deleted { message, conversation, by };
        assert_eq!(Pin::project(&recorded(deleted)), take);
    }
}
