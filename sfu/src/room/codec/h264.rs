//! H.264 in RTP (RFC 6184): where a key frame begins, and how high its picture is.

use super::bits::Bits;
use super::{Key, Look, Place};

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// The longest parameter set that is read.
const LONGEST: usize = 512;

pub(super) fn look(payload: &[u8]) -> Option<Look> {
    let first = *payload.first()?;
    let mut found = Look { key: Key::No, height: None, numbers: None, place: Place::default() };
    let mut unit = |bytes: &[u8]| match bytes.first().map(|first| first & 0x1f) {
        Some(SPS) => {
            found.key = Key::Begins;
            found.height = size(bytes).and_then(super::lines).or(found.height);
        }
        Some(IDR) if found.key == Key::No => found.key = Key::IfFirst,
        _ => {}
    };
    match first & 0x1f {
        STAP_A => {
            let mut rest = &payload[1..];
            while let Some((len, units)) = rest.split_at_checked(2) {
                let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
                unit(units.get(..len).unwrap_or(units));
                rest = units.get(len..).unwrap_or_default();
            }
        }
        // The first piece of a unit; its kind is in the second byte.
        FU_A if payload.get(1)? & 0x80 != 0 => unit(&payload[1..]),
        FU_A => {}
        _ => unit(payload),
    }
    Some(found)
}

/// Width and height in a sequence parameter set (H.264, section 7.3.2.1.1).
pub(crate) fn size(unit: &[u8]) -> Option<(u32, u32)> {
    let plain = without_prevention(unit.get(1..)?);
    let mut bits = Bits::new(&plain);
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.golomb()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.golomb()?;
        if chroma == 3 {
            bits.skip(1)?;
        }
        bits.golomb()?;
        bits.golomb()?;
        bits.skip(1)?;
        if bits.flag()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => drop(bits.golomb()?),
        1 => {
            bits.skip(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.skip(1)?;
    let (columns, rows) = (bits.golomb()?.checked_add(1)?, bits.golomb()?.checked_add(1)?);
    let frames_only = bits.flag()?;
    bits.skip(if frames_only { 1 } else { 2 })?;
    let fields = if frames_only { 1 } else { 2 };
    let (mut width, mut height) = (columns.checked_mul(16)?, rows.checked_mul(16 * fields)?);
    if bits.flag()? {
        let across = bits.golomb()?.checked_add(bits.golomb()?)?;
        let down = bits.golomb()?.checked_add(bits.golomb()?)?;
        let (x, y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        width = width.checked_sub(across.checked_mul(x)?)?;
        height = height.checked_sub(down.checked_mul(y * fields)?)?;
    }
    (width > 0 && height > 0).then_some((width, height))
}

fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_golomb()? + 256).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// Without the bytes that keep start codes out of a unit.
fn without_prevention(unit: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(unit.len().min(LONGEST));
    let mut zeros = 0;
    for byte in unit.iter().take(LONGEST) {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        plain.push(*byte);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What x264 wrote for 640x360: 23 rows of macroblocks, of which 8 lines are cropped; the first
    /// in the baseline profile, the second in 4:4:4.
    const BASELINE: [u8; 25] = [
        0x67, 0x42, 0xc0, 0x16, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00,
        0x01, 0x00, 0x00, 0x03, 0x00, 0x14, 0x0f, 0x16, 0x2e, 0x48,
    ];
    const HIGH: [u8; 27] = [
        0x67, 0xf4, 0x00, 0x16, 0x91, 0x9b, 0x28, 0x14, 0x05, 0xff, 0x13, 0x80, 0x88, 0x00, 0x00,
        0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x00, 0xa0, 0x78, 0xb1, 0x6c, 0xb0,
    ];

    #[test]
    fn key_frames_are_known_in_each_form() {
        let key = |payload: &[u8]| look(payload).unwrap().key;
        assert_eq!(key(&[0x67, 0x42]), Key::Begins);
        assert_eq!(key(&[24, 0, 1, 0x67, 0, 1, 0x68]), Key::Begins);
        assert_eq!(key(&[24, 0, 1, 0x68, 0, 1, 0x65]), Key::IfFirst);
        assert_eq!(key(&[24, 0, 1, 0x41, 0, 1, 0x41]), Key::No);
        assert_eq!(key(&[28, 0x85, 1]), Key::IfFirst);
        assert_eq!(key(&[28, 0x05, 1]), Key::No, "the middle of one");
        assert_eq!(key(&[0x65, 0x88]), Key::IfFirst);
        assert_eq!(key(&[0x41, 1]), Key::No);
    }

    #[test]
    fn the_height_is_that_of_the_parameter_set() {
        assert_eq!(look(&BASELINE).unwrap().height, Some(360));
        assert_eq!(look(&HIGH).unwrap().height, Some(360));
        assert_eq!(size(&BASELINE), Some((640, 360)));
    }
}
