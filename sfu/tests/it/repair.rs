//! What is lost on the way is sent again, and not much more than that.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::client::{Client, number_of};
use crate::relay::{Relay, Weather, media_address};
use crate::world::{World, pace};

#[tokio::test]
async fn two_percent_loss_both_ways_freezes_nothing_and_costs_little() {
    nothing_is_lost(50).await;
}

#[tokio::test]
async fn five_percent_loss_both_ways_loses_nothing_and_costs_little() {
    nothing_is_lost(20).await;
}

/// Pictures of one packet, 250 a second, of which one of so many is lost in each direction.
async fn nothing_is_lost(one_of: u64) {
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let weather = Weather { lose_one_of: one_of, delay: Duration::from_millis(10) };
    let (up, down) = (Relay::to(sfu, weather).await, Relay::to(sfu, weather).await);
    let mut ada = Client::join_via(&world, 1, Some(up.address), None).await;
    ada.publish(&[]).await;
    let mut ben = Client::join_via(&world, 2, None, Some(down.address)).await;
    ben.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    const COUNT: u64 = 1500;
    let said = AtomicU64::new(0);
    let sending = async {
        let mut pace = pace(Duration::from_millis(4));
        // The media's own time: it is as slow as the machine.
        for number in 1..=COUNT {
            pace.tick().await;
            ada.send_video(None, number, number == 1).await;
            said.store(number, Ordering::Relaxed);
        }
        // The last ones are missed only when something follows.
        up.calm();
        down.calm();
        for number in COUNT + 1..=COUNT + 50 {
            pace.tick().await;
            ada.send_video(None, number, false).await;
        }
    };
    let (mut got, mut next, mut behind) = (BTreeSet::new(), 1, 0);
    let receiving = async {
        while next <= COUNT {
            let packet = ben.subscribe.packet().await;
            if packet.payload.len() > 24 {
                got.insert(number_of(&packet.payload));
            }
            while got.contains(&next) {
                next += 1;
            }
            behind = behind.max(said.load(Ordering::Relaxed).saturating_sub(next));
        }
    };
    tokio::join!(sending, receiving);
    let passed = down.passed.load(Ordering::Relaxed);
    assert!(passed < COUNT * 12 / 10, "{passed} packets for {COUNT}");
    // What can be shown is never a second behind what was sent.
    assert!(behind < 250, "{behind} pictures behind");
    eprintln!("one of {one_of} lost: {passed} packets for {COUNT}, at most {behind} behind");
}
