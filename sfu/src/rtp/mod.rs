//! RTP packets (RFC 3550) as bytes: read without copying, written straight into a batch buffer.

pub(crate) mod nack;
pub(crate) mod rtcp;
pub(crate) mod sequence;
pub(crate) mod twcc;

use std::ops::Range;

/// The fixed part of a header.
pub(crate) const FIXED: usize = 12;

const ONE_BYTE: u16 = 0xbede;
const TWO_BYTE: u16 = 0x1000;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    /// Whether padding follows the payload; its last byte says how much.
    pub(crate) padding: bool,
    /// The form of the extensions and where they are.
    extensions: Option<(u16, Range<usize>)>,
    /// How long the header is: where the payload begins.
    pub(crate) len: usize,
}

impl Header {
    /// Reads the header of a packet; `None` if it is no RTP.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let &[first, second, ..] = packet else { return None };
        if first >> 6 != 2 || packet.len() < FIXED {
            return None;
        }
        let mut len = FIXED + 4 * usize::from(first & 0x0f);
        let mut extensions = None;
        if first & 0x10 != 0 {
            let form = be16(packet, len)?;
            let words = usize::from(be16(packet, len + 2)?);
            let range = len + 4..len + 4 + 4 * words;
            len = range.end;
            extensions = Some((form, range));
        }
        (len <= packet.len()).then_some(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: be16(packet, 2)?,
            timestamp: be32(packet, 4)?,
            ssrc: be32(packet, 8)?,
            padding: first & 0x20 != 0,
            extensions,
            len,
        })
    }

    /// The extensions of a packet with this header (RFC 8285).
    pub(crate) fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        let (form, bytes) = match &self.extensions {
            Some((form, range)) => (*form, packet.get(range.clone()).unwrap_or_default()),
            None => (ONE_BYTE, &[][..]),
        };
        Extensions { form, bytes }
    }

    /// The payload of a decrypted packet with this header, without its padding.
    pub(crate) fn payload<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let payload = packet.get(self.len..)?;
        if !self.padding {
            return Some(payload);
        }
        let padding = usize::from(*payload.last()?);
        (padding > 0).then(|| payload.get(..payload.len().checked_sub(padding)?)).flatten()
    }
}

/// Header extensions, one after the other.
pub(crate) struct Extensions<'a> {
    form: u16,
    bytes: &'a [u8],
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (&first, rest) = self.bytes.split_first()?;
            if first == 0 {
                self.bytes = rest;
                continue;
            }
            let (id, len, rest) = if self.form == ONE_BYTE {
                // 15 is reserved and ends the list.
                if first >> 4 == 15 {
                    return None;
                }
                (first >> 4, usize::from(first & 0x0f) + 1, rest)
            } else if self.form & 0xfff0 == TWO_BYTE {
                let (&len, rest) = rest.split_first()?;
                (first, usize::from(len), rest)
            } else {
                return None;
            };
            let value = rest.get(..len)?;
            self.bytes = &rest[len..];
            return Some((id, value));
        }
    }
}

/// What is written into a header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

/// Appends a header with extensions and returns its length. Each value has an id from 1 to 14 and
/// 1 to 255 bytes; only where one has more than 16 the form with two bytes is taken.
pub(crate) fn write_header(
    out: &mut Vec<u8>,
    header: Outgoing,
    extensions: &[(u8, &[u8])],
) -> usize {
    let begin = out.len();
    let extended = !extensions.is_empty();
    out.push(if extended { 0x90 } else { 0x80 });
    out.push(header.payload_type | if header.marker { 0x80 } else { 0 });
    out.extend_from_slice(&header.sequence.to_be_bytes());
    out.extend_from_slice(&header.timestamp.to_be_bytes());
    out.extend_from_slice(&header.ssrc.to_be_bytes());
    if extended {
        let long = extensions.iter().any(|(_, value)| value.len() > 16);
        out.extend_from_slice(&if long { TWO_BYTE } else { ONE_BYTE }.to_be_bytes());
        let words = out.len();
        out.extend_from_slice(&[0, 0]);
        for (id, value) in extensions {
            let len = u8::try_from(value.len()).expect("an extension has at most 255 bytes");
            match long {
                true => out.extend_from_slice(&[*id, len]),
                false => out.push(id << 4 | (len - 1)),
            }
            out.extend_from_slice(value);
        }
        while !(out.len() - words - 2).is_multiple_of(4) {
            out.push(0);
        }
        let count = u16::try_from((out.len() - words - 2) / 4).expect("a few words fit");
        out[words..words + 2].copy_from_slice(&count.to_be_bytes());
    }
    out.len() - begin
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outgoing() -> Outgoing {
        Outgoing { marker: true, payload_type: 96, sequence: 65_535, timestamp: 7, ssrc: 9 }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut packet = vec![1, 2, 3];
        let len = write_header(&mut packet, outgoing(), &[(3, &[1, 2]), (4, b"mid")]);
        packet.extend_from_slice(b"payload");
        let packet = &packet[3..];
        let header = Header::read(packet).unwrap();
        assert_eq!(header.len, len);
        assert_eq!((header.sequence, header.timestamp, header.ssrc), (65_535, 7, 9));
        assert!(header.marker && header.payload_type == 96);
        let found: Vec<_> = header.extensions(packet).collect();
        assert_eq!(found, [(3, &[1, 2][..]), (4, b"mid")]);
        assert_eq!(header.payload(packet), Some(&b"payload"[..]));
    }

    #[test]
    fn a_long_extension_takes_the_other_form() {
        let (mut packet, long) = (Vec::new(), [7; 40]);
        let len = write_header(&mut packet, outgoing(), &[(3, &[1, 2]), (12, &long)]);
        packet.extend_from_slice(b"payload");
        let header = Header::read(&packet).unwrap();
        assert_eq!(header.len, len);
        let found: Vec<_> = header.extensions(&packet).collect();
        assert_eq!(found, [(3, &[1, 2][..]), (12, &long[..])]);
    }

    #[test]
    fn padding_is_no_payload_and_wrong_padding_no_packet() {
        let mut packet = Vec::new();
        write_header(&mut packet, outgoing(), &[]);
        packet[0] |= 0x20;
        packet.extend_from_slice(&[5, 0, 0, 3]);
        assert_eq!(Header::read(&packet).unwrap().payload(&packet), Some(&[5][..]));
        for wrong in [0, 9] {
            *packet.last_mut().unwrap() = wrong;
            assert_eq!(Header::read(&packet).unwrap().payload(&packet), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(header) = Header::read(&bytes) {
                prop_assert!(header.len <= bytes.len());
                prop_assert!(header.extensions(&bytes).count() <= bytes.len());
                let _ = header.payload(&bytes);
            }
        }
    }
}
