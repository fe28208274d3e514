//! Pictures made here, with everything in them that should not stay, and hostile ones.

mod profiles;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, ImageBuffer, Rgb, RgbImage, RgbaImage};
use proptest::prelude::*;

use super::*;

/// What must not be found in a picture that was treated.
const SECRET: &[u8] = b"51.5007N 0.1246W";

/// Left half red, right half blue, so that one sees where up is.
fn picture(width: u32, height: u32) -> RgbImage {
    ImageBuffer::from_fn(width, height, |x, _| match x < width / 2 {
        true => Rgb([220, 10, 10]),
        false => Rgb([10, 10, 220]),
    })
}

fn encoded(format: ImageFormat, width: u32, height: u32) -> Vec<u8> {
    let image = DynamicImage::ImageRgb8(picture(width, height));
    encode(&image, format, 90, None).unwrap()
}

/// A TIFF file as EXIF has it: the orientation, and a text with a place.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x02\0".to_vec();
    tiff.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    tiff.extend([0x0E, 0x01, 2, 0, SECRET.len() as u8, 0, 0, 0, 38, 0, 0, 0]);
    tiff.extend([0, 0, 0, 0]);
    tiff.extend_from_slice(SECRET);
    tiff
}

fn jpeg_segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, marker], &length[..], data].concat()
}

/// A JPEG with a place in EXIF, XMP, IPTC, a comment, and behind its end.
fn told_jpeg(orientation: u8) -> Vec<u8> {
    let plain = encoded(ImageFormat::Jpeg, 40, 20);
    let exif = [b"Exif\0\0", &exif(orientation)[..]].concat();
    let xmp = [b"http://ns.adobe.com/xap/1.0/\0", SECRET].concat();
    let iptc = [b"Photoshop 3.0\0", SECRET].concat();
    [
        &plain[..2],
        &jpeg_segment(0xE1, &exif),
        &jpeg_segment(0xE1, &xmp),
        &jpeg_segment(0xED, &iptc),
        &jpeg_segment(0xFE, SECRET),
        &plain[2..],
        SECRET,
        b"<script>alert(1)</script>",
    ]
    .concat()
}

fn crc(data: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    (!crc).to_be_bytes()
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let named = [kind, data].concat();
    [&length[..], &named, &crc(&named)].concat()
}

fn told_png(orientation: u8) -> Vec<u8> {
    let plain = encoded(ImageFormat::Png, 40, 20);
    // The header ends after 8 + 25 bytes.
    let text = [b"Comment\0", SECRET].concat();
    [
        &plain[..33],
        &png_chunk(b"tEXt", &text),
        &png_chunk(b"eXIf", &exif(orientation)),
        &plain[33..],
        SECRET,
    ]
    .concat()
}

fn webp_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    let padding: &[u8] = if data.len() % 2 == 1 { &[0] } else { &[] };
    [kind, &length[..], data, padding].concat()
}

fn told_webp(orientation: u8) -> Vec<u8> {
    let plain = encoded(ImageFormat::WebP, 40, 20);
    // EXIF and XMP; 40 by 20 pixels, less one, in three bytes each.
    let header = [0b0000_1100, 0, 0, 0, 39, 0, 0, 19, 0, 0];
    let chunks = [
        &b"WEBP"[..],
        &webp_chunk(b"VP8X", &header),
        &plain[12..],
        &webp_chunk(b"EXIF", &exif(orientation)),
        &webp_chunk(b"XMP ", SECRET),
    ]
    .concat();
    [&webp_chunk(b"RIFF", &chunks)[..], SECRET].concat()
}

fn gif(frames: u16, width: u16, height: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.set_repeat(Repeat::Infinite).unwrap();
    for number in 0..frames {
        let colour = image::Rgba([(number % 250) as u8, 0, 0, 255]);
        let frame = RgbaImage::from_pixel(width.into(), height.into(), colour);
        let delay = Delay::from_numer_denom_ms(50, 1);
        encoder.encode_frame(Frame::from_parts(frame, 0, 0, delay)).unwrap();
    }
    drop(encoder);
    bytes
}

fn told_gif() -> Vec<u8> {
    let plain = gif(3, 40, 20);
    let comment = [&[0x21, 0xFE, SECRET.len() as u8], SECRET, &[0]].concat();
    let xmp = [&b"\x21\xFF\x0BXMP DataXMP"[..], &[SECRET.len() as u8], SECRET, &[0]].concat();
    let end = plain.len() - 1;
    [&plain[..end], &comment, &xmp, &plain[end..], SECRET].concat()
}

fn treated(kind: Kind, bytes: &[u8]) -> Result<Treated, PictureError> {
    treat(look(kind, bytes)?)
}

fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

fn decoded(format: ImageFormat, bytes: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(bytes, format).unwrap().to_rgb8()
}

#[test]
fn a_picture_loses_what_it_tells_and_keeps_every_pixel() {
    for (kind, bytes) in [
        (Kind::Jpeg, told_jpeg(1)),
        (Kind::Png, told_png(1)),
        (Kind::Webp, told_webp(1)),
        (Kind::Gif, told_gif()),
    ] {
        assert!(holds(&bytes, SECRET));
        let kept = treated(kind, &bytes).unwrap();
        for what in [SECRET, b"Exif", b"EXIF", b"XMP", b"script"] {
            assert!(!holds(&kept.bytes, what), "{kind:?} still holds {what:?}");
        }
        assert_eq!(kept.pixels, Pixels { width: 40, height: 20 });
        let format = format(kind).unwrap();
        assert_eq!(decoded(format, &kept.bytes), decoded(format, &bytes), "{kind:?}");
        assert_eq!(Kind::of(&kept.bytes), kind);
        // What was treated has nothing left to lose.
        assert_eq!(treated(kind, &kept.bytes).unwrap().bytes, kept.bytes, "{kind:?}");
    }
}

#[test]
fn a_picture_that_lies_on_its_side_is_put_upright() {
    for (kind, bytes) in
        [(Kind::Jpeg, told_jpeg(6)), (Kind::Png, told_png(6)), (Kind::Webp, told_webp(6))]
    {
        let kept = treated(kind, &bytes).unwrap();
        assert_eq!(kept.pixels, Pixels { width: 20, height: 40 }, "{kind:?}");
        let upright = decoded(format(kind).unwrap(), &kept.bytes);
        assert_eq!(upright.dimensions(), (20, 40));
        // What was on the left is at the top.
        assert!(upright.get_pixel(10, 5).0[0] > 180, "{kind:?}");
        assert!(upright.get_pixel(10, 35).0[2] > 180, "{kind:?}");
        assert!(!holds(&kept.bytes, SECRET) && !holds(&kept.bytes, b"Exif"));
    }
}

#[test]
fn a_thumbnail_fits_and_nothing_is_made_larger() {
    let wide = treated(Kind::Jpeg, &encoded(ImageFormat::Jpeg, 1000, 10)).unwrap();
    let sizes: Vec<_> = wide
        .thumbnails
        .iter()
        .map(|(size, bytes)| {
            assert!(bytes.len() < 20_000);
            (*size, decoded(ImageFormat::Jpeg, bytes).dimensions())
        })
        .collect();
    assert_eq!(sizes, [(320, (320, 3)), (64, (64, 1))]);
    let small = treated(Kind::Png, &encoded(ImageFormat::Png, 3, 2)).unwrap();
    for (_, bytes) in &small.thumbnails {
        assert_eq!(decoded(ImageFormat::Jpeg, bytes).dimensions(), (3, 2));
    }
}

#[test]
fn one_looks_through_a_thumbnail_where_one_looks_through_the_picture() {
    let glass = DynamicImage::ImageRgba8(RgbaImage::from_pixel(80, 80, image::Rgba([9, 9, 9, 0])));
    let bytes = encode(&glass, ImageFormat::Png, 90, None).unwrap();
    let kept = treated(Kind::Png, &bytes).unwrap();
    assert!(kept.thumbnails.iter().all(|(_, bytes)| Kind::of(bytes) == Kind::Png));
}

#[test]
fn an_animation_keeps_its_frames_and_how_often_it_repeats() {
    let kept = treated(Kind::Gif, &told_gif()).unwrap();
    assert_eq!(gif::bare(&kept.bytes).unwrap().frames, 3);
    assert!(holds(&kept.bytes, b"NETSCAPE2.0"));
}

#[test]
fn an_animation_with_too_many_frames_is_refused() {
    assert!(treated(Kind::Gif, &gif(1000, 1, 1)).is_ok());
    assert_eq!(treated(Kind::Gif, &gif(1001, 1, 1)).unwrap_err(), PictureError::TooLarge);
}

/// A PNG of a few bytes that would be so large when decoded.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat();
    let plain = encoded(ImageFormat::Png, 1, 1);
    [&plain[..8], &png_chunk(b"IHDR", &header), &plain[33..]].concat()
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    for (width, height) in [
        (60_000, 60_000),
        (u32::MAX / 2, 1),
        (16_384, 1),
        (8_000, 8_000),
        (0x7FFF_FFFF, 0x7FFF_FFFF),
    ] {
        let refused = look(Kind::Png, &bomb(width, height)).unwrap_err();
        assert_eq!(refused, PictureError::TooLarge, "{width} x {height}");
    }
    assert!(look(Kind::Png, &bomb(4000, 4000)).is_ok());
    let broken = treated(Kind::Png, &bomb(4000, 4000)).unwrap_err();
    assert_eq!(broken, PictureError::Broken, "the pixels are not there");
    let mut large = gif(1, 40, 20);
    large[6..10].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(look(Kind::Gif, &large).unwrap_err(), PictureError::TooLarge);
}

#[test]
fn a_picture_that_was_cut_off_is_refused_wherever_it_was_cut() {
    for (kind, bytes) in [
        (Kind::Jpeg, encoded(ImageFormat::Jpeg, 40, 20)),
        (Kind::Png, encoded(ImageFormat::Png, 40, 20)),
        (Kind::Gif, gif(2, 40, 20)),
        (Kind::Webp, encoded(ImageFormat::WebP, 40, 20)),
    ] {
        assert!(treated(kind, &bytes).is_ok());
        for length in 0..bytes.len() - 1 {
            assert!(treated(kind, &bytes[..length]).is_err(), "{kind:?} of {length} bytes");
        }
    }
}

#[test]
fn what_only_begins_like_a_picture_is_none() {
    let html = b"<html><script>alert(1)</script></html>";
    for (kind, magic) in [
        (Kind::Gif, &b"GIF89a"[..]),
        (Kind::Gif, b"GIF89a/*\x01\x01\x01\x00\x00*/=1;"),
        (Kind::Jpeg, b"\xFF\xD8\xFF\xE0"),
        (Kind::Png, b"\x89PNG\r\n\x1A\n"),
        (Kind::Webp, b"RIFF\x24\0\0\0WEBPVP8 "),
    ] {
        assert!(treated(kind, &[magic, html].concat()).is_err(), "{magic:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_bring_the_treatment_down(
        which in 0..4_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let (kind, mut bytes) = [
            (Kind::Jpeg, told_jpeg(6)),
            (Kind::Png, told_png(3)),
            (Kind::Gif, told_gif()),
            (Kind::Webp, told_webp(8)),
        ][which].clone();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        // A decoder may panic on a thread of its own; what is ours may not.
        let format = format(kind).unwrap();
        if let Ok(bare) = bare(format, &bytes) {
            prop_assert!(bare.bytes.len() <= bytes.len() + 2);
        }
        drop(std::panic::catch_unwind(|| treated(kind, &bytes)));
    }
}
