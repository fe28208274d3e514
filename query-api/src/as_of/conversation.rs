//! A conversation as it was: who was in it, as what, what they had read, and what was newest.

use domain::conversation::Action;
use events::{ConversationId, UserId};

use super::Past;
use super::receipts::Cursor;
use super::room::{Room, kind_name, role_name};
use crate::conversation::{Conversation, Detail, Member, permissions};
use crate::failure::Failure;
use crate::message::{Message, Preview};
use crate::place::Place;
use crate::reads::Eyes;

impl Past {
    /// A conversation as it was, for who was in it and is.
    pub(crate) async fn conversation(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        reader: UserId,
    ) -> Result<Detail, Failure> {
        self.is_kept(eyes).await?;
        let room = self.room_of(eyes, id, reader).await?;
        let cursors = self.cursors(eyes, id, &room).await?;
        let of = |user| cursors.get(&user).copied().unwrap_or_default();
        let newest = self.newest(eyes, id, reader).await?;
        let unread = self.unread(eyes, id, reader, &room, of(reader)).await?;
        let (kind, role) = (kind_name(room.kind), my_role(&room, reader));
        let active = newest.as_ref().map_or(Place(room.position), |newest| newest.position);
        let conversation = Conversation {
            id,
            kind: kind.to_owned(),
            title: room.title.clone(),
            with: match kind {
                "direct" => room.members.iter().map(|it| it.user).find(|user| *user != reader),
                _ => None,
            },
            opened_at: room.opened_at,
            role: role.to_owned(),
            members_count: i64::try_from(room.members.len()).unwrap_or(i64::MAX),
            unread,
            last_message: newest.map(Preview::from),
            slow_mode_seconds: i32::try_from(room.slow_mode_seconds).unwrap_or(i32::MAX),
            position: active,
        };
        let my_permissions = permissions(kind, role).map(Action::name).collect();
        let mut inside = room.members.clone();
        inside.sort_by_key(|inside| (inside.position, inside.user));
        let members = inside.into_iter().map(|inside| {
            let Cursor { delivered, read, delivered_ordinal, read_ordinal, .. } = of(inside.user);
            Member {
                user_id: inside.user,
                role: role_name(inside.role).to_owned(),
                joined_at: inside.joined_at,
                delivered_ordinal,
                read_ordinal,
                delivered_position: Some(Place(delivered)),
                read_position: Some(Place(read)),
            }
        });
        Ok(Detail { conversation, my_permissions, members: members.collect() })
    }

    /// The newest message of a person, as it was.
    async fn newest(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        reader: UserId,
    ) -> Result<Option<Message>, Failure> {
        let Some(ordinal) = self.last_ordinal(eyes, id, true).await? else { return Ok(None) };
        let mut found = self.rows(eyes, id, ordinal).await?;
        self.as_then(eyes, id, reader, &mut found).await?;
        Ok(found.pop())
    }

    /// Messages of others after the cursor that were not deleted, since they came the last time.
    async fn unread(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        reader: UserId,
        room: &Room,
        cursor: Cursor,
    ) -> Result<i64, Failure> {
        let Some(me) = room.member(reader) else { return Ok(0) };
        let joined: Option<i64> = sqlx::query_scalar(
            "select number from message
             where conversation_id = $1 and kind <> 'system' and position <= $2
               and sent_at < $3 + interval '1 day'
             order by ordinal desc limit 1",
        )
        .bind(id.uuid())
        .bind(Place(me.position))
        .bind(me.joined_at)
        .fetch_optional(&mut **eyes)
        .await?;
        let from = cursor.read_number.max(joined.unwrap_or(0));
        // No message has a larger number than its ordinal, which the index knows.
        Ok(sqlx::query_scalar(
            "select count(*) from message
             where conversation_id = $1 and sender_id <> $2 and kind <> 'system'
               and ordinal > $3 and number > $3 and position <= $4
               and (deleted_at is null or deleted_at > $5)",
        )
        .bind(id.uuid())
        .bind(reader.uuid())
        .bind(from)
        .bind(Place(self.at))
        .bind(self.moment)
        .fetch_one(&mut **eyes)
        .await?)
    }
}

fn my_role(room: &Room, reader: UserId) -> &'static str {
    room.member(reader).map_or("member", |me| role_name(me.role))
}
