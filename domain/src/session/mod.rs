//! A study session: planned by its tutor, open around its start, with a limited number of seats.

mod command;
mod plan;
mod room;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use events::serde::Serialize;
use events::session::LeaveCause;
use events::{ConversationId, Moment, Personal, SessionEvent, StudySessionId, UserId};

use crate::Decider;
pub use command::{Command, Plan, PlanChange, Rejection};

/// The smallest and the largest number of seats, the tutor's included.
pub const CAPACITY: std::ops::RangeInclusive<u16> = 2..=1000;

/// How long before its start a session may be joined, in seconds.
pub const OPEN_BEFORE_START: u16 = 15 * 60;

/// How long an active session may be empty before it is completed, in seconds.
pub const EMPTY_SECONDS: i64 = 60 * 60;

/// How long after its start a session that nobody began is called off, in seconds.
pub const UNSTARTED_SECONDS: i64 = 24 * 60 * 60;

type Decision = Result<Vec<SessionEvent>, Rejection>;

/// What is known of a study session.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Session {
    planned: Option<Planned>,
    inside: BTreeSet<UserId>,
    reminded: BTreeSet<(Moment, u16)>,
}

/// A session that was planned.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(crate = "events::serde")]
pub struct Planned {
    /// The session.
    pub session: StudySessionId,
    /// Where its people talk.
    pub conversation: ConversationId,
    /// Who leads it.
    pub tutor: UserId,
    /// What it is called.
    pub title: Personal<String>,
    /// What it is about, in a word.
    pub subject: String,
    /// What it is about, at length.
    pub description: Personal<String>,
    /// How many people may be in it at a time, the tutor included.
    pub capacity: u16,
    /// When it is to begin.
    pub starts: Moment,
    /// How far it is.
    pub status: Status,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(crate = "events::serde", rename_all = "snake_case")]
pub enum Status {
    /// Planned.
    Scheduled,
    /// It has begun.
    Active,
    /// It took place.
    Completed,
    /// It did not, or was broken off.
    Cancelled,
}

impl Status {
    /// Whether nothing can happen in it any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

impl Session {
    /// The session, once it was planned.
    pub const fn planned(&self) -> Option<&Planned> {
        self.planned.as_ref()
    }

    /// Whether somebody is in it now.
    pub fn has(&self, user: UserId) -> bool {
        self.inside.contains(&user)
    }

    /// Everybody who is in it now.
    pub fn participants(&self) -> impl Iterator<Item = UserId> {
        self.inside.iter().copied()
    }

    fn known(&self) -> Result<&Planned, Rejection> {
        self.planned().ok_or(Rejection::NoSuchSession)
    }

    /// The session, if this person leads it.
    fn led_by(&self, by: UserId) -> Result<&Planned, Rejection> {
        let planned = self.known()?;
        if planned.tutor != by {
            return Err(Rejection::NotTutor);
        }
        Ok(planned)
    }
}

impl Decider for Session {
    type Command = Command;
    type Event = SessionEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Decision {
        match command {
            Command::Schedule { session, conversation, tutor, plan, now } => {
                self.schedule(*session, *conversation, *tutor, plan, *now)
            }
            Command::Change { by, change, now } => self.change(*by, change, *now),
            Command::Start { by } => self.start(*by),
            Command::Complete { by } => self.complete(*by),
            Command::Cancel { by } => self.cancel(*by),
            Command::Join { user, banned, now } => self.join(*user, *banned, *now),
            Command::Leave { user, lost } => {
                self.leave(*user, if *lost { LeaveCause::Lost } else { LeaveCause::Left })
            }
            Command::Remove { by, user } => self.remove(*by, *user),
            Command::Remind { starts, minutes } => self.remind(*starts, *minutes),
            Command::Close { by, now } => self.close(*by, *now),
        }
    }

    fn evolve(mut self, event: &SessionEvent) -> Self {
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
            } => {
                self.planned = Some(Planned {
                    session: *session,
                    conversation: *conversation,
                    tutor: *tutor,
                    title: title.clone(),
                    subject: subject.clone(),
                    description: description.clone(),
                    capacity: *capacity,
                    starts: *starts,
                    status: Status::Scheduled,
                });
            }
            SessionEvent::Changed { title, subject, description, capacity, starts, .. } => {
                if let Some(planned) = &mut self.planned {
                    replace(&mut planned.title, title.as_ref());
                    replace(&mut planned.subject, subject.as_ref());
                    replace(&mut planned.description, description.as_ref());
                    replace(&mut planned.capacity, capacity.as_ref());
                    replace(&mut planned.starts, starts.as_ref());
                }
            }
            SessionEvent::Started { .. } => self.set(Status::Active),
            SessionEvent::Completed { .. } => self.end(Status::Completed),
            SessionEvent::Cancelled { .. } => self.end(Status::Cancelled),
            SessionEvent::Joined { user, .. } => {
                self.inside.insert(*user);
            }
            SessionEvent::Left { user, .. } => {
                self.inside.remove(user);
            }
            SessionEvent::Reminded { starts, minutes, .. } => {
                self.reminded.insert((*starts, *minutes));
            }
        }
        self
    }
}

impl Session {
    const fn set(&mut self, status: Status) {
        if let Some(planned) = &mut self.planned {
            planned.status = status;
        }
    }

    /// With the end of the session everybody leaves: that needs no event of its own for each of
    /// them, of which everybody would see all.
    fn end(&mut self, status: Status) {
        self.set(status);
        self.inside.clear();
    }
}

/// What is absent stays as it was.
fn replace<T: Clone>(now: &mut T, new: Option<&T>) {
    if let Some(new) = new {
        now.clone_from(new);
    }
}
