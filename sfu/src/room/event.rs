//! What a room tells its participants: the frames of the signalling, as they are sent.

use events::UserId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::media::transport::State;
use crate::room::data::ChannelId;
use crate::room::track::TrackId;

/// Names a participant in this process.
pub(crate) type ParticipantId = u64;

/// Somebody in the call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Present {
    pub(crate) participant: ParticipantId,
    #[schema(value_type = String, format = Uuid)]
    pub(crate) user: UserId,
    pub(crate) device: Uuid,
}

/// A track in the call.
#[derive(Clone, Debug, Serialize, ToSchema)]
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
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Section {
    pub(crate) mid: String,
    pub(crate) track: TrackId,
    pub(crate) participant: ParticipantId,
}

/// A data channel in the call, as one subscriber has it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ShownChannel {
    pub(crate) channel: ChannelId,
    /// Who opened it, and sends on it.
    pub(crate) participant: ParticipantId,
    /// Its stream on the connection that receives: `id` of an `RTCDataChannel`.
    pub(crate) stream: u16,
    pub(crate) label: String,
    pub(crate) protocol: String,
    pub(crate) ordered: bool,
    /// How often a message is sent again; reliable if neither this nor the next is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_retransmits: Option<u32>,
    /// For how long a message is sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_lifetime_ms: Option<u32>,
}

/// Which of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Publish,
    Subscribe,
}

/// A stream that a participant sends, as it arrives.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SentStats {
    pub(crate) track: TrackId,
    pub(crate) layer: String,
    #[serde(skip)]
    pub(crate) audio: bool,
    pub(crate) packets: u64,
    /// Packets that did not come, not even when they were asked for.
    pub(crate) lost: u64,
    /// Of the packets of the last second, from 0 to 1.
    pub(crate) loss: f64,
    pub(crate) jitter_ms: f64,
    pub(crate) bits_per_second: u64,
    /// How high the picture is, in lines, where key frames tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) height: Option<u16>,
}

/// A track that a participant receives, as its own reports say.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReceivedStats {
    pub(crate) track: TrackId,
    pub(crate) layer: String,
    #[serde(skip)]
    pub(crate) audio: bool,
    pub(crate) packets: u64,
    /// Packets that did not arrive the first time.
    pub(crate) lost: u64,
    /// Packets that were sent again.
    pub(crate) repeated: u64,
    /// Of the packets since the report before, from 0 to 1.
    pub(crate) loss: f64,
    pub(crate) jitter_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) round_trip_ms: Option<f64>,
    pub(crate) bits_per_second: u64,
    /// The highest spatial and temporal layer within the stream, where not all are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spatial: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temporal: Option<u8>,
}

/// What happens in a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
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
    /// A layer that this participant sends is not forwarded: its picture is higher than may be. It
    /// is again once it is low enough.
    LayerRefused { track: TrackId, layer: String, height: u16, max_height: u16 },
    /// A data channel of somebody begins on the connection that receives.
    ChannelBegan(ShownChannel),
    /// A data channel ended on the connection that receives: `closed`, `left`, `too_slow` (more
    /// waited for this client than may), `too_large` (it takes no messages that long), or `lost`
    /// (all channels of the connection ended).
    ChannelEnded { channel: ChannelId, reason: &'static str },
    /// A channel that this participant opened is closed again: `too_many`, `name_too_long`,
    /// `too_large` (a message on it was), `malformed`, or, of all of them, `lost`.
    ChannelRefused {
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<u16>,
        reason: &'static str,
    },
    /// Statistics of one's own connections, every few seconds.
    Stats {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        sent: Vec<SentStats>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        received: Vec<ReceivedStats>,
        /// What the link to the subscriber bears, in bits a second.
        available: Option<u64>,
        /// The longest round trip on the way to the subscriber.
        #[serde(skip_serializing_if = "Option::is_none")]
        round_trip_ms: Option<f64>,
    },
    /// The server ends this participation.
    Bye { reason: &'static str, resume: bool },
}
