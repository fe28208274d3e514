//! The timers of calls, which need to know which calls there are.

use chrono::TimeDelta;
use events::{CallEvent, CallId, ConversationId, FriendshipEvent, Moment, UserId};
use serde_json::json;
use sqlx::PgConnection;

use super::{Op, Place, Set, alone_key, lost_key};
use crate::timers::Kind;

fn ring_key(call: CallId) -> String {
    format!("ring:{call}")
}

/// Of somebody who was called when the call went on already.
fn later_key(call: CallId, user: UserId) -> String {
    format!("ring:{call}:{user}")
}

/// Who blocks the other one of a call between two hangs up by that.
pub(super) fn of_friendship(event: &FriendshipEvent, place: Place) -> Vec<Op> {
    match *event {
        FriendshipEvent::Blocked { by, of } => {
            let conversation = ConversationId::direct(by, of);
            vec![Op::Out { conversation, user: by, at: place.at, set_by: place.set_by }]
        }
        FriendshipEvent::Requested { .. }
        | FriendshipEvent::Accepted { .. }
        | FriendshipEvent::Declined { .. }
        | FriendshipEvent::Cancelled { .. }
        | FriendshipEvent::Removed { .. }
        | FriendshipEvent::Unblocked { .. } => vec![],
    }
}

pub(super) fn of_call(event: &CallEvent, place: &Place) -> Vec<Op> {
    let (call, conversation) = event.place();
    let alone = || Op::Alone { call, since: place.at, set_by: place.set_by.clone() };
    match event {
        CallEvent::Started { ring, ring_seconds, idle_seconds, .. } => {
            let begun = Op::Call(call, conversation, *idle_seconds);
            let ringing = Op::Set(Box::new(Set {
                key: ring_key(call),
                kind: Kind::Ring,
                subject: call.uuid(),
                person: None,
                detail: json!({}),
                due: place.at + TimeDelta::seconds((*ring_seconds).into()),
                set_by: place.set_by.clone(),
            }));
            vec![begun, if ring.is_empty() { alone() } else { ringing }]
        }
        CallEvent::Accepted { participant, inside, .. }
        | CallEvent::Joined { participant, inside, .. } => {
            let answered = Op::Cancel(later_key(call, participant.user));
            vec![answered, if *inside > 1 { Op::Cancel(alone_key(call)) } else { alone() }]
        }
        CallEvent::Rung { ring, ring_seconds, .. } => {
            let timers = ring.iter().map(|user| {
                Op::Set(Box::new(Set {
                    key: later_key(call, *user),
                    kind: Kind::Ring,
                    subject: call.uuid(),
                    person: Some(*user),
                    detail: json!({}),
                    due: place.at + TimeDelta::seconds((*ring_seconds).into()),
                    set_by: place.set_by.clone(),
                }))
            });
            // Who is alone waits for those from now on. With others there it ends nothing.
            timers.chain([alone()]).collect()
        }
        CallEvent::Missed { users, rings_on, .. } => {
            let all = (!rings_on).then(|| ring_key(call));
            let each = users.iter().map(|user| later_key(call, *user));
            all.into_iter().chain(each).map(Op::Cancel).collect()
        }
        CallEvent::Left { participant, inside, .. } => {
            let back = Op::Cancel(lost_key(call, *participant));
            let alone = (*inside <= 1).then(alone);
            std::iter::once(back).chain(alone).collect()
        }
        CallEvent::Ended { .. } => vec![Op::Over(call)],
        CallEvent::Declined { user, .. } => vec![Op::Cancel(later_key(call, *user))],
        CallEvent::VideoAdded { .. }
        | CallEvent::Toggled { .. }
        | CallEvent::Moved { .. }
        | CallEvent::MediaJoined { .. }
        | CallEvent::MediaLeft { .. }
        | CallEvent::ConsentAsked { .. }
        | CallEvent::ConsentGiven { .. }
        | CallEvent::ConsentWithdrawn { .. }
        | CallEvent::RecordingStarted { .. }
        | CallEvent::RecordingStopped { .. }
        | CallEvent::RecordingStored { .. }
        | CallEvent::RecordingFailed { .. } => vec![],
    }
}

/// A call goes on.
pub(super) async fn begun(
    db: &mut PgConnection,
    call: CallId,
    conversation: ConversationId,
    idle_seconds: u16,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer_call (call_id, conversation_id, idle_seconds) values ($1, $2, $3)
         on conflict (call_id) do nothing",
    )
    .bind(call.uuid())
    .bind(conversation.uuid())
    .bind(i32::from(idle_seconds))
    .execute(db)
    .await?;
    Ok(())
}

/// A call is over.
pub(super) async fn over(db: &mut PgConnection, call: CallId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from timer_call where call_id = $1").bind(call.uuid()).execute(db).await?;
    Ok(())
}

/// Somebody is alone in a call, and not for ever.
pub(super) async fn alone(
    db: &mut PgConnection,
    call: CallId,
    since: Moment,
    set_by: String,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer (key, kind, subject, due_at, source, set_by)
         select $1, $2, call_id, $3 + idle_seconds * interval '1 second', 'log', $4
         from timer_call where call_id = $5
         on conflict (key) do update set
           due_at = excluded.due_at, set_by = excluded.set_by, claimed_until = null, attempts = 0",
    )
    .bind(alone_key(call))
    .bind(Kind::Alone.name())
    .bind(since)
    .bind(set_by)
    .bind(call.uuid())
    .execute(db)
    .await?;
    Ok(())
}

/// Somebody has to leave the calls of a conversation.
pub(super) async fn out(
    db: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
    at: Moment,
    set_by: String,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer (key, kind, subject, person, due_at, source, set_by)
         select 'out:' || call_id || ':' || $1::uuid, $2, call_id, $1, $3, 'log', $4
         from timer_call where conversation_id = $5
         on conflict (key) do update set
           due_at = excluded.due_at, set_by = excluded.set_by, claimed_until = null, attempts = 0",
    )
    .bind(user.uuid())
    .bind(Kind::Out.name())
    .bind(at)
    .bind(set_by)
    .bind(conversation.uuid())
    .execute(db)
    .await?;
    Ok(())
}
