//! What is lost on the way is sent again, and not much more than that.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::client::{Client, number_of};
use crate::relay::{Relay, Weather, media_address};
use crate::world::World;

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
