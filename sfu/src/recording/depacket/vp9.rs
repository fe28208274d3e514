//! VP9 (RFC 9628).

use super::bits::Bits;
use super::{Parts, Pictures};
use crate::room::codec::Codec;

/// A picture of VP9: one frame for each spatial layer.
#[derive(Debug, Default)]
pub(super) struct Vp9 {
    data: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    /// Whether a frame is open.
    open: bool,
}

/// The descriptor before a payload.
struct Descriptor {
    begins: bool,
    ends: bool,
    len: usize,
}

impl Descriptor {
    fn read(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let has = |bit: u8| first & bit != 0;
        let (picture, predicted, layers, flexible) = (has(0x80), has(0x40), has(0x20), has(0x10));
        let mut at = 1;
        if picture {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        if layers {
            // The index of the base layer follows, where references are not listed.
            at += if flexible { 1 } else { 2 };
        }
        if flexible && predicted {
            // Up to three references, each with a bit that says whether another one follows.
            for _ in 0..3 {
                let more = payload.get(at)? & 1 != 0;
                at += 1;
                if !more {
                    break;
                }
            }
        }
        if has(0x02) {
            at = Self::structure(payload, at)?;
        }
        Some(Self { begins: has(0x08), ends: has(0x04), len: at })
    }

    /// Passes over the structure of the layers.
    fn structure(payload: &[u8], mut at: usize) -> Option<usize> {
        let first = *payload.get(at)?;
        at += 1;
        if first & 0x10 != 0 {
            at += 4 * (usize::from(first >> 5) + 1);
        }
        if first & 0x08 != 0 {
            let pictures = *payload.get(at)?;
            at += 1;
            for _ in 0..pictures {
                at += 1 + usize::from(payload.get(at)? >> 2 & 3);
            }
        }
        Some(at)
    }
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

/// The size of a key frame, which its header tells; `None` if it is none.
fn size(frame: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(frame);
    if bits.read(2)? != 2 {
        return None;
    }
    let profile = u32::from(bits.flag()?) | u32::from(bits.flag()?) << 1;
    if profile == 3 {
        bits.skip(1);
    }
    // It shows one that is there already, or is no key frame.
    if bits.flag()? || bits.flag()? {
        return None;
    }
    bits.skip(2);
    if bits.read(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.skip(1);
    }
    let is_rgb = bits.read(3)? == 7;
    match (is_rgb, profile & 1) {
        (false, 0) => bits.skip(1),
        (false, _) => bits.skip(4),
        (true, 0) => {}
        (true, _) => bits.skip(1),
    }
    Some((bits.read(16)? + 1, bits.read(16)? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_every_form_are_passed_over() {
        for (payload, len) in [
            (&[0x0c][..], 1),
            (&[0x8c, 0x92, 0x34], 3),
            (&[0x8c, 0x12], 2),
            (&[0xac, 0x92, 0x34, 0x20, 7], 5),
            // Flexible, with two references.
            (&[0xdc, 0x12, 3, 4], 4),
            // One layer with its size, and one picture in its group with one reference.
            (&[0x8e, 0x12, 0x18, 1, 64, 0, 180, 1, 0x04, 1], 10),
        ] {
            let longer = [payload, &[9, 9]].concat();
            let read = Descriptor::read(&longer).unwrap();
            assert_eq!((read.len, read.begins, read.ends), (len, true, true), "{payload:?}");
        }
    }

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
