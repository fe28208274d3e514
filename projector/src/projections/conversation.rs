//! `conversation`: what conversations there are, and when something was last said in them.

use events::conversation::ConversationKind;
use events::{
    Category, ConversationEvent, ConversationId, DomainEvent, Envelope, MessageEvent, Moment,
    Personal, Position, UserId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApplyError, Projection, last_of_each, text};

/// The read model.
#[derive(Debug, Default)]
pub struct Conversation;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A conversation is new.
    Insert {
        /// The conversation.
        conversation: ConversationId,
        /// For two, or for a group.
        kind: ConversationKind,
        /// The title of a group, unless it was erased.
        title: Option<String>,
        /// Who gave it.
        titled_by: Option<UserId>,
        /// When.
        opened_at: Moment,
        /// By which event.
        position: Position,
    },
    /// A group has another title.
    Retitle {
        /// The conversation.
        conversation: ConversationId,
        /// The new title, unless it was erased.
        title: Option<String>,
        /// Who gave it.
        titled_by: UserId,
    },
    /// Members wait between two messages.
    SlowMode {
        /// The conversation.
        conversation: ConversationId,
        /// How many seconds; none when zero.
        seconds: u32,
    },
    /// Something was said.
    Message {
        /// Where.
        conversation: ConversationId,
        /// When.
        sent_at: Moment,
        /// By which event.
        position: Position,
    },
}

impl Projection for Conversation {
    const NAME: &'static str = "conversation";
    const FOLLOWS: &'static [Category] = &[Category::Conversation, Category::Message];
    // 2: whose the words are, so that an erasure finds them.
    const VERSION: i32 = 2;
    const ERASE: &'static [&'static str] =
        &["update conversation set title = null where titled_by = $1"];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let (at, position) = (event.recorded_at, event.position);
        match &event.event {
            DomainEvent::Conversation(about) => match about {
                ConversationEvent::Opened { conversation, kind, title, .. } => vec![Op::Insert {
                    conversation: *conversation,
                    kind: *kind,
                    title: title.as_ref().and_then(text),
                    titled_by: title.as_ref().map(Personal::subject),
                    opened_at: at,
                    position,
                }],
                ConversationEvent::TitleChanged { conversation, title, .. } => {
                    let (title, titled_by) = (text(title), title.subject());
                    vec![Op::Retitle { conversation: *conversation, title, titled_by }]
                }
                ConversationEvent::SlowModeChanged { conversation, seconds, .. } => {
                    vec![Op::SlowMode { conversation: *conversation, seconds: *seconds }]
                }
                ConversationEvent::MemberAdded { .. }
                | ConversationEvent::MemberRemoved { .. }
                | ConversationEvent::MemberBanned { .. }
                | ConversationEvent::MemberUnbanned { .. }
                | ConversationEvent::RoleChanged { .. }
                | ConversationEvent::OwnershipTransferred { .. }
                | ConversationEvent::InviteMade { .. }
                | ConversationEvent::InviteRevoked { .. }
                | ConversationEvent::MessagePinned { .. }
                | ConversationEvent::MessageUnpinned { .. } => vec![],
            },
            DomainEvent::Message(about) => match about {
                MessageEvent::Sent { conversation, .. } => {
                    vec![Op::Message { conversation: *conversation, sent_at: at, position }]
                }
                MessageEvent::Edited { .. }
                | MessageEvent::Deleted { .. }
                | MessageEvent::Reacted { .. }
                | MessageEvent::Unreacted { .. } => vec![],
            },
            _ => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // Nothing happens before the conversation was opened, so all openings may come first.
        insert(db, &ops).await?;
        retitle(db, &ops).await?;
        slow_down(db, &ops).await?;
        count(db, &ops).await?;
        Ok(())
    }
}

async fn insert(db: &mut PgConnection, ops: &[Op]) -> Result<(), sqlx::Error> {
    let rows = ops.iter().filter_map(|op| match op {
        Op::Insert { conversation, kind, title, titled_by, opened_at, position } => {
            let kind = match kind {
                ConversationKind::Direct => "direct",
                ConversationKind::Group => "group",
                ConversationKind::Study => "study",
            };
            let title = (title.as_deref(), titled_by.map(UserId::uuid));
            Some((conversation.uuid(), kind, title, *opened_at, position.to_bytes()))
        }
        Op::Retitle { .. } | Op::SlowMode { .. } | Op::Message { .. } => None,
    });
    type Titles<'a> = (Vec<Option<&'a str>>, Vec<Option<Uuid>>);
    let (ids, kinds, titles, times, positions): (Vec<_>, Vec<_>, Titles<'_>, Vec<_>, Vec<_>) =
        rows.collect();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into conversation (conversation_id, kind, title, opened_at, position, titled_by)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[],
           $6::uuid[])",
    )
    .bind(ids)
    .bind(kinds)
    .bind(titles.0)
    .bind(times)
    .bind(positions)
    .bind(titles.1)
    .execute(db)
    .await?;
    Ok(())
}

async fn retitle(db: &mut PgConnection, ops: &[Op]) -> Result<(), sqlx::Error> {
    let titles = last_of_each(ops.iter().filter_map(|op| match op {
        Op::Retitle { conversation, title, titled_by } => {
            Some((conversation.uuid(), (title.as_deref(), titled_by.uuid())))
        }
        Op::Insert { .. } | Op::SlowMode { .. } | Op::Message { .. } => None,
    }));
    if titles.is_empty() {
        return Ok(());
    }
    let (ids, (titles, by)): (Vec<_>, (Vec<_>, Vec<_>)) = titles.into_iter().collect();
    sqlx::query(
        "update conversation set title = new.title, titled_by = new.titled_by
         from unnest($1::uuid[], $2::text[], $3::uuid[]) as new (id, title, titled_by)
         where conversation_id = new.id",
    )
    .bind(ids)
    .bind(titles)
    .bind(by)
    .execute(db)
    .await?;
    Ok(())
}

async fn slow_down(db: &mut PgConnection, ops: &[Op]) -> Result<(), sqlx::Error> {
    for op in ops {
        if let Op::SlowMode { conversation, seconds } = op {
            sqlx::query(
                "update conversation set slow_mode_seconds = $2 where conversation_id = $1",
            )
            .bind(conversation.uuid())
            .bind(i64::from(*seconds))
            .execute(&mut *db)
            .await?;
        }
    }
    Ok(())
}

async fn count(db: &mut PgConnection, ops: &[Op]) -> Result<(), sqlx::Error> {
    // Ordered by id, as everywhere, so that two transactions never wait for each other.
    let mut counts = std::collections::BTreeMap::new();
    for op in ops {
        if let Op::Message { conversation, sent_at, position } = op {
            let (count, last, at) =
                counts.entry(*conversation).or_insert((0_i64, *position, *sent_at));
            *count += 1;
            (*last, *at) = (*position, *sent_at);
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let rows =
        counts.into_iter().map(|(id, (count, last, at))| (id.uuid(), count, last.to_bytes(), at));
    let (ids, counts, positions, times): (Vec<_>, Vec<_>, Vec<_>, Vec<_>) = rows.collect();
    sqlx::query(
        "update conversation set
           message_count = message_count + said.count,
           last_message_position = said.position,
           last_message_at = said.at
         from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::timestamptz[])
           as said (id, count, position, at)
         where conversation_id = said.id",
    )
    .bind(ids)
    .bind(counts)
    .bind(positions)
    .bind(times)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::MessageId;

    use super::*;
    use crate::projections::testing::{moment, recorded, sent, user};

    #[test]
    fn it_is_opened_once_and_counts_what_is_said() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let opened = ConversationEvent::Opened {
            conversation,
            kind: ConversationKind::Group,
            title: Some(Personal::new(user(1), "Reading".to_owned())),
            members: vec![],
        };
        assert_eq!(
            Conversation::project(&recorded(opened)),
            vec![Op::Insert {
                conversation,
                kind: ConversationKind::Group,
                title: Some("Reading".to_owned()),
                titled_by: Some(user(1)),
                opened_at: moment(),
                position: Position::at(7),
            }]
        );
        let sent = sent(MessageId::new(Uuid::from_u128(3)), conversation, "Hello");
        let message = Op::Message { conversation, sent_at: moment(), position: Position::at(7) };
        assert_eq!(Conversation::project(&recorded(sent)), vec![message]);
        let (user, by) = (user(2), user(1));
        let added = ConversationEvent::MemberAdded { conversation, user, by, invite: None };
        assert_eq!(Conversation::project(&recorded(added)), vec![]);
        let title = Personal::new(by, "Maths".to_owned());
        let renamed = ConversationEvent::TitleChanged { conversation, title, by };
        let title = Some("Maths".to_owned());
        let retitle = Op::Retitle { conversation, title, titled_by: by };
        assert_eq!(Conversation::project(&recorded(renamed)), vec![retitle]);
        let slowed = ConversationEvent::SlowModeChanged { conversation, seconds: 30, by };
        let slow = Op::SlowMode { conversation, seconds: 30 };
        assert_eq!(Conversation::project(&recorded(slowed)), vec![slow]);
    }
}
