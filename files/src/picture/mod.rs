//! Pictures: measured before they are decoded, turned upright, freed of metadata, made small.
//!
//! Metadata is taken out without touching a pixel: a file is taken apart into its segments, and put
//! together again from those that are on a list. What is on no list is gone: EXIF with the place
//! and the camera, XMP, IPTC, comments, embedded previews, whatever comes after the end. Encoding
//! anew would do the same, at the cost of quality or, as the encoders at hand write WebP without
//! loss only, of size; and animations would be lost. Only a picture that lies on its side is
//! encoded anew, because "turn me" is metadata as well, and not every viewer obeys it.
//! Colour profiles stay: without them the pictures of most phones look pale.

mod gif;
mod jpeg;
mod png;
mod webp;

use std::io::Cursor;

use events::file::Pixels;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};
use thiserror::Error;

use crate::Kind;

/// The longer sides of the thumbnails that every picture has.
pub const THUMBNAILS: [u32; 2] = [320, 64];

/// The most bytes of a picture as it came: it is in memory while it is treated.
pub(crate) const LARGEST: u64 = 25 * 1024 * 1024;
/// The longest side, in pixels. WebP has no longer ones.
const LONGEST_SIDE: u32 = 16_383;
/// The most pixels of one frame: what the largest sensors of phones make.
const MOST_PIXELS: u64 = 52_000_000;
/// The most bytes of a decoded frame.
const MOST_DECODED: u64 = 256 * 1024 * 1024;
/// The most frames of an animation, and the most pixels of all of them.
const MOST_FRAMES: u64 = 1000;
const MOST_FRAME_PIXELS: u64 = 1_000_000_000;
/// A colour profile of more bytes is something else, and is taken out.
const LARGEST_PROFILE: usize = 512 * 1024;

/// Quality of what is encoded anew, and of thumbnails.
const QUALITY: u8 = 92;
const THUMBNAIL_QUALITY: u8 = 80;

/// Why something is no picture that may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PictureError {
    /// It cannot be decoded.
    #[error("this is no picture, or a broken one")]
    Broken,
    /// It has too many bytes, pixels or frames.
    #[error("the picture is too large")]
    TooLarge,
}

/// A picture as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Treated {
    /// The file.
    pub(crate) bytes: Vec<u8>,
    /// Its size, upright.
    pub(crate) pixels: Pixels,
    /// The thumbnails, by the size they have to fit into.
    pub(crate) thumbnails: Vec<(u32, Vec<u8>)>,
}

/// A picture that was looked at: measured, without its metadata, and not decoded yet.
#[derive(Debug)]
pub(crate) struct Look {
    /// Roughly the memory that treating it takes, in bytes.
    pub(crate) cost: u64,
    format: ImageFormat,
    bare: Bare,
}

/// A picture in parts, without its metadata.
#[derive(Debug)]
struct Bare {
    /// The file without it.
    bytes: Vec<u8>,
    /// The EXIF data that was in it: a TIFF file.
    exif: Option<Vec<u8>>,
    /// How many frames it has.
    frames: u64,
}

/// The rest of a segment, or that it is missing.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], PictureError> {
    let (taken, left) = rest.split_at_checked(length).ok_or(PictureError::Broken)?;
    *rest = left;
    Ok(taken)
}

/// Takes the metadata out of a picture, looks at its header, and refuses it where decoding it would
/// be too much.
pub(crate) fn look(kind: Kind, bytes: &[u8]) -> Result<Look, PictureError> {
    let format = format(kind)?;
    // First of all: what is packed in metadata is unpacked by decoders as soon as they see it.
    let bare = bare(format, bytes)?;
    let decoder = decoder(format, &bare.bytes)?;
    let (width, height) = decoder.dimensions();
    let (pixels, decoded) = (u64::from(width) * u64::from(height), decoder.total_bytes());
    drop(decoder);
    if width.max(height) > LONGEST_SIDE || pixels > MOST_PIXELS || decoded > MOST_DECODED {
        return Err(PictureError::TooLarge);
    }
    if bare.frames > MOST_FRAMES || bare.frames.saturating_mul(pixels) > MOST_FRAME_PIXELS {
        return Err(PictureError::TooLarge);
    }
    // Progressive pictures are held once more in coefficients of 16 bits, turning makes a copy; the
    // file is there as it came, without metadata, and in the decoder. A colour profile is small.
    Ok(Look { cost: decoded * 4 + bytes.len() as u64 * 3, format, bare })
}

/// Treats a picture that was [looked at](look).
pub(crate) fn treat(look: Look) -> Result<Treated, PictureError> {
    let Look { format, bare, .. } = look;
    let mut decoder = decoder(format, &bare.bytes)?;
    let profile = decoder.icc_profile().ok().flatten().filter(|profile| is_of_colours(profile));
    let mut image = DynamicImage::from_decoder(decoder).map_err(|_| PictureError::Broken)?;
    let orientation = bare.exif.as_deref().and_then(Orientation::from_exif_chunk);
    let lies = orientation.filter(|it| *it != Orientation::NoTransforms && bare.frames == 1);
    let bytes = match lies {
        Some(orientation) => {
            image.apply_orientation(orientation);
            encode(&image, format, QUALITY, profile.as_ref())?
        }
        None => bare.bytes,
    };
    let pixels = Pixels { width: image.width(), height: image.height() };
    let mut thumbnails = Vec::with_capacity(THUMBNAILS.len());
    for size in THUMBNAILS {
        // Each is made from the one before, which is quick; a picture is never made larger.
        if image.width().max(image.height()) > size {
            image = image.thumbnail(size, size);
        }
        thumbnails.push((size, small(&image, profile.as_ref())?));
    }
    Ok(Treated { bytes, pixels, thumbnails })
}

fn format(kind: Kind) -> Result<ImageFormat, PictureError> {
    match kind {
        Kind::Jpeg => Ok(ImageFormat::Jpeg),
        Kind::Png => Ok(ImageFormat::Png),
        Kind::Gif => Ok(ImageFormat::Gif),
        Kind::Webp => Ok(ImageFormat::WebP),
        Kind::Other(_) => Err(PictureError::Broken),
    }
}

fn bare(format: ImageFormat, bytes: &[u8]) -> Result<Bare, PictureError> {
    match format {
        ImageFormat::Jpeg => jpeg::bare(bytes),
        ImageFormat::Png => png::bare(bytes),
        ImageFormat::Gif => gif::bare(bytes),
        ImageFormat::WebP => webp::bare(bytes),
        _ => Err(PictureError::Broken),
    }
}

fn decoder(format: ImageFormat, bytes: &[u8]) -> Result<impl ImageDecoder + '_, PictureError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(u32::from(u16::MAX));
    limits.max_image_height = Some(u32::from(u16::MAX));
    limits.max_alloc = Some(MOST_DECODED);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.into_decoder().map_err(|error| match error {
        image::ImageError::Limits(_) => PictureError::TooLarge,
        _ => PictureError::Broken,
    })
}

/// Whether a profile may go with what is encoded here, which is always RGB.
fn is_of_colours(profile: &[u8]) -> bool {
    profile.len() <= LARGEST_PROFILE && profile.get(16..20) == Some(b"RGB ")
}

/// A thumbnail: JPEG, or PNG where one can look through it.
fn small(image: &DynamicImage, profile: Option<&Vec<u8>>) -> Result<Vec<u8>, PictureError> {
    let format = match image.has_alpha() && looks_through(image) {
        true => ImageFormat::Png,
        false => ImageFormat::Jpeg,
    };
    // A profile as large as the picture is not worth it.
    encode(image, format, THUMBNAIL_QUALITY, profile.filter(|profile| profile.len() <= 4096))
}

fn looks_through(image: &DynamicImage) -> bool {
    image.to_rgba8().pixels().any(|pixel| pixel.0[3] < 255)
}

fn encode(
    image: &DynamicImage,
    format: ImageFormat,
    quality: u8,
    profile: Option<&Vec<u8>>,
) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    let encoded = match format {
        ImageFormat::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
            write(&DynamicImage::ImageRgb8(image.to_rgb8()), encoder, profile)
        }
        ImageFormat::WebP => write(
            &DynamicImage::ImageRgba8(image.to_rgba8()),
            WebPEncoder::new_lossless(&mut bytes),
            profile,
        ),
        _ => write(image, PngEncoder::new(&mut bytes), profile),
    };
    encoded.map_err(|_| PictureError::Broken)?;
    Ok(bytes)
}

fn write(
    image: &DynamicImage,
    mut encoder: impl ImageEncoder,
    profile: Option<&Vec<u8>>,
) -> image::ImageResult<()> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.clone()).map_err(image::ImageError::Unsupported)?;
    }
    image.write_with_encoder(encoder)
}

#[cfg(test)]
mod tests;
