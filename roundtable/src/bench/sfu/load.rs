//! The load: peers that send and receive, each with a socket of its own.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use reqwest::{Client, StatusCode};
use service::tickets::Rights;
use str0m::{
    Candidate, Event, Input, Output, Rtc,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    media::{Direction, MediaKind, Mid},
    net::{Protocol, Receive},
    rtp::{ExtensionValues, RtpWrite, SeqNo},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    janus::Janus,
    wire::{Taken, Wire},
    witness::Witness,
};

/// Pictures and sounds a second.
const PICTURES: Duration = Duration::from_micros(33_333);
const SOUNDS: Duration = Duration::from_millis(20);

/// The longest latency that is told apart.
const LONGEST_US: u64 = 60_000_000;

/// Bytes of a packet of each.
const PICTURE: usize = 1050;
const SOUND: usize = 100;

/// Where the time of sending stands in a payload.
const STAMP: usize = 16;

/// Who sends and receives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    rooms: usize,
    /// Who sends in each room.
    publishers: usize,
    /// Who receives in each room.
    viewers: usize,
    /// Tracks of a kind that each viewer receives.
    tracks: usize,
    /// Packets of a picture.
    packets: usize,
}

impl Shape {
    pub(super) const fn stage(rooms: usize, viewers: usize, packets: usize) -> Self {
        Self { rooms, publishers: 1, viewers, tracks: 1, packets }
    }

    /// Everybody sends, and receives what the others send: those who view have a device of their
    /// own, and so would get what they send as well; of each room's tracks one is left out.
    pub(super) const fn conference(people: usize, packets: usize) -> Self {
        Self { rooms: 1, publishers: people, viewers: people, tracks: people - 1, packets }
    }

    pub(super) const fn publishers(self) -> usize {
        self.rooms * self.publishers
    }

    pub(super) const fn subscribers(self) -> usize {
        self.rooms * self.viewers
    }

    pub(super) const fn peers(self) -> usize {
        self.publishers() + self.subscribers()
    }
}

/// What arrived.
pub(super) struct Counted {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    pub(super) latency: Histogram<u64>,
    pub(super) first_packet_ms: f64,
}

struct Tally {
    begun: Instant,
    packets: AtomicU64,
    bytes: AtomicU64,
    /// Gaps in what a subscriber got, less what came late.
    lost: AtomicU64,
    latency: Mutex<Histogram<u64>>,
    ended: AtomicBool,
}

/// A load that runs.
pub(super) struct Load {
    /// One of its calls.
    call: Uuid,
    tally: Arc<Tally>,
    tasks: JoinSet<Result<()>>,
    first_packet_ms: f64,
}

/// What is measured: where everybody joins.
pub(super) enum Server<'a> {
    /// Ours, over WHIP and WHEP.
    Own { address: &'a str, http: Client, ticket: &'a dyn Fn(Uuid, Rights) -> String },
    /// Janus, over its own API.
    Janus(&'a Janus),
}

impl Server<'_> {
    async fn publish(&self, call: Uuid) -> Result<Peer> {
        let Self::Own { address, http, ticket } = self else {
            return self.janus()?.publish(call).await;
        };
        let ticket = ticket(call, Rights { publish: true, ..Rights::default() });
        let url = format!("http://{address}/v1/whip/{call}");
        Peer::join(http, &url, &ticket, 1, Direction::SendOnly).await
    }

    async fn view(&self, call: Uuid, tracks: usize) -> Result<Peer> {
        let Self::Own { address, http, ticket } = self else {
            return self.janus()?.view(call, tracks).await;
        };
        let ticket = ticket(call, Rights { subscribe: true, ..Rights::default() });
        let url = format!("http://{address}/v1/whep/{call}");
        Peer::join(http, &url, &ticket, tracks, Direction::RecvOnly).await
    }

    fn janus(&self) -> Result<&Janus> {
        match self {
            Self::Janus(janus) => Ok(janus),
            Self::Own { .. } => anyhow::bail!("this is not Janus"),
        }
    }
}

impl Load {
    /// Everybody joins.
    pub(super) async fn begin(server: &Server<'_>, shape: Shape) -> Result<Self> {
        let tally = Arc::new(Tally {
            begun: Instant::now(),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            latency: Mutex::new(Histogram::new_with_max(LONGEST_US, 3)?),
            ended: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        let mut first_packet_ms = 0.0f64;
        let mut call = Uuid::nil();
        for _ in 0..shape.rooms {
            call = Uuid::from_u128(rand::random());
            for _ in 0..shape.publishers {
                let peer = server.publish(call).await?;
                tasks.spawn(peer.run(Some(shape.packets), tally.clone(), None));
            }
            for viewer in 0..shape.viewers {
                let began = Instant::now();
                let peer = server.view(call, shape.tracks).await?;
                let (told, first) = tokio::sync::oneshot::channel();
                tasks.spawn(peer.run(None, tally.clone(), Some(told)));
                if viewer == 0 {
                    let first = tokio::time::timeout(Duration::from_secs(15), first).await;
                    let at = first.context("no picture came")?.context("a viewer ended")?;
                    first_packet_ms = first_packet_ms.max((at - began).as_secs_f64() * 1e3);
                }
            }
        }
        Ok(Self { call, tally, tasks, first_packet_ms })
    }

    /// What somebody sees who joins now with the `webrtc` crate; it does not speak with Janus.
    pub(super) async fn watched(&self, server: &Server<'_>) -> Result<Option<Witness>> {
        let Server::Own { address, http, ticket } = server else { return Ok(None) };
        let ticket = ticket(self.call, Rights { subscribe: true, ..Rights::default() });
        let url = format!("http://{address}/v1/whep/{}", self.call);
        let seen = Witness::watch(http, &url, &ticket).await;
        seen.context("a client of the `webrtc` crate").map(Some)
    }

    /// Counts from here.
    pub(super) fn reset(&self) {
        self.tally.packets.store(0, Ordering::Relaxed);
        self.tally.bytes.store(0, Ordering::Relaxed);
        self.tally.lost.store(0, Ordering::Relaxed);
        if let Ok(mut latency) = self.tally.latency.lock() {
            latency.reset();
        }
    }

    /// What was counted so far.
    pub(super) fn counted(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (packets, bytes) = (read(&self.tally.packets), read(&self.tally.bytes));
        let lost = read(&self.tally.lost);
        let latency = match self.tally.latency.lock() {
            Ok(latency) => latency.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        };
        Counted { packets, bytes, lost, latency, first_packet_ms: self.first_packet_ms }
    }

    /// Everybody leaves.
    pub(super) async fn end(mut self) {
        self.tally.ended.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
    }
}

/// Somebody who sends or receives.
pub(super) struct Peer {
    rtc: Rtc,
    wire: Wire,
    mids: Vec<Mid>,
}

type First = tokio::sync::oneshot::Sender<Instant>;

impl Peer {
    async fn new(address: IpAddr) -> Result<Self> {
        let wire = Wire::bind(address).await?;
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .set_reordering_size_audio(0)
            .set_reordering_size_video(0)
            .build(Instant::now());
        rtc.add_local_candidate(Candidate::host(wire.local, "udp")?);
        Ok(Self { rtc, wire, mids: Vec::new() })
    }

    /// Offers so many tracks of each kind.
    pub(super) async fn offer(
        address: IpAddr,
        tracks: usize,
        direction: Direction,
    ) -> Result<(Self, String, SdpPendingOffer)> {
        let mut peer = Self::new(address).await?;
        let mut change = peer.rtc.sdp_api();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            for _ in 0..tracks {
                peer.mids.push(change.add_media(kind, direction, None, None, None));
            }
        }
        let (offer, pending) = change.apply().context("there is nothing to offer")?;
        Ok((peer, offer.to_sdp_string(), pending))
    }

    /// Takes the answer to an offer.
    pub(super) fn accept(&mut self, pending: SdpPendingOffer, answer: SdpAnswer) -> Result<()> {
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    /// Answers an offer.
    pub(super) async fn answer(address: IpAddr, offer: SdpOffer) -> Result<(Self, String)> {
        let mut peer = Self::new(address).await?;
        let answer = peer.rtc.sdp_api().accept_offer(offer)?;
        Ok((peer, answer.to_sdp_string()))
    }

    async fn join(
        http: &Client,
        url: &str,
        ticket: &str,
        tracks: usize,
        direction: Direction,
    ) -> Result<Self> {
        let (mut peer, offer, pending) =
            Self::offer(Ipv4Addr::LOCALHOST.into(), tracks, direction).await?;
        let request = http.post(url).bearer_auth(ticket).header("content-type", "application/sdp");
        let answer = request.body(offer).send().await?;
        ensure!(answer.status() == StatusCode::CREATED, "{url}: {}", answer.status());
        peer.accept(pending, SdpAnswer::from_sdp_string(&answer.text().await?)?)?;
        Ok(peer)
    }

    async fn run(
        mut self,
        packets: Option<usize>,
        tally: Arc<Tally>,
        first: Option<First>,
    ) -> Result<()> {
        let mut part = Part { sender: packets.map(Sender::new), first, ..Part::default() };
        let mut taken = Taken::new();
        while !tally.ended.load(Ordering::Relaxed) {
            let mut wait = self.settle(&mut part, &tally).await?;
            let now = Instant::now();
            if let Some(sender) = part.sender.as_mut().filter(|_| part.connected) {
                if sender.send(&mut self.rtc, &self.mids, &tally, now) {
                    continue;
                }
                wait = wait.min(sender.next());
            }
            let wait = wait.saturating_duration_since(now);
            tokio::select! {
                ready = self.wire.ready() => {
                    ready?;
                    self.wire.take(&mut taken)?;
                    let local = self.wire.local;
                    for (from, datagram) in taken.datagrams() {
                        let Ok(received) = Receive::new(Protocol::Udp, from, local, datagram) else {
                            continue;
                        };
                        self.rtc.handle_input(Input::Receive(Instant::now(), received))?;
                        self.settle(&mut part, &tally).await?;
                    }
                }
                () = tokio::time::sleep(wait) => {
                    self.rtc.handle_input(Input::Timeout(Instant::now()))?;
                }
            }
        }
        Ok(())
    }

    /// Does what the engine asks for. Returns when it wants to be asked again.
    async fn settle(&mut self, part: &mut Part, tally: &Tally) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                Output::Transmit(datagram) => {
                    self.wire.send(&datagram.contents, datagram.destination).await?;
                }
                Output::Event(Event::Connected) => part.connected = true,
                Output::Event(Event::KeyframeRequest(_)) => {
                    if let Some(sender) = &mut part.sender {
                        sender.key = true;
                    }
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    part.seen.take(*packet.header.ssrc, *packet.seq_no, &packet.payload, tally);
                    if packet.payload.len() > SOUND
                        && let Some(first) = part.first.take()
                    {
                        first.send(Instant::now()).ok();
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// What a peer does in the load.
#[derive(Default)]
struct Part {
    sender: Option<Sender>,
    seen: Seen,
    /// Wants to know when the first picture came.
    first: Option<First>,
    connected: bool,
}

/// What a publisher sends next.
struct Sender {
    packets: usize,
    picture: Instant,
    sound: Instant,
    number: u64,
    sounds: u64,
    pictures: u64,
    key: bool,
}

impl Sender {
    fn new(packets: usize) -> Self {
        let now = Instant::now();
        let (picture, sound) = (now, now);
        Self { packets, picture, sound, number: 0, sounds: 0, pictures: 0, key: true }
    }

    fn next(&self) -> Instant {
        self.picture.min(self.sound)
    }

    /// Sends what is due. Returns whether something was.
    fn send(&mut self, rtc: &mut Rtc, mids: &[Mid], tally: &Tally, now: Instant) -> bool {
        let mut sent = false;
        if self.sound <= now {
            self.sound += SOUNDS;
            self.sounds += 1;
            let payload = stamped(SOUND, false, 0, tally);
            let time = u32::try_from(self.sounds * 960).unwrap_or(0);
            write(rtc, mids[0], self.sounds, time, true, Some(-30), payload);
            sent = true;
        }
        if self.picture <= now {
            self.picture += PICTURES;
            self.pictures += 1;
            let key = std::mem::take(&mut self.key);
            let time = u32::try_from(self.pictures * 3000).unwrap_or(0);
            for packet in 0..self.packets {
                self.number += 1;
                let payload = stamped(PICTURE, key && packet == 0, self.pictures, tally);
                let last = packet + 1 == self.packets;
                write(rtc, mids[1], self.number, time, last, None, payload);
            }
            sent = true;
        }
        sent
    }
}

fn write(
    rtc: &mut Rtc,
    mid: Mid,
    number: u64,
    time: u32,
    marker: bool,
    level: Option<i8>,
    payload: Vec<u8>,
) {
    let Some(pt) = rtc.media(mid).and_then(|media| media.remote_pts().first().copied()) else {
        return;
    };
    let mut api = rtc.direct_api();
    let Some(stream) = api.stream_tx_by_mid(mid, None) else { return };
    let values = ExtensionValues {
        audio_level: level,
        voice_activity: level.map(|_| true),
        ..ExtensionValues::default()
    };
    let write = RtpWrite::new(pt, SeqNo::from(number), time, Instant::now(), payload);
    stream.write_rtp(write.marker(marker).ext_vals(values).nackable(level.is_none()));
}

/// A payload of VP8, or one of sound, with the time of sending.
fn stamped(size: usize, key: bool, picture: u64, tally: &Tally) -> Vec<u8> {
    let [.., high, low] = picture.to_be_bytes();
    let mut payload = vec![0x90, 0xe0, 0x80 | high & 0x7f, low, low, 0x20];
    payload.extend_from_slice(if key {
        &[0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0]
    } else {
        &[0x11; 10]
    });
    let sent = u64::try_from(tally.begun.elapsed().as_micros()).unwrap_or(0);
    payload.extend_from_slice(&sent.to_be_bytes());
    payload.resize(size, 7);
    payload
}

/// What one subscriber has seen of each stream.
#[derive(Default)]
struct Seen {
    streams: std::collections::HashMap<u32, u64>,
}

impl Seen {
    fn take(&mut self, ssrc: u32, number: u64, payload: &[u8], tally: &Tally) {
        let Some(stamp) = payload.get(STAMP..STAMP + 8).and_then(|s| s.try_into().ok()) else {
            return;
        };
        match self.streams.get_mut(&ssrc) {
            None => {
                self.streams.insert(ssrc, number);
            }
            Some(last) if number > *last => {
                tally.lost.fetch_add(number - *last - 1, Ordering::Relaxed);
                *last = number;
            }
            // It came late: it is not lost after all.
            Some(_) => {
                let less = |lost: u64| lost.checked_sub(1);
                tally.lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
            }
        }
        tally.packets.fetch_add(1, Ordering::Relaxed);
        tally.bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        let now = u64::try_from(tally.begun.elapsed().as_micros()).unwrap_or(0);
        if let Ok(mut latency) = tally.latency.lock() {
            let taken = now.saturating_sub(u64::from_be_bytes(stamp));
            latency.saturating_record(taken);
        }
    }
}
