//! `timer`: what is to be done at a moment, as far as it follows from the log.
//!
//! The rows are worked off by [`timers`](crate::timers). What a timer does is an ordinary command
//! whose events cancel the timer here: so a rebuilt table holds what is still to be done, and
//! nothing that was.

mod calls;
mod sessions;

pub use sessions::{REMINDERS, grace_key};

use events::call::Participant;
use events::{
    CallId, Category, ConversationId, DomainEvent, Envelope, Moment, StudySessionId, UserId,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApplyError, Projection};
use crate::timers::Kind;

/// The read model.
#[derive(Debug, Default)]
pub struct Timer;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A conversation is the room of a session.
    Room(ConversationId, StudySessionId),
    /// A timer is set, in place of the one with its key.
    Set(Box<Set>),
    /// Somebody came into a conversation or went out of it: if that is a room, a timer is set.
    Look {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Whether they went.
        gone: bool,
        /// When to look.
        due: Moment,
        /// By which event.
        set_by: String,
    },
    /// The timer with this key is not needed any more.
    Cancel(String),
    /// The timers of a kind are not needed any more in a session or a call; all kinds, if none is
    /// named.
    CancelAll(Uuid, Option<Kind>),
    /// A call goes on, in which somebody may be alone for so many seconds.
    Call(CallId, ConversationId, u16),
    /// A call is over.
    Over(CallId),
    /// Somebody is alone in a call.
    Alone {
        /// Which.
        call: CallId,
        /// Since when.
        since: Moment,
        /// By which event.
        set_by: String,
    },
    /// Somebody may not talk in a conversation any more: if there is a call, they leave it.
    Out {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// When.
        at: Moment,
        /// By which event.
        set_by: String,
    },
}

/// A timer.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    key: String,
    kind: Kind,
    subject: Uuid,
    person: Option<UserId>,
    detail: Value,
    due: Moment,
    set_by: String,
}

/// The key of the timer that takes a device out of a call whose connection was lost.
pub fn lost_key(call: CallId, device: Participant) -> String {
    format!("lost:{call}:{}", device.device)
}

fn alone_key(call: CallId) -> String {
    format!("alone:{call}")
}

impl Projection for Timer {
    const NAME: &'static str = "timer";
    const FOLLOWS: &'static [Category] =
        &[Category::Session, Category::Conversation, Category::Friendship, Category::Call];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let at = Place { at: event.recorded_at, set_by: event.position.to_string() };
        match &event.event {
            DomainEvent::Session(about) => sessions::of_session(about, &at),
            DomainEvent::Conversation(about) => sessions::of_conversation(about, at),
            DomainEvent::Friendship(about) => calls::of_friendship(about, at),
            DomainEvent::Call(about) => calls::of_call(about, &at),
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // One after the other, because they cancel each other.
        for op in ops {
            match op {
                Op::Room(conversation, session) => {
                    sessions::room(db, conversation, session).await?
                }
                Op::Set(timer) => set(db, *timer).await?,
                Op::Look { conversation, user, gone, due, set_by } => {
                    sessions::look(db, conversation, user, gone, due, set_by).await?;
                }
                Op::Cancel(key) => cancel(db, &key).await?,
                Op::CancelAll(subject, kind) => cancel_all(db, subject, kind).await?,
                Op::Call(call, conversation, idle) => {
                    calls::begun(db, call, conversation, idle).await?
                }
                Op::Over(call) => {
                    cancel_all(db, call.uuid(), None).await?;
                    calls::over(db, call).await?;
                }
                Op::Alone { call, since, set_by } => calls::alone(db, call, since, set_by).await?,
                Op::Out { conversation, user, at, set_by } => {
                    calls::out(db, conversation, user, at, set_by).await?;
                }
            }
        }
        Ok(())
    }
}

/// When an event was recorded, and which it is.
struct Place {
    at: Moment,
    set_by: String,
}

async fn set(db: &mut PgConnection, timer: Set) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer (key, kind, subject, person, detail, due_at, source, set_by)
         values ($1, $2, $3, $4, $5, $6, 'log', $7)
         on conflict (key) do update set
           detail = excluded.detail, due_at = excluded.due_at, set_by = excluded.set_by,
           claimed_until = null, attempts = 0",
    )
    .bind(timer.key)
    .bind(timer.kind.name())
    .bind(timer.subject)
    .bind(timer.person.map(UserId::uuid))
    .bind(timer.detail)
    .bind(timer.due)
    .bind(timer.set_by)
    .execute(db)
    .await?;
    Ok(())
}

async fn cancel(db: &mut PgConnection, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query("delete from timer where key = $1").bind(key).execute(db).await?;
    Ok(())
}

async fn cancel_all(
    db: &mut PgConnection,
    subject: Uuid,
    kind: Option<Kind>,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from timer where subject = $1 and ($2::text is null or kind = $2)")
        .bind(subject)
        .bind(kind.map(Kind::name))
        .execute(db)
        .await?;
    Ok(())
}
