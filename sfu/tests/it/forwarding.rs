//! What one sends, the others receive: every packet, decrypted, in order.

use serde_json::json;

use crate::client::{Client, number_of};
use crate::world::{World, pace};

#[tokio::test]
async fn two_subscribers_receive_every_packet_in_order() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let (mut ben, mut cleo) = (Client::join(&world, 2).await, Client::join(&world, 3).await);
    assert_eq!(ben.joined["tracks"].as_array().unwrap().len(), 2);
    ben.subscribe().await;
    cleo.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    // At a pace at which no buffer of a socket overflows: sound that is lost is not repaired.
    let mut pace = pace(std::time::Duration::from_millis(2));
    for number in 1..=300 {
        pace.tick().await;
        ada.send_video(None, number, number == 1).await;
        ada.send_audio(-30).await;
    }
    for client in [&mut ben, &mut cleo] {
        let (mut pictures, mut sounds) = (Vec::new(), 0u64);
        while pictures.len() < 300 || sounds < 300 {
            let packet = client.subscribe.packet().await;
            if packet.payload.len() == 8 {
                sounds += 1;
                assert_eq!(packet.payload[..], sounds.to_be_bytes());
                assert_eq!(packet.header.ext_vals.audio_level, Some(-30));
            } else {
                pictures.push((*packet.seq_no, number_of(&packet.payload)));
            }
        }
        let (first, _) = pictures[0];
        let expected: Vec<_> = (0..300).map(|at| (first + at, at + 1)).collect();
        assert_eq!(pictures, expected);
    }
}

#[tokio::test]
async fn who_joins_late_gets_a_key_frame_and_nothing_before_it() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    ada.send_video(None, 1, true).await;
    ada.send_video(None, 2, false).await;
    let mut late = Client::join(&world, 2).await;
    late.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    ada.send_video(None, 3, false).await;
    ada.send_video(None, 4, true).await;
    ada.send_video(None, 5, false).await;
    assert_eq!(number_of(&late.subscribe.packet().await.payload), 4);
    assert_eq!(number_of(&late.subscribe.packet().await.payload), 5);
}

#[tokio::test]
async fn a_track_that_begins_later_is_offered_and_everybody_is_told_of_everybody() {
    let world = World::start().await;
    let (mut ada, mut ben) = (Client::join(&world, 1).await, Client::join(&world, 2).await);
    let came = ada.frame("participant_joined").await;
    assert_eq!(came["participant"], ben.joined["participant"]);
    ada.publish(&[]).await;
    for _ in 0..2 {
        let began = ben.frame("track_began").await;
        assert_eq!(began["participant"], ada.joined["participant"]);
    }
    ben.publish(&[]).await;
    let offer = ben.subscribe().await;
    assert_eq!(offer["sections"].as_array().unwrap().len(), 2);
    ada.subscribe().await;
    let mut cleo = Client::join(&world, 3).await;
    cleo.publish(&[]).await;
    let offer = ada.take_offer().await;
    assert_eq!(offer["sections"].as_array().unwrap().len(), 4);
    ada.publish.asked_for_key_frame(None).await;
    ada.send_video(None, 1, true).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 1);
    cleo.tell(json!({ "type": "leave" })).await;
    let left = ada.frame("participant_left").await;
    assert_eq!(left["participant"], cleo.joined["participant"]);
}

#[tokio::test]
async fn what_is_muted_is_not_forwarded_and_goes_on_with_a_key_frame() {
    let world = World::start().await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut ben = Client::join(&world, 2).await;
    ben.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    ada.send_video(None, 1, true).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 1);
    let tracks = ben.joined["tracks"].as_array().unwrap();
    let video = tracks.iter().find(|track| track["kind"] == "video").unwrap();
    let track = video["track"].clone();
    ada.tell(json!({ "type": "mute", "id": 5, "track": track, "muted": true })).await;
    ada.frame("done").await;
    let told = ben.frame("track_muted").await;
    assert_eq!((told["track"].clone(), told["muted"].clone()), (track.clone(), json!(true)));
    ada.send_video(None, 2, false).await;
    // Sound on the same path says that the picture before it was taken, too.
    ada.send_audio(-30).await;
    assert_eq!(ben.subscribe.packet().await.payload.len(), 8);
    ada.tell(json!({ "type": "mute", "id": 6, "track": track, "muted": false })).await;
    ada.publish.asked_for_key_frame(None).await;
    ada.send_video(None, 3, true).await;
    assert_eq!(number_of(&ben.subscribe.packet().await.payload), 3);
    // A track of somebody else is not theirs to mute.
    ben.tell(json!({ "type": "mute", "id": 7, "track": track, "muted": true })).await;
    loop {
        let frame = ben.next_frame().await;
        if frame["type"] == "error" {
            assert_eq!(frame["problem"], "no-such-track");
            break;
        }
    }
}

#[tokio::test]
async fn who_is_loud_is_the_speaker() {
    let world = World::start().await;
    let (mut ada, mut ben) = (Client::join(&world, 1).await, Client::join(&world, 2).await);
    ada.publish(&[]).await;
    ben.publish(&[]).await;
    let mut pause = pace(std::time::Duration::from_millis(20));
    let speaker = async {
        let mut cleo = Client::join(&world, 3).await;
        cleo.frame("speaker").await
    };
    tokio::pin!(speaker);
    let told = loop {
        tokio::select! {
            told = &mut speaker => break told,
            _ = pause.tick() => {
                ada.send_audio(-90).await;
                ben.send_audio(-20).await;
            }
        }
    };
    assert_eq!(told["participant"], ben.joined["participant"]);
}
