//! `study_session`: what sessions there are, and who is or was in them.

use events::session::LeaveCause;
use events::{
    Category, ConversationId, DomainEvent, Envelope, Moment, Position, SessionEvent,
    StudySessionId, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, text};

/// The read model.
#[derive(Debug, Default)]
pub struct StudySession;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A session is new.
    Insert(Box<New>),
    /// Its plan changed; what is absent stays.
    Change {
        /// The session.
        session: StudySessionId,
        /// The new title; inside, `None` if it was erased.
        title: Option<Option<String>>,
        /// The new subject.
        subject: Option<String>,
        /// The new description; inside, `None` if it was erased.
        description: Option<Option<String>>,
        /// The new number of seats.
        capacity: Option<u16>,
        /// The new beginning.
        starts: Option<Moment>,
    },
    /// It began.
    Start(StudySessionId, Moment),
    /// It is over, and everybody has left with it.
    End(StudySessionId, &'static str, Moment),
    /// Somebody is in it.
    Join {
        /// Which.
        session: StudySessionId,
        /// Where its people talk.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// When.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// Somebody is in it no more.
    Leave(StudySessionId, UserId, LeaveCause, Moment),
}

/// A session that was planned.
#[derive(Clone, Debug, PartialEq)]
pub struct New {
    session: StudySessionId,
    conversation: ConversationId,
    tutor: UserId,
    title: Option<String>,
    subject: String,
    description: Option<String>,
    capacity: u16,
    starts: Moment,
    at: Moment,
    position: Position,
}

impl Projection for StudySession {
    const NAME: &'static str = "study_session";
    const FOLLOWS: &'static [Category] = &[Category::Session];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let (at, position) = (event.recorded_at, event.position);
        match &event.event {
            DomainEvent::Session(about) => of_session(about, at, position),
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Message(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_)
            | DomainEvent::Call(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        let mut crowds = std::collections::BTreeSet::new();
        for op in ops {
            match op {
                Op::Insert(new) => insert(db, *new).await?,
                Op::Change { session, title, subject, description, capacity, starts } => {
                    change(db, session, title, subject, description, capacity, starts).await?;
                }
                Op::Start(session, at) => start(db, session, at).await?,
                Op::End(session, status, at) => {
                    end(db, session, status, at).await?;
                    crowds.insert(session.uuid());
                }
                Op::Join { session, conversation, user, at, position } => {
                    join(db, session, conversation, user, at, position).await?;
                    crowds.insert(session.uuid());
                }
                Op::Leave(session, user, cause, at) => {
                    leave(db, session, user, cause, at).await?;
                    crowds.insert(session.uuid());
                }
            }
        }
        count(db, crowds.into_iter().collect()).await?;
        Ok(())
    }
}

fn of_session(event: &SessionEvent, at: Moment, position: Position) -> Vec<Op> {
    match event {
        SessionEvent::Scheduled {
            session,
            conversation,
            tutor,
            title,
            subject,
            description,
            capacity,
            starts,
        } => vec![Op::Insert(Box::new(New {
            session: *session,
            conversation: *conversation,
            tutor: *tutor,
            title: text(title),
            subject: subject.replace('\0', "\u{FFFD}"),
            description: text(description),
            capacity: *capacity,
            starts: *starts,
            at,
            position,
        }))],
        SessionEvent::Changed {
            session, title, subject, description, capacity, starts, ..
        } => vec![Op::Change {
            session: *session,
            title: title.as_ref().map(text),
            subject: subject.as_ref().map(|subject| subject.replace('\0', "\u{FFFD}")),
            description: description.as_ref().map(text),
            capacity: *capacity,
            starts: *starts,
        }],
        SessionEvent::Started { session, .. } => vec![Op::Start(*session, at)],
        SessionEvent::Completed { session, .. } => vec![Op::End(*session, "completed", at)],
        SessionEvent::Cancelled { session, .. } => vec![Op::End(*session, "cancelled", at)],
        SessionEvent::Joined { session, conversation, user } => {
            let (session, conversation, user) = (*session, *conversation, *user);
            vec![Op::Join { session, conversation, user, at, position }]
        }
        SessionEvent::Left { session, user, cause, .. } => {
            vec![Op::Leave(*session, *user, *cause, at)]
        }
        SessionEvent::Reminded { .. } => vec![],
    }
}

async fn insert(db: &mut PgConnection, new: New) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into study_session (session_id, conversation_id, tutor_id, title, subject,
           description, capacity, starts, status, scheduled_at, position)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'scheduled', $9, $10)
         on conflict (session_id) do nothing",
    )
    .bind(new.session.uuid())
    .bind(new.conversation.uuid())
    .bind(new.tutor.uuid())
    .bind(new.title)
    .bind(new.subject)
    .bind(new.description)
    .bind(i32::from(new.capacity))
    .bind(new.starts)
    .bind(new.at)
    .bind(new.position.to_bytes())
    .execute(db)
    .await?;
    Ok(())
}

async fn change(
    db: &mut PgConnection,
    session: StudySessionId,
    title: Option<Option<String>>,
    subject: Option<String>,
    description: Option<Option<String>>,
    capacity: Option<u16>,
    starts: Option<Moment>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update study_session set
           title = case when $2 then $3 else title end,
           subject = coalesce($4, subject),
           description = case when $5 then $6 else description end,
           capacity = coalesce($7, capacity),
           starts = coalesce($8, starts)
         where session_id = $1",
    )
    .bind(session.uuid())
    .bind(title.is_some())
    .bind(title.flatten())
    .bind(subject)
    .bind(description.is_some())
    .bind(description.flatten())
    .bind(capacity.map(i32::from))
    .bind(starts)
    .execute(db)
    .await?;
    Ok(())
}

async fn start(
    db: &mut PgConnection,
    session: StudySessionId,
    at: Moment,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update study_session set status = 'active', started_at = $2 where session_id = $1",
    )
    .bind(session.uuid())
    .bind(at)
    .execute(db)
    .await?;
    Ok(())
}

async fn end(
    db: &mut PgConnection,
    session: StudySessionId,
    status: &'static str,
    at: Moment,
) -> Result<(), sqlx::Error> {
    sqlx::query("update study_session set status = $2, ended_at = $3 where session_id = $1")
        .bind(session.uuid())
        .bind(status)
        .bind(at)
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "update study_participant set left_at = $2, cause = 'ended'
         where session_id = $1 and left_at is null",
    )
    .bind(session.uuid())
    .bind(at)
    .execute(db)
    .await?;
    Ok(())
}

async fn join(
    db: &mut PgConnection,
    session: StudySessionId,
    conversation: ConversationId,
    user: UserId,
    at: Moment,
    position: Position,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into study_participant (session_id, user_id, conversation_id, joined_at, position)
         values ($1, $2, $3, $4, $5)
         on conflict (session_id, user_id) do update set
           joined_at = excluded.joined_at, left_at = null, cause = null,
           position = excluded.position",
    )
    .bind(session.uuid())
    .bind(user.uuid())
    .bind(conversation.uuid())
    .bind(at)
    .bind(position.to_bytes())
    .execute(db)
    .await?;
    Ok(())
}

async fn leave(
    db: &mut PgConnection,
    session: StudySessionId,
    user: UserId,
    cause: LeaveCause,
    at: Moment,
) -> Result<(), sqlx::Error> {
    let cause = match cause {
        LeaveCause::Left => "left",
        LeaveCause::Lost => "lost",
        LeaveCause::Removed => "removed",
        LeaveCause::Ended => "ended",
    };
    sqlx::query(
        "update study_participant set left_at = $3, cause = $4
         where session_id = $1 and user_id = $2 and left_at is null",
    )
    .bind(session.uuid())
    .bind(user.uuid())
    .bind(at)
    .bind(cause)
    .execute(db)
    .await?;
    Ok(())
}

/// How many are in the sessions now.
async fn count(db: &mut PgConnection, sessions: Vec<uuid::Uuid>) -> Result<(), sqlx::Error> {
    if sessions.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update study_session s set participants = now.all_of_them, guests = now.guests
         from (
           select s.session_id, count(p.user_id) as all_of_them,
             count(p.user_id) filter (where p.user_id <> s.tutor_id) as guests
           from study_session s
           left join study_participant p on p.session_id = s.session_id and p.left_at is null
           where s.session_id = any($1)
           group by s.session_id
         ) now
         where s.session_id = now.session_id",
    )
    .bind(sessions)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use events::Personal;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, user};

    #[test]
    fn what_happens_to_a_session_is_what_is_kept_of_it() {
        let session = StudySessionId::new(Uuid::from_u128(5));
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let project = |event: SessionEvent| StudySession::project(&recorded(event));
        let starts = moment() + TimeDelta::hours(1);
        let scheduled = SessionEvent::Scheduled {
            session,
            conversation,
            tutor: user(1),
            title: Personal::new(user(1), "Bernoulli\0".to_owned()),
            subject: "maths".to_owned(),
            description: Personal::Erased { subject: user(1) },
            capacity: 4,
            starts,
        };
        let new = New {
            session,
            conversation,
            tutor: user(1),
            title: Some("Bernoulli\u{FFFD}".to_owned()),
            subject: "maths".to_owned(),
            description: None,
            capacity: 4,
            starts,
            at: moment(),
            position: Position::at(7),
        };
        assert_eq!(project(scheduled), [Op::Insert(Box::new(new))]);
        let by = user(1);
        let (at, position) = (moment(), Position::at(7));
        assert_eq!(
            project(SessionEvent::Started { session, conversation, by }),
            [Op::Start(session, at)]
        );
        let joined = SessionEvent::Joined { session, conversation, user: user(2) };
        let join = Op::Join { session, conversation, user: user(2), at, position };
        assert_eq!(project(joined), [join]);
        let cause = LeaveCause::Lost;
        let left = SessionEvent::Left { session, conversation, user: user(2), cause };
        assert_eq!(project(left), [Op::Leave(session, user(2), cause, at)]);
        let cancelled = SessionEvent::Cancelled { session, conversation, by };
        assert_eq!(project(cancelled), [Op::End(session, "cancelled", at)]);
        let reminded = SessionEvent::Reminded { session, conversation, starts, minutes: 5 };
        assert_eq!(project(reminded), []);
    }
}
