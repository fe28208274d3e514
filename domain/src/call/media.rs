//! How the media of a call travels: from device to device, or over a node of the SFU.

use events::CallEvent;
use events::call::{Carrier, Media, MoveCause, Participant, StopCause};

use super::command::Rejection;
use super::{Call, Decision};

impl Call {
    pub(super) fn move_to_sfu(&self, by: Participant, node: Option<&String>) -> Decision {
        let begun = self.with(by)?;
        if begun.carrier == Carrier::Sfu {
            return Ok(vec![]);
        }
        let node = node.ok_or(Rejection::NoNode)?.clone();
        let (call, conversation) = (begun.call, begun.conversation);
        let (from, cause) = (None, MoveCause::Asked);
        Ok(vec![CallEvent::Moved { call, conversation, node, from, cause }])
    }

    /// Nobody's camera is turned on by that: who wants to be seen does it.
    pub(super) fn add_video(&self, by: Participant) -> Decision {
        let begun = self.with(by)?;
        let (call, conversation, by) = (begun.call, begun.conversation, by.user);
        Ok(match begun.media {
            Media::Audio => vec![CallEvent::VideoAdded { call, conversation, by }],
            Media::Video => vec![],
        })
    }

    /// Several notice at once that a node is gone: the first one moves the call.
    pub(super) fn replace_node(&self, lost: &String, node: &String) -> Decision {
        let begun = self.running()?;
        if begun.node.as_ref() != Some(lost) || node == lost {
            return Ok(vec![]);
        }
        let (call, conversation) = (begun.call, begun.conversation);
        let (node, from, cause) = (node.clone(), Some(lost.clone()), MoveCause::NodeLost);
        let stopped = begun.stop_recording(StopCause::NodeLost);
        let moved = CallEvent::Moved { call, conversation, node, from, cause };
        Ok(stopped.into_iter().chain([moved]).collect())
    }

    pub(super) fn join_media(&self, participant: Participant, node: &String) -> Decision {
        let begun = self.with(participant)?;
        if begun.carrier != Carrier::Sfu {
            return Err(Rejection::NotOnSfu);
        }
        if begun.node.as_ref() != Some(node) {
            return Err(Rejection::WrongNode);
        }
        if begun.inside(participant).is_some_and(|inside| inside.in_media) {
            return Ok(vec![]);
        }
        let (call, conversation, node) = (begun.call, begun.conversation, node.clone());
        Ok(vec![CallEvent::MediaJoined { call, conversation, participant, node }])
    }

    /// What a node says that has lost the call is of no interest any more.
    pub(super) fn leave_media(&self, participant: Participant, node: &String) -> Decision {
        let begun = self.known()?;
        let connected = begun.inside(participant).is_some_and(|inside| inside.in_media);
        if !connected || begun.node.as_ref() != Some(node) {
            return Ok(vec![]);
        }
        let (call, conversation, node) = (begun.call, begun.conversation, node.clone());
        Ok(vec![CallEvent::MediaLeft { call, conversation, participant, node }])
    }
}
