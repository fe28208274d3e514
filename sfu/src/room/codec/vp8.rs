//! The VP8 payload descriptor (RFC 7741, section 4.2).

use super::{Key, Look, Numbers, Place};

/// What a descriptor says: the numbers, the temporal layer and whether it can be begun with, and
/// how long the descriptor is.
fn descriptor(payload: &[u8]) -> Option<(Numbers, u8, bool, usize)> {
    let first = *payload.first()?;
    let mut numbers = Numbers { dense: true, ..Numbers::default() };
    let (mut temporal, mut sync) = (0, false);
    let mut at = 1;
    if first & 0x80 != 0 {
        let flags = *payload.get(at)?;
        at += 1;
        if flags & 0x80 != 0 {
            numbers.read_picture(payload, &mut at)?;
        }
        if flags & 0x40 != 0 {
            numbers.base = Some((*payload.get(at)?, at));
            at += 1;
        }
        if flags & 0x30 != 0 {
            let layer = *payload.get(at)?;
            at += 1;
            if flags & 0x20 != 0 {
                (temporal, sync) = (layer >> 6, layer & 0x20 != 0);
            }
        }
    }
    Some((numbers, temporal, sync, at))
}

/// How long the descriptor is: where the picture begins.
pub(crate) fn descriptor_len(payload: &[u8]) -> Option<usize> {
    descriptor(payload).map(|(.., len)| len)
}

pub(super) fn look(payload: &[u8]) -> Option<Look> {
    let first = *payload.first()?;
    let (numbers, temporal, sync, at) = descriptor(payload)?;
    let frame = payload.get(at..)?;
    let begins = first & 0x10 != 0 && first & 0x07 == 0;
    let is_key = begins && frame.first()? & 1 == 0;
    let place = Place { begins, ..Place::of_temporal(temporal, sync) };
    Some(Look {
        key: if is_key { Key::Begins } else { Key::No },
        height: if is_key { size(frame).and_then(super::lines) } else { None },
        numbers: Some(numbers),
        place,
    })
}

/// Width and height in the header of a key frame (RFC 6386, section 9.1).
pub(crate) fn size(frame: &[u8]) -> Option<(u32, u32)> {
    let &[_, _, _, 0x9d, 0x01, 0x2a, a, b, c, d, ..] = frame else { return None };
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((side(a, b), side(c, d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_is_known_and_its_height() {
        let key = [0x90, 0xe0, 0x92, 0x34, 7, 0, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1];
        let found = look(&key).unwrap();
        assert_eq!((found.key, found.height), (Key::Begins, Some(360)));
        let numbers = found.numbers.unwrap();
        assert_eq!((numbers.picture.unwrap().0, numbers.base.unwrap().0), (0x1234, 7));
        let mut copy = key;
        numbers.renumber(&mut copy, 0x7fff, 9);
        let again = look(&copy).unwrap().numbers.unwrap();
        assert_eq!((again.picture.unwrap().0, again.base.unwrap().0), (0x7fff, 9));
        let delta = [0x90, 0xe0, 0x92, 0x34, 7, 0, 0x11];
        assert_eq!(look(&delta).unwrap().key, Key::No);
        let inside = [0x80, 0x80, 5, 0x10];
        assert_eq!(look(&inside).unwrap().key, Key::No);
    }

    #[test]
    fn the_temporal_layer_is_known() {
        let second = look(&[0x90, 0xe0, 0x92, 0x34, 7, 0x60, 0x11]).unwrap().place;
        assert_eq!((second.part.temporal, second.alone), (1, true));
        let third = look(&[0x90, 0xe0, 0x92, 0x34, 7, 0x80, 0x11]).unwrap().place;
        assert_eq!((third.part.temporal, third.alone), (2, false));
    }
}
