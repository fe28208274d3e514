//! A study session as it was. Who was away for a moment is not in the log: they were in it.

use chrono::SubsecRound;
use events::session::LeaveCause;
use events::{DomainEvent, Moment, Personal, SessionEvent, StreamName, StudySessionId, UserId};

use super::Past;
use crate::failure::Failure;
use crate::place::Place;
use crate::reads::Eyes;
use crate::study_session::{
    StudyParticipant, StudySession, StudySessionDetail, is_in_room, no_such_session,
};

impl Past {
    /// A session as it was; who was in it is told to who was in its room, and is.
    pub(crate) async fn study_session(
        &self,
        eyes: &mut Eyes,
        id: StudySessionId,
        reader: UserId,
    ) -> Result<StudySessionDetail, Failure> {
        let mut found: Option<(StudySession, Vec<StudyParticipant>)> = None;
        for event in self.events_of(&StreamName::session(id)).await? {
            let (at, position) = (event.recorded_at, Place(event.position));
            let DomainEvent::Session(happened) = event.event else { continue };
            match (&mut found, happened) {
                (
                    found,
                    SessionEvent::Scheduled {
                        session,
                        conversation,
                        tutor,
                        title,
                        subject,
                        description,
                        capacity,
                        starts,
                    },
                ) => {
                    *found = Some((
                        StudySession {
                            id: session,
                            conversation_id: conversation,
                            tutor_id: tutor,
                            title: text(&title),
                            subject: plain(&subject),
                            description: text(&description),
                            status: "scheduled".to_owned(),
                            capacity: i32::from(capacity),
                            participants_count: 0,
                            seats_left: 0,
                            starts: cut(starts),
                            scheduled_at: at,
                            started_at: None,
                            ended_at: None,
                            position,
                        },
                        vec![],
                    ));
                }
                (Some((session, inside)), happened) => {
                    evolve(session, inside, happened, at);
                }
                (None, _) => {}
            }
        }
        let (mut session, inside) = found.ok_or_else(no_such_session)?;
        let seated = inside.iter().filter(|it| it.user_id != session.tutor_id).count();
        session.participants_count = i32::try_from(inside.len()).unwrap_or(i32::MAX);
        session.seats_left = session.capacity - 1 - i32::try_from(seated).unwrap_or(i32::MAX);
        let room = session.conversation_id;
        let seen = is_in_room(eyes, room, reader).await?
            && self.room(room).await?.is_some_and(|room| room.member(reader).is_some());
        Ok(StudySessionDetail { session, participants: seen.then_some(inside) })
    }
}

fn evolve(
    session: &mut StudySession,
    inside: &mut Vec<StudyParticipant>,
    event: SessionEvent,
    at: Moment,
) {
    let left = |inside: &mut Vec<StudyParticipant>, user: UserId| {
        inside.retain(|it| it.user_id != user);
    };
    match event {
        SessionEvent::Changed { title, subject, description, capacity, starts, .. } => {
            if let Some(title) = title {
                session.title = text(&title);
            }
            if let Some(subject) = subject {
                session.subject = plain(&subject);
            }
            if let Some(description) = description {
                session.description = text(&description);
            }
            session.capacity = capacity.map_or(session.capacity, i32::from);
            session.starts = starts.map_or(session.starts, cut);
        }
        SessionEvent::Started { .. } => {
            session.status = "active".to_owned();
            session.started_at = Some(at);
        }
        SessionEvent::Completed { .. } | SessionEvent::Cancelled { .. } => {
            let completed = matches!(event, SessionEvent::Completed { .. });
            session.status = if completed { "completed" } else { "cancelled" }.to_owned();
            session.ended_at = Some(at);
            inside.clear();
        }
        SessionEvent::Joined { user, .. } => {
            left(inside, user);
            inside.push(StudyParticipant {
                user_id: user,
                joined_at: at,
                state: "present".to_owned(),
                away_until: None,
            });
        }
        SessionEvent::Left {
            user,
            cause: LeaveCause::Left | LeaveCause::Lost | LeaveCause::Removed | LeaveCause::Ended,
            ..
        } => left(inside, user),
        SessionEvent::Scheduled { .. } | SessionEvent::Reminded { .. } => {}
    }
}

/// The tables keep microseconds.
fn cut(moment: Moment) -> Moment {
    moment.trunc_subsecs(6)
}

fn text(personal: &Personal<String>) -> Option<String> {
    personal.open().map(|text| plain(text))
}

fn plain(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}
