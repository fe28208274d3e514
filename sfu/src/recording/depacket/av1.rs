//! AV1 (the RTP payload format of the Alliance for Open Media): units (OBUs) out of elements, each
//! with its size.

use super::{Parts, Pictures};
use crate::room::codec::Codec;
use crate::room::codec::av1::{Sequence, leb128};

const SEQUENCE: u8 = 1;
const DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// A picture of AV1: a temporal unit.
#[derive(Debug, Default)]
pub(super) struct Av1 {
    data: Vec<u8>,
    /// A unit that goes on in the next packet.
    piece: Option<Vec<u8>>,
    key: Option<Pictures>,
    /// A sequence header that cannot be read: the picture is of no use.
    unread: bool,
}

impl Av1 {
    fn unit(&mut self, unit: &[u8]) -> Option<()> {
        let first = *unit.first()?;
        let kind = first >> 3 & 15;
        if matches!(kind, DELIMITER | TILE_LIST | PADDING) {
            return Some(());
        }
        let extended = first & 0x04 != 0;
        let mut content = unit.get(1 + usize::from(extended)..)?;
        if first & 0x02 != 0 {
            let (size, len) = leb128(content)?;
            content = content.get(len..)?.get(..size)?;
        }
        let begin = self.data.len();
        self.data.push(first | 0x02);
        if extended {
            self.data.push(unit[1]);
        }
        write_leb128(&mut self.data, content.len());
        self.data.extend_from_slice(content);
        if kind == SEQUENCE {
            self.key = pictures(content, &self.data[begin..]);
            self.unread |= self.key.is_none();
        }
        Some(())
    }
}

impl Parts for Av1 {
    fn add(&mut self, payload: &[u8]) -> Option<()> {
        let (&header, mut rest) = payload.split_first()?;
        let (continues, goes_on) = (header & 0x80 != 0, header & 0x40 != 0);
        let count = usize::from(header >> 4 & 3);
        if continues != self.piece.is_some() {
            return None;
        }
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            // Of so many elements the last one has no length.
            let element = if number == count {
                std::mem::take(&mut rest)
            } else {
                let (size, len) = leb128(rest)?;
                let (element, others) = rest.get(len..)?.split_at_checked(size)?;
                rest = others;
                element
            };
            let mut whole = self.piece.take().unwrap_or_default();
            whole.extend_from_slice(element);
            if rest.is_empty() && goes_on {
                self.piece = Some(whole);
            } else if !whole.is_empty() {
                self.unit(&whole)?;
            }
        }
        Some(())
    }

    fn len(&self) -> usize {
        self.data.len() + self.piece.as_ref().map_or(0, Vec::len)
    }

    fn finish(&mut self) -> Option<(Vec<u8>, Option<Pictures>)> {
        let Self { data, piece, key, unread } = std::mem::take(self);
        (piece.is_none() && !data.is_empty() && !unread).then_some((data, key))
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn write_leb128(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// What a sequence header tells, and how a decoder is set up by it.
fn pictures(content: &[u8], unit: &[u8]) -> Option<Pictures> {
    let Sequence { profile, level, width, height } = Sequence::read(content)?;
    let low = u8::try_from(profile << 5 | level).ok()?;
    // Eight bits and 4:2:0, as browsers send it; decoders go by the sequence header that follows.
    let mut private = vec![0x81, low, 0x0c, 0];
    private.extend_from_slice(unit);
    Some(Pictures { codec: Codec::Av1, width, height, private })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_put_together_across_packets_and_get_their_size() {
        let mut av1 = Av1::default();
        // A delimiter, and the begin of a frame, which goes on.
        av1.add(&[0x60, 2, 0x12, 0, 0x30, 1, 2]).unwrap();
        av1.add(&[0xd0, 3, 4]).unwrap();
        av1.add(&[0x90, 5]).unwrap();
        let (data, key) = av1.finish().unwrap();
        assert_eq!(data, [0x32, 5, 1, 2, 3, 4, 5]);
        assert!(key.is_none());
        assert!(av1.add(&[0x90, 5]).is_none(), "what it continues is missing");
    }

    #[test]
    fn lengths_are_read_as_they_are_written() {
        for value in [0, 1, 127, 128, 300, 70_000] {
            let mut out = Vec::new();
            write_leb128(&mut out, value);
            assert_eq!(leb128(&out), Some((value, out.len())));
        }
    }
}
