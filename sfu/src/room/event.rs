//! What a room tells its participants: the frames of the signalling, as they are sent.

use events::UserId;
use serde::Serialize;
use uuid::Uuid;

use crate::media::transport::State;
use crate::room::track::TrackId;

/// Names a participant in this process.
pub(crate) type ParticipantId = u64;

/// Somebody in the call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Present {
    pub(crate) participant: ParticipantId,
    pub(crate) user: UserId,
    pub(crate) device: Uuid,
}

/// A track in the call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) track: TrackId,
    pub(crate) participant: ParticipantId,
    /// `audio` or `video`.
    pub(crate) kind: &'static str,
    /// `microphone`, `camera`, `screen` or what the publisher called it.
    pub(crate) source: String,
    pub(crate) muted: bool,
    /// Names of the layers, from the lowest; empty where there is one only.
    pub(crate) layers: Vec<String>,
}

/// Which track is in which section of the offer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) mid: String,
    pub(crate) track: TrackId,
    pub(crate) participant: ParticipantId,
}

/// Which of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Publish,
    Subscribe,
}

/// One stream in the statistics.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamStats {
    pub(crate) track: TrackId,
    pub(crate) layer: String,
    pub(crate) packets: u64,
    /// Of a publisher's stream: that did not come. Of a subscriber's: that it reports as lost.
    pub(crate) lost: u64,
    pub(crate) bits_per_second: u64,
}

/// What happens in a room.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event {
    /// Who and what is there; the first frame after the ticket.
    Joined {
        participant: ParticipantId,
        resumed: bool,
        participants: Vec<Present>,
        tracks: Vec<Shown>,
        speaker: Option<ParticipantId>,
    },
    /// Somebody came.
    ParticipantJoined(Present),
    /// Somebody left.
    ParticipantLeft { participant: ParticipantId },
    /// A track begins.
    TrackBegan(Shown),
    /// A track ended.
    TrackEnded { track: TrackId },
    /// A track was muted, or is heard or seen again.
    TrackMuted { track: TrackId, muted: bool },
    /// The server offers what there is to receive.
    Offer { serial: u64, sdp: String, sections: Vec<Section> },
    /// Who speaks.
    Speaker { participant: ParticipantId },
    /// A connection changed.
    Connection { role: Role, state: State },
    /// The layer of a track that this subscriber gets now.
    Layer { track: TrackId, layer: Option<String> },
    /// Statistics of one's own connections, every few seconds.
    Stats {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        sent: Vec<StreamStats>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        received: Vec<StreamStats>,
        /// What the link to the subscriber bears, in bits a second.
        available: Option<u64>,
    },
    /// The server ends this participation.
    Bye { reason: &'static str, resume: bool },
}
