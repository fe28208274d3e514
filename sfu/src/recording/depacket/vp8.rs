//! VP8 (RFC 7741).

use super::{Parts, Pictures};
use crate::room::codec::{Codec, vp8};

/// A picture of VP8.
#[derive(Debug, Default)]
pub(super) struct Vp8 {
    data: Vec<u8>,
}

impl Parts for Vp8 {
    fn add(&mut self, payload: &[u8]) -> Option<()> {
        let descriptor = vp8::descriptor_len(payload)?;
        // S, and the first partition.
        let begins = payload[0] & 0x10 != 0 && payload[0] & 0x07 == 0;
        if begins != self.data.is_empty() {
            return None;
        }
        self.data.extend_from_slice(payload.get(descriptor..)?);
        Some(())
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn finish(&mut self) -> Option<(Vec<u8>, Option<Pictures>)> {
        let data = std::mem::take(&mut self.data);
        let is_key = data.first()? & 1 == 0;
        if !is_key {
            return Some((data, None));
        }
        let (width, height) = vp8::size(&data)?;
        Some((data, Some(Pictures { codec: Codec::Vp8, width, height, private: Vec::new() })))
    }

    fn clear(&mut self) {
        self.data.clear();
    }
}
