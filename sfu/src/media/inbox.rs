//! Datagrams on their way in: a batch in one system call.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::{BATCH_SIZE, RecvMeta};

use crate::media::outbox::Outbox;

/// The memory that datagrams are received into.
pub(crate) struct Inbox {
    buffers: Vec<Vec<u8>>,
    meta: Vec<RecvMeta>,
}

impl Inbox {
    pub(crate) fn new(segments: usize) -> Self {
        let size = (segments * 1500).clamp(2048, 65_535);
        Self {
            buffers: vec![vec![0; size]; BATCH_SIZE],
            meta: vec![RecvMeta::default(); BATCH_SIZE],
        }
    }

    /// Receives a batch; `None` if there is nothing.
    pub(crate) fn receive(&mut self, out: &Outbox) -> Option<usize> {
        let (socket, state) = out.state();
        let mut slices: Vec<IoSliceMut<'_>> =
            self.buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        match state.recv(socket.into(), &mut slices, &mut self.meta) {
            Ok(count) => Some(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                // An ICMP error of an earlier datagram, for example.
                tracing::debug!(%error, "receiving failed once");
                Some(0)
            }
        }
    }

    /// The datagrams of a batch: the kernel may have joined those of one sender.
    pub(crate) fn datagrams(&self, count: usize) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.buffers.iter().zip(&self.meta).take(count).flat_map(|(buffer, meta)| {
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            let stride = meta.stride.max(1);
            buffer[..meta.len].chunks(stride).map(move |datagram| (from, datagram))
        })
    }
}
