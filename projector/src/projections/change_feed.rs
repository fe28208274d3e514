//! `change_feed`: the live frames of the last days, and who was allowed to see them.
//!
//! The frame is the same text that the relay sent. Who is in which conversation is kept here as
//! well, as intervals of positions, so that both are at one checkpoint.
//!
//! What a message said goes out of its frames once it says something else, or is deleted: whoever
//! resumes gets the frame that says so a little later.

pub(crate) mod redaction;

use std::time::Duration;

use events::frame::{self, frame_about};
use events::{
    Audience, Category, ConversationEvent, ConversationId, DomainEvent, Envelope, MessageEvent,
    MessageId, Moment, Position, UserId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApplyError, Projection, Retention, Table};
pub use redaction::Redaction;

/// A frame with more audiences than this is kept once, beside their entries.
const SHARED_FROM: usize = 3;
/// How many entries one sweep deletes: with [`Projection::UPKEEP`], more than can be added in the
/// same time, and few enough that the feed hardly waits.
const SWEEP: i64 = 10_000;

/// What neither of two versions has swept.
const KEPT: &str = "position > greatest(
    (select position from {live}.change_feed_horizon),
    (select position from {next}.change_feed_horizon))";
/// As [`KEPT`], of the intervals of membership.
const SEEN: &str = "until_position is null or until_position > greatest(
    (select position from {live}.change_feed_horizon),
    (select position from {next}.change_feed_horizon))";

/// The read model.
#[derive(Debug, Default)]
pub struct ChangeFeed;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A frame for these audiences.
    Frame {
        /// Whose it is.
        position: Position,
        /// When the event was recorded.
        recorded_at: Moment,
        /// Who sees it.
        audiences: Vec<Audience>,
        /// The text.
        frame: String,
        /// The message whose text is in it.
        message: Option<MessageId>,
        /// Whose personal data is in it.
        about: Option<UserId>,
    },
    /// The earlier frames of a message do not tell any more what it said.
    Redact(Redaction),
    /// These people see the conversation from here on.
    Join {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        users: Vec<UserId>,
        /// From where.
        from: Position,
    },
    /// This person sees it up to here.
    Leave {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Up to where.
        until: Position,
    },
}

impl Projection for ChangeFeed {
    const NAME: &'static str = "change_feed";
    const FOLLOWS: &'static [Category] = &Category::ALL;
    const UPKEEP: Duration = Duration::from_secs(5);
    const TABLES: &'static [Table] = &[
        Table::named("change_feed_entry").comparing(KEPT).late(&["change_feed_entry_audience"]),
        Table::named("change_feed_frame").comparing(KEPT),
        Table::named("change_feed_member").comparing(SEEN),
        Table { seeded: true, compared: "false", ..Table::named("change_feed_horizon") },
    ];
    // 2: whose the words are, so that an erasure finds them.
    const VERSION: i32 = 2;
    const ERASE: &'static [&'static str] = &[SELECT_ABOUT];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let mut ops = membership(event);
        let audiences = Audience::of(&event.event);
        if !audiences.is_empty() {
            let (frame, about) = frame_about(event);
            ops.push(Op::Frame {
                position: event.position,
                recorded_at: event.recorded_at,
                audiences,
                frame: frame.to_string(),
                message: told(&event.event),
                about,
            });
        }
        ops.extend(redaction::of(event).map(Op::Redact));
        ops
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        insert_frames(db, &ops).await?;
        redaction::apply(db, ops.iter().filter_map(Op::redaction)).await?;
        for op in &ops {
            match op {
                Op::Frame { .. } | Op::Redact(_) => {}
                Op::Join { conversation, users, from } => {
                    join(db, *conversation, users, *from).await?;
                }
                Op::Leave { conversation, user, until } => {
                    leave(db, *conversation, *user, *until).await?;
                }
            }
        }
        Ok(())
    }

    /// Rewrites the frames that are kept: not in SQL, as with redaction.
    async fn erase(db: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
        let rows: Vec<(Vec<u8>, Option<String>, String)> =
            sqlx::query_as(SELECT_ABOUT).bind(user.uuid()).fetch_all(&mut *db).await?;
        for (position, audience, frame) in rows {
            let Ok(mut told) = serde_json::from_str(&frame) else { continue };
            frame::erase(&mut told);
            sqlx::query(match audience {
                Some(_) => "update change_feed_entry set frame = $3 where position = $1 and audience = $2",
                None => "update change_feed_frame set frame = $3 where position = $1 and $2::text is null",
            })
            .bind(position)
            .bind(audience)
            .bind(told.to_string())
            .execute(&mut *db)
            .await?;
        }
        Ok(())
    }

    /// Deletes what is older than the retention, oldest first, and says up to where.
    async fn upkeep(db: &mut PgConnection, retention: Retention) -> Result<(), sqlx::Error> {
        let seconds = retention.feed.num_milliseconds() as f64 / 1000.0;
        let due: bool = sqlx::query_scalar(DUE_SQL).bind(seconds).fetch_one(&mut *db).await?;
        if due {
            sqlx::query(SWEEP_SQL).bind(seconds).bind(SWEEP).execute(db).await?;
        }
        Ok(())
    }
}

impl Op {
    fn redaction(&self) -> Option<&Redaction> {
        match self {
            Self::Redact(redaction) => Some(redaction),
            Self::Frame { .. } | Self::Join { .. } | Self::Leave { .. } => None,
        }
    }
}

/// The message whose text the frame of an event tells.
fn told(event: &DomainEvent) -> Option<MessageId> {
    match event {
        DomainEvent::Message(
            MessageEvent::Sent { message, .. } | MessageEvent::Edited { message, .. },
        ) => Some(*message),
        DomainEvent::Message(
            MessageEvent::Deleted { .. }
            | MessageEvent::Reacted { .. }
            | MessageEvent::Unreacted { .. },
        )
        | DomainEvent::Conversation(_)
        | DomainEvent::User(_)
        | DomainEvent::Reservation(_)
        | DomainEvent::Login(_)
        | DomainEvent::Friendship(_)
        | DomainEvent::Receipt(_)
        | DomainEvent::Session(_)
        | DomainEvent::Whiteboard(_)
        | DomainEvent::File(_)
        | DomainEvent::Notification(_)
        | DomainEvent::Parked(_)
        | DomainEvent::Report(_)
        | DomainEvent::Denial(_)
        | DomainEvent::Call(_)
        | DomainEvent::Line(_)
        | DomainEvent::Hold(_)
        | DomainEvent::Access(_)
        | DomainEvent::Webhook(_) => None,
    }
}

/// The frames with personal data of somebody; those that are shared have no audience.
const SELECT_ABOUT: &str = "
    select position::bytea, audience, frame from change_feed_entry
    where about = $1 and frame is not null
    union
    select f.position::bytea, null, f.frame
    from change_feed_frame f join change_feed_entry e using (position) where e.about = $1";

/// Whether the oldest entry is too old.
const DUE_SQL: &str = "
    select exists (
      select from (select recorded_at from change_feed_entry order by position limit 1) oldest
      where recorded_at < now() - make_interval(secs => $1)
    )";

/// The horizon never lies inside an event: entries of one position go together.
const SWEEP_SQL: &str = "
    with oldest as (
      select position, recorded_at from change_feed_entry order by position limit $2
    ),
    reached as (
      select position from oldest where recorded_at < now() - make_interval(secs => $1)
      order by position desc limit 1
    ),
    entries as (
      delete from change_feed_entry where position <= (select position from reached)
    ),
    frames as (
      delete from change_feed_frame where position <= (select position from reached)
    ),
    members as (
      delete from change_feed_member where until_position <= (select position from reached)
    )
    update change_feed_horizon set position = reached.position from reached
    where change_feed_horizon.position < reached.position";

fn membership(event: &Envelope<DomainEvent>) -> Vec<Op> {
    let position = event.position;
    match &event.event {
        DomainEvent::Conversation(about) => match about {
            ConversationEvent::Opened { conversation, members, .. } => vec![Op::Join {
                conversation: *conversation,
                users: members.iter().map(|member| member.user).collect(),
                from: position,
            }],
            ConversationEvent::MemberAdded { conversation, user, .. } => {
                vec![Op::Join { conversation: *conversation, users: vec![*user], from: position }]
            }
            ConversationEvent::MemberRemoved { conversation, user, .. }
            | ConversationEvent::MemberBanned { conversation, user, .. } => {
                vec![Op::Leave { conversation: *conversation, user: *user, until: position }]
            }
            ConversationEvent::MemberUnbanned { .. }
            | ConversationEvent::TitleChanged { .. }
            | ConversationEvent::RoleChanged { .. }
            | ConversationEvent::OwnershipTransferred { .. }
            | ConversationEvent::InviteMade { .. }
            | ConversationEvent::InviteRevoked { .. }
            | ConversationEvent::SlowModeChanged { .. }
            | ConversationEvent::MessagePinned { .. }
            | ConversationEvent::MessageUnpinned { .. } => vec![],
        },
        _ => vec![],
    }
}

/// What is swept is not kept again, when the feed is built anew.
async fn insert_frames(db: &mut PgConnection, ops: &[Op]) -> Result<(), sqlx::Error> {
    type Entries<'a> = ((Vec<[u8; 16]>, Vec<String>), Vec<Option<&'a str>>, Ids);
    type Ids = ((Vec<Moment>, Vec<Option<Uuid>>), Vec<Option<Uuid>>);
    let (mut entries, mut shared): (Entries<'_>, (Vec<_>, Vec<_>)) = Default::default();
    for op in ops {
        let Op::Frame { position, recorded_at, audiences, frame, message, about } = op else {
            continue;
        };
        let own = audiences.len() < SHARED_FROM;
        if !own {
            shared.extend([(position.to_bytes(), frame.as_str())]);
        }
        entries.extend(audiences.iter().map(|audience| {
            let frame = own.then_some(frame.as_str());
            let key = (position.to_bytes(), audience.to_string());
            let about = about.map(UserId::uuid);
            (key, frame, ((*recorded_at, message.map(MessageId::uuid)), about))
        }));
    }
    if !shared.0.is_empty() {
        sqlx::query(
            "insert into change_feed_frame (position, frame)
             select * from unnest($1::bytea[], $2::text[]) as new (position, frame)
             where position > (select position from change_feed_horizon)",
        )
        .bind(shared.0)
        .bind(shared.1)
        .execute(&mut *db)
        .await?;
    }
    if !entries.1.is_empty() {
        sqlx::query(
            "insert into change_feed_entry
               (position, audience, frame, recorded_at, message_id, about)
             select * from unnest($1::bytea[], $2::text[], $3::text[], $4::timestamptz[], $5::uuid[],
               $6::uuid[]) as new (position)
             where position > (select position from change_feed_horizon)
             on conflict do nothing",
        )
        .bind(entries.0.0)
        .bind(entries.0.1)
        .bind(entries.1)
        .bind(entries.2.0.0)
        .bind(entries.2.0.1)
        .bind(entries.2.1)
        .execute(db)
        .await?;
    }
    Ok(())
}

async fn join(
    db: &mut PgConnection,
    conversation: ConversationId,
    users: &[UserId],
    from: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into change_feed_member (conversation_id, user_id, from_position)
         select $1, user_id, $3 from unnest($2::uuid[]) as user_id
         on conflict do nothing",
    )
    .bind(conversation.uuid())
    .bind(users.iter().map(|user| user.uuid()).collect::<Vec<_>>())
    .bind(from.to_bytes())
    .execute(db)
    .await?;
    Ok(())
}

async fn leave(
    db: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
    until: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update change_feed_member set until_position = $3
         where conversation_id = $1 and user_id = $2 and until_position is null",
    )
    .bind(conversation.uuid())
    .bind(user.uuid())
    .bind(until.to_bytes())
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::{EventId, ReservationEvent};

    use super::*;
    use crate::projections::testing::{moment, recorded, sent, user};

    #[test]
    fn an_event_is_a_frame_for_its_audiences() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let event = recorded(sent(MessageId::new(Uuid::from_u128(3)), conversation, "Hello"));
        let ops = ChangeFeed::project(&event);
        let frame = frame::frame(&event).to_string();
        assert!(frame.contains("\"text\":\"Hello\""), "{frame}");
        assert_eq!(
            ops,
            vec![Op::Frame {
                position: Position::at(7),
                recorded_at: moment(),
                audiences: vec![Audience::Conversation(conversation)],
                frame,
                message: Some(MessageId::new(Uuid::from_u128(3))),
                about: Some(user(1)),
            }]
        );
        assert_eq!(event.id, EventId::new(Uuid::from_u128(70)));
    }

    #[test]
    fn membership_is_an_interval() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let added = ConversationEvent::MemberAdded {
            conversation,
            user: user(2),
            by: user(1),
            invite: None,
        };
        let from = Position::at(7);
        let join = Op::Join { conversation, users: vec![user(2)], from };
        assert_eq!(ChangeFeed::project(&recorded(added))[0], join);
        let banned = ConversationEvent::MemberBanned { conversation, user: user(2), by: user(1) };
        let leave = Op::Leave { conversation, user: user(2), until: from };
        assert_eq!(ChangeFeed::project(&recorded(banned))[0], leave);
    }

    #[test]
    fn what_nobody_sees_is_not_in_the_feed() {
        let event = ReservationEvent::Confirmed { user: user(1) };
        assert_eq!(ChangeFeed::project(&recorded(event)), vec![]);
    }
}
