//! How devices come into a call, and what they turn on there.

use events::CallEvent;
use events::call::{Carrier, MoveCause, Participant, StopCause, Toggles};

use super::command::{Enter, Rejection, Toggle};
use super::start::{admit, may_show};
use super::{Begun, Call, Decision, MAX_DEVICES};

impl Call {
    pub(super) fn accept(&self, enter: &Enter) -> Decision {
        admit(enter.place)?;
        let begun = self.running()?;
        if begun.has(enter.by) {
            return Ok(vec![]);
        }
        if !begun.ringing.contains(&enter.by.user) {
            return Err(match begun.has_user(enter.by.user) {
                true => Rejection::AnsweredElsewhere,
                false => Rejection::NotRinging,
            });
        }
        begun.admit(enter)
    }

    /// Whoever is called and comes in has thereby accepted.
    pub(super) fn join(&self, enter: &Enter) -> Decision {
        admit(enter.place)?;
        let begun = self.running()?;
        if begun.has(enter.by) {
            return Ok(vec![]);
        }
        begun.admit(enter)
    }

    pub(super) fn toggle(&self, by: Participant, change: Toggle) -> Decision {
        let begun = self.with(by)?;
        let now = begun.inside(by).map(|inside| inside.toggles).unwrap_or_default();
        let toggles = Toggles {
            microphone: change.microphone.unwrap_or(now.microphone),
            camera: change.camera.unwrap_or(now.camera),
            screen: change.screen.unwrap_or(now.screen),
        };
        may_show(begun.media, toggles)?;
        if toggles == now {
            return Ok(vec![]);
        }
        let (call, conversation) = (begun.call, begun.conversation);
        Ok(vec![CallEvent::Toggled { call, conversation, participant: by, toggles }])
    }
}

impl Begun {
    /// Lets a device in, and moves the call to the SFU if it grows by that.
    fn admit(&self, enter: &Enter) -> Decision {
        may_show(self.media, enter.toggles)?;
        let moves_to = match self.carrier {
            Carrier::Peers if self.grows && self.inside.len() >= 2 => enter.node.as_ref(),
            Carrier::Peers | Carrier::Sfu => None,
        };
        let on_mesh = self.carrier == Carrier::Peers && moves_to.is_none();
        if on_mesh && self.inside.len() >= usize::from(self.limit) {
            return Err(Rejection::MeshFull);
        }
        if self.inside.len() >= MAX_DEVICES {
            return Err(Rejection::Full);
        }
        let mut events = vec![];
        let agrees = self.consent.is_some() && enter.agrees;
        let knows = self.has_user(enter.by.user) && self.agrees(enter.by.user);
        if !agrees && !knows {
            events.extend(self.stop_recording(StopCause::Newcomer));
        }
        events.push(self.entered(enter, on_mesh));
        let (call, conversation) = (self.call, self.conversation);
        if agrees && !knows {
            events.push(CallEvent::ConsentGiven { call, conversation, user: enter.by.user });
        }
        if let Some(node) = moves_to {
            let (node, from, cause) = (node.clone(), None, MoveCause::Grew);
            events.push(CallEvent::Moved { call, conversation, node, from, cause });
        }
        Ok(events)
    }

    /// Whoever comes offers to everybody who is there, and these wait: so no two offers cross.
    fn entered(&self, enter: &Enter, on_mesh: bool) -> CallEvent {
        let (call, conversation, toggles) = (self.call, self.conversation, enter.toggles);
        let participant = enter.by;
        let inside = self.count().saturating_add(1);
        let offers_to = match on_mesh {
            true => self.inside.iter().map(|inside| inside.participant).collect(),
            false => vec![],
        };
        match self.ringing.contains(&participant.user) {
            true => {
                CallEvent::Accepted { call, conversation, participant, toggles, offers_to, inside }
            }
            false => {
                CallEvent::Joined { call, conversation, participant, toggles, offers_to, inside }
            }
        }
    }
}
