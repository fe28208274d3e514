//! WHIP and WHEP: one request to begin, and media flows.

use reqwest::StatusCode;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};

use crate::client::number_of;
use crate::client::picture;
use crate::peer::{Packet, Peer};
use crate::world::World;

async fn post(world: &World, kind: &str, person: u128, offer: String) -> reqwest::Response {
    let url = format!("http://{}/v1/{kind}/{}", world.address, world.call);
    let request = reqwest::Client::new().post(url).bearer_auth(world.ticket(person));
    request.header("content-type", "application/sdp").body(offer).send().await.unwrap()
}

#[tokio::test]
async fn what_comes_by_whip_goes_by_whep() {
    let world = World::start().await;
    let mut sender = Peer::new(None).await;
    let (offer, pending, _, video) = sender.offer(&[]).await;
    let answer = post(&world, "whip", 1, offer).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["content-type"], "application/sdp");
    let session = answer.headers()["location"].to_str().unwrap().to_owned();
    sender.accept(pending, &answer.text().await.unwrap()).await;
    sender.connected().await;

    let mut viewer = Peer::new(None).await;
    let (offer, pending) = viewer
        .with(|rtc| {
            let mut change = rtc.sdp_api();
            change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
            change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
            let (offer, pending) = change.apply().unwrap();
            (offer.to_sdp_string(), pending)
        })
        .await;
    let answer = post(&world, "whep", 2, offer).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let text = answer.text().await.unwrap();
    let answer = SdpAnswer::from_sdp_string(&text).unwrap();
    viewer.with(move |rtc| rtc.sdp_api().accept_answer(pending, answer).unwrap()).await;
    viewer.connected().await;
    sender.asked_for_key_frame(None).await;
    for number in 1..=20 {
        let payload = picture(number, number == 1, 100);
        let packet = Packet {
            mid: video,
            rid: None,
            number,
            timestamp: u32::try_from(number).unwrap() * 3000,
            marker: true,
            level: None,
            payload,
        };
        sender.send(packet).await;
    }
    for number in 1..=20 {
        assert_eq!(number_of(&viewer.packet().await.payload), number);
    }
    let url = format!("http://{}{session}", world.address);
    let client = reqwest::Client::new();
    let patch = client.patch(&url).header("content-type", "application/trickle-ice-sdpfrag");
    let patched = patch.body("a=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n").send().await.unwrap();
    assert_eq!(patched.status(), StatusCode::NO_CONTENT);
    assert_eq!(client.delete(&url).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(client.delete(&url).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whip_refuses_what_it_must() {
    let world = World::start().await;
    let peer = Peer::new(None).await;
    let (offer, ..) = peer.offer(&[]).await;
    let url = format!("http://{}/v1/whip/{}", world.address, world.call);
    let client = reqwest::Client::new();
    let sdp = |request: reqwest::RequestBuilder| request.header("content-type", "application/sdp");
    let without = sdp(client.post(&url)).body(offer.clone()).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
    let plain = client.post(&url).bearer_auth(world.ticket(1)).body(offer.clone());
    assert_eq!(plain.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let other =
        format!("http://{}/v1/whip/{}", world.address, uuid::Uuid::from_u128(rand::random()));
    let other = sdp(client.post(other)).bearer_auth(world.ticket(1)).body(offer);
    assert_eq!(other.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(post(&world, "whip", 1, "nonsense".to_owned()).await.status().as_u16(), 422);
}
