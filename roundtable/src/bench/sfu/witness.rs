//! Another implementation that joins the load while it runs: the `webrtc` crate, whose ICE, SDP and RTP
//! are not those of the load's peers. It says whether what they count is so.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use rtc::{
    peer_connection::sdp::RTCSessionDescription,
    rtp_transceiver::{
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit, rtp_sender::RtpCodecKind,
    },
};
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use webrtc::{
    media_stream::track_remote::{TrackRemote, TrackRemoteEvent},
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
        RTCIceGatheringState, Registry, register_default_interceptors,
    },
};

use crate::bench::report::rounded;

/// How long it watches from the first picture on.
const WATCHES: Duration = Duration::from_secs(2);
/// How long it waits for one.
const PATIENCE: Duration = Duration::from_secs(15);

/// What it saw.
#[derive(Clone, Debug, Serialize)]
pub struct Witness {
    /// From its request until the first packet of a picture, in milliseconds.
    pub first_packet_ms: f64,
    /// Packets of pictures that it got.
    pub packets: usize,
    /// Numbers that are missing between them.
    pub lost: usize,
}

enum Fact {
    Gathered,
    /// The number of a packet of a picture.
    Picture(u16),
}

struct Handler(mpsc::UnboundedSender<Fact>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            drop(self.0.send(Fact::Gathered));
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let facts = self.0.clone();
        tokio::spawn(async move {
            if track.kind().await != RtpCodecKind::Video {
                return;
            }
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    drop(facts.send(Fact::Picture(packet.header.sequence_number)));
                }
            }
        });
    }
}

impl Witness {
    /// Joins over WHEP (a `url` and a `ticket` for it), watches, and leaves.
    pub(super) async fn watch(http: &reqwest::Client, url: &str, ticket: &str) -> Result<Self> {
        let begun = Instant::now();
        let (sender, mut facts) = mpsc::unbounded_channel();
        let connection = connection(sender).await?;
        let offer = connection.create_offer(None).await?;
        connection.set_local_description(offer).await?;
        while !matches!(next(&mut facts, begun + PATIENCE).await?, Fact::Gathered) {}
        let offer = connection.local_description().await.context("it describes itself")?.sdp;
        let request = http.post(url).bearer_auth(ticket).header("content-type", "application/sdp");
        let answer = request.body(offer).send().await?;
        ensure!(answer.status() == StatusCode::CREATED, "{url}: {}", answer.status());
        let answer = RTCSessionDescription::answer(answer.text().await?)?;
        connection.set_remote_description(answer).await?;
        let first = loop {
            if let Fact::Picture(number) = next(&mut facts, begun + PATIENCE).await? {
                break number;
            }
        };
        let first_packet = begun.elapsed();
        // As far from the first one as they are: a sequence of 16 bits goes round in minutes.
        let mut distances = BTreeSet::from([0]);
        let end = Instant::now() + WATCHES;
        while let Ok(fact) = next(&mut facts, end).await {
            if let Fact::Picture(number) = fact {
                distances.insert(number.wrapping_sub(first));
            }
        }
        connection.close().await?;
        let span = distances.last().map_or(0, |last| usize::from(*last) + 1);
        let packets = distances.len();
        let first_packet_ms = rounded(first_packet.as_secs_f64() * 1e3, 1);
        Ok(Self { first_packet_ms, packets, lost: span - packets })
    }
}

/// A connection that receives one picture and one sound.
async fn connection(facts: mpsc::UnboundedSender<Fact>) -> Result<impl PeerConnection> {
    let mut engine = MediaEngine::default();
    engine.register_default_codecs()?;
    let registry = register_default_interceptors(Registry::new(), &mut engine)?;
    let connection = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_interceptor_registry(registry)
        .with_handler(Arc::new(Handler(facts)))
        .with_udp_addrs(vec!["127.0.0.1:0"])
        .build()
        .await?;
    for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..RTCRtpTransceiverInit::default()
        };
        connection.add_transceiver_from_kind(kind, Some(init)).await?;
    }
    Ok(connection)
}

async fn next(facts: &mut mpsc::UnboundedReceiver<Fact>, until: Instant) -> Result<Fact> {
    let fact = timeout_at(until, facts.recv()).await.context("no picture came")?;
    fact.context("the connection ended")
}
