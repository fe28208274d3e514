//! A peer connection of str0m with a socket of its own, driven by a task.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelConfig, ChannelData, ChannelId};
use str0m::media::{
    Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer,
};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite, SeqNo};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::clips::Codec;

/// How long a test waits for a fact.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Order = Box<dyn FnOnce(&mut Rtc) + Send>;

/// What happened to a peer.
#[derive(Debug)]
pub(crate) enum Fact {
    Connected,
    Packet(Box<RtpPacket>),
    KeyFrame(Option<Rid>),
    Opened(ChannelId, String),
    Said(ChannelData),
    Ended(ChannelId),
    Closed,
}

/// A peer connection.
pub(crate) struct Peer {
    orders: mpsc::UnboundedSender<Order>,
    pub(crate) facts: mpsc::UnboundedReceiver<Fact>,
}

/// A packet as a test sends it.
pub(crate) struct Packet {
    pub(crate) mid: Mid,
    pub(crate) rid: Option<Rid>,
    pub(crate) number: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) level: Option<i8>,
    pub(crate) payload: Vec<u8>,
}

impl Peer {
    /// A peer that sends to the SFU through `via` if that is given, directly otherwise.
    pub(crate) async fn new(via: Option<SocketAddr>) -> Self {
        Self::with_config(via, Rtc::builder()).await
    }

    /// A peer that knows one codec of pictures only.
    pub(crate) async fn only(codec: Codec, via: Option<SocketAddr>) -> Self {
        let config = Rtc::builder().clear_codecs().enable_opus(true, false);
        let config = match codec {
            Codec::Vp8 => config.enable_vp8(true),
            Codec::Vp9 => config.enable_vp9(true),
            Codec::H264 => config.enable_h264(true),
            Codec::Av1 => config.enable_av1(true),
        };
        Self::with_config(via, config).await
    }

    /// A peer that knows RED around Opus.
    pub(crate) async fn with_red() -> Self {
        Self::with_config(None, Rtc::builder().clear_codecs().enable_opus(true, true)).await
    }

    async fn with_config(via: Option<SocketAddr>, config: RtcConfig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        let mut rtc = config
            .set_rtp_mode(true)
            .enable_raw_packets(false)
            .enable_bwe(None)
            .set_reordering_size_audio(1)
            .set_reordering_size_video(1)
            .build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").unwrap()).unwrap();
        let (orders, queue) = mpsc::unbounded_channel();
        let (sender, facts) = mpsc::unbounded_channel();
        tokio::spawn(run(rtc, socket, local, via, queue, sender));
        Self { orders, facts }
    }

    /// Does something with the connection.
    pub(crate) async fn with<R: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Rtc) -> R + Send + 'static,
    ) -> R {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Box::new(move |rtc| drop(reply.send(order(rtc))))).ok().unwrap();
        answer.await.unwrap()
    }

    /// Offers to send sound and pictures; the layers are names from the lowest.
    pub(crate) async fn offer(
        &self,
        layers: &'static [&'static str],
    ) -> (String, SdpPendingOffer, Mid, Mid) {
        self.with(move |rtc| {
            let mut change = rtc.sdp_api();
            let simulcast = (!layers.is_empty()).then(|| Simulcast {
                send: layers.iter().map(|rid| SimulcastLayer::new(rid)).collect(),
                recv: Vec::new(),
            });
            let send = Direction::SendOnly;
            let audio = change.add_media(MediaKind::Audio, send, None, None, None);
            let video = change.add_media(MediaKind::Video, send, None, None, simulcast);
            let (offer, pending) = change.apply().unwrap();
            (offer.to_sdp_string(), pending, audio, video)
        })
        .await
    }

    /// Offers data channels, and nothing else.
    pub(crate) async fn offer_channels(
        &self,
        channels: Vec<ChannelConfig>,
    ) -> (String, SdpPendingOffer, Vec<ChannelId>) {
        self.with(move |rtc| {
            let mut change = rtc.sdp_api();
            let all = channels.into_iter().map(|one| change.add_channel_with_config(one)).collect();
            let (offer, pending) = change.apply().unwrap();
            (offer.to_sdp_string(), pending, all)
        })
        .await
    }

    /// Says something on a channel, as soon as there is room for it.
    pub(crate) async fn say(&self, channel: ChannelId, binary: bool, payload: Vec<u8>) {
        let mut pace = crate::world::pace(Duration::from_millis(2));
        loop {
            let payload = payload.clone();
            let said = self.with(move |rtc| rtc.channel(channel).unwrap().write(binary, &payload));
            if said.await.unwrap() {
                return;
            }
            pace.tick().await;
        }
    }

    /// The next message on any channel.
    pub(crate) async fn said(&mut self) -> ChannelData {
        loop {
            if let Fact::Said(data) = self.next().await {
                return data;
            }
        }
    }

    /// The next channel that opens, and its label.
    pub(crate) async fn opened(&mut self) -> (ChannelId, String) {
        loop {
            if let Fact::Opened(channel, label) = self.next().await {
                return (channel, label);
            }
        }
    }

    pub(crate) async fn accept(&self, pending: SdpPendingOffer, answer: &str) {
        let answer = SdpAnswer::from_sdp_string(answer).unwrap();
        self.with(move |rtc| rtc.sdp_api().accept_answer(pending, answer).unwrap()).await;
    }

    pub(crate) async fn answer(&self, offer: &str) -> String {
        let offer = SdpOffer::from_sdp_string(offer).unwrap();
        self.with(move |rtc| rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string()).await
    }

    /// For a task that sends.
    pub(crate) fn orders(&self) -> Orders {
        Orders(self.orders.clone())
    }

    pub(crate) async fn send(&self, packet: Packet) {
        self.with(move |rtc| write(rtc, packet)).await;
    }

    pub(crate) async fn next(&mut self) -> Fact {
        timeout(PATIENCE, self.facts.recv()).await.expect("nothing happened").expect("it ended")
    }

    pub(crate) async fn connected(&mut self) {
        while !matches!(self.next().await, Fact::Connected) {}
    }

    /// The next packet.
    pub(crate) async fn packet(&mut self) -> RtpPacket {
        loop {
            if let Fact::Packet(packet) = self.next().await {
                return *packet;
            }
        }
    }

    /// Waits until a key frame of a layer is asked for.
    pub(crate) async fn asked_for_key_frame(&mut self, rid: Option<Rid>) {
        loop {
            if let Fact::KeyFrame(asked) = self.next().await
                && asked == rid
            {
                return;
            }
        }
    }
}

/// What a task sends packets with, as long as the peer is there.
#[derive(Clone)]
pub(crate) struct Orders(mpsc::UnboundedSender<Order>);

impl Orders {
    /// Sends a packet.
    pub(crate) fn send(&self, packet: Packet) {
        // A peer that is gone sends nothing.
        drop(self.0.send(Box::new(move |rtc| write(rtc, packet))));
    }
}

fn write(rtc: &mut Rtc, packet: Packet) {
    let Packet { mid, rid, number, timestamp, marker, level, payload } = packet;
    let pt = rtc.media(mid).unwrap().remote_pts()[0];
    let mut api = rtc.direct_api();
    let stream = api.stream_tx_by_mid(mid, rid).unwrap();
    let values = ExtensionValues {
        audio_level: level,
        voice_activity: level.map(|_| true),
        mid: Some(mid),
        rid,
        ..ExtensionValues::default()
    };
    let number = SeqNo::from(number);
    let write = RtpWrite::new(pt, number, timestamp, Instant::now(), payload);
    stream.write_rtp(write.marker(marker).ext_vals(values).nackable(true));
}

async fn run(
    mut rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    via: Option<SocketAddr>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    facts: mpsc::UnboundedSender<Fact>,
) {
    let mut buffer = vec![0; 2000];
    // What a relay sends back seems to come from the SFU itself.
    let mut behind = via;
    loop {
        let deadline = loop {
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) => break at,
                Ok(Output::Transmit(datagram)) => {
                    if via.is_some() {
                        behind = Some(datagram.destination);
                    }
                    let to = via.unwrap_or(datagram.destination);
                    socket.send_to(&datagram.contents, to).await.unwrap();
                }
                Ok(Output::Event(event)) => {
                    let fact = match event {
                        Event::Connected => Fact::Connected,
                        Event::RtpPacket(packet) => Fact::Packet(Box::new(packet)),
                        Event::KeyframeRequest(asked) => {
                            assert!(matches!(
                                asked.kind,
                                KeyframeRequestKind::Pli | KeyframeRequestKind::Fir
                            ));
                            Fact::KeyFrame(asked.rid)
                        }
                        Event::ChannelOpen(channel, label) => Fact::Opened(channel, label),
                        Event::ChannelData(data) => Fact::Said(data),
                        Event::ChannelClose(channel) => Fact::Ended(channel),
                        _ => continue,
                    };
                    drop(facts.send(fact));
                }
                Err(_) => {
                    drop(facts.send(Fact::Closed));
                    return;
                }
            }
        };
        let now = Instant::now();
        // What an order changed is seen as time passes, of which a connection that only carries data
        // does not say when.
        let wait = deadline.saturating_duration_since(now).min(Duration::from_millis(50));
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => order(&mut rtc),
                None => return,
            },
            received = socket.recv_from(&mut buffer) => {
                let Ok((len, from)) = received else { continue };
                let from = behind.filter(|_| Some(from) == via).unwrap_or(from);
                let Ok(datagram) = Receive::new(Protocol::Udp, from, local, &buffer[..len]) else {
                    continue;
                };
                let input = Input::Receive(Instant::now(), datagram);
                if rtc.handle_input(input).is_err() {
                    drop(facts.send(Fact::Closed));
                    return;
                }
            }
            () = tokio::time::sleep(wait) => {
                rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
            }
        }
    }
}
