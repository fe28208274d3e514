//! WHIP and WHEP: one request to begin, and media flows.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::StatusCode;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};

use crate::client::{Client, number_of, picture};
use crate::peer::{Fact, Packet, Peer};
use crate::world::{World, pace};

async fn post(world: &World, kind: &str, person: u128, offer: String) -> reqwest::Response {
    let url = format!("http://{}/v1/{kind}/{}", world.address, world.call);
    let request = reqwest::Client::new().post(url).bearer_auth(world.ticket(person));
    request.header("content-type", "application/sdp").body(offer).send().await.unwrap()
}

/// Somebody who receives by WHEP, in so many sections of each kind.
async fn view(world: &World, person: u128, sections: usize) -> Peer {
    let mut viewer = Peer::new(None).await;
    let (offer, pending) = viewer
        .with(move |rtc| {
            let mut change = rtc.sdp_api();
            for kind in [MediaKind::Audio, MediaKind::Video] {
                for _ in 0..sections {
                    change.add_media(kind, Direction::RecvOnly, None, None, None);
                }
            }
            let (offer, pending) = change.apply().unwrap();
            (offer.to_sdp_string(), pending)
        })
        .await;
    let answer = post(world, "whep", person, offer).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let answer = SdpAnswer::from_sdp_string(&answer.text().await.unwrap()).unwrap();
    viewer.with(move |rtc| rtc.sdp_api().accept_answer(pending, answer).unwrap()).await;
    viewer.connected().await;
    viewer
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

    let mut viewer = view(&world, 2, 1).await;
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
async fn a_viewer_gets_a_camera_in_layers_and_one_in_a_single_layer() {
    const LAYERS: &[&str] = &["low", "high"];
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(LAYERS).await;
    let mut ben = Client::join(&world, 2).await;
    ben.publish(&[]).await;
    let mut viewer = view(&world, 3, 2).await;
    let mut pace = pace(Duration::from_millis(20));
    let (mut wanted, mut number) = ([true; 3], 0);
    let mut seen: HashMap<_, usize> = HashMap::new();
    while seen.len() < 2 || seen.values().any(|pictures| *pictures < 20) {
        tokio::select! {
            _ = pace.tick() => {
                number += 1;
                for (index, layer) in LAYERS.iter().enumerate() {
                    let key = std::mem::take(&mut wanted[index]);
                    ada.send_video(Some(layer), number, key).await;
                }
                let key = std::mem::take(&mut wanted[2]);
                ben.send_video(None, number, key).await;
            }
            fact = ada.publish.next() => {
                if let Fact::KeyFrame(Some(rid)) = fact {
                    let at = LAYERS.iter().position(|layer| rid == (*layer).into()).unwrap();
                    wanted[at] = true;
                }
            }
            fact = ben.publish.next() => {
                if let Fact::KeyFrame(_) = fact {
                    wanted[2] = true;
                }
            }
            packet = viewer.packet() => {
                *seen.entry(packet.header.ssrc).or_default() += 1;
            }
        }
    }
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
