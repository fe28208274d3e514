//! Layers: switched at a key frame, without a jump in numbers, pictures or time.

use serde_json::{Value, json};
use std::time::Duration;

use crate::client::{Client, number_of, picture_id};
use crate::peer::Fact;
use crate::world::{World, pace};

const LAYERS: &[&str] = &["low", "mid", "high"];

/// The track with pictures, among those that were there.
pub(crate) fn video(joined: &Value) -> Value {
    let tracks = joined["tracks"].as_array().unwrap();
    tracks.iter().find(|track| track["kind"] == "video").unwrap()["track"].clone()
}

/// Sends all layers until the subscriber has what is waited for; key frames come when asked for.
#[tokio::test]
async fn a_subscriber_gets_the_layer_it_wants_switched_at_a_key_frame() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(LAYERS).await;
    let mut ben = Client::join(&world, 2).await;
    let track = video(&ben.joined);
    ben.subscribe().await;
    ben.tell(json!({ "type": "prefer", "id": 9, "track": track, "layer": 0 })).await;
    ben.frame("done").await;
    let mut pace = pace(Duration::from_millis(20));
    let mut wanted = [false; 3];
    let mut seen: Vec<(u64, u32, u16, u64)> = Vec::new();
    let (mut number, mut highest_asked) = (0u64, false);
    let layer_of = |number: u64| number / 10_000;
    loop {
        tokio::select! {
            _ = pace.tick() => {
                number += 1;
                for (index, layer) in LAYERS.iter().enumerate() {
                    let key = std::mem::take(&mut wanted[index]);
                    let at = index as u64 * 10_000 + number;
                    ada.send_video(Some(layer), at, key).await;
                }
            }
            fact = ada.publish.next() => {
                if let Fact::KeyFrame(Some(rid)) = fact {
                    let at = LAYERS.iter().position(|layer| rid == (*layer).into()).unwrap();
                    wanted[at] = true;
                }
            }
            packet = ben.subscribe.packet() => {
                if packet.payload.len() < 24 {
                    continue;
                }
                let number = number_of(&packet.payload);
                let time = packet.header.timestamp;
                seen.push((*packet.seq_no, time, picture_id(&packet.payload), number));
                if seen.len() == 20 && !highest_asked {
                    highest_asked = true;
                    assert!(seen.iter().all(|(.., number)| layer_of(*number) == 0));
                    ben.tell(json!({ "type": "prefer", "track": track, "layer": 2 })).await;
                }
                let high = seen.iter().filter(|(.., number)| layer_of(*number) == 2).count();
                if high == 20 {
                    break;
                }
            }
        }
    }
    for pair in seen.windows(2) {
        let ((sequence, time, picture, number), (next, next_time, next_picture, next_number)) =
            (pair[0], pair[1]);
        if next <= sequence {
            continue;
        }
        assert_eq!(next, sequence + 1, "{pair:?}");
        assert_eq!(next_picture, (picture + 1) & 0x7fff, "{pair:?}");
        let step = next_time.wrapping_sub(time);
        assert!((1..90_000).contains(&step), "{pair:?}");
        assert!(layer_of(next_number) >= layer_of(number), "{pair:?}");
    }
}

#[tokio::test]
async fn what_is_not_seen_is_not_sent() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut ben = Client::join(&world, 2).await;
    let track = video(&ben.joined);
    ben.subscribe().await;
    ben.tell(json!({ "type": "prefer", "id": 1, "track": track, "visible": false })).await;
    ben.frame("done").await;
    for number in 1..=5 {
        ada.send_video(None, number, true).await;
    }
    ada.send_audio(-40).await;
    // Sound comes, which was sent after the pictures.
    assert_eq!(ben.subscribe.packet().await.payload.len(), 8);
    ben.tell(json!({ "type": "prefer", "id": 2, "track": track, "visible": true })).await;
    ben.frame("done").await;
    ada.publish.asked_for_key_frame(None).await;
    ada.send_video(None, 6, true).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 6);
}
