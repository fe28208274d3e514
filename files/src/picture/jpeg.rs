//! JPEG (ITU-T T.81, annex B) without what is not needed to show it.

use super::{Bare, LARGEST_PROFILE, PictureError, take};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP14: u8 = 0xEE;
const COM: u8 = 0xFE;

/// Without every segment that does not say how to decode: of the application segments stay the
/// density (JFIF), the colour profile, unless it is too large for one, and Adobe's colour transform.
pub(super) fn bare(bytes: &[u8]) -> Result<Bare, PictureError> {
    match walk(bytes, true)? {
        (bare, profile) if profile <= LARGEST_PROFILE => Ok(bare),
        // It comes in many segments, so only the end tells how large it is.
        _ => walk(bytes, false).map(|(bare, _)| bare),
    }
}

/// The picture without metadata, with or without its colour profile, and how large that is.
fn walk(bytes: &[u8], with_profile: bool) -> Result<(Bare, usize), PictureError> {
    let mut rest = bytes;
    let mut profile = 0;
    let mut kept = Vec::with_capacity(bytes.len());
    let mut exif = None;
    if take(&mut rest, 2)? != [0xFF, SOI] {
        return Err(PictureError::Broken);
    }
    kept.extend([0xFF, SOI]);
    loop {
        let marker = marker(&mut rest)?;
        match marker {
            EOI => {
                kept.extend([0xFF, EOI]);
                return Ok((Bare { bytes: kept, exif, frames: 1 }, profile));
            }
            // Markers without a length: nothing that belongs between segments.
            0x00 | 0x01 | 0xD0..=0xD8 => return Err(PictureError::Broken),
            _ => {}
        }
        let data = segment(&mut rest)?;
        match marker {
            APP0 => kept.extend(density(data).into_iter().flatten()),
            APP1 if exif.is_none() => {
                exif = data.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec);
            }
            APP2 if with_profile && data.starts_with(b"ICC_PROFILE\0") => {
                profile += data.len();
                put(&mut kept, marker, data);
            }
            APP14 if data.starts_with(b"Adobe") => put(&mut kept, marker, data),
            0xE0..=0xEF | COM => {}
            // Extensions that no browser decodes.
            0xF0..=0xFD => {}
            SOS => {
                put(&mut kept, marker, data);
                let scan = scan(rest)?;
                kept.extend_from_slice(take(&mut rest, scan)?);
            }
            _ => put(&mut kept, marker, data),
        }
    }
}

/// The next marker; any number of fill bytes may come before it.
fn marker(rest: &mut &[u8]) -> Result<u8, PictureError> {
    if take(rest, 1)? != [0xFF] {
        return Err(PictureError::Broken);
    }
    loop {
        match take(rest, 1)?[0] {
            0xFF => {}
            marker => return Ok(marker),
        }
    }
}

fn segment<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], PictureError> {
    let length = take(rest, 2)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    take(rest, length.checked_sub(2).ok_or(PictureError::Broken)?)
}

fn put(kept: &mut Vec<u8>, marker: u8, data: &[u8]) {
    let length = u16::try_from(data.len() + 2).expect("it was the length of a segment");
    kept.extend([0xFF, marker]);
    kept.extend(length.to_be_bytes());
    kept.extend_from_slice(data);
}

/// The JFIF segment without the preview that may be in it.
fn density(data: &[u8]) -> Option<[u8; 18]> {
    let known = data.strip_prefix(b"JFIF\0")?.get(..7)?;
    let mut segment = *b"\xFF\xE0\x00\x10JFIF\0.......\0\0";
    segment[9..16].copy_from_slice(known);
    Some(segment)
}

/// How long the data of a scan is: up to a marker that is no restart and no escaped 0xFF.
fn scan(rest: &[u8]) -> Result<usize, PictureError> {
    let mut pairs = rest.windows(2).enumerate();
    let end =
        pairs.find(|(_, pair)| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF | 0xD0..=0xD7));
    end.map(|(place, _)| place).ok_or(PictureError::Broken)
}
