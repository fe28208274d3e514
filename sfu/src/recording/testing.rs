//! What the tests of this module share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use uuid::Uuid;

use super::{About, Packet};
use crate::room::Who;
use crate::room::codec::Codec;

/// A packet of VP8 without content.
pub(super) fn packet(sequence: u64, arrived: Instant) -> Packet {
    let of = Who { user: Uuid::from_u128(1).into(), device: Uuid::from_u128(2) };
    let about = About {
        track: 1,
        of,
        source: "camera".to_owned(),
        audio: false,
        needs_key: AtomicBool::new(false),
    };
    Packet {
        about: Arc::new(about),
        codec: Codec::Vp8,
        sequence,
        timestamp: 0,
        marker: false,
        captured: None,
        arrived,
        payload: Vec::new(),
    }
}
