//! What is lost on the way is sent again, and not much more than that.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::client::{Client, number_of};
use crate::relay::{Relay, Weather};
use crate::world::World;

/// Where media of the SFU goes: the address in an offer or answer.
async fn media_address(world: &World) -> std::net::SocketAddr {
    let mut probe = Client::join(world, 99).await;
    let (offer, ..) = probe.publish.offer(&[]).await;
    probe.tell(serde_json::json!({ "type": "publish", "sdp": offer })).await;
    let answer = probe.frame("published").await;
    let sdp = answer["sdp"].as_str().unwrap();
    let line = sdp.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let address = format!("{}:{}", words[4], words[5]).parse().unwrap();
    probe.tell(serde_json::json!({ "type": "leave" })).await;
    address
}

#[tokio::test]
async fn five_percent_loss_both_ways_loses_nothing_and_costs_little() {
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let weather = Weather { lose_one_of: 20, delay: Duration::from_millis(10) };
    let (up, down) = (Relay::to(sfu, weather).await, Relay::to(sfu, weather).await);
    let mut ada = Client::join_via(&world, 1, Some(up.address), None).await;
    ada.publish(&[]).await;
    let mut ben = Client::join_via(&world, 2, None, Some(down.address)).await;
    ben.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    const COUNT: u64 = 1500;
    let sending = async {
        let mut pace = tokio::time::interval(Duration::from_millis(4));
        for number in 1..=COUNT {
            pace.tick().await;
            ada.send_video(None, number, number == 1).await;
        }
        // The last ones are missed only when something follows.
        up.calm();
        down.calm();
        for number in COUNT + 1..=COUNT + 50 {
            pace.tick().await;
            ada.send_video(None, number, false).await;
        }
    };
    let mut got = BTreeSet::new();
    let receiving = async {
        while !(1..=COUNT).all(|number| got.contains(&number)) {
            let packet = ben.subscribe.packet().await;
            if packet.payload.len() > 24 {
                got.insert(number_of(&packet.payload));
            }
        }
    };
    tokio::join!(sending, receiving);
    let passed = down.passed.load(Ordering::Relaxed);
    assert!(passed < COUNT * 12 / 10, "{passed} packets for {COUNT}");
}
