//! A slow link gets a lower layer, and nobody else does.

use std::collections::HashMap;
use std::time::Duration;

use crate::client::{Client, number_of};
use crate::peer::Fact;
use crate::relay::{Relay, Weather, media_address};
use crate::world::{World, pace};

const LAYERS: &[&str] = &["low", "mid", "high"];

/// Packets of each layer in 20 ms: 0.2, 0.6 and 1.6 Mbit/s of 1000 bytes, in quarters.
const QUARTERS: [u64; 3] = [2, 6, 16];

/// What the slow link bears before it is halved, in bits a second.
const LINK: u64 = 2_400_000;

/// How long a step of the media is.
const STEP_TIME: Duration = Duration::from_millis(20);

/// The number in a payload tells its layer.
const STEP: u64 = 10_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_subscriber_gets_a_lower_layer_and_rises_again() {
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let calm = Weather { lose_one_of: 0, delay: Duration::from_millis(5) };
    let slow = Relay::to(sfu, calm).await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(LAYERS).await;
    let mut ben = Client::join_via(&world, 2, None, Some(slow.address)).await;
    let mut cleo = Client::join(&world, 3).await;
    ben.subscribe().await;
    cleo.subscribe().await;

    slow.bears(LINK);
    let mut pace = pace(STEP_TIME);
    // The media's own time: it is as slow as the machine.
    // Steps of the media that have passed, when the link changed, and when Ben last had, or had
    // again, the highest layer.
    let (mut now, mut changed, mut last_high, mut high_again) = (0u32, 0, 0, None);
    let mut wanted = [true; 3];
    let mut numbers = [0u64; 3];
    let mut owed = [0u64; 3];
    // Of the last packets of each, how many were of which layer.
    let mut last: HashMap<&str, Vec<u64>> = HashMap::new();
    let mut stage = 0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
    let all_of = |last: &HashMap<&str, Vec<u64>>, who: &str, good: &dyn Fn(u64) -> bool| {
        last.get(who).is_some_and(|seen| seen.len() == 60 && seen.iter().all(|layer| good(*layer)))
    };
    loop {
        assert!(tokio::time::Instant::now() < deadline, "stage {stage}: {last:?}");
        tokio::select! {
            _ = pace.tick() => {
                now += 1;
                for (index, layer) in LAYERS.iter().enumerate() {
                    owed[index] += QUARTERS[index];
                    while owed[index] >= 4 {
                        owed[index] -= 4;
                        numbers[index] += 1;
                        let key = std::mem::take(&mut wanted[index]);
                        ada.send_large(layer, numbers[index], index as u64 * STEP, key).await;
                    }
                }
            }
            fact = ada.publish.next() => if let Fact::KeyFrame(Some(rid)) = fact {
                wanted[LAYERS.iter().position(|layer| rid == (*layer).into()).unwrap()] = true;
            },
            packet = ben.subscribe.packet() => if packet.payload.len() > 24 {
                see(&mut last, "ben", &packet.payload);
                if number_of(&packet.payload) / STEP == 2 {
                    last_high = now;
                    high_again = high_again.or((stage == 2).then_some(now));
                }
            },
            packet = cleo.subscribe.packet() => see(&mut last, "cleo", &packet.payload),
        }
        match stage {
            // Both rise to the highest.
            0 if all_of(&last, "ben", &|l| l == 2) && all_of(&last, "cleo", &|l| l == 2) => {
                slow.bears(LINK / 2);
                last.clear();
                changed = now;
                stage = 1;
            }
            // The slow one falls, the other does not.
            1 if all_of(&last, "ben", &|l| l < 2) && all_of(&last, "cleo", &|l| l == 2) => {
                let fell = STEP_TIME * (last_high - changed);
                eprintln!("fell after {fell:?}");
                assert!(fell < Duration::from_secs(2), "{fell:?}");
                slow.bears(LINK);
                (changed, stage) = (now, 2);
            }
            2 if all_of(&last, "ben", &|l| l == 2) => {
                let rose = STEP_TIME * (high_again.unwrap() - changed);
                eprintln!("rose after {rose:?}");
                assert!(rose < Duration::from_secs(10), "{rose:?}");
                break;
            }
            _ => {}
        }
    }
    // Frames that were told earlier come first.
    while cleo.frame("stats").await["available"].as_u64().unwrap() < 1_600_000 {}
}

fn see(last: &mut HashMap<&'static str, Vec<u64>>, who: &'static str, payload: &[u8]) {
    if payload.len() > 24 {
        let seen = last.entry(who).or_default();
        if seen.len() == 60 {
            seen.remove(0);
        }
        seen.push(number_of(payload) / STEP);
    }
}
