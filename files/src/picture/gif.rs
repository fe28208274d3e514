//! GIF (version 89a) without what is not needed to show it.

use super::{Bare, PictureError, take};

const IMAGE: u8 = 0x2C;
const EXTENSION: u8 = 0x21;
const TRAILER: u8 = 0x3B;
const GRAPHIC_CONTROL: u8 = 0xF9;
const APPLICATION: u8 = 0xFF;

/// Without comments, texts and what programs keep in it; how often it repeats stays.
pub(super) fn bare(bytes: &[u8]) -> Result<Bare, PictureError> {
    let mut rest = bytes;
    let header = take(&mut rest, 13)?;
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend_from_slice(header);
    let (width, height) = (number(&header[6..8]), number(&header[8..10]));
    kept.extend_from_slice(take(&mut rest, colours(header[10]))?);
    let mut frames = 0;
    loop {
        match take(&mut rest, 1)?[0] {
            IMAGE => {
                let frame = take(&mut rest, 9)?;
                let (left, top) = (number(&frame[..2]), number(&frame[2..4]));
                if left + number(&frame[4..6]) > width || top + number(&frame[6..8]) > height {
                    return Err(PictureError::Broken);
                }
                kept.push(IMAGE);
                kept.extend_from_slice(frame);
                // The colours of the frame, and how its codes begin.
                kept.extend_from_slice(take(&mut rest, colours(frame[8]) + 1)?);
                kept.extend_from_slice(blocks(&mut rest)?);
                frames += 1;
            }
            EXTENSION => {
                let label = take(&mut rest, 1)?[0];
                let data = blocks(&mut rest)?;
                let stays = match label {
                    GRAPHIC_CONTROL => data.len() == 6,
                    APPLICATION => repeats(data),
                    _ => false,
                };
                if stays {
                    kept.extend([EXTENSION, label]);
                    kept.extend_from_slice(data);
                }
            }
            TRAILER => break,
            _ => return Err(PictureError::Broken),
        }
    }
    kept.push(TRAILER);
    Ok(Bare { bytes: kept, exif: None, frames })
}

fn number(bytes: &[u8]) -> u32 {
    u32::from(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// The length of the table of colours that these flags announce.
fn colours(flags: u8) -> usize {
    match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 7) + 1),
    }
}

/// Blocks of up to 255 bytes, each with its length before it, and the empty one at the end.
fn blocks<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], PictureError> {
    let (all, mut length) = (*rest, 0);
    loop {
        let block = usize::from(take(rest, 1)?[0]);
        take(rest, block)?;
        length += block + 1;
        if block == 0 {
            return Ok(&all[..length]);
        }
    }
}

/// Whether an application's blocks say how often the animation repeats, and nothing more.
fn repeats(blocks: &[u8]) -> bool {
    let known = [b"\x0BNETSCAPE2.0", b"\x0BANIMEXTS1.0"];
    let says = |name: &&&[u8; 12]| blocks.starts_with(**name);
    known.iter().any(|name| says(&name))
        && blocks.len() == 17
        && blocks[12..14] == [3, 1]
        && blocks[16] == 0
}
