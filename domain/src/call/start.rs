//! How a call begins, and how its ringing ends.

use events::call::{Carrier, EndCause, Media, Toggles};
use events::{CallEvent, UserId};

use super::command::{Place, Rejection, Start};
use super::{Begun, Call, Decision, Inside, MAX_RUNG, Phase};

/// Whether somebody may talk there, by the same rules as they may write there.
///
/// # Errors
/// When the person is not in the conversation, or is blocked.
pub const fn admit(place: Place) -> Result<(), Rejection> {
    match place {
        Place { member: false, .. } => Err(Rejection::NoSuchConversation),
        Place { blocked: true, .. } => Err(Rejection::NotFriends),
        Place { .. } => Ok(()),
    }
}

/// Whether all that is on may be on.
pub(super) const fn may_show(media: Media, toggles: Toggles) -> Result<(), Rejection> {
    match media {
        Media::Audio if toggles.camera || toggles.screen => Err(Rejection::VoiceOnly),
        Media::Audio | Media::Video => Ok(()),
    }
}

impl Call {
    pub(super) fn start(&self, start: &Start) -> Decision {
        admit(start.place)?;
        if self.begun.is_some() {
            return Err(Rejection::AlreadyStarted);
        }
        may_show(start.media, start.toggles)?;
        let ring: Vec<UserId> =
            start.ring.iter().copied().filter(|user| *user != start.by.user).collect();
        if start.direct && ring.is_empty() && start.busy.is_empty() {
            return Err(Rejection::NobodyToCall);
        }
        if ring.len() + start.busy.len() > MAX_RUNG {
            return Err(Rejection::TooManyRung);
        }
        let node = match (start.on_sfu, &start.node) {
            (true, None) => return Err(Rejection::NoNode),
            (true, Some(node)) => Some(node.clone()),
            (false, _) => None,
        };
        let engaged = start.direct && ring.is_empty();
        let (call, conversation) = (start.call, start.conversation);
        let mut events = vec![CallEvent::Started {
            call,
            conversation,
            by: start.by,
            toggles: start.toggles,
            media: start.media,
            direct: start.direct,
            carrier: if start.on_sfu { Carrier::Sfu } else { Carrier::Peers },
            node,
            grows: start.grows,
            limit: start.limit,
            ring,
            busy: start.busy.clone(),
            ring_seconds: start.ring_seconds,
            idle_seconds: start.idle_seconds,
        }];
        if engaged {
            let missed = start.busy.clone();
            let cause = EndCause::Busy;
            events.push(CallEvent::Ended { call, conversation, cause, by: None, missed });
        }
        Ok(events)
    }

    pub(super) fn decline(&self, by: UserId) -> Decision {
        let begun = self.running()?;
        if !begun.ringing.contains(&by) {
            return Err(Rejection::NotRinging);
        }
        let (call, conversation) = (begun.call, begun.conversation);
        let declined = vec![CallEvent::Declined { call, conversation, user: by }];
        Ok(begun.ending(declined, EndCause::Declined, Some(by)))
    }

    pub(super) fn cancel(&self, by: UserId) -> Decision {
        let begun = self.known()?;
        if begun.by != by {
            return Err(Rejection::NotCaller);
        }
        match begun.phase {
            Phase::Ringing => Ok(begun.end(EndCause::Cancelled, Some(by))),
            Phase::Connected => Err(Rejection::Answered),
            Phase::Ended(_) => Ok(vec![]),
        }
    }

    /// Whoever it still rings at has missed it.
    pub(super) fn stop_ringing(&self) -> Decision {
        let begun = self.known()?;
        if begun.is_over() || begun.ringing.is_empty() {
            return Ok(vec![]);
        }
        let (call, conversation) = (begun.call, begun.conversation);
        let users = begun.ringing.iter().copied().collect();
        let missed = vec![CallEvent::Missed { call, conversation, users }];
        Ok(begun.ending(missed, EndCause::Missed, None))
    }
}

/// The state that a beginning leads to.
pub(super) fn begun(event: &CallEvent) -> Option<Begun> {
    let CallEvent::Started {
        call,
        conversation,
        by,
        toggles,
        media,
        direct,
        carrier,
        node,
        grows,
        limit,
        ring,
        ..
    } = event
    else {
        return None;
    };
    Some(Begun {
        call: *call,
        conversation: *conversation,
        by: by.user,
        media: *media,
        direct: *direct,
        carrier: *carrier,
        node: node.clone(),
        grows: *grows,
        limit: *limit,
        phase: if ring.is_empty() { Phase::Connected } else { Phase::Ringing },
        ringing: ring.iter().copied().collect(),
        inside: vec![Inside { participant: *by, toggles: *toggles, in_media: false }],
        consent: None,
        recordings: std::collections::BTreeMap::new(),
    })
}
