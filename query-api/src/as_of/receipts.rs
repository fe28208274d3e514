//! How far the members of a conversation had received and read.

use std::collections::HashMap;

use events::{ConversationId, DomainEvent, MessageId, Position, ReceiptEvent, StreamName, UserId};
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::Past;
use super::room::Room;
use crate::failure::Failure;
use crate::reads::Eyes;

/// How many streams are read at once.
const AT_ONCE: usize = 16;

/// How far somebody was, and where the messages stand in the conversation.
#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
    pub(super) delivered: Position,
    pub(super) read: Position,
    pub(super) delivered_ordinal: i64,
    pub(super) read_ordinal: i64,
    /// The number of the message that was read, among those of people.
    pub(super) read_number: i64,
}

type Reached = Option<(Position, MessageId)>;

impl Past {
    /// The cursors of everybody who was in a conversation.
    pub(super) async fn cursors(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        room: &Room,
    ) -> Result<HashMap<UserId, Cursor>, Failure> {
        let reads = room.members.iter().map(|inside| self.clone().reached(id, inside.user));
        let reads: Vec<_> = reads.collect();
        let reached: Vec<(UserId, Reached, Reached)> =
            futures::stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
        let ids = reached.iter().flat_map(|(_, delivered, read)| [*delivered, *read]);
        let ids: Vec<Uuid> = ids.flatten().map(|(_, message)| message.uuid()).collect();
        let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(
            "select message_id, ordinal, coalesce(number, 0) from message
             where message_id = any($1) and conversation_id = $2",
        )
        .bind(ids)
        .bind(id.uuid())
        .fetch_all(&mut **eyes)
        .await?;
        let places: HashMap<Uuid, (i64, i64)> =
            rows.into_iter().map(|(id, ordinal, number)| (id, (ordinal, number))).collect();
        let place = |reached: Reached| {
            let (upto, message) = reached.unzip();
            let found = message.and_then(|message| places.get(&message.uuid()).copied());
            (upto.unwrap_or_default(), found.unwrap_or_default())
        };
        let cursor = |(user, delivered, read)| {
            let (delivered, (delivered_ordinal, _)) = place(delivered);
            let (read, (read_ordinal, read_number)) = place(read);
            (user, Cursor { delivered, read, delivered_ordinal, read_ordinal, read_number })
        };
        Ok(reached.into_iter().map(cursor).collect())
    }

    /// How far somebody had received and read: what was read was received.
    async fn reached(
        self,
        id: ConversationId,
        user: UserId,
    ) -> Result<(UserId, Reached, Reached), Failure> {
        let (mut delivered, mut read): (Reached, Reached) = (None, None);
        for event in self.events_of(&StreamName::receipt(id, user)).await? {
            let DomainEvent::Receipt(receipt) = event.event else { continue };
            match receipt {
                ReceiptEvent::Delivered { message, upto, .. } => {
                    delivered = delivered.max(Some((upto, message)));
                }
                ReceiptEvent::Read { message, upto, .. } => {
                    delivered = delivered.max(Some((upto, message)));
                    read = read.max(Some((upto, message)));
                }
            }
        }
        Ok((user, delivered, read))
    }
}
