//! Garbage, floods and forgeries: nobody is disturbed.

use rand::{Rng, RngCore};
use tokio::net::UdpSocket;

use crate::client::{Client, number_of};
use crate::relay::{Relay, Weather, media_address};
use crate::world::World;

/// A datagram that begins as one of STUN, DTLS, RTP or RTCP does, and goes on anyhow.
fn garbage() -> Vec<u8> {
    let mut random = rand::rng();
    let mut datagram = vec![0; random.random_range(1..1300)];
    random.fill_bytes(&mut datagram);
    datagram[0] =
        *[0u8, 1, 20, 22, 23, 128, 144, 176, 191, 255][..].get(random.random_range(0..10)).unwrap();
    if datagram.len() > 20 && datagram[0] < 2 {
        let len = u16::try_from(datagram.len() - 20).unwrap();
        datagram[1] = 1;
        datagram[2..4].copy_from_slice(&len.to_be_bytes());
        datagram[4..8].copy_from_slice(&0x2112_a442u32.to_be_bytes());
    }
    if datagram.len() > 2 && random.random() && datagram[0] >= 128 {
        datagram[1] = random.random_range(192..224);
    }
    if datagram.len() > 13 && (20..64).contains(&datagram[0]) {
        datagram[1..3].copy_from_slice(&[254, 253]);
    }
    datagram
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_from_strangers_and_in_the_clients_name_disturbs_nobody() {
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let calm = Weather { lose_one_of: 0, delay: std::time::Duration::ZERO };
    let (up, down) = (Relay::to(sfu, calm).await, Relay::to(sfu, calm).await);
    let mut ada = Client::join_via(&world, 1, Some(up.address), None).await;
    ada.publish(&[]).await;
    let mut ben = Client::join_via(&world, 2, None, Some(down.address)).await;
    ben.subscribe().await;
    ada.publish.asked_for_key_frame(None).await;
    let strangers: Vec<UdpSocket> = futures::future::join_all(
        (0..20).map(|_| async { UdpSocket::bind("127.0.0.1:0").await.unwrap() }),
    )
    .await;
    for number in 1..=200u64 {
        for _ in 0..10 {
            let stranger = &strangers[usize::try_from(number % 20).unwrap()];
            stranger.send_to(&garbage(), sfu).await.unwrap();
            // Alerts and handshakes of DTLS in the client's name included.
            up.inject(&garbage()).await;
            down.inject(&garbage()).await;
        }
        ada.send_video(None, number, number == 1).await;
        assert_eq!(number_of(&ben.subscribe.packet().await.payload), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_in_the_middle_of_garbage_succeeds() {
    let world = World::start().await;
    let sfu = media_address(&world).await;
    let noise = tokio::spawn(async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        loop {
            for _ in 0..20 {
                socket.send_to(&garbage(), sfu).await.unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    let mut ada = Client::join(&world, 1).await;
    ada.publish(&[]).await;
    noise.abort();
}
