//! `recording`: the recordings of calls, and the files that they became.

use events::call::{Participant, StopCause};
use events::{
    CallEvent, CallId, Category, ConversationId, DomainEvent, Envelope, FileEvent, FileId, Moment,
    Position, RecordingId, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct Recording;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// It runs.
    Begin {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Which recording.
        recording: RecordingId,
        /// By whom.
        by: UserId,
        /// Since when.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// It does not run any more.
    Stop(CallId, RecordingId, StopCause, Moment),
    /// It, or a part of it, is not kept.
    Fail(CallId, RecordingId, String),
    /// It has a file.
    Store(Box<Stored>),
    /// A file is gone, which may be one of a recording.
    Remove(FileId),
}

/// A file of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    file: FileId,
    call: CallId,
    recording: RecordingId,
    conversation: ConversationId,
    of: Option<Participant>,
    source: Option<String>,
    milliseconds: i64,
    offset: Option<i64>,
    at: Moment,
    position: Position,
}

impl Projection for Recording {
    const NAME: &'static str = "recording";
    const FOLLOWS: &'static [Category] = &[Category::Call, Category::File];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Call(about) => {
                of_call(about, event.recorded_at, event.position).into_iter().collect()
            }
            DomainEvent::File(about) => match about {
                FileEvent::Uploaded { .. } => vec![],
                FileEvent::Removed { file, .. } => vec![Op::Remove(*file)],
            },
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            apply(db, op).await?;
        }
        Ok(())
    }
}

fn of_call(event: &CallEvent, at: Moment, position: Position) -> Option<Op> {
    let (call, conversation) = event.place();
    match event {
        CallEvent::RecordingStarted { recording, by, .. } => {
            let (recording, by) = (*recording, *by);
            Some(Op::Begin { call, conversation, recording, by, at, position })
        }
        CallEvent::RecordingStopped { recording, cause, .. } => {
            Some(Op::Stop(call, *recording, *cause, at))
        }
        CallEvent::RecordingFailed { recording, reason, .. } => {
            Some(Op::Fail(call, *recording, reason.clone()))
        }
        CallEvent::RecordingStored {
            recording, file, of, source, milliseconds, offset, ..
        } => {
            let length = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
            Some(Op::Store(Box::new(Stored {
                file: *file,
                call,
                recording: *recording,
                conversation,
                of: *of,
                source: source.clone(),
                milliseconds: length(*milliseconds),
                offset: offset.map(length),
                at,
                position,
            })))
        }
        CallEvent::Started { .. }
        | CallEvent::Accepted { .. }
        | CallEvent::Joined { .. }
        | CallEvent::Declined { .. }
        | CallEvent::Missed { .. }
        | CallEvent::Rung { .. }
        | CallEvent::VideoAdded { .. }
        | CallEvent::Left { .. }
        | CallEvent::Toggled { .. }
        | CallEvent::Moved { .. }
        | CallEvent::MediaJoined { .. }
        | CallEvent::MediaLeft { .. }
        | CallEvent::ConsentAsked { .. }
        | CallEvent::ConsentGiven { .. }
        | CallEvent::ConsentWithdrawn { .. }
        | CallEvent::Ended { .. } => None,
    }
}

async fn apply(db: &mut PgConnection, op: Op) -> Result<(), sqlx::Error> {
    let query = match op {
        Op::Begin { call, conversation, recording, by, at, position } => sqlx::query(
            "insert into recording (call_id, recording_id, conversation_id, started_by, started_at,
               position)
             values ($1, $2, $3, $4, $5, $6) on conflict (call_id, recording_id) do nothing",
        )
        .bind(call.uuid())
        .bind(recording.uuid())
        .bind(conversation.uuid())
        .bind(by.uuid())
        .bind(at)
        .bind(position.to_bytes()),
        Op::Stop(call, recording, cause, at) => sqlx::query(
            "update recording set stopped_at = $3, cause = $4
             where call_id = $1 and recording_id = $2 and stopped_at is null",
        )
        .bind(call.uuid())
        .bind(recording.uuid())
        .bind(at)
        .bind(match cause {
            StopCause::Stopped => "stopped",
            StopCause::Withdrawn => "withdrawn",
            StopCause::Newcomer => "newcomer",
            StopCause::Ended => "ended",
            StopCause::NodeLost => "node_lost",
        }),
        Op::Fail(call, recording, reason) => sqlx::query(
            "update recording set failure = $3 where call_id = $1 and recording_id = $2",
        )
        .bind(call.uuid())
        .bind(recording.uuid())
        .bind(reason),
        Op::Store(stored) => sqlx::query(
            "insert into recording_file (file_id, call_id, recording_id, conversation_id, user_id,
               device_id, source, milliseconds, offset_milliseconds, stored_at, position)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             on conflict (file_id) do nothing",
        )
        .bind(stored.file.uuid())
        .bind(stored.call.uuid())
        .bind(stored.recording.uuid())
        .bind(stored.conversation.uuid())
        .bind(stored.of.map(|of| of.user.uuid()))
        .bind(stored.of.map(|of| of.device.uuid()))
        .bind(stored.source)
        .bind(stored.milliseconds)
        .bind(stored.offset)
        .bind(stored.at)
        .bind(stored.position.to_bytes()),
        Op::Remove(file) => {
            sqlx::query("delete from recording_file where file_id = $1").bind(file.uuid())
        }
    };
    query.execute(db).await.map(drop)
}

#[cfg(test)]
mod tests {
    use events::LoginId;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn a_recording_is_a_row_and_each_of_its_files_is_one_until_it_is_removed() {
        let call = CallId::new(Uuid::from_u128(0xca));
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let recording = RecordingId::new(Uuid::from_u128(0x4ec));
        let file = FileId::new(Uuid::from_u128(0xf1));
        let of = Some(Participant { user: user(1), device: LoginId::new(Uuid::from_u128(11)) });
        let (at, position) = (moment(), Position::at(7));
        let project = |event: CallEvent| Recording::project(&recorded(event));
        let by = user(1);
        let begun = CallEvent::RecordingStarted { call, conversation, recording, by };
        assert_eq!(project(begun), [Op::Begin { call, conversation, recording, by, at, position }]);
        let cause = StopCause::Withdrawn;
        let stopped = CallEvent::RecordingStopped { call, conversation, recording, cause };
        assert_eq!(project(stopped), [Op::Stop(call, recording, cause, at)]);
        let source = Some("camera".to_owned());
        let stored = CallEvent::RecordingStored {
            call,
            conversation,
            recording,
            file,
            of,
            source: source.clone(),
            milliseconds: 61_000,
            offset: Some(20),
        };
        let row = Stored {
            file,
            call,
            recording,
            conversation,
            of,
            source,
            milliseconds: 61_000,
            offset: Some(20),
            at,
            position,
        };
        assert_eq!(project(stored), [Op::Store(Box::new(row))]);
        let removed = FileEvent::Removed { file, owner: user(1), by: user(2) };
        assert_eq!(Recording::project(&recorded(removed)), [Op::Remove(file)]);
    }
}
