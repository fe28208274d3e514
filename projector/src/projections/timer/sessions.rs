//! What is to be done in study sessions, and that a session and its room agree about who is there.

use chrono::TimeDelta;
use domain::session::{EMPTY_SECONDS, UNSTARTED_SECONDS};
use events::session::LeaveCause;
use events::{ConversationEvent, ConversationId, Moment, SessionEvent, StudySessionId, UserId};
use serde_json::json;
use sqlx::PgConnection;

use super::{Op, Place, Set};
use crate::timers::Kind;

/// How many minutes before its start people are reminded of a session.
pub const REMINDERS: [u16; 2] = [15, 5];

/// How long after somebody came or went it is looked whether session and room agree: whoever
/// changed one of the two changes the other at once, unless they died in between.
const ROOM_SETTLES: TimeDelta = TimeDelta::seconds(1);

/// The key of the timer that ends the grace of somebody whose connection was lost.
pub fn grace_key(session: StudySessionId, user: UserId) -> String {
    format!("grace:{session}:{user}")
}

fn reminder_key(session: StudySessionId, starts: Moment, minutes: u16) -> String {
    format!("reminder:{session}:{}:{minutes}", starts.timestamp_micros())
}

fn room_key(conversation: ConversationId, user: UserId) -> String {
    format!("room:{conversation}:{user}")
}

pub(super) fn of_session(event: &SessionEvent, place: &Place) -> Vec<Op> {
    match event {
        SessionEvent::Scheduled { session, conversation, tutor, starts, .. } => {
            let room = Op::Room(*conversation, *session);
            let opened = settle(*session, *conversation, *tutor, place);
            let unstarted = unstarted(*session, *starts, place);
            let first = [room, opened, unstarted].into_iter();
            first.chain(reminders(*session, *starts, place)).collect()
        }
        SessionEvent::Changed { session, starts: Some(starts), .. } => {
            let cancelled = Op::CancelAll(session.uuid(), Some(Kind::Reminder));
            let first = [cancelled, unstarted(*session, *starts, place)].into_iter();
            first.chain(reminders(*session, *starts, place)).collect()
        }
        SessionEvent::Changed { starts: None, .. } => vec![],
        SessionEvent::Started { session, .. } => vec![
            Op::CancelAll(session.uuid(), Some(Kind::Reminder)),
            Op::Cancel(unstarted_key(*session)),
            empty(*session, place),
        ],
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
            empty(*session, place),
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

fn unstarted_key(session: StudySessionId) -> String {
    format!("unstarted:{session}")
}

/// Nobody may begin it.
fn unstarted(session: StudySessionId, starts: Moment, place: &Place) -> Op {
    let due = starts + TimeDelta::seconds(UNSTARTED_SECONDS);
    close(unstarted_key(session), session, due, place)
}

/// It may be that nobody is in it, from now on. Whether that is so is looked at when it is due; each
/// time somebody goes, it is later.
fn empty(session: StudySessionId, place: &Place) -> Op {
    let due = place.at + TimeDelta::seconds(EMPTY_SECONDS);
    close(format!("empty:{session}"), session, due, place)
}

fn close(key: String, session: StudySessionId, due: Moment, place: &Place) -> Op {
    Op::Set(Box::new(Set {
        key,
        kind: Kind::Close,
        subject: session.uuid(),
        person: None,
        detail: json!({}),
        due,
        set_by: place.set_by.clone(),
    }))
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

pub(super) fn of_conversation(event: &ConversationEvent, place: Place) -> Vec<Op> {
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

pub(super) async fn room(
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

pub(super) async fn look(
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

#[cfg(test)]
mod tests {
    use events::{DomainEvent, Personal};
    use uuid::Uuid;

    use super::*;
    use crate::projections::Projection;
    use crate::projections::testing::{moment, recorded, user};
    use crate::projections::timer::Timer;

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
        let Op::Set(first) = &ops[3] else { panic!("{ops:?}") };
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
        let empty = format!("empty:{session}");
        assert_eq!(keys(project(left)), [grace_key(session, ben), room.clone(), empty]);
        let banned = ConversationEvent::MemberBanned { conversation, user: ben, by: user(1) };
        assert_eq!(keys(project(banned)), [room, format!("out:{ben}")]);
        let cause = LeaveCause::Ended;
        assert_eq!(project(SessionEvent::Left { session, conversation, user: ben, cause }), []);
    }
}
