//! A client of the signalling, with a peer connection for each direction.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::media::{Mid, Rid};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::peer::{PATIENCE, Packet, Peer};
use crate::world::World;

/// A socket of the signalling.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Somebody in a call.
pub(crate) struct Client {
    socket: Socket,
    /// What was told at the beginning.
    pub(crate) joined: Value,
    pub(crate) publish: Peer,
    pub(crate) subscribe: Peer,
    pub(crate) audio: Option<Mid>,
    pub(crate) video: Option<Mid>,
    sent: u64,
}

pub(crate) async fn socket(world: &World) -> Socket {
    let mut request = format!("ws://{}/v1/sfu", world.address).into_client_request().unwrap();
    let protocol = "roundtable.sfu.v1".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    connect_async(request).await.unwrap().0
}

impl Client {
    pub(crate) async fn join(world: &World, person: u128) -> Self {
        Self::join_via(world, person, None, None).await
    }

    /// Joins with a ticket.
    pub(crate) async fn join_as(world: &World, ticket: &str) -> Self {
        Self::begin(world, ticket, None, None).await
    }

    /// Joins with relays between it and the SFU: one for each direction.
    pub(crate) async fn join_via(
        world: &World,
        person: u128,
        publish: Option<SocketAddr>,
        subscribe: Option<SocketAddr>,
    ) -> Self {
        Self::begin(world, &world.ticket(person), publish, subscribe).await
    }

    async fn begin(
        world: &World,
        ticket: &str,
        publish: Option<SocketAddr>,
        subscribe: Option<SocketAddr>,
    ) -> Self {
        let socket = socket(world).await;
        let (publish, subscribe) = (Peer::new(publish).await, Peer::new(subscribe).await);
        let (joined, audio, video) = (Value::Null, None, None);
        let mut client = Self { socket, joined, publish, subscribe, audio, video, sent: 0 };
        client.tell(json!({ "type": "join", "ticket": ticket })).await;
        client.joined = client.frame("joined").await;
        client
    }

    /// Comes back with another socket; the connections stay. Returns the old socket.
    pub(crate) async fn reconnect(&mut self, world: &World, person: u128) -> Socket {
        let old = std::mem::replace(&mut self.socket, socket(world).await);
        let ticket = world.ticket(person);
        self.tell(json!({ "type": "join", "ticket": ticket, "resume": true })).await;
        self.joined = self.frame("joined").await;
        old
    }

    /// The last frame of a socket, once it has ended.
    pub(crate) async fn farewell(socket: &mut Socket) -> Value {
        let mut last = Value::Null;
        while let Some(Ok(message)) = timeout(PATIENCE, socket.next()).await.expect("it goes on") {
            if let Message::Text(text) = message {
                last = serde_json::from_str(&text).unwrap();
            }
        }
        last
    }

    /// Sends one large packet of a layer: `offset` and its number are in the payload.
    pub(crate) async fn send_large(&mut self, rid: &str, number: u64, offset: u64, key: bool) {
        let (mid, rid) = (self.video.unwrap(), Some(Rid::from(rid)));
        let mut payload = picture(number, key, 1000);
        payload[16..24].copy_from_slice(&(offset + number).to_be_bytes());
        let timestamp = u32::try_from(number).unwrap().wrapping_mul(900);
        let packet = Packet { mid, rid, number, timestamp, marker: true, level: None, payload };
        self.publish.send(packet).await;
    }

    pub(crate) async fn tell(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn next_frame(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.socket.next()).await.expect("no frame came");
            match message.expect("the socket ended").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The next frame of a type; others are passed over.
    pub(crate) async fn frame(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next_frame().await;
            if frame["type"] == kind {
                return frame;
            }
            assert_ne!(frame["type"], "error", "{frame}");
        }
    }

    /// Begins to send.
    pub(crate) async fn publish(&mut self, layers: &'static [&'static str]) {
        let (offer, pending, audio, video) = self.publish.offer(layers).await;
        (self.audio, self.video) = (Some(audio), Some(video));
        self.tell(json!({ "type": "publish", "sdp": offer })).await;
        let answer = self.frame("published").await;
        self.publish.accept(pending, answer["sdp"].as_str().unwrap()).await;
        self.publish.connected().await;
    }

    /// Restarts ICE of the connection that sends.
    pub(crate) async fn restart_publishing(&mut self) {
        let (offer, pending) = self
            .publish
            .with(|rtc| {
                let mut change = rtc.sdp_api();
                change.ice_restart(true);
                let (offer, pending) = change.apply().unwrap();
                (offer.to_sdp_string(), pending)
            })
            .await;
        self.tell(json!({ "type": "publish", "sdp": offer })).await;
        let answer = self.frame("published").await;
        self.publish.accept(pending, answer["sdp"].as_str().unwrap()).await;
    }

    /// Begins to receive what is there.
    pub(crate) async fn subscribe(&mut self) -> Value {
        self.tell(json!({ "type": "subscribe" })).await;
        let offer = self.take_offer().await;
        self.subscribe.connected().await;
        offer
    }

    /// Begins to send on data channels alone.
    pub(crate) async fn open(&mut self, channels: Vec<ChannelConfig>) -> Vec<ChannelId> {
        let (offer, pending, all) = self.publish.offer_channels(channels).await;
        self.tell(json!({ "type": "publish", "sdp": offer })).await;
        let answer = self.frame("published").await;
        self.publish.accept(pending, answer["sdp"].as_str().unwrap()).await;
        for _ in &all {
            self.publish.opened().await;
        }
        all
    }

    /// Begins to receive what is there, and data channels.
    pub(crate) async fn subscribe_to_data(&mut self) {
        self.tell(json!({ "type": "subscribe", "data": true })).await;
        self.take_offer().await;
        self.subscribe.connected().await;
    }

    /// Answers the next offer.
    pub(crate) async fn take_offer(&mut self) -> Value {
        let offer = self.frame("offer").await;
        self.answer(&offer).await;
        offer
    }

    /// Answers an offer.
    pub(crate) async fn answer(&mut self, offer: &Value) {
        let answer = self.subscribe.answer(offer["sdp"].as_str().unwrap()).await;
        self.tell(json!({ "type": "answer", "id": 1, "serial": offer["serial"], "sdp": answer }))
            .await;
        self.frame("done").await;
    }

    /// Sends one packet of VP8: its number is in the payload.
    pub(crate) async fn send_video(&mut self, rid: Option<&str>, number: u64, key: bool) {
        let rid: Option<Rid> = rid.map(Rid::from);
        let mid = self.video.unwrap();
        let payload = picture(number, key, 200);
        let timestamp = u32::try_from(number).unwrap().wrapping_mul(3000);
        let packet = Packet { mid, rid, number, timestamp, marker: true, level: None, payload };
        self.publish.send(packet).await;
    }

    /// Sends one packet of sound, so many decibels below the loudest.
    pub(crate) async fn send_audio(&mut self, level: i8) {
        self.sent += 1;
        let (mid, number) = (self.audio.unwrap(), self.sent);
        let timestamp = u32::try_from(number).unwrap().wrapping_mul(960);
        let payload = number.to_be_bytes().to_vec();
        let level = Some(level);
        let packet = Packet { mid, rid: None, number, timestamp, marker: false, level, payload };
        self.publish.send(packet).await;
    }
}

/// A payload of VP8 with a picture id, a base layer index and a number.
pub(crate) fn picture(number: u64, key: bool, size: usize) -> Vec<u8> {
    let [.., high, low] = number.to_be_bytes();
    let mut payload = vec![0x90, 0xe0, 0x80 | high & 0x7f, low, low, 0x20];
    // The frame header: a key frame has a start code and a size.
    payload.extend_from_slice(if key {
        &[0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0]
    } else {
        &[0x11; 10]
    });
    payload.extend_from_slice(&number.to_be_bytes());
    payload.resize(size, 7);
    payload
}

/// The number in a payload of [`picture`].
pub(crate) fn number_of(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[16..24].try_into().unwrap())
}

/// The picture id of a payload.
pub(crate) fn picture_id(payload: &[u8]) -> u16 {
    u16::from_be_bytes([payload[2] & 0x7f, payload[3]])
}
