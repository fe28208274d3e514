//! `timer`: what is to be done at a moment, as far as it follows from the log.
//!
//! The rows are worked off by [`timers`](crate::timers). What a timer does is an ordinary command
//! whose events cancel the timer here: so a rebuilt table holds what is still to be done, and
//! nothing that was.

mod calls;

use chrono::TimeDelta;
use events::call::Participant;
use events::session::LeaveCause;
use events::{
    CallId, Category, ConversationEvent, ConversationId, DomainEvent, Envelope, Moment,
    SessionEvent, StudySessionId, UserId,
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApplyError, Projection};
use crate::timers::Kind;

/// How many minutes before its start people are reminded of a session.
pub const REMINDERS: [u16; 2] = [15, 5];

/// How long after somebody came or went it is looked whether session and room agree: whoever
/// changed one of the two changes the other at once, unless they died in between.
const ROOM_SETTLES: TimeDelta = TimeDelta::seconds(1);

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

/// The key of the timer that ends the grace of somebody whose connection was lost.
pub fn grace_key(session: StudySessionId, user: UserId) -> String {
    format!("grace:{session}:{user}")
}

/// The key of the timer that takes a device out of a call whose connection was lost.
pub fn lost_key(call: CallId, device: Participant) -> String {
    format!("lost:{call}:{}", device.device)
}

fn alone_key(call: CallId) -> String {
    format!("alone:{call}")
}

fn reminder_key(session: StudySessionId, starts: Moment, minutes: u16) -> String {
    format!("reminder:{session}:{}:{minutes}", starts.timestamp_micros())
}

fn room_key(conversation: ConversationId, user: UserId) -> String {
    format!("room:{conversation}:{user}")
}

impl Projection for Timer {
    const NAME: &'static str = "timer";
    const FOLLOWS: &'static [Category] =
        &[Category::Session, Category::Conversation, Category::Friendship, Category::Call];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let at = Place { at: event.recorded_at, set_by: event.position.to_string() };
        match &event.event {
            DomainEvent::Session(about) => of_session(about, &at),
            DomainEvent::Conversation(about) => of_conversation(about, at),
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
            | DomainEvent::Line(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        // One after the other, because they cancel each other.
        for op in ops {
            match op {
                Op::Room(conversation, session) => room(db, conversation, session).await?,
                Op::Set(timer) => set(db, *timer).await?,
                Op::Look { conversation, user, gone, due, set_by } => {
                    look(db, conversation, user, gone, due, set_by).await?;
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

fn of_session(event: &SessionEvent, place: &Place) -> Vec<Op> {
    match event {
        SessionEvent::Scheduled { session, conversation, tutor, starts, .. } => {
            let room = Op::Room(*conversation, *session);
            let opened = settle(*session, *conversation, *tutor, place);
            [room, opened].into_iter().chain(reminders(*session, *starts, place)).collect()
        }
        SessionEvent::Changed { session, starts: Some(starts), .. } => {
            let cancelled = Op::CancelAll(session.uuid(), Some(Kind::Reminder));
            std::iter::once(cancelled).chain(reminders(*session, *starts, place)).collect()
        }
        SessionEvent::Changed { starts: None, .. } => vec![],
        SessionEvent::Started { session, .. } => {
            vec![Op::CancelAll(session.uuid(), Some(Kind::Reminder))]
        }
        SessionEvent::Completed { session, .. } | SessionEvent::Cancelled { session, .. } => {
            vec![Op::CancelAll(session.uuid(), None)]
        }
        SessionEvent::Joined { session, conversation, user } => {
            vec![settle(*session, *conversation, *user, place)]
        }
        SessionEvent::Left { cause: LeaveCause::Ended, .. } => vec![],
        SessionEvent::Left { session, conversation, user, .. } => vec![
            Op::Cancel(grace_key(*session, *user)),
            settle(*session, *conversation, *user, place),
        ],
        SessionEvent::Reminded { session, starts, minutes, .. } => {
            vec![Op::Cancel(reminder_key(*session, *starts, *minutes))]
        }
    }
}

/// Those that are still to come when the session is planned, or moved.
fn reminders(
    session: StudySessionId,
    starts: Moment,
    place: &Place,
) -> impl Iterator<Item = Op> + use<'_> {
    let to_come = move |minutes: u16| {
        let due = starts - TimeDelta::minutes(minutes.into());
        (due > place.at).then(|| {
            Op::Set(Box::new(Set {
                key: reminder_key(session, starts, minutes),
                kind: Kind::Reminder,
                subject: session.uuid(),
                person: None,
                detail: json!({ "starts": starts, "minutes": minutes }),
                due,
                set_by: place.set_by.clone(),
            }))
        })
    };
    REMINDERS.into_iter().filter_map(to_come)
}

/// Session and room have to agree about somebody.
fn settle(
    session: StudySessionId,
    conversation: ConversationId,
    user: UserId,
    place: &Place,
) -> Op {
    Op::Set(Box::new(Set {
        key: room_key(conversation, user),
        kind: Kind::Room,
        subject: session.uuid(),
        person: Some(user),
        detail: json!({ "gone": false }),
        due: place.at + ROOM_SETTLES,
        set_by: place.set_by.clone(),
    }))
}

fn of_conversation(event: &ConversationEvent, place: Place) -> Vec<Op> {
    let due = place.at + ROOM_SETTLES;
    let look = |conversation, user, gone| Op::Look {
        conversation,
        user,
        gone,
        due,
        set_by: place.set_by.clone(),
    };
    match event {
        ConversationEvent::MemberAdded { conversation, user, .. } => {
            vec![look(*conversation, *user, false)]
        }
        ConversationEvent::MemberRemoved { conversation, user, .. }
        | ConversationEvent::MemberBanned { conversation, user, .. } => {
            let (conversation, user) = (*conversation, *user);
            let (at, set_by) = (place.at, place.set_by.clone());
            vec![look(conversation, user, true), Op::Out { conversation, user, at, set_by }]
        }
        ConversationEvent::Opened { .. }
        | ConversationEvent::MemberUnbanned { .. }
        | ConversationEvent::TitleChanged { .. }
        | ConversationEvent::RoleChanged { .. }
        | ConversationEvent::OwnershipTransferred { .. }
        | ConversationEvent::InviteMade { .. }
        | ConversationEvent::InviteRevoked { .. }
        | ConversationEvent::SlowModeChanged { .. }
        | ConversationEvent::MessagePinned { .. }
        | ConversationEvent::MessageUnpinned { .. } => vec![],
    }
}

async fn room(
    db: &mut PgConnection,
    conversation: ConversationId,
    session: StudySessionId,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer_room (conversation_id, session_id) values ($1, $2)
         on conflict (conversation_id) do nothing",
    )
    .bind(conversation.uuid())
    .bind(session.uuid())
    .execute(db)
    .await?;
    Ok(())
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

async fn look(
    db: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
    gone: bool,
    due: Moment,
    set_by: String,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer (key, kind, subject, person, detail, due_at, source, set_by)
         select $1, $2, session_id, $3, $4, $5, 'log', $6
         from timer_room where conversation_id = $7
         on conflict (key) do update set
           detail = excluded.detail, due_at = excluded.due_at, set_by = excluded.set_by,
           claimed_until = null, attempts = 0",
    )
    .bind(room_key(conversation, user))
    .bind(Kind::Room.name())
    .bind(user.uuid())
    .bind(json!({ "gone": gone }))
    .bind(due)
    .bind(set_by)
    .bind(conversation.uuid())
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

#[cfg(test)]
mod tests {
    use events::Personal;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    const SESSION: StudySessionId = StudySessionId::new(Uuid::from_u128(5));
    const ROOM: ConversationId = ConversationId::new(Uuid::from_u128(9));

    fn project(event: impl Into<DomainEvent>) -> Vec<Op> {
        Timer::project(&recorded(event))
    }

    fn scheduled(minutes: i64) -> SessionEvent {
        SessionEvent::Scheduled {
            session: SESSION,
            conversation: ROOM,
            tutor: user(1),
            title: Personal::new(user(1), "Bernoulli".to_owned()),
            subject: "maths".to_owned(),
            description: Personal::new(user(1), String::new()),
            capacity: 4,
            starts: moment() + TimeDelta::minutes(minutes),
        }
    }

    fn due(ops: &[Op]) -> Vec<i64> {
        let minutes = |due: Moment| (due - moment()).num_minutes();
        let of = |op: &Op| match op {
            Op::Set(timer) if timer.kind == Kind::Reminder => Some(minutes(timer.due)),
            _ => None,
        };
        ops.iter().filter_map(of).collect()
    }

    #[test]
    fn people_are_reminded_before_a_start_and_never_of_a_moment_that_was_over_when_it_was_planned()
    {
        assert_eq!(due(&project(scheduled(60))), [45, 55]);
        assert_eq!(due(&project(scheduled(15))), [10]);
        assert_eq!(due(&project(scheduled(5))), [0_i64; 0]);
    }

    #[test]
    fn a_move_sets_new_reminders_and_an_end_cancels_everything() {
        let (session, conversation, by) = (SESSION, ROOM, user(1));
        let moved = SessionEvent::Changed {
            session,
            conversation,
            title: None,
            subject: None,
            description: None,
            capacity: None,
            starts: Some(moment() + TimeDelta::minutes(30)),
            by,
        };
        let ops = project(moved);
        assert_eq!(ops[0], Op::CancelAll(session.uuid(), Some(Kind::Reminder)));
        assert_eq!(due(&ops), [15, 25]);
        let cancelled = SessionEvent::Cancelled { session, conversation, by };
        assert_eq!(project(cancelled), [Op::CancelAll(session.uuid(), None)]);
    }

    #[test]
    fn what_a_reminder_did_cancels_it() {
        let starts = moment() + TimeDelta::minutes(60);
        let ops = project(scheduled(60));
        let Op::Set(first) = &ops[2] else { panic!("{ops:?}") };
        let reminded =
            SessionEvent::Reminded { session: SESSION, conversation: ROOM, starts, minutes: 15 };
        assert_eq!(project(reminded), [Op::Cancel(first.key.clone())]);
    }

    #[test]
    fn who_comes_or_goes_is_looked_after_in_session_and_room() {
        let (session, conversation, ben) = (SESSION, ROOM, user(2));
        let keys = |ops: Vec<Op>| -> Vec<String> {
            let key = |op: Op| match op {
                Op::Set(timer) => timer.key,
                Op::Look { conversation, user, .. } => room_key(conversation, user),
                Op::Cancel(key) => key,
                Op::Out { user, .. } => format!("out:{user}"),
                other => panic!("{other:?}"),
            };
            ops.into_iter().map(key).collect()
        };
        let room = room_key(conversation, ben);
        let joined = SessionEvent::Joined { session, conversation, user: ben };
        assert_eq!(keys(project(joined)), std::slice::from_ref(&room));
        let cause = LeaveCause::Lost;
        let left = SessionEvent::Left { session, conversation, user: ben, cause };
        assert_eq!(keys(project(left)), [grace_key(session, ben), room.clone()]);
        let banned = ConversationEvent::MemberBanned { conversation, user: ben, by: user(1) };
        assert_eq!(keys(project(banned)), [room, format!("out:{ben}")]);
        let cause = LeaveCause::Ended;
        assert_eq!(project(SessionEvent::Left { session, conversation, user: ben, cause }), []);
    }
}
