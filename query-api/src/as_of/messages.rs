//! Messages as they were: their rows say where they stand, their streams what they said then.

use std::collections::HashMap;

use events::{
    ConversationId, DomainEvent, MessageEvent, MessageId, Moment, Personal, StreamName, UserId,
};
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::Past;
use crate::failure::Failure;
use crate::message::history::Wanted;
use crate::message::{Message, Reactions, columns, moderates, no_such_message};
use crate::place::Place;
use crate::reads::Eyes;
use crate::receipts::{Cursor, status};

/// How many streams are read at once.
const AT_ONCE: usize = 16;

/// A message as it was.
#[derive(Default)]
struct Then {
    text: Option<String>,
    mentions: Vec<Uuid>,
    edited_at: Option<Moment>,
    deleted: Option<(Moment, Uuid)>,
    /// In the order in which each emoji came first.
    reactions: Vec<(String, Vec<UserId>)>,
}

impl Past {
    /// A page of the messages that there were.
    pub(crate) async fn messages(
        &self,
        eyes: &mut Eyes,
        reader: UserId,
        mut wanted: Wanted,
    ) -> Result<Vec<Message>, Failure> {
        self.is_kept(eyes).await?;
        let id = wanted.conversation;
        let room = self.room_of(eyes, id, reader).await?;
        let Some(last) = self.last_ordinal(eyes, id, false).await? else { return Ok(vec![]) };
        wanted.ceiling = wanted.ceiling.min(last + 1);
        let mut found = wanted.fetch(eyes).await?;
        self.as_then(eyes, id, reader, &mut found).await?;
        self.tell_status(eyes, id, reader, &room, &mut found).await?;
        Ok(found)
    }

    /// One message as it was.
    pub(crate) async fn message(
        &self,
        eyes: &mut Eyes,
        reader: UserId,
        id: ConversationId,
        found: Message,
    ) -> Result<Message, Failure> {
        let room = self.room_of(eyes, id, reader).await?;
        if found.position.0 > self.at {
            return Err(no_such_message().into());
        }
        let mut found = vec![found];
        self.as_then(eyes, id, reader, &mut found).await?;
        self.tell_status(eyes, id, reader, &room, &mut found).await?;
        Ok(found.pop().ok_or_else(no_such_message)?)
    }

    /// Where the last row stands that was there then.
    pub(super) async fn last_ordinal(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        of_people: bool,
    ) -> Result<Option<i64>, sqlx::Error> {
        // The clock of the store may be set back, though not by a day: the bound spares the months
        // after it.
        sqlx::query_scalar(
            "select ordinal from message
             where conversation_id = $1 and position <= $2 and sent_at < $3 + interval '1 day'
               and (kind <> 'system' or not $4)
             order by ordinal desc limit 1",
        )
        .bind(id.uuid())
        .bind(Place(self.at))
        .bind(self.moment)
        .bind(of_people)
        .fetch_optional(&mut **eyes)
        .await
    }

    pub(super) async fn rows(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        ordinal: i64,
    ) -> Result<Vec<Message>, sqlx::Error> {
        sqlx::query_as(concat!(
            "select ",
            columns!(),
            " from message m where m.conversation_id = $1 and m.ordinal = $2
                and m.sent_at < $3 + interval '1 day'"
        ))
        .bind(id.uuid())
        .bind(ordinal)
        .bind(self.moment)
        .fetch_all(&mut **eyes)
        .await
    }

    /// Turns messages as they are into messages as they were.
    pub(super) async fn as_then(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        reader: UserId,
        messages: &mut [Message],
    ) -> Result<(), Failure> {
        let moderates = moderates(eyes, id).await?;
        let said = messages.iter().filter(|message| message.system.is_none());
        let said: Vec<MessageId> = said.map(|message| message.id).collect();
        let reads: Vec<_> = said.iter().map(|message| self.clone().said(*message)).collect();
        let mut then: HashMap<MessageId, Then> =
            futures::stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
        let replies = self.replies(eyes, &said).await?;
        for message in messages {
            let Some(then) = then.remove(&message.id) else { continue };
            let deleted_since = message.deleted_at.is_some() && then.deleted.is_none();
            let edited_since = message.edited_at != then.edited_at;
            let may_read = message.sender_id == reader || moderates || !edited_since;
            message.withheld = deleted_since || (!may_read && then.deleted.is_none());
            if message.withheld {
                (message.text, message.mentions) = (None, vec![]);
            } else {
                (message.text, message.mentions) = (then.text, then.mentions);
            }
            message.edited_at = then.edited_at;
            (message.deleted_at, message.deleted_by) = then.deleted.unzip();
            message.reactions = then
                .reactions
                .into_iter()
                .map(|(emoji, who)| Reactions {
                    emoji,
                    count: i64::try_from(who.len()).unwrap_or(i64::MAX),
                    mine: who.contains(&reader),
                })
                .collect();
            message.replies_count = replies.get(&message.id.uuid()).copied().unwrap_or(0);
        }
        Ok(())
    }

    /// What a message said then.
    async fn said(self, message: MessageId) -> Result<(MessageId, Then), Failure> {
        let text = |says: &Personal<String>| says.open().map(|text| text.replace('\0', "\u{FFFD}"));
        let mut then = Then::default();
        for event in self.events_of(&StreamName::message(message)).await? {
            let at = event.recorded_at;
            let DomainEvent::Message(happened) = &event.event else { continue };
            match happened {
                MessageEvent::Sent { text: says, mentions, .. } => {
                    then.text = text(says);
                    then.mentions = mentions.iter().map(|user| user.uuid()).collect();
                }
                MessageEvent::Edited { text: says, mentions, .. } => {
                    then.text = text(says);
                    then.mentions = mentions.iter().map(|user| user.uuid()).collect();
                    then.edited_at = Some(at);
                }
                MessageEvent::Deleted { by, .. } => {
                    then = Then {
                        deleted: Some((at, by.uuid())),
                        edited_at: then.edited_at,
                        ..Then::default()
                    };
                }
                MessageEvent::Reacted { emoji, by, .. } => react(&mut then.reactions, emoji, *by),
                MessageEvent::Unreacted { emoji, by, .. } => {
                    for (_, who) in then.reactions.iter_mut().filter(|(it, _)| it == emoji) {
                        who.retain(|user| user != by);
                    }
                    then.reactions.retain(|(_, who)| !who.is_empty());
                }
            }
        }
        Ok((message, then))
    }

    /// How many messages there were in the threads that begin with these.
    async fn replies(
        &self,
        eyes: &mut Eyes,
        messages: &[MessageId],
    ) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
        let ids: Vec<Uuid> = messages.iter().map(|message| message.uuid()).collect();
        let rows: Vec<(Uuid, i64)> = sqlx::query_as(
            "select thread, count(*) from message
             where thread = any($1) and position <= $2 and (deleted_at is null or deleted_at > $3)
             group by thread",
        )
        .bind(ids)
        .bind(Place(self.at))
        .bind(self.moment)
        .fetch_all(&mut **eyes)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// Says what had become of the reader's own messages.
    async fn tell_status(
        &self,
        eyes: &mut Eyes,
        id: ConversationId,
        reader: UserId,
        room: &super::room::Room,
        messages: &mut [Message],
    ) -> Result<(), Failure> {
        let own = |message: &Message| message.sender_id == reader && message.system.is_none();
        if !messages.iter().any(own) {
            return Ok(());
        }
        let reached = self.cursors(eyes, id, room).await?;
        let cursors: Vec<Cursor> = room
            .members
            .iter()
            .map(|inside| {
                let it = reached.get(&inside.user).copied().unwrap_or_default();
                Cursor {
                    user_id: inside.user,
                    joined: Place(inside.position),
                    delivered_ordinal: it.delivered_ordinal,
                    read_ordinal: it.read_ordinal,
                }
            })
            .collect();
        for message in messages.iter_mut().filter(|message| own(message)) {
            message.status = Some(status(reader, message.ordinal, message.position, &cursors));
        }
        Ok(())
    }
}

fn react(reactions: &mut Vec<(String, Vec<UserId>)>, emoji: &str, by: UserId) {
    match reactions.iter_mut().find(|(it, _)| it == emoji) {
        Some((_, who)) if who.contains(&by) => {}
        Some((_, who)) => who.push(by),
        None => reactions.push((emoji.to_owned(), vec![by])),
    }
}
