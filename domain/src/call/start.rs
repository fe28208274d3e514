//! How a call begins, and how its ringing ends.

use std::collections::{BTreeMap, BTreeSet};

use events::call::{Carrier, EndCause, Media, Toggles};
use events::{CallEvent, UserId};

use super::command::{Place, Rejection, Ring, Start};
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
        Media::Audio if toggles.camera => Err(Rejection::VoiceOnly),
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

    /// Who is in it, or hears it ring, is left as they are.
    pub(super) fn ring(&self, ring: &Ring) -> Decision {
        admit(ring.place)?;
        let begun = self.with(ring.by)?;
        let new = |users: &[UserId]| -> Vec<UserId> {
            let new = |user: &UserId| !begun.ringing.contains(user) && !begun.has_user(*user);
            users.iter().copied().filter(new).collect()
        };
        let (rung, busy) = (new(&ring.ring), new(&ring.busy));
        if begun.ringing.len() + rung.len() + busy.len() > MAX_RUNG {
            return Err(Rejection::TooManyRung);
        }
        match (rung.is_empty(), busy.is_empty()) {
            (true, true) => Ok(vec![]),
            (true, false) => Err(Rejection::Busy),
            (false, _) => Ok(vec![CallEvent::Rung {
                call: begun.call,
                conversation: begun.conversation,
                by: ring.by.user,
                ring: rung,
                busy,
                ring_seconds: ring.ring_seconds,
            }]),
        }
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

    /// Whoever it still rings at, and was called at the beginning, has missed it.
    pub(super) fn stop_ringing(&self) -> Decision {
        let begun = self.known()?;
        let users: Vec<UserId> = begun.called_first().collect();
        if begun.is_over() || users.is_empty() {
            return Ok(vec![]);
        }
        Ok(begun.ending(vec![begun.missed(users)], EndCause::Missed, None))
    }

    /// Who was called later has missed it.
    pub(super) fn stop_ringing_at(&self, user: UserId) -> Decision {
        let begun = self.known()?;
        if begun.is_over() || !begun.called_later.contains(&user) {
            return Ok(vec![]);
        }
        Ok(begun.ending(vec![begun.missed(vec![user])], EndCause::Missed, None))
    }
}

impl Begun {
    /// At whom it still rings of those who were called at the beginning.
    fn called_first(&self) -> impl Iterator<Item = UserId> {
        self.ringing.difference(&self.called_later).copied()
    }

    /// That these have missed it.
    pub(super) fn missed(&self, users: Vec<UserId>) -> CallEvent {
        let rings_on = self.called_first().any(|user| !users.contains(&user));
        let (call, conversation) = (self.call, self.conversation);
        CallEvent::Missed { call, conversation, users, rings_on }
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
        called_later: BTreeSet::new(),
        inside: vec![Inside { participant: *by, toggles: *toggles, in_media: false }],
        consent: None,
        recordings: BTreeMap::new(),
    })
}
