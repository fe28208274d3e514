//! `read_cursor`: how far each person received and read a conversation, and what of it is unread.
//!
//! Unread is `message_count - unread_from - own_after`: the messages after the cursor that are not
//! the person's own; less those of them that were deleted (`uncounted_message`). All of it goes by
//! the number of a message among those of people, which rows of the kind `system` do not change. No message is ever counted one by one, but for the rare cursor that moves to
//! before the person's own last message.

mod rows;

use std::collections::BTreeSet;
use std::time::Duration;

use events::{
    Category, ConversationEvent, ConversationId, DomainEvent, Envelope, MessageEvent, MessageId,
    Position, ReceiptEvent, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, Retention};

/// The read model.
#[derive(Debug, Default)]
pub struct ReadCursor;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody came: what was said before does not count as unread.
    Join {
        /// Into what.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Something was said.
    Sent {
        /// Where.
        conversation: ConversationId,
        /// By whom.
        sender: UserId,
    },
    /// A message was deleted: nobody has it unread any more.
    Uncount {
        /// Which.
        message: MessageId,
        /// By which event.
        position: Position,
    },
    /// Somebody received or read everything up to a message.
    Move {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Read, or only received.
        read: bool,
        /// Up to which message.
        message: MessageId,
        /// The position of that message.
        upto: Position,
        /// By which event.
        position: Position,
    },
}

impl Projection for ReadCursor {
    const NAME: &'static str = "read_cursor";
    const FOLLOWS: &'static [Category] =
        &[Category::Conversation, Category::Message, Category::Receipt];
    const UPKEEP: Duration = Duration::from_secs(60);
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let position = event.position;
        match &event.event {
            DomainEvent::Conversation(about) => match about {
                ConversationEvent::Opened { conversation, members, .. } => members
                    .iter()
                    .map(|member| Op::Join { conversation: *conversation, user: member.user })
                    .collect(),
                ConversationEvent::MemberAdded { conversation, user, .. } => {
                    vec![Op::Join { conversation: *conversation, user: *user }]
                }
                ConversationEvent::MemberRemoved { .. }
                | ConversationEvent::MemberBanned { .. }
                | ConversationEvent::MemberUnbanned { .. }
                | ConversationEvent::TitleChanged { .. }
                | ConversationEvent::RoleChanged { .. }
                | ConversationEvent::OwnershipTransferred { .. }
                | ConversationEvent::InviteMade { .. }
                | ConversationEvent::InviteRevoked { .. }
                | ConversationEvent::SlowModeChanged { .. }
                | ConversationEvent::MessagePinned { .. }
                | ConversationEvent::MessageUnpinned { .. } => vec![],
            },
            DomainEvent::Message(about) => match about {
                MessageEvent::Sent { conversation, sender, .. } => {
                    vec![Op::Sent { conversation: *conversation, sender: *sender }]
                }
                MessageEvent::Deleted { message, .. } => {
                    vec![Op::Uncount { message: *message, position }]
                }
                MessageEvent::Edited { .. }
                | MessageEvent::Reacted { .. }
                | MessageEvent::Unreacted { .. } => vec![],
            },
            DomainEvent::Receipt(receipt) => {
                let (read, (conversation, user, message, upto)) = match *receipt {
                    ReceiptEvent::Delivered { conversation, user, message, upto } => {
                        (false, (conversation, user, message, upto))
                    }
                    ReceiptEvent::Read { conversation, user, message, upto } => {
                        (true, (conversation, user, message, upto))
                    }
                };
                vec![Op::Move { conversation, user, read, message, upto, position }]
            }
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
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
        let ordinals = rows::ordinals(db, &ops).await?;
        let mut counts = rows::load_counts(db, &ops).await?;
        let mut cursors = rows::load_cursors(db, &ops).await?;
        let floors = rows::load_floors(db, &ops).await?;
        let mut uncounted = Vec::new();
        for op in &ops {
            if let Some(key) = op.key()
                && let Some(floor) = floors.get(&key.0)
            {
                cursors.entry(key).or_default().rise(floor);
            }
            match op {
                Op::Join { conversation, user } => {
                    let count = counts.get(conversation).copied().unwrap_or(0);
                    let cursor = cursors.entry((*conversation, *user)).or_default();
                    cursor.join(count);
                }
                Op::Sent { conversation, sender } => {
                    let count = counts.entry(*conversation).or_insert(0);
                    *count += 1;
                    cursors.entry((*conversation, *sender)).or_default().sent(*count);
                }
                Op::Uncount { message, .. } => uncounted.push(message.uuid()),
                Op::Move { conversation, user, read, message, upto, .. } => {
                    let cursor = cursors.entry((*conversation, *user)).or_default();
                    let place = ordinals.get(&(*conversation, *message)).copied();
                    if cursor.move_to(*upto, place, *read) {
                        cursor.own_after =
                            rows::own_between(db, *conversation, *user, cursor).await?;
                    }
                }
            }
        }
        rows::uncount(db, uncounted).await?;
        let moved: BTreeSet<Key> =
            ops.iter().filter(|op| matches!(op, Op::Move { .. })).filter_map(Op::key).collect();
        metrics::counter!("roundtable_receipt_rows_total").increment(moved.len() as u64);
        rows::save_counts(db, counts).await?;
        rows::save_cursors(db, cursors).await?;
        Ok(())
    }

    /// Nobody has unread what is not kept any more: cursors rise to where the rest begins.
    async fn upkeep(db: &mut PgConnection, _: Retention) -> Result<(), sqlx::Error> {
        rows::rise(db).await
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cursor {
    delivered: Position,
    read: Position,
    delivered_ordinal: i64,
    read_ordinal: i64,
    unread_from: i64,
    own_last: i64,
    own_after: i64,
}

impl Cursor {
    /// Goes to the end of what is not kept any more. Where own messages after it would have to be
    /// counted, the upkeep does so.
    fn rise(&mut self, floor: &Placed) {
        self.delivered_ordinal = self.delivered_ordinal.max(floor.ordinal);
        self.read_ordinal = self.read_ordinal.max(floor.ordinal);
        if self.unread_from < floor.number && self.own_last <= floor.number {
            self.unread_from = floor.number;
            self.own_after = 0;
        }
    }

    /// The person came when there were `count` messages.
    fn join(&mut self, count: i64) {
        self.unread_from = self.unread_from.max(count);
        self.own_after = 0;
    }

    /// The person said the message with this ordinal.
    fn sent(&mut self, ordinal: i64) {
        self.own_last = ordinal;
        // What retention took counts no more, even if it is counted only now.
        if ordinal > self.unread_from {
            self.own_after += 1;
        }
    }

    /// Everything up to a message was received, or read. Says whether the person's own messages
    /// after it have to be counted.
    fn move_to(&mut self, upto: Position, place: Option<Placed>, read: bool) -> bool {
        let (ordinal, number) = place.map(|place| (place.ordinal, place.number)).unzip();
        if upto > self.delivered {
            self.delivered = upto;
            self.delivered_ordinal = ordinal.unwrap_or(self.delivered_ordinal);
        }
        if !read || upto <= self.read {
            return false;
        }
        self.read = upto;
        self.read_ordinal = ordinal.unwrap_or(self.read_ordinal);
        let number = number.unwrap_or(self.unread_from);
        if number <= self.unread_from {
            return false;
        }
        self.unread_from = number;
        if self.own_last <= self.unread_from {
            self.own_after = 0;
            return false;
        }
        true
    }
}

/// Where a message stands in its conversation: among all rows, and among the messages of people,
/// which are what counts as unread.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Placed {
    ordinal: i64,
    number: i64,
}

type Key = (ConversationId, UserId);

impl Op {
    /// Whose cursor it moves where.
    fn key(&self) -> Option<Key> {
        match *self {
            Self::Join { conversation, user } | Self::Move { conversation, user, .. } => {
                Some((conversation, user))
            }
            Self::Sent { conversation, sender } => Some((conversation, sender)),
            Self::Uncount { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{recorded, user};

    #[test]
    fn a_receipt_moves_a_cursor() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let message = MessageId::new(Uuid::from_u128(3));
        let (bob, upto) = (user(2), Position::at(5));
        for (event, read) in [
            (ReceiptEvent::Delivered { conversation, user: bob, message, upto }, false),
            (ReceiptEvent::Read { conversation, user: bob, message, upto }, true),
        ] {
            let position = Position::at(7);
            let moved = Op::Move { conversation, user: bob, read, message, upto, position };
            assert_eq!(ReadCursor::project(&recorded(event)), vec![moved]);
        }
    }

    /// A message between which and the start two things happened.
    fn at(number: i64) -> Option<Placed> {
        Some(Placed { ordinal: number + 2, number })
    }

    #[test]
    fn a_cursor_never_goes_back_and_reading_is_receiving() {
        let mut cursor = Cursor::default();
        assert!(!cursor.move_to(Position::at(50), at(5), true));
        assert_eq!((cursor.delivered, cursor.delivered_ordinal), (Position::at(50), 7));
        assert!(!cursor.move_to(Position::at(30), at(3), true));
        assert_eq!((cursor.read_ordinal, cursor.unread_from), (7, 5));
        assert!(!cursor.move_to(Position::at(70), at(7), false));
        assert_eq!((cursor.read_ordinal, cursor.delivered_ordinal), (7, 9));
    }

    #[test]
    fn own_messages_are_counted_only_when_the_cursor_stops_before_one() {
        let mut cursor = Cursor::default();
        cursor.sent(1);
        cursor.sent(4);
        assert_eq!((cursor.own_last, cursor.own_after), (4, 2));
        assert!(cursor.move_to(Position::at(20), at(2), true), "before the own message 4");
        assert!(!cursor.move_to(Position::at(50), at(5), true));
        assert_eq!(cursor.own_after, 0);
    }

    #[test]
    fn a_cursor_rises_to_the_end_of_what_is_not_kept() {
        let floor = Placed { ordinal: 7, number: 5 };
        let mut cursor = Cursor { own_last: 4, own_after: 1, ..Cursor::default() };
        cursor.rise(&floor);
        assert_eq!((cursor.read_ordinal, cursor.unread_from, cursor.own_after), (7, 5, 0));
        let beyond = Cursor { read_ordinal: 9, unread_from: 6, ..cursor };
        let mut cursor = beyond;
        cursor.rise(&floor);
        assert_eq!(cursor, beyond);
    }

    #[test]
    fn who_comes_back_finds_nothing_unread() {
        let mut cursor = Cursor::default();
        cursor.sent(1);
        cursor.join(9);
        assert_eq!((cursor.unread_from, cursor.own_after), (9, 0));
    }
}
