//! PNG (W3C Recommendation, third edition, with animation) without what is not needed to show it.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;

use super::{Bare, LARGEST_PROFILE, PictureError, take};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";

/// The chunks that say how the picture looks.
const KEPT: [&[u8; 4]; 14] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP",
    b"pHYs", b"acTL", b"fcTL", b"fdAT",
];

/// Without texts, times, EXIF and whatever else is no part of the picture, and without a colour
/// profile that is none: a decoder would inflate it before anybody asks how large it is.
pub(super) fn bare(bytes: &[u8]) -> Result<Bare, PictureError> {
    let mut rest = bytes.strip_prefix(SIGNATURE).ok_or(PictureError::Broken)?;
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend_from_slice(SIGNATURE);
    let (mut exif, mut frames, mut profiles) = (None, 0, 0);
    loop {
        let mut chunk = rest;
        let length = take(&mut rest, 4)?;
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let kind: [u8; 4] = take(&mut rest, 4)?.try_into().expect("four bytes");
        let data = take(&mut rest, usize::try_from(length).map_err(|_| PictureError::Broken)?)?;
        take(&mut rest, 4)?;
        if &kind == b"iCCP" {
            // A second one is against the standard; no more than one is ever inflated.
            profiles += 1;
            if profiles == 1 && is_profile(data) {
                kept.extend_from_slice(take(&mut chunk, data.len() + 12)?);
            }
        } else if KEPT.contains(&&kind) {
            kept.extend_from_slice(take(&mut chunk, data.len() + 12)?);
        } else if kind[0].is_ascii_uppercase() {
            // A chunk that has to be understood, and is not one of ours.
            return Err(PictureError::Broken);
        }
        match &kind {
            b"eXIf" if exif.is_none() => exif = Some(data.to_vec()),
            b"fcTL" => frames += 1,
            b"IEND" => return Ok(Bare { bytes: kept, exif, frames: u64::max(frames, 1) }),
            _ => {}
        }
    }
}

/// Whether the data of a colour profile can be inflated and has not too many bytes then. No more
/// than that is inflated, and nothing of it is held.
fn is_profile(data: &[u8]) -> bool {
    // A name of at most 79 bytes, its end, and the method of compression: there is one.
    let end = data.iter().take(80).position(|byte| *byte == 0);
    let Some([0, packed @ ..]) = end.and_then(|end| data.get(end + 1..)) else { return false };
    let most = LARGEST_PROFILE as u64;
    let mut inflated = ZlibDecoder::new(packed).take(most + 1);
    io::copy(&mut inflated, &mut io::sink()).is_ok_and(|length| length <= most)
}
