//! Recording: an internal subscriber of a room, and what becomes of what it gets.
//!
//! - [`tape`]: in the room, on the media thread. It chooses the best layer and hands copies of packets
//!   to a bounded queue; what does not fit is dropped and counted. Nothing there waits.
//! - [`writer`]: a thread for each recording. Packets in order ([`order`]), frames out of them
//!   ([`depacket`]), and a file for each person and source ([`take`], [`webm`]) in a folder of this node.
//! - [`desk`]: looks at the calls of this node as the log has them: who is recorded is who agreed.
//! - [`spool`]: finishes files ([`finish`]), those of a crash too, stores them, and appends the facts.

mod depacket;
mod desk;
mod ebml;
mod finish;
#[cfg(test)]
mod load_tests;
mod opus;
mod order;
mod spool;
mod store;
mod take;
mod tape;
#[cfg(test)]
mod testing;
mod webm;
mod writer;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

pub(crate) use desk::Studio;
pub(crate) use spool::Folder;
pub(crate) use tape::Tape;

use crate::room::Who;
use crate::room::codec::Codec;
use crate::room::track::TrackId;

/// A track that is recorded.
#[derive(Debug)]
struct About {
    track: TrackId,
    of: Who,
    source: String,
    audio: bool,
    /// Whether a key frame is needed to go on.
    needs_key: AtomicBool,
}

/// A packet on its way to a file.
#[derive(Debug)]
struct Packet {
    about: Arc<About>,
    codec: Codec,
    /// Goes on without a jump, whichever layer it comes from, and so does the time.
    sequence: u64,
    timestamp: u32,
    marker: bool,
    /// When it was captured, by the sender's clock (NTP, 32.32 fixed point), if that is known.
    captured: Option<u64>,
    arrived: Instant,
    payload: Vec<u8>,
}
