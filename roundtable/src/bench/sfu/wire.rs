//! The socket of a peer of the load.
//!
//! It takes what was sent to it in one piece in one piece (`UDP_GRO`), as a network card does that
//! divides datagrams itself (`tx-udp-segmentation`). On the loopback the kernel would otherwise divide and
//! deliver each datagram in the sender's system call, and the receivers' share would be counted as
//! the processor time of the server that is measured.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::{io::Interest, net::UdpSocket};

/// Pieces that are taken in one system call.
const PIECES: usize = 4;

/// The largest piece.
const PIECE: usize = 65_535;

/// What was received.
pub(super) struct Taken {
    memory: Vec<u8>,
    meta: [RecvMeta; PIECES],
    count: usize,
}

impl Taken {
    pub(super) fn new() -> Self {
        Self { memory: vec![0; PIECES * PIECE], meta: [RecvMeta::default(); PIECES], count: 0 }
    }

    /// The datagrams, each with who sent it.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let pieces = self.memory.chunks(PIECE).zip(&self.meta).take(self.count);
        pieces.flat_map(|(piece, meta)| {
            piece[..meta.len].chunks(meta.stride.max(1)).map(|datagram| (meta.addr, datagram))
        })
    }
}

/// A socket.
pub(super) struct Wire {
    socket: UdpSocket,
    state: UdpSocketState,
    pub(super) local: SocketAddr,
}

impl Wire {
    pub(super) async fn bind(address: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, 0)).await?;
        let (state, local) = (UdpSocketState::new((&socket).into())?, socket.local_addr()?);
        Ok(Self { socket, state, local })
    }

    pub(super) async fn send(&self, contents: &[u8], destination: SocketAddr) -> io::Result<()> {
        let transmit =
            Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        let send = || self.state.try_send((&self.socket).into(), &transmit);
        self.socket.async_io(Interest::WRITABLE, send).await
    }

    /// Waits for datagrams.
    pub(super) async fn ready(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes what is there.
    pub(super) fn take(&self, taken: &mut Taken) -> io::Result<()> {
        let mut slices = taken.memory.chunks_mut(PIECE).map(IoSliceMut::new).collect::<Vec<_>>();
        let receive = || self.state.recv((&self.socket).into(), &mut slices, &mut taken.meta);
        taken.count = match self.socket.try_io(Interest::READABLE, receive) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        Ok(())
    }
}
