//! What the frames of a message do not tell any more, once it was edited or deleted.

use std::collections::HashMap;

use events::{DomainEvent, Envelope, MessageEvent, MessageId, Position};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// The earlier frames of a message do not tell any more what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// Which message.
    pub message: MessageId,
    /// By which event: the frames before it.
    pub before: Position,
    /// Whether nothing of it is shown any more; otherwise its attachments are what they were.
    pub deleted: bool,
}

/// What an event takes from the frames before it.
pub(super) fn of(event: &Envelope<DomainEvent>) -> Option<Redaction> {
    let before = event.position;
    let DomainEvent::Message(about) = &event.event else { return None };
    match about {
        MessageEvent::Edited { message, .. } => {
            Some(Redaction { message: *message, before, deleted: false })
        }
        MessageEvent::Deleted { message, .. } => {
            Some(Redaction { message: *message, before, deleted: true })
        }
        MessageEvent::Sent { .. }
        | MessageEvent::Reacted { .. }
        | MessageEvent::Unreacted { .. } => None,
    }
}

/// Rewrites the frames that are kept. Not in SQL: `jsonb` refuses texts that JSON allows.
pub(super) async fn apply(
    db: &mut PgConnection,
    redactions: impl Iterator<Item = &Redaction>,
) -> Result<(), sqlx::Error> {
    let mut of: HashMap<Uuid, Vec<&Redaction>> = HashMap::new();
    for redaction in redactions {
        of.entry(redaction.message.uuid()).or_default().push(redaction);
    }
    if of.is_empty() {
        return Ok(());
    }
    let rows: Vec<(Vec<u8>, String, Uuid, String)> = sqlx::query_as(
        "select position::bytea, audience, message_id, frame from change_feed_entry
         where message_id = any($1) and frame is not null",
    )
    .bind(of.keys().copied().collect::<Vec<_>>())
    .fetch_all(&mut *db)
    .await?;
    let (mut keys, mut frames): ((Vec<_>, Vec<_>), Vec<_>) = Default::default();
    for (position, audience, message, frame) in rows {
        let place = Position::from_bytes(&position);
        let mut due = of[&message].iter().filter(|it| place.is_some_and(|at| at < it.before));
        let Some(first) = due.next() else { continue };
        let deleted = first.deleted || due.any(|it| it.deleted);
        if let Some(less) = redacted(&frame, deleted) {
            keys.extend([(position, audience)]);
            frames.push(less);
        }
    }
    if frames.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update change_feed_entry e set frame = less.frame
         from unnest($1::bytea[], $2::text[], $3::text[]) as less (position, audience, frame)
         where e.position = less.position and e.audience = less.audience",
    )
    .bind(keys.0)
    .bind(keys.1)
    .bind(frames)
    .execute(db)
    .await?;
    Ok(())
}

/// The frame without what is not to be told; nothing, if it tells nothing of it. An empty list is
/// left out, as in every event.
pub(crate) fn redacted(frame: &str, deleted: bool) -> Option<String> {
    let mut told: Value = serde_json::from_str(frame).ok()?;
    let data = told.get_mut("data")?.as_object_mut()?;
    let text = data.insert("text".to_owned(), Value::Null);
    let mentions = data.remove("mentions");
    let attachments = if deleted { data.remove("attachments") } else { None };
    let is_less = text != Some(Value::Null) || mentions.is_some() || attachments.is_some();
    is_less.then(|| told.to_string())
}

#[cfg(test)]
mod tests {
    use events::ConversationId;
    use events::frame::frame;

    use super::*;
    use crate::projections::testing::{recorded, sent, user};

    #[test]
    fn a_frame_loses_its_text_and_is_otherwise_what_it_was() {
        let message = MessageId::new(Uuid::from_u128(3));
        let mut event = sent(message, ConversationId::new(Uuid::from_u128(9)), "Se\0cret");
        if let MessageEvent::Sent { mentions, attachments, .. } = &mut event {
            *mentions = vec![user(2)];
            *attachments = vec![events::FileId::new(Uuid::from_u128(5))];
        }
        let whole = frame(&recorded(event));
        let edited = redacted(&whole.to_string(), false).unwrap();
        let mut expected = whole.clone();
        expected["data"]["text"] = Value::Null;
        expected["data"].as_object_mut().unwrap().remove("mentions");
        assert_eq!(edited, expected.to_string());
        let deleted = redacted(&edited, true).unwrap();
        expected["data"].as_object_mut().unwrap().remove("attachments");
        assert_eq!(deleted, expected.to_string());
        assert_eq!(redacted(&deleted, true), None);
        assert_eq!(redacted(&whole.to_string(), true), Some(deleted));
    }
}
