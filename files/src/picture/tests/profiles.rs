//! Colour profiles: what is one stays, and what only says so is taken out before any decoder sees it.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::*;

const MOST: usize = LARGEST_PROFILE;

/// So many bytes that begin as a profile of RGB does.
fn profile(length: usize) -> Vec<u8> {
    let mut profile = vec![0; length];
    profile[16..20].copy_from_slice(b"RGB ");
    profile
}

fn iccp(profile: &[u8]) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(b"a name\0\0".to_vec(), Compression::best());
    packed.write_all(profile).unwrap();
    png_chunk(b"iCCP", &packed.finish().unwrap())
}

/// A PNG with chunks after its header.
fn png_with(chunks: &[u8]) -> Vec<u8> {
    let plain = encoded(ImageFormat::Png, 40, 20);
    [&plain[..33], chunks, &plain[33..]].concat()
}

/// A JPEG with a profile in as many segments as it takes.
fn jpeg_with(profile: &[u8]) -> Vec<u8> {
    let plain = encoded(ImageFormat::Jpeg, 40, 20);
    let parts = profile.chunks(60_000);
    let count = u8::try_from(parts.len()).unwrap();
    let segments = (1..).zip(parts).map(|(number, part)| {
        jpeg_segment(0xE2, &[b"ICC_PROFILE\0", &[number, count][..], part].concat())
    });
    [&plain[..2], &segments.collect::<Vec<_>>().concat(), &plain[2..]].concat()
}

fn webp_with(profile: &[u8]) -> Vec<u8> {
    let plain = encoded(ImageFormat::WebP, 40, 20);
    let header = [0b0010_0000, 0, 0, 0, 39, 0, 0, 19, 0, 0];
    let iccp = webp_chunk(b"ICCP", profile);
    let chunks = [b"WEBP", &webp_chunk(b"VP8X", &header)[..], &iccp, &plain[12..]].concat();
    webp_chunk(b"RIFF", &chunks)
}

/// The profile that a decoder finds in what is kept, and that the pixels are what they were.
fn found(kind: Kind, bytes: &[u8]) -> Option<Vec<u8>> {
    let kept = treated(kind, bytes).unwrap();
    let format = format(kind).unwrap();
    let plain = encoded(format, 40, 20);
    assert_eq!(decoded(format, &kept.bytes), decoded(format, &plain), "{kind:?}");
    decoder(format, &kept.bytes).unwrap().icc_profile().unwrap()
}

#[test]
fn a_colour_profile_stays_and_one_that_is_too_large_is_taken_out() {
    type Make = fn(&[u8]) -> Vec<u8>;
    let kinds: [(Kind, Make); 3] = [
        (Kind::Png, |profile| png_with(&iccp(profile))),
        (Kind::Jpeg, jpeg_with),
        (Kind::Webp, webp_with),
    ];
    for (kind, make) in kinds {
        let small = profile(3_000);
        assert!(found(kind, &make(&small)) == Some(small), "{kind:?}");
        let large = make(&profile(MOST + 1));
        assert!(found(kind, &large).is_none(), "{kind:?}");
        let kept = treated(kind, &large).unwrap().bytes;
        assert!(kept.len() < 3_000, "{kind:?}: {} bytes are left", kept.len());
        assert_eq!(kept, treated(kind, &kept).unwrap().bytes, "{kind:?}");
    }
    let largest = profile(MOST);
    assert!(found(Kind::Png, &png_with(&iccp(&largest))).is_some_and(|found| found == largest));
    assert!(found(Kind::Webp, &webp_with(&largest)) == Some(largest));
}

#[test]
fn of_the_profiles_of_a_png_only_the_first_is_unpacked() {
    let (one, other) = (profile(100), profile(200));
    let both = png_with(&[iccp(&one), iccp(&other)].concat());
    assert!(found(Kind::Png, &both) == Some(one));
    let after_a_bomb = png_with(&[iccp(&profile(MOST + 1)), iccp(&other)].concat());
    assert!(found(Kind::Png, &after_a_bomb).is_none());
}

#[test]
fn what_cannot_be_unpacked_is_no_profile() {
    let whole = iccp(&profile(500));
    let data = &whole[8..whole.len() - 4];
    for data in [
        &data[..data.len() - 5],
        &data[..8],
        b"no end of the name",
        b"name\0\x01method",
        b"name\0",
        b"",
        &[&[b'a'; 80], data].concat(),
    ] {
        assert_eq!(found(Kind::Png, &png_with(&png_chunk(b"iCCP", data))), None, "{data:?}");
    }
}

#[test]
fn texts_are_gone_before_a_decoder_could_unpack_them() {
    let mut packed = ZlibEncoder::new(b"a key\0\0".to_vec(), Compression::best());
    packed.write_all(&vec![b'a'; 1 << 20]).unwrap();
    let ztxt = packed.finish().unwrap();
    let itxt = [b"a key\0\x01\0\0\0", &ztxt[7..]].concat();
    let told = png_with(&[png_chunk(b"zTXt", &ztxt), png_chunk(b"iTXt", &itxt)].concat());
    let bare = look(Kind::Png, &told).unwrap().bare.bytes;
    assert!(bare == encoded(ImageFormat::Png, 40, 20));
}
