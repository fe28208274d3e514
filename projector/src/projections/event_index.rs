//! `event_index`: where each event is, by what it is looked for. What it says is in the log only.

use events::{Category, DomainEvent, Envelope, Moment, about};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApplyError, Projection, Table};

/// The read model.
#[derive(Debug, Default)]
pub struct EventIndex;

/// A row for an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    position: [u8; 16],
    id: Uuid,
    stream: String,
    revision: i64,
    event_type: &'static str,
    category: &'static str,
    actor: Uuid,
    person: Option<Uuid>,
    conversation: Option<Uuid>,
    correlation: Uuid,
    causation: Uuid,
    recorded_at: Moment,
}

impl Projection for EventIndex {
    const NAME: &'static str = "event_index";
    const FOLLOWS: &'static [Category] = &Category::ALL;
    const TABLES: &'static [Table] = &[Table::named("event_index").late(&[
        "event_index_id",
        "event_index_correlation",
        "event_index_actor",
        "event_index_person",
        "event_index_conversation",
        "event_index_category",
        "event_index_recorded_at",
        "event_index_causation",
    ])];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let metadata = &event.metadata;
        vec![Op {
            position: event.position.to_bytes(),
            id: event.id.uuid(),
            stream: event.stream.as_str().to_owned(),
            revision: i64::try_from(event.revision).unwrap_or(i64::MAX),
            event_type: event.event.event_type(),
            category: event.stream.category().map_or("", Category::as_str),
            actor: metadata.actor.uuid(),
            person: about::person(&event.event, metadata.actor).map(|user| user.uuid()),
            conversation: about::conversation(&event.event).map(|id| id.uuid()),
            correlation: metadata.correlation_id,
            causation: metadata.causation_id,
            recorded_at: event.recorded_at,
        }]
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        sqlx::query(
            "insert into event_index (position, event_id, stream, revision, type, category, actor,
               person_id, conversation_id, correlation, causation, recorded_at)
             select * from unnest($1::bytea[], $2::uuid[], $3::text[], $4::bigint[], $5::text[],
               $6::text[], $7::uuid[], $8::uuid[], $9::uuid[], $10::uuid[], $11::uuid[],
               $12::timestamptz[])
             on conflict do nothing",
        )
        .bind(ops.iter().map(|op| op.position).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.id).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.stream.as_str()).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.revision).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.event_type).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.category).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.actor).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.person).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.conversation).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.correlation).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.causation).collect::<Vec<_>>())
        .bind(ops.iter().map(|op| op.recorded_at).collect::<Vec<_>>())
        .execute(db)
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use events::FriendshipEvent;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn every_event_has_a_row_that_says_where_it_is_and_not_what_it_says() {
        let event = recorded(FriendshipEvent::Requested { from: user(1), to: user(2) });
        let [row] = &EventIndex::project(&event)[..] else { panic!("one row") };
        assert_eq!((row.event_type, row.recorded_at), ("friendship.requested", moment()));
        assert_eq!((row.actor, row.person), (user(1).uuid(), Some(user(2).uuid())));
        assert_eq!((row.position, row.conversation), (event.position.to_bytes(), None));
    }
}
