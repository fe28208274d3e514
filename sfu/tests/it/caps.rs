//! What a publisher may send at most.

use std::time::Duration;

use serde_json::{Value, json};
use service::tickets::Rights;

use crate::client::Client;
use crate::clips::Codec;
use crate::codecs::{Receiver, Sender};
use crate::peer::Peer;
use crate::world::{World, pace};

async fn a_high_layer_is_kept_back(codec: Codec) {
    let world = World::start_changed(None, |variables| {
        variables.insert("ROUNDTABLE_SFU_MAX_HEIGHT", "180".to_owned());
    })
    .await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish = Peer::only(codec, None).await;
    ada.publish(&["low", "high"]).await;
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe().await;
    let mut senders = [Sender::new(codec, 180, 100), Sender::new(codec, 360, 40_000)];
    let (mut receiver, mut told) = (Receiver::default(), Value::Null);
    let mut pace = pace(Duration::from_millis(20));
    while receiver.seen.len() < 40 || told.is_null() {
        tokio::select! {
            _ = pace.tick() => {
                senders[0].send(&ada, "low").await;
                senders[1].send(&ada, "high").await;
            }
            frame = ada.next_frame() => if frame["type"] == "layer_refused" {
                told = frame;
            },
            packet = ben.subscribe.packet() => if !packet.payload.is_empty() {
                receiver.take(codec, &senders, &packet);
            }
        }
    }
    // The subscriber has a link that would bear the high one.
    assert!(receiver.seen.iter().all(|(layer, _)| *layer == 0), "{codec:?}");
    assert_eq!((&told["layer"], &told["height"]), (&json!("high"), &json!(360)), "{told}");
    assert_eq!(told["max_height"], 180);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_too_high_is_kept_back_and_its_publisher_is_told() {
    for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1] {
        a_high_layer_is_kept_back(codec).await;
    }
}

#[tokio::test]
async fn in_a_call_of_voices_pictures_are_refused_and_sound_is_not() {
    let world = World::start().await;
    let rights = Rights { height: Some(0), ..Rights::PARTICIPANT };
    let mut ada = Client::join_as(&world, &world.ticket_with(1, rights, |_| {})).await;
    ada.publish(&[]).await;
    let mut ben = Client::join(&world, 2).await;
    let kinds: Vec<&Value> =
        ben.joined["tracks"].as_array().unwrap().iter().map(|track| &track["kind"]).collect();
    assert_eq!(kinds, ["audio"]);
    ben.subscribe().await;
    ada.send_audio(-20).await;
    assert_eq!(ben.subscribe.packet().await.payload.len(), 8);
}
