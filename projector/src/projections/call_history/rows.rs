//! The rows of calls.

use events::call::{Carrier, EndCause, LeaveCause, Media, Participant, Toggles};
use events::{CallId, ConversationId, Moment, Position, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{New, Op};

pub(super) async fn apply(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    match op {
        Op::Begin(new) => begin(db, *new).await,
        Op::Enter { call, conversation, device, toggles, outcome, at, position } => {
            let place = (call, conversation);
            concern(db, place, &[device.user], outcome, SETTLED).await?;
            connect(db, call, device.user, at).await?;
            enter(db, place, device, toggles, at, position).await
        }
        Op::Ring(call, conversation, ring, busy) => {
            concern(db, (call, conversation), &ring, "ringing", KNOWN).await?;
            concern(db, (call, conversation), &busy, "busy", KNOWN).await
        }
        Op::Video(call) => {
            let video = "update call_history set media = 'video' where call_id = $1";
            sqlx::query(video).bind(call.uuid()).execute(db).await.map(drop)
        }
        Op::Outcome(call, users, outcome) => settle(db, call, &users, outcome).await,
        Op::Leave(call, device, cause, at) => leave(db, call, device, cause, at).await,
        Op::Toggle(call, device, toggles) => toggle(db, call, device, toggles).await,
        Op::Move(call, node) => carry(db, call, &node).await,
        Op::Media(call, device, in_media) => media(db, call, device, in_media).await,
        Op::Ask(call) => {
            let ask = "update call_history set consent_asked = true where call_id = $1";
            sqlx::query(ask).bind(call.uuid()).execute(db).await.map(drop)
        }
        Op::Consent(call, user, agrees) => consent(db, call, user, agrees).await,
        Op::Record(call, recording) => {
            sqlx::query("update call_history set recording_id = $2 where call_id = $1")
                .bind(call.uuid())
                .bind(recording.map(|recording| recording.uuid()))
                .execute(db)
                .await
                .map(drop)
        }
        Op::End(call, cause, by, at) => end(db, call, cause, by, at).await,
    }
}

async fn begin(db: &mut PgConnection, new: New) -> Result<(), sqlx::Error> {
    let place = (new.call, new.conversation);
    // A group that is called without ringing is connected at once.
    let connected = new.ring.is_empty();
    sqlx::query(
        "insert into call_history (call_id, conversation_id, started_by, media, direct, carrier,
           node, status, started_at, connected_at, position)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (call_id) do nothing",
    )
    .bind(new.call.uuid())
    .bind(new.conversation.uuid())
    .bind(new.by.user.uuid())
    .bind(match new.media {
        Media::Audio => "audio",
        Media::Video => "video",
    })
    .bind(new.direct)
    .bind(match new.carrier {
        Carrier::Peers => "peers",
        Carrier::Sfu => "sfu",
    })
    .bind(new.node)
    .bind(if connected { "connected" } else { "ringing" })
    .bind(new.at)
    .bind((connected && !new.direct).then_some(new.at))
    .bind(new.position.to_bytes())
    .execute(&mut *db)
    .await?;
    concern(db, place, &[new.by.user], "called", SETTLED).await?;
    concern(db, place, &new.ring, "ringing", SETTLED).await?;
    concern(db, place, &new.busy, "busy", SETTLED).await?;
    enter(db, place, new.by, new.toggles, new.at, new.position).await
}

/// What the call is to who called, or took it, does not change any more.
const SETTLED: &[&str] = &["called", "accepted"];

/// Nor does it to who was in it, or hears it ring, when more people are wanted.
const KNOWN: &[&str] = &["called", "accepted", "joined", "ringing"];

/// The call concerns these people, unless what it is to them already is to stay.
async fn concern(
    db: &mut PgConnection,
    (call, conversation): (CallId, ConversationId),
    users: &[UserId],
    outcome: &str,
    stays: &[&str],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into call_person (call_id, user_id, conversation_id, outcome, position)
         select $1, u, $2, $3, h.position
         from unnest($4::uuid[]) as u, call_history h where h.call_id = $1
         on conflict (call_id, user_id) do update set outcome = excluded.outcome
         where call_person.outcome <> all ($5)",
    )
    .bind(call.uuid())
    .bind(conversation.uuid())
    .bind(outcome)
    .bind(ids(users))
    .bind(stays)
    .execute(db)
    .await?;
    Ok(())
}

/// What the call is to people at whom it rang.
async fn settle(
    db: &mut PgConnection,
    call: CallId,
    users: &[UserId],
    outcome: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update call_person set outcome = $3
         where call_id = $1 and user_id = any($2) and outcome = 'ringing'",
    )
    .bind(call.uuid())
    .bind(ids(users))
    .bind(outcome)
    .execute(db)
    .await?;
    Ok(())
}

/// With the first who is not the one who called, they talk.
async fn connect(
    db: &mut PgConnection,
    call: CallId,
    user: UserId,
    at: Moment,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update call_history set status = 'connected', connected_at = $3
         where call_id = $1 and status = 'ringing' and started_by <> $2",
    )
    .bind(call.uuid())
    .bind(user.uuid())
    .bind(at)
    .execute(db)
    .await?;
    Ok(())
}

async fn enter(
    db: &mut PgConnection,
    (call, conversation): (CallId, ConversationId),
    device: Participant,
    toggles: Toggles,
    at: Moment,
    position: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into call_participant (call_id, user_id, device_id, conversation_id, microphone,
           camera, screen, joined_at, position)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (call_id, user_id, device_id) do update set
           microphone = excluded.microphone, camera = excluded.camera, screen = excluded.screen,
           in_media = false, joined_at = excluded.joined_at, left_at = null, cause = null,
           position = excluded.position",
    )
    .bind(call.uuid())
    .bind(device.user.uuid())
    .bind(device.device.uuid())
    .bind(conversation.uuid())
    .bind(toggles.microphone)
    .bind(toggles.camera)
    .bind(toggles.screen)
    .bind(at)
    .bind(position.to_bytes())
    .execute(db)
    .await?;
    Ok(())
}

async fn leave(
    db: &mut PgConnection,
    call: CallId,
    device: Participant,
    cause: LeaveCause,
    at: Moment,
) -> Result<(), sqlx::Error> {
    let cause = match cause {
        LeaveCause::Left => "left",
        LeaveCause::Lost => "lost",
        LeaveCause::Failed => "failed",
        LeaveCause::Removed => "removed",
    };
    sqlx::query(
        "update call_participant set left_at = $4, cause = $5, in_media = false
         where call_id = $1 and user_id = $2 and device_id = $3 and left_at is null",
    )
    .bind(call.uuid())
    .bind(device.user.uuid())
    .bind(device.device.uuid())
    .bind(at)
    .bind(cause)
    .execute(db)
    .await?;
    Ok(())
}

async fn toggle(
    db: &mut PgConnection,
    call: CallId,
    device: Participant,
    toggles: Toggles,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update call_participant set microphone = $4, camera = $5, screen = $6
         where call_id = $1 and user_id = $2 and device_id = $3",
    )
    .bind(call.uuid())
    .bind(device.user.uuid())
    .bind(device.device.uuid())
    .bind(toggles.microphone)
    .bind(toggles.camera)
    .bind(toggles.screen)
    .execute(db)
    .await?;
    Ok(())
}

/// Whoever was connected to the node before is not to this one.
async fn carry(db: &mut PgConnection, call: CallId, node: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update call_history set carrier = 'sfu', node = $2 where call_id = $1")
        .bind(call.uuid())
        .bind(node)
        .execute(&mut *db)
        .await?;
    sqlx::query("update call_participant set in_media = false where call_id = $1 and in_media")
        .bind(call.uuid())
        .execute(db)
        .await?;
    Ok(())
}

async fn media(
    db: &mut PgConnection,
    call: CallId,
    device: Participant,
    in_media: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update call_participant set in_media = $4
         where call_id = $1 and user_id = $2 and device_id = $3 and left_at is null",
    )
    .bind(call.uuid())
    .bind(device.user.uuid())
    .bind(device.device.uuid())
    .bind(in_media)
    .execute(db)
    .await?;
    Ok(())
}

async fn consent(
    db: &mut PgConnection,
    call: CallId,
    user: UserId,
    agrees: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query("update call_person set agrees = $3 where call_id = $1 and user_id = $2")
        .bind(call.uuid())
        .bind(user.uuid())
        .bind(agrees)
        .execute(db)
        .await?;
    Ok(())
}

/// Everybody has left with the end, and at whom it still rang has missed it.
async fn end(
    db: &mut PgConnection,
    call: CallId,
    cause: EndCause,
    by: Option<UserId>,
    at: Moment,
) -> Result<(), sqlx::Error> {
    let cause = match cause {
        EndCause::Completed => "completed",
        EndCause::Declined => "declined",
        EndCause::Cancelled => "cancelled",
        EndCause::Missed => "missed",
        EndCause::Busy => "busy",
        EndCause::Failed => "failed",
        EndCause::Lost => "lost",
        EndCause::Idle => "idle",
    };
    sqlx::query(
        "update call_history set status = 'ended', cause = $2, ended_by = $3, ended_at = $4,
           recording_id = null
         where call_id = $1",
    )
    .bind(call.uuid())
    .bind(cause)
    .bind(by.map(UserId::uuid))
    .bind(at)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "update call_participant set left_at = $2, cause = 'ended', in_media = false
         where call_id = $1 and left_at is null",
    )
    .bind(call.uuid())
    .bind(at)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "update call_person set outcome = 'missed' where call_id = $1 and outcome = 'ringing'",
    )
    .bind(call.uuid())
    .execute(db)
    .await?;
    Ok(())
}

fn ids(users: &[UserId]) -> Vec<Uuid> {
    users.iter().map(|user| user.uuid()).collect()
}
