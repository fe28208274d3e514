//! A call: it rings, people talk, it ends. Strictly in this order, and always in the end.
//!
//! - `idle -> ringing -> connected -> ended`, where a group may be called without ringing at anybody
//!   and is connected at once. Nothing leads out of `ended`.
//! - A participant is a device of a person: answering on one is not answering on the other.
//! - Whatever state it is in, timers alone end it ([`Command::StopRinging`], [`Command::Lose`],
//!   [`Command::Expire`]): `model.rs` looks at every state there is.

mod command;
mod enter;
mod leave;
mod media;
#[cfg(test)]
mod model;
mod recording;
mod start;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use events::call::{Carrier, EndCause, Media, Participant, StopCause, Toggles};
use events::serde::Serialize;
use events::{CallEvent, CallId, ConversationId, RecordingId, UserId};

use crate::Decider;
pub use command::{Command, Enter, Place, Rejection, Ring, Start, Toggle};
use recording::{Recording, Stored};
pub use start::admit as may_talk;

/// At how many people a call rings.
pub const MAX_RUNG: usize = 32;

/// How many devices may be in a call.
pub const MAX_DEVICES: usize = 500;

/// How many recordings a call may have.
pub const MAX_RECORDINGS: usize = 100;

type Decision = Result<Vec<CallEvent>, Rejection>;

/// What is known of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(crate = "events::serde")]
pub struct Call {
    begun: Option<Begun>,
}

/// A call that somebody began.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(crate = "events::serde")]
pub struct Begun {
    /// The call.
    pub call: CallId,
    /// Where.
    pub conversation: ConversationId,
    /// Who called.
    pub by: UserId,
    /// Voice, or voice and video.
    pub media: Media,
    /// Whether it is between the two of a direct conversation.
    pub direct: bool,
    /// How the media travels.
    pub carrier: Carrier,
    /// The SFU node that carries it, if one does.
    pub node: Option<String>,
    /// Whether it moves to the SFU by itself when the third comes.
    pub grows: bool,
    /// How many may be in it as long as their devices are connected to each other.
    pub limit: u16,
    /// How far it is.
    pub phase: Phase,
    /// At whose devices it rings.
    pub ringing: BTreeSet<UserId>,
    /// Who of them was called when it went on already, and has a timer of their own.
    called_later: BTreeSet<UserId>,
    inside: Vec<Inside>,
    /// Who was asked to be recorded and has answered what; `None` before anybody asked.
    consent: Option<BTreeMap<UserId, bool>>,
    recordings: BTreeMap<RecordingId, Recording>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(crate = "events::serde", rename_all = "snake_case")]
pub enum Phase {
    /// Nobody has taken it yet.
    Ringing,
    /// It goes on.
    Connected,
    /// It is over.
    Ended(EndCause),
}

/// A device in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(crate = "events::serde")]
pub struct Inside {
    /// Which.
    pub participant: Participant,
    /// What is on.
    pub toggles: Toggles,
    /// Whether it is connected to the SFU.
    pub in_media: bool,
}

impl Call {
    /// The call, once somebody began it.
    pub const fn begun(&self) -> Option<&Begun> {
        self.begun.as_ref()
    }

    /// The call, as long as it is not over.
    pub fn active(&self) -> Option<&Begun> {
        self.begun().filter(|begun| !begun.is_over())
    }

    /// Whether a device is in it now.
    pub fn has(&self, participant: Participant) -> bool {
        self.begun().is_some_and(|begun| begun.has(participant))
    }

    fn known(&self) -> Result<&Begun, Rejection> {
        self.begun().ok_or(Rejection::NoSuchCall)
    }

    fn running(&self) -> Result<&Begun, Rejection> {
        let begun = self.known()?;
        if begun.is_over() {
            return Err(Rejection::Over);
        }
        Ok(begun)
    }

    /// The call, if this device is in it.
    fn with(&self, participant: Participant) -> Result<&Begun, Rejection> {
        let begun = self.running()?;
        if !begun.has(participant) {
            return Err(Rejection::NotInCall);
        }
        Ok(begun)
    }
}

impl Begun {
    /// Whether nothing can happen in it any more.
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// Whether a device is in it now.
    pub fn has(&self, participant: Participant) -> bool {
        self.inside(participant).is_some()
    }

    /// A device that is in it now.
    pub fn inside(&self, participant: Participant) -> Option<&Inside> {
        self.inside.iter().find(|inside| inside.participant == participant)
    }

    /// Every device that is in it now, in the order in which they came.
    pub fn devices(&self) -> &[Inside] {
        &self.inside
    }

    /// Whether somebody is in it now, with whichever device.
    pub fn has_user(&self, user: UserId) -> bool {
        self.inside.iter().any(|inside| inside.participant.user == user)
    }

    /// Whether it was asked whether the call may be recorded.
    pub const fn is_asked(&self) -> bool {
        self.consent.is_some()
    }

    fn users(&self) -> BTreeSet<UserId> {
        self.inside.iter().map(|inside| inside.participant.user).collect()
    }

    fn count(&self) -> u16 {
        u16::try_from(self.inside.len()).unwrap_or(u16::MAX)
    }

    /// Whether nobody is left to talk, or to wait for.
    fn is_deserted(&self) -> bool {
        match self.phase {
            Phase::Ended(_) => false,
            Phase::Ringing => self.inside.is_empty() || self.ringing.is_empty(),
            Phase::Connected if self.direct => self.users().len() < 2,
            Phase::Connected => self.inside.is_empty(),
        }
    }

    /// These events, and the end of the call if they leave it deserted.
    fn ending(
        &self,
        events: Vec<CallEvent>,
        cause: EndCause,
        by: Option<UserId>,
    ) -> Vec<CallEvent> {
        let call = Call { begun: Some(self.clone()) };
        let after = events.iter().fold(call, Call::evolve);
        let mut events = events;
        if let Some(after) = after.begun.filter(Self::is_deserted) {
            events.extend(after.end(cause, by));
        }
        events
    }

    /// The end of the call, and of what goes on in it.
    fn end(&self, cause: EndCause, by: Option<UserId>) -> Vec<CallEvent> {
        let (call, conversation) = (self.call, self.conversation);
        let mut events = self.stop_recording(StopCause::Ended);
        let missed = self.ringing.iter().copied().collect();
        events.push(CallEvent::Ended { call, conversation, cause, by, missed });
        events
    }
}

impl Decider for Call {
    type Command = Command;
    type Event = CallEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Decision {
        match command {
            Command::Start(start) => self.start(start),
            Command::Accept(enter) => self.accept(enter),
            Command::Join(enter) => self.join(enter),
            Command::Ring(ring) => self.ring(ring),
            Command::Decline { by } => self.decline(*by),
            Command::Cancel { by } => self.cancel(*by),
            Command::Leave { by } => self.leave(*by, events::call::LeaveCause::Left),
            Command::Fail { by } => self.leave(*by, events::call::LeaveCause::Failed),
            Command::End { by, moderator } => self.end_for_all(*by, *moderator),
            Command::Toggle { by, change } => self.toggle(*by, *change),
            Command::AddVideo { by } => self.add_video(*by),
            Command::MoveToSfu { by, node } => self.move_to_sfu(*by, node.as_ref()),
            Command::ReplaceNode { lost, node } => self.replace_node(lost, node),
            Command::JoinMedia { participant, node } => self.join_media(*participant, node),
            Command::LeaveMedia { participant, node } => self.leave_media(*participant, node),
            Command::AskConsent { by } => self.ask_consent(*by),
            Command::Consent { by, agrees } => self.consent(*by, *agrees),
            Command::StartRecording { by, recording, moderator } => {
                self.record(*by, *recording, *moderator)
            }
            Command::StopRecording { by, recording, moderator } => {
                self.record_no_more(*by, *recording, *moderator)
            }
            Command::StoreRecording { recording, file, of, source, milliseconds, offset } => self
                .store_recording(&Stored {
                    recording: *recording,
                    file: *file,
                    of: *of,
                    source: source.as_ref(),
                    milliseconds: *milliseconds,
                    offset: *offset,
                }),
            Command::FailRecording { recording, reason } => self.fail_recording(*recording, reason),
            Command::StopRinging => self.stop_ringing(),
            Command::StopRingingAt { user } => self.stop_ringing_at(*user),
            Command::Lose { participant } => {
                self.leave(*participant, events::call::LeaveCause::Lost)
            }
            Command::Expire => self.expire(),
            Command::Remove { user } => self.remove(*user),
        }
    }

    fn evolve(self, event: &CallEvent) -> Self {
        let evolved = || self.begun.map(|begun| begun.evolve(event));
        Self { begun: start::begun(event).or_else(evolved) }
    }
}

impl Begun {
    fn evolve(mut self, event: &CallEvent) -> Self {
        match event {
            CallEvent::Started { .. } => {}
            CallEvent::Accepted { participant, toggles, .. }
            | CallEvent::Joined { participant, toggles, .. } => self.enter(*participant, *toggles),
            CallEvent::Declined { user, .. } => self.rings_no_more_at(*user),
            CallEvent::Missed { users, .. } => {
                users.iter().for_each(|user| self.rings_no_more_at(*user));
            }
            CallEvent::Rung { ring, .. } => {
                self.ringing.extend(ring);
                self.called_later.extend(ring);
            }
            CallEvent::VideoAdded { .. } => self.media = Media::Video,
            CallEvent::Left { participant, .. } => self.exit(*participant),
            CallEvent::Toggled { participant, toggles, .. } => {
                if let Some(inside) = self.inside_mut(*participant) {
                    inside.toggles = *toggles;
                }
            }
            CallEvent::Moved { node, .. } => {
                self.carrier = Carrier::Sfu;
                self.node = Some(node.clone());
                self.inside.iter_mut().for_each(|inside| inside.in_media = false);
            }
            CallEvent::MediaJoined { participant, .. } => {
                self.set_media(*participant, true);
                if let Some(recording) = self.runs() {
                    self.in_recording(recording, Recording::hear);
                }
            }
            CallEvent::MediaLeft { participant, .. } => self.set_media(*participant, false),
            CallEvent::ConsentAsked { by, .. } => {
                self.consent.get_or_insert_default().insert(*by, true);
            }
            CallEvent::ConsentGiven { user, .. } => {
                self.consent.get_or_insert_default().insert(*user, true);
            }
            CallEvent::ConsentWithdrawn { user, .. } => {
                self.consent.get_or_insert_default().insert(*user, false);
            }
            CallEvent::RecordingStarted { recording, .. } => {
                let heard = self.inside.iter().any(|inside| inside.in_media);
                self.recordings.insert(*recording, Recording::begun(self.node.clone(), heard));
            }
            CallEvent::RecordingStopped { recording, .. } => {
                self.in_recording(*recording, Recording::stop);
            }
            CallEvent::RecordingStored { recording, file, .. } => {
                self.in_recording(*recording, |known| known.keep(*file));
            }
            CallEvent::RecordingFailed { recording, .. } => {
                self.in_recording(*recording, Recording::fail);
            }
            CallEvent::Ended { cause, .. } => {
                self.phase = Phase::Ended(*cause);
                self.ringing.clear();
                self.called_later.clear();
                self.inside.clear();
                self.consent = None;
            }
        }
        self
    }

    fn enter(&mut self, participant: Participant, toggles: Toggles) {
        self.rings_no_more_at(participant.user);
        if !self.has(participant) && !self.is_over() {
            self.inside.push(Inside { participant, toggles, in_media: false });
        }
        if self.phase == Phase::Ringing && participant.user != self.by {
            self.phase = Phase::Connected;
        }
    }

    fn rings_no_more_at(&mut self, user: UserId) {
        self.ringing.remove(&user);
        self.called_later.remove(&user);
    }

    fn exit(&mut self, participant: Participant) {
        self.inside.retain(|inside| inside.participant != participant);
        if !self.has_user(participant.user)
            && let Some(consent) = &mut self.consent
        {
            consent.remove(&participant.user);
        }
    }

    fn inside_mut(&mut self, participant: Participant) -> Option<&mut Inside> {
        self.inside.iter_mut().find(|inside| inside.participant == participant)
    }

    fn in_recording(&mut self, recording: RecordingId, then: impl FnOnce(&mut Recording)) {
        if let Some(recording) = self.recordings.get_mut(&recording) {
            then(recording);
        }
    }

    fn set_media(&mut self, participant: Participant, in_media: bool) {
        if let Some(inside) = self.inside_mut(participant) {
            inside.in_media = in_media;
        }
    }
}
