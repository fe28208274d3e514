//! What happens to a call: voice or video in a conversation, between devices.

use serde::{Deserialize, Serialize};

use crate::{CallId, ConversationId, DomainEvent, Event, FileId, LoginId, RecordingId, UserId};

/// An event of a `call-` stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum CallEvent {
    /// Somebody calls.
    #[serde(rename = "call.started")]
    Started {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who calls, and from which device: the first in the call.
        by: Participant,
        /// What of theirs is on.
        toggles: Toggles,
        /// Voice, or voice and video.
        media: Media,
        /// Whether it is between the two of a direct conversation.
        direct: bool,
        /// How the media travels.
        carrier: Carrier,
        /// The SFU node that carries it, if one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// Whether it moves to the SFU by itself when the third comes.
        grows: bool,
        /// How many may be in it as long as their devices are connected to each other.
        limit: u16,
        /// At whose devices it rings.
        ring: Vec<UserId>,
        /// Who would have been rung, and is in another call.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        busy: Vec<UserId>,
        /// How long it rings, in seconds.
        ring_seconds: u16,
        /// How long somebody may be alone in it, in seconds.
        idle_seconds: u16,
    },
    /// Somebody whom it rang took the call: their other devices stop ringing.
    #[serde(rename = "call.accepted")]
    Accepted {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who, and at which device.
        participant: Participant,
        /// What of theirs is on.
        toggles: Toggles,
        /// To whom this device sends an offer: everybody who was there, if the devices are
        /// connected to each other. They wait for it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        offers_to: Vec<Participant>,
        /// How many devices are in the call now.
        inside: u16,
    },
    /// Somebody came in unasked, or came back.
    #[serde(rename = "call.joined")]
    Joined {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who, and at which device.
        participant: Participant,
        /// What of theirs is on.
        toggles: Toggles,
        /// As for [`CallEvent::Accepted`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        offers_to: Vec<Participant>,
        /// How many devices are in the call now.
        inside: u16,
    },
    /// Somebody whom it rang does not want to talk.
    #[serde(rename = "call.declined")]
    Declined {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// It rang long enough at these people.
    #[serde(rename = "call.missed")]
    Missed {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who.
        users: Vec<UserId>,
        /// Whether it rings at others at whom it has rung since the call began.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        rings_on: bool,
    },
    /// Somebody in the call rings at more people.
    #[serde(rename = "call.rung")]
    Rung {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who wants them to come.
        by: UserId,
        /// At whose devices it rings now, too.
        ring: Vec<UserId>,
        /// Who would have been rung, and is in another call.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        busy: Vec<UserId>,
        /// How long it rings at them, in seconds.
        ring_seconds: u16,
    },
    /// A call of voices is one with cameras from now on.
    #[serde(rename = "call.video_added")]
    VideoAdded {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// By whom.
        by: UserId,
    },
    /// A device is not in the call any more.
    #[serde(rename = "call.left")]
    Left {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Which.
        participant: Participant,
        /// How it came.
        cause: LeaveCause,
        /// How many devices are in the call now.
        inside: u16,
    },
    /// Somebody turned something on or off.
    #[serde(rename = "call.toggled")]
    Toggled {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Whose device.
        participant: Participant,
        /// What is on now.
        toggles: Toggles,
    },
    /// From now on an SFU node carries the call, or another one.
    #[serde(rename = "call.moved")]
    Moved {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Which node.
        node: String,
        /// Which node it was before; absent if the devices were connected to each other.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// Why.
        cause: MoveCause,
    },
    /// A device is connected to the SFU.
    #[serde(rename = "call.media_joined")]
    MediaJoined {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Which.
        participant: Participant,
        /// The node.
        node: String,
    },
    /// A device is not connected to the SFU any more; it may still be in the call.
    #[serde(rename = "call.media_left")]
    MediaLeft {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Which.
        participant: Participant,
        /// The node.
        node: String,
    },
    /// Everybody is asked whether the call may be recorded.
    #[serde(rename = "call.consent_asked")]
    ConsentAsked {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// By whom, who thereby agrees.
        by: UserId,
    },
    /// Somebody agreed to be recorded.
    #[serde(rename = "call.consent_given")]
    ConsentGiven {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Somebody does not agree to be recorded, or not any more.
    #[serde(rename = "call.consent_withdrawn")]
    ConsentWithdrawn {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// The call is recorded from now on.
    #[serde(rename = "call.recording_started")]
    RecordingStarted {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// The recording.
        recording: RecordingId,
        /// By whom.
        by: UserId,
    },
    /// The call is not recorded any more.
    #[serde(rename = "call.recording_stopped")]
    RecordingStopped {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// The recording.
        recording: RecordingId,
        /// Why.
        cause: StopCause,
    },
    /// A file of a recording was stored: there may be several of one recording.
    #[serde(rename = "call.recording_stored")]
    RecordingStored {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// The recording.
        recording: RecordingId,
        /// The file.
        file: FileId,
        /// Whose media is in it; absent if it is everybody's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<Participant>,
        /// What is heard and seen: `camera` (with the microphone), `screen`, or what the device
        /// called it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// How long it plays, in milliseconds.
        milliseconds: u64,
        /// How long after the recording's begin it begins, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
    },
    /// A recording, or a part of it, could not be kept.
    #[serde(rename = "call.recording_failed")]
    RecordingFailed {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// The recording.
        recording: RecordingId,
        /// Why, in words without personal data.
        reason: String,
    },
    /// It is over.
    #[serde(rename = "call.ended")]
    Ended {
        /// The call.
        call: CallId,
        /// Where.
        conversation: ConversationId,
        /// How it came.
        cause: EndCause,
        /// By whom, if somebody ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<UserId>,
        /// At whom it rang to its end.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missed: Vec<UserId>,
    },
}

impl Event for CallEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Started { .. } => "call.started",
            Self::Accepted { .. } => "call.accepted",
            Self::Joined { .. } => "call.joined",
            Self::Declined { .. } => "call.declined",
            Self::Missed { .. } => "call.missed",
            Self::Rung { .. } => "call.rung",
            Self::VideoAdded { .. } => "call.video_added",
            Self::Left { .. } => "call.left",
            Self::Toggled { .. } => "call.toggled",
            Self::Moved { .. } => "call.moved",
            Self::MediaJoined { .. } => "call.media_joined",
            Self::MediaLeft { .. } => "call.media_left",
            Self::ConsentAsked { .. } => "call.consent_asked",
            Self::ConsentGiven { .. } => "call.consent_given",
            Self::ConsentWithdrawn { .. } => "call.consent_withdrawn",
            Self::RecordingStarted { .. } => "call.recording_started",
            Self::RecordingStopped { .. } => "call.recording_stopped",
            Self::RecordingStored { .. } => "call.recording_stored",
            Self::RecordingFailed { .. } => "call.recording_failed",
            Self::Ended { .. } => "call.ended",
        }
    }
}

impl CallEvent {
    /// The call, and its conversation.
    pub const fn place(&self) -> (CallId, ConversationId) {
        match self {
            Self::Started { call, conversation, .. }
            | Self::Accepted { call, conversation, .. }
            | Self::Joined { call, conversation, .. }
            | Self::Declined { call, conversation, .. }
            | Self::Missed { call, conversation, .. }
            | Self::Rung { call, conversation, .. }
            | Self::VideoAdded { call, conversation, .. }
            | Self::Left { call, conversation, .. }
            | Self::Toggled { call, conversation, .. }
            | Self::Moved { call, conversation, .. }
            | Self::MediaJoined { call, conversation, .. }
            | Self::MediaLeft { call, conversation, .. }
            | Self::ConsentAsked { call, conversation, .. }
            | Self::ConsentGiven { call, conversation, .. }
            | Self::ConsentWithdrawn { call, conversation, .. }
            | Self::RecordingStarted { call, conversation, .. }
            | Self::RecordingStopped { call, conversation, .. }
            | Self::RecordingStored { call, conversation, .. }
            | Self::RecordingFailed { call, conversation, .. }
            | Self::Ended { call, conversation, .. } => (*call, *conversation),
        }
    }
}

impl From<CallEvent> for DomainEvent {
    fn from(event: CallEvent) -> Self {
        Self::Call(event)
    }
}

/// A device in a call, and whose it is. A device is a log-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// The person.
    pub user: UserId,
    /// The device: its log-in.
    pub device: LoginId,
}

/// What of somebody's is on.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Toggles {
    /// They can be heard.
    pub microphone: bool,
    /// They can be seen.
    pub camera: bool,
    /// They share their screen.
    pub screen: bool,
}

/// What a call is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// Voice, and screens: nobody turns on a camera.
    Audio,
    /// Voice, cameras and screens.
    Video,
}

/// How media travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// From each device to each other.
    Peers,
    /// Through a node that forwards it.
    Sfu,
}

/// How it came that a device is not in a call any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveCause {
    /// They hung up.
    Left,
    /// The connection was lost, and did not come back in time.
    Lost,
    /// They could not hear each other: the media found no way.
    Failed,
    /// They are not in the conversation any more.
    Removed,
}

/// Why a call moved to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveCause {
    /// The third came.
    Grew,
    /// Somebody in the call asked for it.
    Asked,
    /// The node that carried it is gone.
    NodeLost,
}

/// Why a recording stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    /// Somebody stopped it.
    Stopped,
    /// Somebody does not agree any more.
    Withdrawn,
    /// Somebody came who has not agreed.
    Newcomer,
    /// The node that recorded is gone.
    NodeLost,
    /// The call ended.
    Ended,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// They talked, and hung up.
    Completed,
    /// Who was called did not want to talk.
    Declined,
    /// Who called thought better of it.
    Cancelled,
    /// Nobody took it in time.
    Missed,
    /// Who was called is in another call.
    Busy,
    /// The media found no way.
    Failed,
    /// The connections were lost.
    Lost,
    /// Somebody was alone in it for too long.
    Idle,
}
