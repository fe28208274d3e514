//! A UDP relay between one client and the SFU that loses and delays what passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

/// What a relay does to datagrams of media; the handshake passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// One of so many is lost; none with 0.
    pub(crate) lose_one_of: u64,
    pub(crate) delay: Duration,
}

/// A relay.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    /// Datagrams of media towards the client, lost ones included.
    pub(crate) passed: Arc<AtomicU64>,
    lose: Arc<AtomicU64>,
    /// Bits a second towards the client; no limit with 0.
    bears: Arc<AtomicU64>,
    outside: Arc<UdpSocket>,
    sfu: SocketAddr,
}

impl Relay {
    /// A relay whose client speaks to the SFU at this address.
    pub(crate) async fn to(sfu: SocketAddr, weather: Weather) -> Self {
        let inside = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let outside = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = inside.local_addr().unwrap();
        let passed = Arc::new(AtomicU64::new(0));
        let lose = Arc::new(AtomicU64::new(weather.lose_one_of));
        let bears = Arc::new(AtomicU64::new(0));
        let client = Arc::new(std::sync::Mutex::new(None::<SocketAddr>));
        tokio::spawn({
            let (inside, outside, client) = (inside.clone(), outside.clone(), client.clone());
            let lose = lose.clone();
            async move {
                let (mut buffer, mut count) = (vec![0; 2000], 0u64);
                loop {
                    let (len, from) = inside.recv_from(&mut buffer).await.unwrap();
                    *client.lock().unwrap() = Some(from);
                    if is_lost(&buffer[..len], &mut count, lose.load(Ordering::Relaxed)) {
                        continue;
                    }
                    later(weather.delay, outside.clone(), buffer[..len].to_vec(), sfu).await;
                }
            }
        });
        tokio::spawn({
            let (passed, lose, bears) = (passed.clone(), lose.clone(), bears.clone());
            let outside = outside.clone();
            async move {
                let (mut buffer, mut count) = (vec![0; 2000], 0u64);
                let mut free = Instant::now();
                loop {
                    let (len, _) = outside.recv_from(&mut buffer).await.unwrap();
                    let Some(to) = *client.lock().unwrap() else { continue };
                    if is_media(&buffer[..len]) {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                    if is_lost(&buffer[..len], &mut count, lose.load(Ordering::Relaxed)) {
                        continue;
                    }
                    let (now, bits) = (Instant::now(), bears.load(Ordering::Relaxed));
                    let mut delay = weather.delay;
                    if bits > 0 {
                        // A queue of a third of a second before a slow link.
                        let begin = free.max(now);
                        if begin - now > Duration::from_millis(300) {
                            continue;
                        }
                        free = begin + Duration::from_secs_f64(len as f64 * 8.0 / bits as f64);
                        delay += free - now;
                    }
                    later(delay, inside.clone(), buffer[..len].to_vec(), to).await;
                }
            }
        });
        Self { address, passed, lose, bears, outside, sfu }
    }

    /// From now on nothing is lost.
    pub(crate) fn calm(&self) {
        self.lose.store(0, Ordering::Relaxed);
    }
}

impl Relay {
    /// From now on so many bits a second pass towards the client; all with 0.
    pub(crate) fn bears(&self, bits: u64) {
        self.bears.store(bits, Ordering::Relaxed);
    }

    /// Sends something to the SFU that seems to come from the client.
    pub(crate) async fn inject(&self, datagram: &[u8]) {
        self.outside.send_to(datagram, self.sfu).await.unwrap();
    }
}

/// Where media of the SFU goes: the address in an offer or answer.
pub(crate) async fn media_address(world: &crate::world::World) -> std::net::SocketAddr {
    let mut probe = crate::client::Client::join(world, 99).await;
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

/// RTP, and data channels.
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if !(192..=223).contains(second))
        || matches!(datagram, [23, ..])
}

fn is_lost(datagram: &[u8], count: &mut u64, one_of: u64) -> bool {
    if one_of == 0 || !is_media(datagram) {
        return false;
    }
    *count += 1;
    // Not each at the same distance: a fixed step would meet the same packet each time.
    let mixed = count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    mixed.is_multiple_of(one_of)
}

async fn later(delay: Duration, socket: Arc<UdpSocket>, datagram: Vec<u8>, to: SocketAddr) {
    if delay.is_zero() {
        socket.send_to(&datagram, to).await.unwrap();
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        drop(socket.send_to(&datagram, to).await);
    });
}
