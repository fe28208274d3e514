//! Each codec from end to end, with what real encoders and packetizers make: nothing begins but with
//! a key frame, layers are switched at one, and every picture arrives as it was sent.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use str0m::media::Rid;

use crate::client::Client;
use crate::clips::{Clip, Codec};
use crate::peer::{Fact, Packet, Peer};
use crate::simulcast::video;
use crate::world::{World, pace};

const LAYERS: &[&str] = &["low", "high"];

/// A layer as it is sent: its clip over and over, and from its begin when a key frame is asked for.
pub(crate) struct Sender {
    pub(crate) clip: Clip,
    pub(crate) next: usize,
    number: u64,
    time: u32,
    asked: u32,
}

impl Sender {
    pub(crate) fn new(codec: Codec, height: u32, number: u64) -> Self {
        let time = u32::try_from(number * 10_007).unwrap();
        Self { clip: codec.clip(height), next: 0, number, time, asked: 0 }
    }

    /// Sends the next picture.
    pub(crate) async fn send(&mut self, client: &Client, rid: &str) {
        let picture = &self.clip.pictures[self.next];
        for (index, payload) in picture.iter().enumerate() {
            self.number += 1;
            let packet = Packet {
                mid: client.video.unwrap(),
                rid: Some(Rid::from(rid)),
                number: self.number,
                timestamp: self.time,
                marker: index + 1 == picture.len(),
                level: None,
                payload: payload.to_vec(),
            };
            client.publish.send(packet).await;
        }
        self.time = self.time.wrapping_add(1800);
        // What follows the last picture is the first again, which is a key frame.
        self.next = (self.next + 1) % self.clip.pictures.len();
    }
}

/// What a subscriber makes of packets.
#[derive(Default)]
pub(crate) struct Receiver {
    sequence: Option<u64>,
    payloads: Vec<Bytes>,
    picture: Option<u16>,
    /// Layer and place in the clip of each picture.
    pub(crate) seen: Vec<(usize, usize)>,
}

impl Receiver {
    pub(crate) fn take(
        &mut self,
        codec: Codec,
        senders: &[Sender],
        packet: &str0m::rtp::RtpPacket,
    ) {
        // What is only sent to find out what the link bears is known already.
        if self.sequence.is_some_and(|last| *packet.seq_no <= last) {
            return;
        }
        let expected = self.sequence.map_or(*packet.seq_no, |last| last + 1);
        assert_eq!(*packet.seq_no, expected, "{codec:?}");
        self.sequence = Some(expected);
        self.payloads.push(packet.payload.to_vec().into());
        if !packet.header.marker {
            return;
        }
        let payloads = std::mem::take(&mut self.payloads);
        let frame = codec.frame(&payloads);
        let find = |sender: &Sender| sender.clip.frames.iter().position(|sent| *sent == frame);
        let found = senders.iter().enumerate().find_map(|(at, sender)| Some((at, find(sender)?)));
        let found = found.unwrap_or_else(|| panic!("{codec:?}: a frame that nobody sent"));
        // It goes on with the next picture of its layer, or with a key frame of any.
        let goes_on = self.seen.last().is_some_and(|last| found == (last.0, last.1 + 1));
        assert!(goes_on || found.1 == 0, "{codec:?}: {:?}, then {found:?}", self.seen.last());
        let switched = self.seen.last().is_some_and(|last| found.0 != last.0);
        if codec == Codec::Vp9 {
            let id = u16::from_be_bytes([payloads[0][1] & 0x7f, payloads[0][2]]);
            // Where a clip begins again, its own ids jump.
            let next = self.picture.is_none_or(|last| id == (last + 1) & 0x7fff);
            assert!(next || !(goes_on || switched), "{id} after {:?}", self.picture);
            self.picture = Some(id);
        }
        self.seen.push(found);
    }

    fn last_are(&self, layer: usize) -> bool {
        let last = self.seen.iter().rev().take(15);
        last.len() == 15 && last.into_iter().all(|(of, _)| *of == layer)
    }
}

async fn both_layers_arrive_whole(codec: Codec) {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish = Peer::only(codec, None).await;
    ada.publish(LAYERS).await;
    let mut ben = Client::join(&world, 2).await;
    let track = video(&ben.joined);
    ben.subscribe().await;
    let mut senders = [Sender::new(codec, 180, 100), Sender::new(codec, 360, 40_000)];
    let mut receiver = Receiver::default();
    let mut pace = pace(Duration::from_millis(20));
    for (step, layer) in [0, 1, 0].into_iter().enumerate() {
        ben.tell(json!({ "type": "prefer", "id": step, "track": track, "layer": layer })).await;
        ben.frame("done").await;
        while !receiver.last_are(layer) {
            tokio::select! {
                _ = pace.tick() => for (sender, rid) in senders.iter_mut().zip(LAYERS) {
                    sender.send(&ada, rid).await;
                },
                fact = ada.publish.next() => if let Fact::KeyFrame(Some(rid)) = fact {
                    let at = LAYERS.iter().position(|layer| rid == (*layer).into()).unwrap();
                    senders[at].next = 0;
                    senders[at].asked += 1;
                },
                packet = ben.subscribe.packet() => {
                    if !packet.payload.is_empty() {
                        receiver.take(codec, &senders, &packet);
                    }
                }
            }
        }
    }
    // A key frame of each layer was asked for, and not over and over.
    for sender in &senders {
        assert!((1..=8).contains(&sender.asked), "{codec:?}: {}", sender.asked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_arrives_whole_and_is_switched_at_key_frames() {
    both_layers_arrive_whole(Codec::Vp8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vp9_arrives_whole_and_is_switched_at_key_frames() {
    both_layers_arrive_whole(Codec::Vp9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_arrives_whole_and_is_switched_at_key_frames() {
    both_layers_arrive_whole(Codec::H264).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn av1_arrives_whole_and_is_switched_at_key_frames() {
    both_layers_arrive_whole(Codec::Av1).await;
}
