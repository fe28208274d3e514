//! VP9 (RFC 9628).

use super::{Parts, Pictures};
use crate::room::codec::Codec;
use crate::room::codec::vp9::{Descriptor, size};

/// A picture of VP9: one frame for each spatial layer.
#[derive(Debug, Default)]
pub(super) struct Vp9 {
    data: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    /// Whether a frame is open.
    open: bool,
}

impl Parts for Vp9 {
    fn add(&mut self, payload: &[u8]) -> Option<()> {
        let descriptor = Descriptor::read(payload)?;
        if descriptor.begins == self.open {
            return None;
        }
        self.data.extend_from_slice(payload.get(descriptor.len..)?);
        self.open = !descriptor.ends;
        if descriptor.ends {
            self.ends.push(self.data.len());
        }
        Some(())
    }

    fn len(&self) -> usize {
        self.data.len()
    }

    fn finish(&mut self) -> Option<(Vec<u8>, Option<Pictures>)> {
        let whole = !std::mem::take(&mut self.open);
        let (mut data, ends) = (std::mem::take(&mut self.data), std::mem::take(&mut self.ends));
        if !whole || ends.is_empty() {
            return None;
        }
        let key = size(&data).map(|(width, height)| Pictures {
            codec: Codec::Vp9,
            width,
            height,
            private: Vec::new(),
        });
        if ends.len() > 1 {
            join(&mut data, &ends)?;
        }
        Some((data, key))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Makes one frame of several: a superframe, with an index at its end (annex B of the bitstream's
/// specification).
fn join(data: &mut Vec<u8>, ends: &[usize]) -> Option<()> {
    let frames = u8::try_from(ends.len() - 1).ok().filter(|last| *last < 8)?;
    let mark = 0b1100_0000 | 3 << 3 | frames;
    let mut begin = 0;
    data.push(mark);
    for end in ends {
        let size = u32::try_from(end - begin).ok()?;
        data.extend_from_slice(&size.to_le_bytes());
        begin = *end;
    }
    data.push(mark);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_a_picture_are_one_superframe() {
        let mut vp9 = Vp9::default();
        vp9.add(&[0x08, 1, 2]).unwrap();
        assert!(vp9.add(&[0x08, 1]).is_none(), "the first frame is not over");
        vp9.clear();
        for payload in [&[0x08, 1, 2][..], &[0x04, 3], &[0x0c, 4, 5]] {
            vp9.add(payload).unwrap();
        }
        let (data, key) = vp9.finish().unwrap();
        assert!(key.is_none());
        assert_eq!(data, [1, 2, 3, 4, 5, 0xd9, 3, 0, 0, 0, 2, 0, 0, 0, 0xd9]);
    }
}
