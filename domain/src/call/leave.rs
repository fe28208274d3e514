//! How devices leave a call, and how it ends.

use events::call::{EndCause, LeaveCause, Participant};
use events::{CallEvent, UserId};

use super::command::Rejection;
use super::{Begun, Call, Decision, Phase};

impl Call {
    pub(super) fn leave(&self, participant: Participant, cause: LeaveCause) -> Decision {
        let begun = self.known()?;
        if !begun.has(participant) {
            return Ok(vec![]);
        }
        let left = vec![begun.left(participant, cause, 1)];
        Ok(begun.ending(left, begun.end_by(cause), Some(participant.user)))
    }

    pub(super) fn end_for_all(&self, by: UserId, moderator: bool) -> Decision {
        let begun = self.known()?;
        if begun.is_over() {
            return Ok(vec![]);
        }
        match (begun.direct, begun.has_user(by)) {
            (true, false) => return Err(Rejection::NotInCall),
            (false, _) if begun.by != by && !moderator => return Err(Rejection::MayNotEnd),
            _ => {}
        }
        Ok(begun.end(begun.end_by(LeaveCause::Left), Some(by)))
    }

    /// Nobody else has come for a long time.
    pub(super) fn expire(&self) -> Decision {
        let begun = self.known()?;
        match begun.phase {
            Phase::Connected if begun.devices().len() <= 1 => Ok(begun.end(EndCause::Idle, None)),
            Phase::Connected | Phase::Ringing | Phase::Ended(_) => Ok(vec![]),
        }
    }

    pub(super) fn remove(&self, user: UserId) -> Decision {
        let begun = self.known()?;
        if begun.is_over() {
            return Ok(vec![]);
        }
        let mut events: Vec<CallEvent> = begun
            .devices()
            .iter()
            .filter(|inside| inside.participant.user == user)
            .zip(1..)
            .map(|(inside, gone)| begun.left(inside.participant, LeaveCause::Removed, gone))
            .collect();
        if begun.ringing.contains(&user) {
            events.push(begun.missed(vec![user]));
        }
        let cause = begun.end_by(LeaveCause::Removed);
        Ok(if events.is_empty() { events } else { begun.ending(events, cause, None) })
    }
}

impl Begun {
    fn left(&self, participant: Participant, cause: LeaveCause, gone: u16) -> CallEvent {
        let (call, conversation) = (self.call, self.conversation);
        let inside = self.count().saturating_sub(gone);
        CallEvent::Left { call, conversation, participant, cause, inside }
    }

    /// How the call ends, should somebody's leaving be its end.
    const fn end_by(&self, cause: LeaveCause) -> EndCause {
        match (self.phase, cause) {
            (Phase::Ringing, _) => EndCause::Cancelled,
            (_, LeaveCause::Left | LeaveCause::Removed) => EndCause::Completed,
            (_, LeaveCause::Lost) => EndCause::Lost,
            (_, LeaveCause::Failed) => EndCause::Failed,
        }
    }
}
