//! H.264 (RFC 6184): single units, STAP-A and FU-A, into units with their length before each.

use super::{Parts, Pictures};
use crate::room::codec::{Codec, h264};

const IDR: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// A picture of H.264.
#[derive(Debug, Default)]
pub(super) struct H264 {
    data: Vec<u8>,
    /// A unit that comes in pieces.
    piece: Option<Vec<u8>>,
    is_key: bool,
    /// The parameter sets that came last.
    sps: Vec<u8>,
    pps: Vec<u8>,
}

impl H264 {
    fn unit(&mut self, unit: &[u8]) -> Option<()> {
        match unit.first()? & 0x1f {
            IDR => self.is_key = true,
            SPS => self.sps = unit.to_vec(),
            PPS => self.pps = unit.to_vec(),
            DELIMITER => return Some(()),
            _ => {}
        }
        self.data.extend_from_slice(&u32::try_from(unit.len()).ok()?.to_be_bytes());
        self.data.extend_from_slice(unit);
        Some(())
    }

    fn aggregate(&mut self, mut rest: &[u8]) -> Option<()> {
        while !rest.is_empty() {
            let (len, units) = rest.split_at_checked(2)?;
            let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
            let (unit, others) = units.split_at_checked(len)?;
            self.unit(unit)?;
            rest = others;
        }
        Some(())
    }

    fn fragment(&mut self, payload: &[u8]) -> Option<()> {
        let (&[indicator, header], rest) = payload.split_first_chunk::<2>()?;
        if header & 0x80 != 0 {
            self.piece = Some(vec![indicator & 0xe0 | header & 0x1f]);
        }
        let piece = self.piece.as_mut()?;
        piece.extend_from_slice(rest);
        if header & 0x40 != 0 {
            let unit = self.piece.take()?;
            self.unit(&unit)?;
        }
        Some(())
    }

    /// How a decoder is set up (ISO/IEC 14496-15).
    fn pictures(&self) -> Option<Pictures> {
        let (width, height) = h264::size(&self.sps)?;
        let set = |out: &mut Vec<u8>, set: &[u8]| {
            out.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
            out.extend_from_slice(set);
            Some(())
        };
        let mut private = vec![1];
        private.extend_from_slice(self.sps.get(1..4)?);
        private.extend_from_slice(&[0xff, 0xe1]);
        set(&mut private, &self.sps)?;
        private.push(1);
        set(&mut private, &self.pps)?;
        Some(Pictures { codec: Codec::H264, width, height, private })
    }
}

impl Parts for H264 {
    fn add(&mut self, payload: &[u8]) -> Option<()> {
        let kind = payload.first()? & 0x1f;
        if self.piece.is_some() && kind != FU_A {
            return None;
        }
        match kind {
            STAP_A => self.aggregate(&payload[1..]),
            FU_A => self.fragment(payload),
            1..STAP_A => self.unit(payload),
            _ => None,
        }
    }

    fn len(&self) -> usize {
        self.data.len() + self.piece.as_ref().map_or(0, Vec::len)
    }

    fn finish(&mut self) -> Option<(Vec<u8>, Option<Pictures>)> {
        let (data, is_key) = (std::mem::take(&mut self.data), std::mem::take(&mut self.is_key));
        if self.piece.take().is_some() || data.is_empty() {
            return None;
        }
        let key = if is_key { Some(self.pictures()?) } else { None };
        Some((data, key))
    }

    fn clear(&mut self) {
        self.data.clear();
        (self.piece, self.is_key) = (None, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 320 by 180, constrained baseline, as x264 writes it.
    const SET: [u8; 23] = [
        0x67, 0x42, 0xc0, 0x0c, 0xda, 0x05, 0x06, 0x7e, 0x7c, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00,
        0x40, 0x00, 0x00, 0x0c, 0xa3, 0xc5, 0x0a, 0xa8,
    ];

    #[test]
    fn pieces_and_aggregates_become_units_with_their_length() {
        let mut h264 = H264::default();
        let mut aggregate = vec![STAP_A, 0, 23];
        aggregate.extend_from_slice(&SET);
        aggregate.extend_from_slice(&[0, 2, 0x68, 0xce]);
        h264.add(&aggregate).unwrap();
        h264.add(&[0x7c, 0x80 | IDR, 1, 2]).unwrap();
        h264.add(&[0x7c, 0x40 | IDR, 3]).unwrap();
        let (data, key) = h264.finish().unwrap();
        assert_eq!(data[data.len() - 8..], [0, 0, 0, 4, 0x65, 1, 2, 3]);
        let key = key.unwrap();
        assert_eq!((key.width, key.height), (320, 180));
        assert_eq!(key.private[..6], [1, 0x42, 0xc0, 0x0c, 0xff, 0xe1]);
        // Without its end, and without its begin.
        h264.add(&[0x7c, 0x80 | 1, 1, 2]).unwrap();
        assert!(h264.finish().is_none());
        assert!(h264.add(&[0x7c, 0x40 | 1, 1, 2]).is_none());
        h264.add(&[0x41, 9]).unwrap();
        assert_eq!(h264.finish().unwrap().0, [0, 0, 0, 2, 0x41, 9]);
    }
}
