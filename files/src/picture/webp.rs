//! WebP (RFC 9649) without what is not needed to show it.

use super::{Bare, LARGEST_PROFILE, PictureError, take};

/// Flags of the extended header: there is EXIF, there is XMP.
const METADATA: u8 = 0b0000_1100;
/// Flag of the extended header: there is a colour profile.
const PROFILE: u8 = 0b0010_0000;

/// Without EXIF, XMP and unknown chunks, in frames as well, and without a colour profile that is
/// too large for one.
pub(super) fn bare(bytes: &[u8]) -> Result<Bare, PictureError> {
    let mut rest = bytes;
    let header = take(&mut rest, 12)?;
    if !header.starts_with(b"RIFF") || !header.ends_with(b"WEBP") {
        return Err(PictureError::Broken);
    }
    let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let size = usize::try_from(size).ok().and_then(|size| size.checked_sub(4));
    // What comes after the container is no part of it.
    let mut rest = take(&mut rest, size.ok_or(PictureError::Broken)?)?;
    let mut kept = b"RIFF....WEBP".to_vec();
    let (mut exif, mut frames, mut flags, mut profiles) = (None, 0, None, 0);
    while !rest.is_empty() {
        let (kind, data) = chunk(&mut rest)?;
        match &kind {
            b"VP8X" => {
                let mut data = data.to_vec();
                *data.first_mut().ok_or(PictureError::Broken)? &= !METADATA;
                flags.get_or_insert(kept.len() + 8);
                put(&mut kept, kind, &data);
            }
            b"ICCP" if profiles == 0 && data.len() <= LARGEST_PROFILE => {
                put(&mut kept, kind, data);
                profiles += 1;
            }
            b"VP8 " | b"VP8L" | b"ALPH" | b"ANIM" => put(&mut kept, kind, data),
            b"ANMF" => {
                put(&mut kept, kind, &frame(data)?);
                frames += 1;
            }
            b"EXIF" if exif.is_none() => {
                exif = Some(data.strip_prefix(b"Exif\0\0").unwrap_or(data).to_vec());
            }
            _ => {}
        }
    }
    if let (Some(flags), 0) = (flags, profiles) {
        kept[flags] &= !PROFILE;
    }
    let size = u32::try_from(kept.len() - 8).map_err(|_| PictureError::TooLarge)?;
    kept[4..8].copy_from_slice(&size.to_le_bytes());
    Ok(Bare { bytes: kept, exif, frames: u64::max(frames, 1) })
}

/// A frame of an animation: where it is and for how long, then chunks.
fn frame(data: &[u8]) -> Result<Vec<u8>, PictureError> {
    let mut rest = data;
    let mut kept = take(&mut rest, 16)?.to_vec();
    while !rest.is_empty() {
        let (kind, data) = chunk(&mut rest)?;
        if matches!(&kind, b"VP8 " | b"VP8L" | b"ALPH") {
            put(&mut kept, kind, data);
        }
    }
    Ok(kept)
}

fn chunk<'a>(rest: &mut &'a [u8]) -> Result<([u8; 4], &'a [u8]), PictureError> {
    let kind = take(rest, 4)?.try_into().expect("four bytes");
    let length = take(rest, 4)?;
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
    let data = take(rest, usize::try_from(length).map_err(|_| PictureError::Broken)?)?;
    // Chunks begin at even places; some programs forget the last byte of the file.
    if data.len() % 2 == 1 && !rest.is_empty() {
        take(rest, 1)?;
    }
    Ok((kind, data))
}

fn put(kept: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let length = u32::try_from(data.len()).expect("it was the length of a chunk");
    kept.extend(kind);
    kept.extend(length.to_le_bytes());
    kept.extend_from_slice(data);
    if data.len() % 2 == 1 {
        kept.push(0);
    }
}
