//! The `webrtc` crate as a client: another implementation than that of the other tests, with its own
//! ICE, SDP and RTP. It sends and receives real pictures and sound, and it sends layers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_VP8};
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::rtp::{Packet, header::Header};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceGatheringState, RTCPeerConnectionState, Registry, register_default_interceptors,
};

use crate::client::Client;
use crate::clips::{Clip, Codec};
use crate::peer::PATIENCE;
use crate::simulcast::video;
use crate::world::{World, pace};

enum Fact {
    Gathered,
    Connected,
    Packet(RtpCodecKind, Box<Packet>),
}

struct Handler(mpsc::UnboundedSender<Fact>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            drop(self.0.send(Fact::Gathered));
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            drop(self.0.send(Fact::Connected));
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let facts = self.0.clone();
        tokio::spawn(async move {
            let kind = track.kind().await;
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    drop(facts.send(Fact::Packet(kind, Box::new(packet))));
                }
            }
        });
    }
}

/// A peer connection of the crate.
struct Connection {
    inner: Box<dyn PeerConnection>,
    facts: mpsc::UnboundedReceiver<Fact>,
}

impl Connection {
    async fn new() -> Self {
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().unwrap();
        let registry = register_default_interceptors(Registry::new(), &mut engine).unwrap();
        let (sender, facts) = mpsc::unbounded_channel();
        let inner = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler(sender)))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build();
        Self { inner: Box::new(inner.await.unwrap()), facts }
    }

    async fn next(&mut self) -> Fact {
        timeout(PATIENCE, self.facts.recv()).await.expect("nothing happened").expect("it ended")
    }

    /// What it says of itself, once its candidates are known.
    async fn described(&mut self, description: RTCSessionDescription) -> String {
        self.inner.set_local_description(description).await.unwrap();
        while !matches!(self.next().await, Fact::Gathered) {}
        self.inner.local_description().await.unwrap().sdp
    }

    async fn connected(&mut self) {
        while !matches!(self.next().await, Fact::Connected) {}
    }

    /// Sends what these tracks carry into the call of a client.
    async fn publish(&mut self, client: &mut Client, tracks: &[&Sent]) -> String {
        for sent in tracks {
            self.inner.add_track(sent.track.clone()).await.unwrap();
        }
        let offer = self.inner.create_offer(None).await.unwrap();
        let offer = self.described(offer).await;
        client.tell(json!({ "type": "publish", "sdp": offer })).await;
        let answer = client.frame("published").await["sdp"].as_str().unwrap().to_owned();
        let answer = RTCSessionDescription::answer(answer).unwrap();
        self.inner.set_remote_description(answer).await.unwrap();
        self.connected().await;
        offer
    }

    /// Receives what is sent in the call of a client.
    async fn subscribe(&mut self, client: &mut Client) {
        client.tell(json!({ "type": "subscribe" })).await;
        let offer = client.frame("offer").await;
        let remote = RTCSessionDescription::offer(offer["sdp"].as_str().unwrap().to_owned());
        self.inner.set_remote_description(remote.unwrap()).await.unwrap();
        let answer = self.inner.create_answer(None).await.unwrap();
        let answer = self.described(answer).await;
        let serial = &offer["serial"];
        client.tell(json!({ "type": "answer", "id": 1, "serial": serial, "sdp": answer })).await;
        client.frame("done").await;
        self.connected().await;
    }

    async fn packet(&mut self) -> (RtpCodecKind, Packet) {
        loop {
            if let Fact::Packet(kind, packet) = self.next().await {
                return (kind, *packet);
            }
        }
    }
}

/// A track that is sent: its streams, one for each layer.
struct Sent {
    track: Arc<TrackLocalStaticRTP>,
    streams: Vec<u32>,
}

impl Sent {
    fn new(kind: RtpCodecKind, rids: &[&str]) -> Self {
        let (mime, clock_rate, channels) = match kind {
            RtpCodecKind::Audio => (MIME_TYPE_OPUS, 48_000, 2),
            _ => (MIME_TYPE_VP8, 90_000, 0),
        };
        let codec = RTCRtpCodec {
            mime_type: mime.to_owned(),
            clock_rate,
            channels,
            ..RTCRtpCodec::default()
        };
        let streams: Vec<u32> = rids.iter().map(|_| rand::random()).collect();
        let coding = |(rid, ssrc): (&&str, &u32)| RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                rid: (*rid).to_owned(),
                ssrc: Some(*ssrc),
                ..RTCRtpCodingParameters::default()
            },
            codec: codec.clone(),
            active: true,
            ..RTCRtpEncodingParameters::default()
        };
        let codings = rids.iter().zip(&streams).map(coding).collect();
        let name = format!("{kind:?}");
        let track = MediaStreamTrack::new("camera".to_owned(), name.clone(), name, kind, codings);
        Self { track: Arc::new(TrackLocalStaticRTP::new(track)), streams }
    }

    async fn send(&self, layer: usize, header: Header, payload: Bytes) {
        let header = Header { version: 2, ssrc: self.streams[layer], ..header };
        self.track.write_rtp(Packet { header, payload }).await.unwrap();
    }

    /// Sends one picture of a clip; each layer has numbers of its own.
    async fn send_picture(&self, layer: usize, clip: &Clip, at: &mut Sending, rid: Option<&Rid>) {
        let picture = &clip.pictures[at.pictures % clip.pictures.len()];
        for (index, payload) in picture.iter().enumerate() {
            at.number = at.number.wrapping_add(1);
            let mut header = Header {
                payload_type: 96,
                sequence_number: at.number,
                timestamp: u32::try_from(at.pictures).unwrap() * 1800,
                marker: index + 1 == picture.len(),
                ..Header::default()
            };
            if let Some(Rid { mid, rid, ids }) = rid {
                header.set_extension(ids[0], mid.clone().into()).unwrap();
                header.set_extension(ids[1], (*rid).into()).unwrap();
            }
            self.send(layer, header, payload.clone()).await;
        }
        at.pictures += 1;
    }
}

#[derive(Default)]
struct Sending {
    number: u16,
    pictures: usize,
}

/// What names a layer in each of its packets.
struct Rid {
    mid: String,
    rid: &'static str,
    ids: [u8; 2],
}

/// What arrives of pictures: whole, and none missing.
#[derive(Default)]
struct Pictures {
    sequence: Option<u16>,
    payloads: Vec<Bytes>,
    /// Layer and place in the clip of each.
    seen: Vec<(usize, usize)>,
}

impl Pictures {
    fn take(&mut self, clips: &[Clip], sequence: u16, marker: bool, payload: Bytes) {
        let step = self.sequence.map_or(1, |last| sequence.wrapping_sub(last).cast_signed());
        // What is only sent to find out what the link bears is known already.
        if step <= 0 || payload.is_empty() {
            return;
        }
        assert_eq!(step, 1, "nothing is lost here");
        self.sequence = Some(sequence);
        self.payloads.push(payload);
        if marker {
            let frame = Codec::Vp8.frame(&std::mem::take(&mut self.payloads));
            let find = |clip: &Clip| clip.frames.iter().position(|sent| *sent == frame);
            let mut clips = clips.iter().enumerate();
            let found = clips.find_map(|(layer, clip)| Some((layer, find(clip)?))).unwrap();
            let goes_on = self.seen.last().is_some_and(|last| found == (last.0, last.1 + 1));
            assert!(goes_on || found.1 == 0, "{:?}, then {found:?}", self.seen.last());
            self.seen.push(found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_sound_arrive_in_order_and_whole() {
    let world = World::start().await;
    let (mut ada, mut ben) = (Client::join(&world, 1).await, Client::join(&world, 2).await);
    let (mut from_ada, mut to_ben) = (Connection::new().await, Connection::new().await);
    let (sound, picture) =
        (Sent::new(RtpCodecKind::Audio, &[""]), Sent::new(RtpCodecKind::Video, &[""]));
    from_ada.publish(&mut ada, &[&sound, &picture]).await;
    to_ben.subscribe(&mut ben).await;
    // Another implementation gets the same.
    let mut cleo = Client::join(&world, 3).await;
    cleo.subscribe().await;
    let clips = [Codec::Vp8.clip(360)];
    let (mut at, mut heard, mut said) = (Sending::default(), Vec::new(), 0u16);
    let (mut of_ben, mut of_cleo) = (Pictures::default(), Pictures::default());
    let mut pace = pace(Duration::from_millis(20));
    while of_ben.seen.len() < 40 || of_cleo.seen.len() < 40 || heard.len() < 40 {
        tokio::select! {
            _ = pace.tick() => {
                picture.send_picture(0, &clips[0], &mut at, None).await;
                said += 1;
                let header = Header {
                    payload_type: 111,
                    sequence_number: said,
                    timestamp: u32::from(said) * 960,
                    ..Header::default()
                };
                sound.send(0, header, said.to_be_bytes().to_vec().into()).await;
            }
            (kind, packet) = to_ben.packet() => match kind {
                RtpCodecKind::Video => {
                    let Header { sequence_number, marker, .. } = packet.header;
                    of_ben.take(&clips, sequence_number, marker, packet.payload);
                }
                _ => heard.push(u16::from_be_bytes(packet.payload[..].try_into().unwrap())),
            },
            packet = cleo.subscribe.packet() => if packet.payload.len() > 2 {
                let sequence = u16::try_from(*packet.seq_no & 0xffff).unwrap();
                of_cleo.take(&clips, sequence, packet.header.marker, packet.payload.to_vec().into());
            }
        }
    }
    assert!(heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_another_implementation_are_switched_at_key_frames() {
    const RIDS: [&str; 2] = ["low", "high"];
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    let (mut from_ada, mut to_ben) = (Connection::new().await, Connection::new().await);
    let picture = Sent::new(RtpCodecKind::Video, &RIDS);
    let offer = from_ada.publish(&mut ada, &[&picture]).await;
    let extension = |uri: &str| -> u8 {
        let line = offer.lines().find(|line| line.starts_with("a=extmap") && line.ends_with(uri));
        line.unwrap()["a=extmap:".len()..].split([' ', '/']).next().unwrap().parse().unwrap()
    };
    let ids = [extension("sdes:mid"), extension("sdes:rtp-stream-id")];
    let mid = offer.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap().to_owned();
    let mut ben = Client::join(&world, 2).await;
    let track = video(&ben.joined);
    to_ben.subscribe(&mut ben).await;
    let clips = [Codec::Vp8.clip(180), Codec::Vp8.clip(360)];
    let mut at = [Sending::default(), Sending { number: 30_000, pictures: 500 * 12 }];
    let mut seen = Pictures::default();
    let mut pace = pace(Duration::from_millis(20));
    for layer in [0, 1, 0] {
        ben.tell(json!({ "type": "prefer", "id": 7, "track": track, "layer": layer })).await;
        ben.frame("done").await;
        let last_are = |seen: &Pictures| {
            let last = seen.seen.iter().rev().take(15);
            last.len() == 15 && last.into_iter().all(|(of, _)| *of == layer)
        };
        while !last_are(&seen) {
            tokio::select! {
                _ = pace.tick() => for index in 0..2 {
                    let rid = Rid { mid: mid.clone(), rid: RIDS[index], ids };
                    picture.send_picture(index, &clips[index], &mut at[index], Some(&rid)).await;
                },
                (_, packet) = to_ben.packet() => {
                    let Header { sequence_number, marker, .. } = packet.header;
                    seen.take(&clips, sequence_number, marker, packet.payload);
                }
            }
        }
    }
}
