//! Real pictures of real encoders (ffmpeg's testsrc, 12 frames of which the first is a key frame),
//! in the packets of an independent packetizer.

use bytes::Bytes;
use rtc::rtp::codec::{av1, h264, vp8, vp9};
use rtc::rtp::packetizer::{Depacketizer, Payloader};

/// A codec of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Vp8,
    Vp9,
    H264,
    Av1,
}

/// Pictures as they are sent: each in its packets.
pub(crate) struct Clip {
    pub(crate) pictures: Vec<Vec<Bytes>>,
    /// What a receiver makes of each.
    pub(crate) frames: Vec<Vec<u8>>,
}

/// The largest payload.
const LARGEST: usize = 1000;

impl Codec {
    /// A clip of a height: 180 or 360.
    pub(crate) fn clip(self, height: u32) -> Clip {
        let bytes: &[u8] = match (self, height) {
            (Self::Vp8, 180) => include_bytes!("../clips/vp8-180.ivf"),
            (Self::Vp8, _) => include_bytes!("../clips/vp8-360.ivf"),
            (Self::Vp9, 180) => include_bytes!("../clips/vp9-180.ivf"),
            (Self::Vp9, _) => include_bytes!("../clips/vp9-360.ivf"),
            (Self::H264, 180) => include_bytes!("../clips/h264-180.h264"),
            (Self::H264, _) => include_bytes!("../clips/h264-360.h264"),
            (Self::Av1, 180) => include_bytes!("../clips/av1-180.ivf"),
            (Self::Av1, _) => include_bytes!("../clips/av1-360.ivf"),
        };
        let frames = if self == Self::H264 { access_units(bytes) } else { ivf(bytes) };
        assert_eq!(frames.len(), 12);
        let mut payloader: Box<dyn Payloader> = match self {
            Self::Vp8 => {
                let mut payloader = vp8::Vp8Payloader::default();
                payloader.enable_picture_id = true;
                Box::new(payloader)
            }
            Self::Vp9 => Box::new(vp9::Vp9Payloader::default()),
            Self::H264 => Box::new(h264::H264Payloader::default()),
            Self::Av1 => Box::new(av1::Av1Payloader::default()),
        };
        let packets = |frame: Bytes| payloader.payload(LARGEST, &frame).unwrap();
        let pictures: Vec<Vec<Bytes>> = frames.into_iter().map(packets).collect();
        let frames = pictures.iter().map(|picture| self.frame(picture)).collect();
        Clip { pictures, frames }
    }

    /// The frame in the payloads of one picture.
    pub(crate) fn frame(self, payloads: &[Bytes]) -> Vec<u8> {
        let mut depacketizer: Box<dyn Depacketizer> = match self {
            Self::Vp8 => Box::new(vp8::Vp8Packet::default()),
            Self::Vp9 => Box::new(vp9::Vp9Packet::default()),
            Self::H264 => Box::new(h264::H264Packet::default()),
            Self::Av1 => Box::new(av1::Av1Depacketizer::new()),
        };
        let whole = payloads.iter().map(|payload| depacketizer.depacketize(payload).unwrap());
        whole.flat_map(|bytes| bytes.to_vec()).collect()
    }
}

/// The frames of an IVF file.
fn ivf(bytes: &[u8]) -> Vec<Bytes> {
    let (mut rest, mut frames) = (&bytes[32..], Vec::new());
    while let Some((len, _)) = rest.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        frames.push(Bytes::copy_from_slice(&rest[12..12 + len]));
        rest = &rest[12 + len..];
    }
    frames
}

/// The access units of a stream of H.264, each of which begins with a delimiter.
fn access_units(bytes: &[u8]) -> Vec<Bytes> {
    let begins = |at: &usize| bytes[*at..].starts_with(&[0, 0, 0, 1, 9]);
    let mut at: Vec<usize> = (0..bytes.len()).filter(begins).collect();
    at.push(bytes.len());
    at.windows(2).map(|pair| Bytes::copy_from_slice(&bytes[pair[0]..pair[1]])).collect()
}
