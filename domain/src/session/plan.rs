//! The plan of a session, and how far it is: what its tutor decides.

use events::{ConversationId, Moment, Personal, SessionEvent, StudySessionId, UserId};

use super::command::{Plan, PlanChange, Rejection};
use super::{CAPACITY, Decision, Session, Status, UNSTARTED_SECONDS};

fn valid_title(title: &str) -> Result<(), Rejection> {
    if title.trim().is_empty() || title.chars().count() > 200 {
        return Err(Rejection::InvalidTitle);
    }
    Ok(())
}

fn valid_subject(subject: &str) -> Result<(), Rejection> {
    if subject.trim().is_empty() || subject.chars().count() > 50 {
        return Err(Rejection::InvalidSubject);
    }
    Ok(())
}

fn valid_description(description: &str) -> Result<(), Rejection> {
    if description.chars().count() > 4000 {
        return Err(Rejection::DescriptionTooLong);
    }
    Ok(())
}

fn valid_capacity(capacity: u16) -> Result<(), Rejection> {
    if !CAPACITY.contains(&capacity) {
        return Err(Rejection::InvalidCapacity);
    }
    Ok(())
}

impl Session {
    pub(super) fn schedule(
        &self,
        session: StudySessionId,
        conversation: ConversationId,
        tutor: UserId,
        plan: &Plan,
        now: Moment,
    ) -> Decision {
        if self.planned.is_some() {
            return Err(Rejection::AlreadyScheduled);
        }
        valid_title(&plan.title)?;
        valid_subject(&plan.subject)?;
        valid_description(&plan.description)?;
        valid_capacity(plan.capacity)?;
        if plan.starts <= now {
            return Err(Rejection::StartsInPast);
        }
        Ok(vec![SessionEvent::Scheduled {
            session,
            conversation,
            tutor,
            title: Personal::new(tutor, plan.title.clone()),
            subject: plan.subject.clone(),
            description: Personal::new(tutor, plan.description.clone()),
            capacity: plan.capacity,
            starts: plan.starts,
        }])
    }

    pub(super) fn change(&self, by: UserId, change: &PlanChange, now: Moment) -> Decision {
        let planned = self.led_by(by)?;
        if planned.status.is_over() {
            return Err(Rejection::Over);
        }
        let new = |new: &Option<String>, now: &Personal<String>| {
            let new = new.as_ref().filter(|new| now.open() != Some(new))?;
            Some(Personal::new(by, new.clone()))
        };
        let subject = change.subject.clone().filter(|subject| *subject != planned.subject);
        let capacity = change.capacity.filter(|capacity| *capacity != planned.capacity);
        let starts = change.starts.filter(|starts| *starts != planned.starts);
        change.title.as_deref().map_or(Ok(()), valid_title)?;
        subject.as_deref().map_or(Ok(()), valid_subject)?;
        change.description.as_deref().map_or(Ok(()), valid_description)?;
        if let Some(capacity) = capacity {
            valid_capacity(capacity)?;
            if self.guests(planned.tutor) + 1 > usize::from(capacity) {
                return Err(Rejection::SeatsTaken);
            }
        }
        match starts {
            Some(_) if planned.status == Status::Active => return Err(Rejection::AlreadyStarted),
            Some(starts) if starts <= now => return Err(Rejection::StartsInPast),
            Some(_) | None => {}
        }
        let title = new(&change.title, &planned.title);
        let description = new(&change.description, &planned.description);
        let texts = title.is_none() && description.is_none() && subject.is_none();
        if texts && capacity.is_none() && starts.is_none() {
            return Ok(vec![]);
        }
        let (session, conversation) = (planned.session, planned.conversation);
        Ok(vec![SessionEvent::Changed {
            session,
            conversation,
            title,
            subject,
            description,
            capacity,
            starts,
            by,
        }])
    }

    pub(super) fn start(&self, by: UserId) -> Decision {
        let planned = self.led_by(by)?;
        let (session, conversation) = (planned.session, planned.conversation);
        match planned.status {
            Status::Scheduled => Ok(vec![SessionEvent::Started { session, conversation, by }]),
            Status::Active => Ok(vec![]),
            Status::Completed | Status::Cancelled => Err(Rejection::Over),
        }
    }

    pub(super) fn complete(&self, by: UserId) -> Decision {
        let planned = self.led_by(by)?;
        let (session, conversation) = (planned.session, planned.conversation);
        match planned.status {
            Status::Scheduled => Err(Rejection::NotStarted),
            Status::Active => Ok(vec![SessionEvent::Completed { session, conversation, by }]),
            Status::Completed => Ok(vec![]),
            Status::Cancelled => Err(Rejection::Over),
        }
    }

    pub(super) fn cancel(&self, by: UserId) -> Decision {
        let planned = self.led_by(by)?;
        let (session, conversation) = (planned.session, planned.conversation);
        match planned.status {
            Status::Scheduled | Status::Active => {
                Ok(vec![SessionEvent::Cancelled { session, conversation, by }])
            }
            Status::Completed => Err(Rejection::Over),
            Status::Cancelled => Ok(vec![]),
        }
    }

    /// A timer's command: whoever is in it goes on, and who plans for tomorrow is not disturbed.
    pub(super) fn close(&self, by: UserId, now: Moment) -> Decision {
        let planned = self.known()?;
        if !self.inside.is_empty() {
            return Ok(vec![]);
        }
        let (session, conversation) = (planned.session, planned.conversation);
        let is_late = (now - planned.starts).num_seconds() >= UNSTARTED_SECONDS;
        match planned.status {
            Status::Active => Ok(vec![SessionEvent::Completed { session, conversation, by }]),
            Status::Scheduled if is_late => {
                Ok(vec![SessionEvent::Cancelled { session, conversation, by }])
            }
            Status::Scheduled | Status::Completed | Status::Cancelled => Ok(vec![]),
        }
    }

    /// A timer's command: for a session that was moved or is over, there is nothing to do.
    pub(super) fn remind(&self, starts: Moment, minutes: u16) -> Decision {
        let planned = self.known()?;
        let due = planned.status == Status::Scheduled && planned.starts == starts;
        if !due || self.reminded.contains(&(starts, minutes)) {
            return Ok(vec![]);
        }
        let (session, conversation) = (planned.session, planned.conversation);
        Ok(vec![SessionEvent::Reminded { session, conversation, starts, minutes }])
    }
}
