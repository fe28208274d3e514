//! A link that does not even bear the lowest picture gets fewer of them, without a gap in what it
//! gets and without a key frame to come back.

use std::time::Duration;

use crate::client::Client;
use crate::peer::{Fact, Packet};
use crate::relay::{Relay, Weather, media_address};
use crate::world::{World, pace};

/// A picture of VP8 in one packet, of three temporal layers as encoders send them.
fn picture(number: u64, key: bool) -> Vec<u8> {
    let layer = [0x00u8, 0x80, 0x40, 0x80][usize::try_from(number % 4).unwrap()];
    // All refer to the lowest layer only, so that one may rise at any.
    let sync = if number.is_multiple_of(4) { 0 } else { 0x20 };
    let [.., high, low] = number.to_be_bytes();
    let base = (number / 4).to_be_bytes()[7];
    let mut payload = vec![0x90, 0xe0, 0x80 | high & 0x7f, low, base, layer | sync];
    payload.extend_from_slice(if key { &[0x10] } else { &[0x11] });
    payload.extend_from_slice(&[0; 9]);
    payload.extend_from_slice(&number.to_be_bytes());
    payload.resize(700, 7);
    payload
}

/// What is in a packet: the number of the picture as it was sent, and its id as it arrived.
fn read(payload: &[u8]) -> (u64, u16) {
    let number = u64::from_be_bytes(payload[16..24].try_into().unwrap());
    (number, u16::from_be_bytes([payload[2] & 0x7f, payload[3]]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_too_slow_for_all_pictures_gets_fewer_without_a_gap() {
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let calm = Weather { lose_one_of: 0, delay: Duration::from_millis(5) };
    let link = Relay::to(sfu, calm).await;
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    let mut ben = Client::join_via(&world, 2, None, Some(link.address)).await;
    ben.subscribe().await;
    let mut pace = pace(Duration::from_millis(20));
    let (mut number, mut key, mut stage, mut asked_late) = (0u64, true, 0, 0);
    // Sequence number, picture id and number of what arrived.
    let mut seen: Vec<(u64, u16, u64)> = Vec::new();
    loop {
        assert!(number < 4000, "stage {stage}: {:?}", seen.iter().rev().take(20));
        tokio::select! {
            _ = pace.tick() => {
                number += 1;
                let key = std::mem::take(&mut key);
                let packet = Packet {
                    mid: ada.video.unwrap(),
                    rid: None,
                    number,
                    timestamp: u32::try_from(number).unwrap() * 1800,
                    marker: true,
                    level: None,
                    payload: picture(number, key),
                };
                ada.publish.send(packet).await;
            }
            fact = ada.publish.next() => if let Fact::KeyFrame(_) = fact {
                key = true;
                asked_late += u32::from(stage > 0);
            },
            packet = ben.subscribe.packet() => if packet.payload.len() > 24 {
                let (number, id) = read(&packet.payload);
                let sequence = *packet.seq_no;
                if seen.last().is_none_or(|(last, ..)| sequence > *last) {
                    seen.push((sequence, id, number));
                }
            },
        }
        let last: Vec<_> = seen.iter().rev().take(40).rev().copied().collect();
        let steps = |least: u64| {
            let close = |pair: &[(u64, u16, u64)]| {
                pair[1].0 == pair[0].0 + 1
                    && pair[1].1 == (pair[0].1 + 1) & 0x7fff
                    && pair[1].2 - pair[0].2 >= least
            };
            last.len() == 40 && last.windows(2).all(close)
        };
        match stage {
            0 if steps(1) => {
                link.bears(200_000);
                stage = 1;
            }
            1 if steps(2) => {
                link.bears(0);
                (stage, asked_late) = (2, 0);
                seen.clear();
            }
            2 if last.len() == 40 && last.windows(2).all(|pair| pair[1].2 == pair[0].2 + 1) => {
                break;
            }
            _ => {}
        }
    }
    assert_eq!(asked_late, 0, "to come back no key frame is needed");
}
