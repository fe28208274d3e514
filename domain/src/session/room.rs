//! Who is in a session.

use events::session::LeaveCause;
use events::{Moment, SessionEvent, UserId};

use super::command::Rejection;
use super::{Decision, OPEN_BEFORE_START, Planned, Session, Status};

impl Planned {
    /// Whether people may come in: while it is active, and from a while before its start on, so
    /// that nobody is sent away because the tutor is late.
    fn is_open(&self, now: Moment) -> bool {
        let until_start = (self.starts - now).num_milliseconds();
        self.status == Status::Active || until_start <= 1000 * i64::from(OPEN_BEFORE_START)
    }
}

impl Session {
    /// How many people are in it besides the tutor, who always has a seat.
    pub(super) fn guests(&self, tutor: UserId) -> usize {
        self.inside.iter().filter(|user| **user != tutor).count()
    }

    pub(super) fn join(&self, user: UserId, banned: bool, now: Moment) -> Decision {
        let planned = self.known()?;
        if planned.status.is_over() {
            return Err(Rejection::Over);
        }
        if self.has(user) {
            return Ok(vec![]);
        }
        if banned {
            return Err(Rejection::Banned);
        }
        if !planned.is_open(now) {
            return Err(Rejection::TooEarly);
        }
        if user != planned.tutor && self.guests(planned.tutor) + 1 >= planned.capacity.into() {
            return Err(Rejection::Full);
        }
        let (session, conversation) = (planned.session, planned.conversation);
        Ok(vec![SessionEvent::Joined { session, conversation, user }])
    }

    pub(super) fn leave(&self, user: UserId, cause: LeaveCause) -> Decision {
        self.known()?;
        Ok(self.left(user, cause).into_iter().collect())
    }

    pub(super) fn remove(&self, by: UserId, user: UserId) -> Decision {
        self.led_by(by)?;
        let cause = if by == user { LeaveCause::Left } else { LeaveCause::Removed };
        self.leave(user, cause)
    }

    /// That somebody leaves, if they are in it.
    pub(super) fn left(&self, user: UserId, cause: LeaveCause) -> Option<SessionEvent> {
        let Planned { session, conversation, .. } = *self.planned()?;
        self.has(user).then_some(SessionEvent::Left { session, conversation, user, cause })
    }
}
