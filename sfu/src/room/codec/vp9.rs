//! The VP9 payload descriptor (RFC 9628, section 4.2), and the size in the header of a key frame.

use super::bits::Bits;
use super::{Key, Look, Numbers, Place};

/// What a descriptor says.
pub(crate) struct Descriptor {
    /// Whether a frame, which is of one spatial layer, begins and ends here.
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    /// How long it is: where the frame is.
    pub(crate) len: usize,
    predicted: bool,
    numbers: Numbers,
    temporal: u8,
    spatial: u8,
    up: bool,
    /// The height of the highest layer, if it is said.
    height: Option<u16>,
}

impl Descriptor {
    /// Reads it; `None` if it is cut off.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let has = |flag: u8| first & flag != 0;
        let (predicted, flexible) = (has(0x40), has(0x10));
        let mut numbers = Numbers::default();
        let (mut temporal, mut spatial, mut up) = (0, 0, false);
        let mut at = 1;
        if has(0x80) {
            numbers.read_picture(payload, &mut at)?;
        }
        if has(0x20) {
            let layer = *payload.get(at)?;
            at += 1;
            (temporal, up, spatial) = (layer >> 5, layer & 0x10 != 0, layer >> 1 & 7);
            if !flexible {
                numbers.base = Some((*payload.get(at)?, at));
                at += 1;
            }
        }
        if flexible && predicted {
            // At most three pictures before are named.
            for _ in 0..3 {
                let more = payload.get(at)? & 1;
                at += 1;
                if more == 0 {
                    break;
                }
            }
        }
        let height = if has(0x02) { structure(payload, &mut at)? } else { None };
        let (begins, ends, len) = (has(0x08), has(0x04), at);
        Some(Self { begins, ends, len, predicted, numbers, temporal, spatial, up, height })
    }
}

pub(super) fn look(payload: &[u8]) -> Option<Look> {
    let descriptor = Descriptor::read(payload)?;
    let Descriptor { begins, ends, predicted, spatial, .. } = descriptor;
    let frame = payload.get(descriptor.len..)?;
    // There are packetizers that never say of a picture that it is predicted.
    let is_key = !predicted && begins && spatial == 0 && !is_delta(frame);
    let height = if is_key {
        descriptor.height.or_else(|| size(frame).and_then(super::lines))
    } else {
        None
    };
    let place = Place::of_layers(spatial, descriptor.temporal, descriptor.up);
    Some(Look {
        key: if is_key { Key::Begins } else { Key::No },
        height,
        numbers: Some(descriptor.numbers),
        place: Place { begins, ends, ..place },
    })
}

/// The scalability structure: the height of the highest layer, if it says it.
fn structure(payload: &[u8], at: &mut usize) -> Option<Option<u16>> {
    let first = *payload.get(*at)?;
    *at += 1;
    let mut height = None;
    if first & 0x10 != 0 {
        for _ in 0..=first >> 5 {
            height = Some(u16::from_be_bytes([*payload.get(*at + 2)?, *payload.get(*at + 3)?]));
            *at += 4;
        }
    }
    if first & 0x08 != 0 {
        let count = *payload.get(*at)?;
        *at += 1;
        for _ in 0..count {
            *at += 1 + usize::from(*payload.get(*at)? >> 2 & 3);
        }
    }
    Some(height)
}

/// Whether the uncompressed header says that this is no key frame.
fn is_delta(frame: &[u8]) -> bool {
    // The marker, a profile below 3, and either an earlier frame that is shown again or the type.
    frame
        .first()
        .is_some_and(|first| first & 0xc0 == 0x80 && first & 0x30 != 0x30 && first & 0x0c != 0)
}

/// Width and height in the uncompressed header of a key frame (VP9 bitstream, section 6.2); `None` if
/// it is none.
pub(crate) fn size(frame: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(frame);
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let (shows_existing, is_delta) = (bits.flag()?, bits.flag()?);
    bits.skip(2)?;
    if shows_existing || is_delta || bits.take(24)? != 0x49_8342 {
        return None;
    }
    if profile >= 2 {
        bits.skip(1)?;
    }
    let rgb = bits.take(3)? == 7;
    bits.skip(match (rgb, profile & 1 == 1) {
        (false, false) => 1,
        (false, true) => 4,
        (true, true) => 1,
        (true, false) => 0,
    })?;
    Some((bits.take(16)? + 1, bits.take(16)? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a key frame of 640x360, profile 0.
    pub(crate) const KEY: [u8; 9] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x70];

    #[test]
    fn a_key_frame_is_known_and_its_height() {
        let mut payload = vec![0x88, 0x81, 0x02];
        payload.extend_from_slice(&KEY);
        let found = look(&payload).unwrap();
        assert_eq!((found.key, found.height), (Key::Begins, Some(360)));
        assert_eq!(found.numbers.unwrap().picture.unwrap().0, 0x0102);
        assert_eq!(look(&[0x88, 0x81, 0x02, 0x86]).unwrap().key, Key::No, "by its own header");
        assert_eq!(look(&[0xc8, 1]).unwrap().key, Key::No, "predicted");
        assert_eq!(look(&[0xa8, 1, 2, 3]).unwrap().key, Key::No, "a higher spatial layer");
        assert_eq!(look(&[0x80, 1]).unwrap().key, Key::No, "the middle of one");
    }

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
    fn layers_and_the_structure_are_read() {
        // Two spatial layers with sizes, and a group of two pictures.
        let structure = [0x38, 1, 64, 0, 180, 2, 128, 1, 104, 2, 0x10, 0x34, 1];
        let mut payload = vec![0xaa, 0x81, 0x02, 0x10, 0x09];
        payload.extend_from_slice(&structure);
        payload.push(0);
        let found = look(&payload).unwrap();
        assert_eq!((found.key, found.height), (Key::Begins, Some(360)));
        assert_eq!(found.numbers.unwrap().base.unwrap().0, 9);
        let upper = look(&[0xec, 0x81, 0x02, 0x53, 0x09, 0]).unwrap();
        assert_eq!((upper.place.part.spatial, upper.place.part.temporal), (1, 2));
        assert!(upper.place.ends && upper.place.begins);
        // References of the flexible mode are passed over.
        let flexible = look(&[0xd8, 0x81, 0x02, 0x03, 0x05, 0x08, 0]).unwrap();
        assert_eq!(flexible.key, Key::No);
    }
}
