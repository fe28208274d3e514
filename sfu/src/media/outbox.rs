//! Datagrams on their way out: one destination after the other, equal sizes in one system call.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use quinn_udp::{Transmit, UdpSocketState};

/// The most bytes of one system call; the kernel's own limit is 64 KiB.
const LARGEST: usize = 60_000;

/// What was sent since the process began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Given up because the kernel's buffer was full.
    pub(crate) dropped: u64,
}

/// Collects datagrams for one destination and sends them.
pub(crate) struct Outbox {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Whether addresses of IPv4 are written as those of IPv6.
    is_v6: bool,
    buffer: Vec<u8>,
    sizes: Vec<usize>,
    pub(crate) traffic: Traffic,
}

impl Outbox {
    pub(crate) fn new(socket: UdpSocket, state: UdpSocketState) -> Self {
        let (buffer, sizes) = (Vec::with_capacity(64 * 1024), Vec::with_capacity(64));
        let is_v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
        Self { socket, state, is_v6, buffer, sizes, traffic: Traffic::default() }
    }

    pub(crate) fn state(&self) -> (&UdpSocket, &UdpSocketState) {
        (&self.socket, &self.state)
    }

    /// Adds a datagram for the destination that is sent to next.
    pub(crate) fn push(&mut self, datagram: &[u8]) {
        self.buffer.extend_from_slice(datagram);
        self.sizes.push(datagram.len());
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Sends what waits to this destination. What the kernel does not take is dropped: it is late.
    pub(crate) fn send(&mut self, to: SocketAddr) {
        let to = self.mapped(to);
        let most = self.state.max_gso_segments().max(1);
        let (mut at, mut begin) = (0, 0);
        while at < self.sizes.len() {
            let size = self.sizes[at];
            let (mut count, mut bytes) = (1, size);
            // All are of one size but the last, which may be smaller.
            while at + count < self.sizes.len() && count < most {
                let next = self.sizes[at + count];
                if next > size || bytes + next > LARGEST {
                    break;
                }
                bytes += next;
                count += 1;
                if next < size {
                    break;
                }
            }
            let contents = &self.buffer[begin..begin + bytes];
            let segment_size = (count > 1).then_some(size);
            let transmit =
                Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
            match self.state.try_send((&self.socket).into(), &transmit) {
                Ok(()) => {
                    self.traffic.packets += count as u64;
                    self.traffic.bytes += bytes as u64;
                }
                Err(error) => {
                    self.traffic.dropped += count as u64;
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::debug!(%error, "datagrams were not sent");
                    }
                }
            }
            begin += bytes;
            at += count;
        }
        self.buffer.clear();
        self.sizes.clear();
    }

    /// Sends one datagram.
    pub(crate) fn send_one(&mut self, datagram: &[u8], to: SocketAddr) {
        debug_assert!(self.is_empty());
        self.push(datagram);
        self.send(to);
    }

    /// An address as the socket's family takes it.
    fn mapped(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(v4) if self.is_v6 => SocketAddr::new(v4.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }
}
