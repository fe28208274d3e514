//! What somebody wants of a call, and why not.

use events::call::{Media, Participant, Toggles};
use events::{CallId, ConversationId, FileId, RecordingId, UserId};
use thiserror::Error;

/// A conversation, as it is for whoever calls in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Whether the person is in it now.
    pub member: bool,
    /// Whether it is direct, and one of the two blocks the other.
    pub blocked: bool,
}

/// Somebody calls.
#[derive(Clone, Debug)]
pub struct Start {
    /// The new id.
    pub call: CallId,
    /// Where.
    pub conversation: ConversationId,
    /// What the conversation is to them.
    pub place: Place,
    /// Who, and from which device.
    pub by: Participant,
    /// What of theirs is on.
    pub toggles: Toggles,
    /// Voice, or voice and video.
    pub media: Media,
    /// Whether it is between the two of a direct conversation.
    pub direct: bool,
    /// Whether the SFU carries it from the beginning.
    pub on_sfu: bool,
    /// The node for that; `None` if there is none.
    pub node: Option<String>,
    /// Whether it moves to the SFU by itself when the third comes.
    pub grows: bool,
    /// How many may be in it as long as their devices are connected to each other.
    pub limit: u16,
    /// At whose devices it is to ring.
    pub ring: Vec<UserId>,
    /// Who of them would be rung, and is in another call.
    pub busy: Vec<UserId>,
    /// How long it rings, in seconds.
    pub ring_seconds: u16,
    /// How long somebody may be alone in it, in seconds.
    pub idle_seconds: u16,
}

/// Somebody comes into a call.
#[derive(Clone, Debug)]
pub struct Enter {
    /// Who, and with which device.
    pub by: Participant,
    /// What the conversation is to them.
    pub place: Place,
    /// What of theirs is on.
    pub toggles: Toggles,
    /// Whether they agree to be recorded, if they are asked.
    pub agrees: bool,
    /// The node that the call would move to, should it grow now; `None` if there is none.
    pub node: Option<String>,
}

/// Somebody in a call rings at more people.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Who, and with which device.
    pub by: Participant,
    /// What the conversation is to them.
    pub place: Place,
    /// At whose devices it is to ring.
    pub ring: Vec<UserId>,
    /// Who of them would be rung, and is in another call.
    pub busy: Vec<UserId>,
    /// How long it rings, in seconds.
    pub ring_seconds: u16,
}

/// What is turned on or off; what is absent stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Toggle {
    /// Whether they can be heard.
    pub microphone: Option<bool>,
    /// Whether they can be seen.
    pub camera: Option<bool>,
    /// Whether they share their screen.
    pub screen: Option<bool>,
}

/// What somebody, a timer or an SFU node does about a call.
#[derive(Clone, Debug)]
pub enum Command {
    /// Call.
    Start(Box<Start>),
    /// Take the call.
    Accept(Enter),
    /// Come in, or come back.
    Join(Enter),
    /// Ring at more people.
    Ring(Ring),
    /// Do not take it.
    Decline {
        /// Who.
        by: UserId,
    },
    /// Call no more, before anybody took it.
    Cancel {
        /// Who.
        by: UserId,
    },
    /// Hang up.
    Leave {
        /// Who, with which device.
        by: Participant,
    },
    /// Say that the media finds no way, and hang up.
    Fail {
        /// Who, with which device.
        by: Participant,
    },
    /// End it for all.
    End {
        /// Who.
        by: UserId,
        /// Whether they moderate the conversation.
        moderator: bool,
    },
    /// Turn something on or off.
    Toggle {
        /// Who, with which device.
        by: Participant,
        /// What.
        change: Toggle,
    },
    /// Let a call of voices have cameras, too.
    AddVideo {
        /// Who, with which device.
        by: Participant,
    },
    /// Let the SFU carry it.
    MoveToSfu {
        /// Who asks for it.
        by: Participant,
        /// The node; `None` if there is none.
        node: Option<String>,
    },
    /// The node that carried it is gone, and another one does.
    ReplaceNode {
        /// Which is gone.
        lost: String,
        /// Which carries it from now on.
        node: String,
    },
    /// A device is connected to the node.
    JoinMedia {
        /// Whose.
        participant: Participant,
        /// The node that says so.
        node: String,
    },
    /// A device is not connected to the node any more.
    LeaveMedia {
        /// Whose.
        participant: Participant,
        /// The node that says so.
        node: String,
    },
    /// Ask everybody whether the call may be recorded.
    AskConsent {
        /// Who, who thereby agrees.
        by: Participant,
    },
    /// Agree to be recorded, or do not.
    Consent {
        /// Who.
        by: Participant,
        /// Whether they agree.
        agrees: bool,
    },
    /// Record.
    StartRecording {
        /// Who.
        by: Participant,
        /// The new id.
        recording: RecordingId,
        /// Whether they moderate the conversation.
        moderator: bool,
    },
    /// Record no more.
    StopRecording {
        /// Who.
        by: Participant,
        /// Which.
        recording: RecordingId,
        /// Whether they moderate the conversation.
        moderator: bool,
    },
    /// A file of a recording was stored.
    StoreRecording {
        /// Which.
        recording: RecordingId,
        /// The file.
        file: FileId,
        /// Whose media is in it; `None` if it is everybody's.
        of: Option<Participant>,
        /// What is heard and seen.
        source: Option<String>,
        /// How long it plays, in milliseconds.
        milliseconds: u64,
        /// How long after the recording's begin it begins, in milliseconds.
        offset: Option<u64>,
    },
    /// A recording, or a part of it, could not be kept.
    FailRecording {
        /// Which.
        recording: RecordingId,
        /// Why, in words without personal data.
        reason: String,
    },
    /// A timer: it rang long enough at those who were called at the beginning.
    StopRinging,
    /// A timer: it rang long enough at somebody who was called later.
    StopRingingAt {
        /// Who.
        user: UserId,
    },
    /// A timer: the connection of a device was lost, and did not come back.
    Lose {
        /// Which.
        participant: Participant,
    },
    /// A timer: somebody was alone in it for too long.
    Expire,
    /// Somebody is not in the conversation any more.
    Remove {
        /// Who.
        user: UserId,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// To who is not in it, it does not exist.
    #[error("this conversation does not exist")]
    NoSuchConversation,
    /// One of the two blocks the other.
    #[error("a direct conversation is between friends")]
    NotFriends,
    /// The id is taken.
    #[error("a call with this id exists already")]
    AlreadyStarted,
    /// Nobody else is there.
    #[error("there is nobody to call")]
    NobodyToCall,
    /// Too many.
    #[error("a call rings at most 32 people")]
    TooManyRung,
    /// They are all in other calls.
    #[error("who is to be rung is in another call")]
    Busy,
    /// There is none.
    #[error("this call does not exist")]
    NoSuchCall,
    /// Nothing happens in it any more.
    #[error("the call is over")]
    Over,
    /// Nobody calls this person.
    #[error("the call does not ring at this person")]
    NotRinging,
    /// Another device of the person took it.
    #[error("the call was answered on another device")]
    AnsweredElsewhere,
    /// It was taken.
    #[error("the call was answered already")]
    Answered,
    /// Only who called.
    #[error("only who called may cancel the call")]
    NotCaller,
    /// Only who called, or moderates.
    #[error("only who called, or moderates the conversation, ends the call for all")]
    MayNotEnd,
    /// Only for those in it.
    #[error("this device is not in the call")]
    NotInCall,
    /// So many devices cannot be connected to each other.
    #[error("no more devices can be connected to each other")]
    MeshFull,
    /// Too many.
    #[error("a call has at most 500 devices")]
    Full,
    /// No camera.
    #[error("this call is voice only")]
    VoiceOnly,
    /// Nobody would carry it.
    #[error("no SFU node is there")]
    NoNode,
    /// The devices are connected to each other.
    #[error("the call is not on the SFU")]
    NotOnSfu,
    /// The call is elsewhere.
    #[error("another SFU node carries the call")]
    WrongNode,
    /// Nobody wanted to know.
    #[error("nobody asked whether the call may be recorded")]
    NotAsked,
    /// Not everybody agreed.
    #[error("not everybody in the call has agreed to be recorded")]
    NoConsent,
    /// Only who called, or moderates; between two, both.
    #[error("only who called, or moderates the conversation, begins and ends recordings")]
    MayNotRecord,
    /// One at a time.
    #[error("the call is being recorded already")]
    RecordingRuns,
    /// The id is taken.
    #[error("a recording with this id exists already")]
    RecordingExists,
    /// There is none.
    #[error("this recording does not exist")]
    NoSuchRecording,
    /// Too many.
    #[error("a call has at most 100 recordings")]
    TooManyRecordings,
}
