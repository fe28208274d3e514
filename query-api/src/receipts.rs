//! What became of a message: from how far the others received and read.

use events::UserId;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::place::Place;
use crate::reads::Eyes;

/// What became of one of the reader's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It is in the conversation.
    Sent,
    /// All others have it.
    Delivered,
    /// All others have read it.
    Read,
}

/// How far somebody in a conversation is.
#[derive(Clone, Copy, Debug, FromRow)]
pub(crate) struct Cursor {
    #[sqlx(try_from = "Uuid")]
    pub(crate) user_id: UserId,
    /// Where they came in.
    pub(crate) joined: Place,
    pub(crate) delivered_ordinal: i64,
    pub(crate) read_ordinal: i64,
}

/// How far everybody in a conversation is.
pub(crate) async fn cursors(
    eyes: &mut Eyes,
    conversation: Uuid,
) -> Result<Vec<Cursor>, sqlx::Error> {
    sqlx::query_as(
        "select m.user_id, m.position as joined,
           coalesce(r.delivered_ordinal, 0) as delivered_ordinal,
           coalesce(r.read_ordinal, 0) as read_ordinal
         from member m
         left join read_cursor r on r.conversation_id = m.conversation_id and r.user_id = m.user_id
         where m.conversation_id = $1",
    )
    .bind(conversation)
    .fetch_all(&mut **eyes)
    .await
}

/// What became of a message, by the cursors of those others who were there when it was sent and
/// still are. Who has read a message has received it.
pub(crate) fn status(sender: UserId, ordinal: i64, sent: Place, cursors: &[Cursor]) -> Status {
    let mut least = None;
    for cursor in cursors {
        if cursor.user_id == sender || cursor.joined > sent {
            continue;
        }
        let (_, received, read) = least.unwrap_or((true, i64::MAX, i64::MAX));
        least = Some((
            true,
            received.min(cursor.delivered_ordinal.max(cursor.read_ordinal)),
            read.min(cursor.read_ordinal),
        ));
    }
    match least {
        Some((_, _, read)) if read >= ordinal => Status::Read,
        Some((_, received, _)) if received >= ordinal => Status::Delivered,
        Some(_) | None => Status::Sent,
    }
}

#[cfg(test)]
mod tests {
    use events::Position;

    use super::*;

    fn cursor(user: u128, joined: u64, delivered_ordinal: i64, read_ordinal: i64) -> Cursor {
        let user_id = Uuid::from_u128(user).into();
        let joined = Place(Position::at(joined));
        Cursor { user_id, joined, delivered_ordinal, read_ordinal }
    }

    fn of(cursors: &[Cursor]) -> Status {
        status(Uuid::from_u128(1).into(), 5, Place(Position::at(100)), cursors)
    }

    #[test]
    fn a_message_is_as_far_as_the_last_of_the_others() {
        let own = cursor(1, 0, 0, 0);
        assert_eq!(of(&[own, cursor(2, 0, 4, 0)]), Status::Sent);
        assert_eq!(of(&[own, cursor(2, 0, 5, 4)]), Status::Delivered);
        assert_eq!(of(&[own, cursor(2, 0, 9, 5)]), Status::Read);
        assert_eq!(of(&[own, cursor(2, 0, 9, 9), cursor(3, 0, 5, 0)]), Status::Delivered);
        assert_eq!(of(&[own, cursor(2, 0, 9, 9), cursor(3, 0, 0, 0)]), Status::Sent);
    }

    #[test]
    fn who_has_read_has_received() {
        assert_eq!(of(&[cursor(2, 0, 0, 5), cursor(3, 0, 5, 0)]), Status::Delivered);
    }

    #[test]
    fn who_came_later_changes_nothing() {
        assert_eq!(of(&[cursor(2, 0, 9, 9), cursor(3, 101, 0, 0)]), Status::Read);
        assert_eq!(of(&[cursor(3, 101, 9, 9)]), Status::Sent, "nobody else was there");
        assert_eq!(of(&[]), Status::Sent);
    }
}
