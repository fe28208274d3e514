//! AV1 in RTP: what the aggregation header and a sequence header tell without a descriptor.

use super::bits::Bits;
use super::{Key, Look, Place};

const SEQUENCE_HEADER: u8 = 1;

pub(super) fn look(payload: &[u8]) -> Option<Look> {
    let first = *payload.first()?;
    // N: the first packet of a coded video sequence; Z: it goes on with a unit of the one before.
    let is_key = first & 0x88 == 0x08;
    Some(Look {
        key: if is_key { Key::Begins } else { Key::No },
        height: if is_key { height(first >> 4 & 3, &payload[1..]) } else { None },
        numbers: None,
        place: Place::default(),
    })
}

/// The height in the sequence header, which is in one of the first elements.
fn height(count: u8, mut rest: &[u8]) -> Option<u16> {
    for index in 1..=3 {
        // The last of a told number of elements has no length.
        let element = if count == index {
            std::mem::take(&mut rest)
        } else {
            let (size, len) = leb128(rest)?;
            let (element, others) = rest.get(len..)?.split_at_checked(size)?;
            rest = others;
            element
        };
        let header = *element.first()?;
        if header >> 3 & 15 == SEQUENCE_HEADER {
            let mut unit = element.get(if header & 4 != 0 { 2 } else { 1 }..)?;
            if header & 2 != 0 {
                unit = unit.get(leb128(unit)?.1..)?;
            }
            let Sequence { width, height, .. } = Sequence::read(unit)?;
            return super::lines((width, height));
        }
    }
    None
}

/// A number in groups of seven bits, four at the most, and how many bytes it takes (`leb128()`).
pub(crate) fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// What a sequence header tells (AV1, section 5.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) profile: u32,
    /// Of the first operating point.
    pub(crate) level: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Sequence {
    /// Reads the content of a unit (OBU): what comes after its header and size.
    pub(crate) fn read(content: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(content);
        let profile = bits.take(3)?;
        bits.skip(1)?;
        let level = if bits.flag()? { bits.take(5)? } else { operating_points(&mut bits)? };
        let (width, height) = (bits.take(4)? + 1, bits.take(4)? + 1);
        let (width, height) = (bits.take(width)? + 1, bits.take(height)? + 1);
        Some(Self { profile, level, width, height })
    }
}

/// Passes over the timing and the operating points. Returns the level of the first of them.
fn operating_points(bits: &mut Bits<'_>) -> Option<u32> {
    let mut model = None;
    if bits.flag()? {
        bits.skip(64)?;
        if bits.flag()? {
            bits.golomb()?;
        }
        if bits.flag()? {
            model = Some(bits.take(5)? as usize + 1);
            bits.skip(42)?;
        }
    }
    let delays = bits.flag()?;
    let mut first = None;
    for _ in 0..=bits.take(5)? {
        bits.skip(12)?;
        let level = bits.take(5)?;
        if level > 7 {
            bits.skip(1)?;
        }
        if let Some(len) = model
            && bits.flag()?
        {
            bits.skip(2 * len + 1)?;
        }
        if delays && bits.flag()? {
            bits.skip(4)?;
        }
        first = first.or(Some(level));
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence header that libaom wrote for 640x360.
    const SEQUENCE: [u8; 15] =
        [0x0a, 0x0d, 0x20, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x36, 0xbe, 0x48, 0x08, 0x68, 0x01];

    #[test]
    fn a_key_frame_is_known_and_its_height() {
        let mut whole = vec![0x18];
        whole.extend_from_slice(&SEQUENCE);
        assert_eq!(look(&whole).unwrap().key, Key::Begins);
        assert_eq!(look(&whole).unwrap().height, Some(360));
        let mut two = vec![0x28, 15];
        two.extend_from_slice(&SEQUENCE);
        two.extend_from_slice(&[0x32, 1, 2]);
        assert_eq!(look(&two).unwrap().key, Key::Begins);
        assert_eq!(look(&two).unwrap().height, Some(360));
        assert_eq!(look(&[0x10, 1]).unwrap().key, Key::No);
        assert_eq!(look(&[0x98, 1]).unwrap().key, Key::No, "it goes on with a unit");
    }
}
