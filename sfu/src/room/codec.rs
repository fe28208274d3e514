//! What the SFU knows of codecs: where a key frame begins, and the numbers in a VP8 descriptor that
//! must not jump when the layer changes. Nothing is decoded.

/// A codec that is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Codec {
    Opus,
    /// Redundant audio (RFC 2198) around Opus.
    Red,
    Vp8,
    Vp9,
    H264,
    Av1,
}

impl Codec {
    /// The codec of a name in SDP.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let known = [Self::Opus, Self::Red, Self::Vp8, Self::Vp9, Self::H264, Self::Av1];
        known.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Its name in SDP.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Red => "red",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::Av1 => "AV1",
        }
    }

    /// Ticks of its RTP timestamps in a second.
    pub(crate) const fn clock(self) -> u32 {
        match self {
            Self::Opus | Self::Red => 48_000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => 90_000,
        }
    }

    /// Whether it is for sound.
    pub(crate) const fn is_audio(self) -> bool {
        matches!(self, Self::Opus | Self::Red)
    }
}

/// Whether a key frame begins in this payload.
pub(crate) fn begins_key_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Opus | Codec::Red => true,
        Codec::Vp8 => Vp8::read(payload).is_some_and(|vp8| vp8.key_frame),
        // Not inter-picture predicted, the begin of a frame, and of the lowest spatial layer.
        Codec::Vp9 => {
            payload.first().is_some_and(|first| first & 0x48 == 0x08) && vp9_base(payload)
        }
        Codec::H264 => h264_key(payload),
        // N: the first packet of a coded video sequence.
        Codec::Av1 => payload.first().is_some_and(|first| first & 0x88 == 0x08),
    }
}

/// The height of the picture, if the begin of a key frame tells it.
pub(crate) fn height(codec: Codec, payload: &[u8]) -> Option<u16> {
    match codec {
        Codec::Vp8 => {
            let vp8 = Vp8::read(payload).filter(|vp8| vp8.key_frame)?;
            let frame = payload.get(vp8.len..)?;
            (frame.get(3..6)? == [0x9d, 0x01, 0x2a])
                .then(|| Some(u16::from_le_bytes([*frame.get(8)?, *frame.get(9)?]) & 0x3fff))?
        }
        Codec::Opus | Codec::Red | Codec::Vp9 | Codec::H264 | Codec::Av1 => None,
    }
}

/// A VP8 payload descriptor (RFC 7741, section 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vp8 {
    pub(crate) key_frame: bool,
    /// The picture id, its place and whether it has 15 bits.
    pub(crate) picture: Option<(u16, usize, bool)>,
    /// The index of the base temporal layer and its place.
    pub(crate) base: Option<(u8, usize)>,
    /// How long the descriptor is: where the picture begins.
    pub(crate) len: usize,
}

impl Vp8 {
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let mut at = 1;
        let (mut picture, mut base) = (None, None);
        if first & 0x80 != 0 {
            let flags = *payload.get(at)?;
            at += 1;
            if flags & 0x80 != 0 {
                let high = *payload.get(at)?;
                if high & 0x80 != 0 {
                    let low = *payload.get(at + 1)?;
                    picture = Some((u16::from_be_bytes([high & 0x7f, low]), at, true));
                    at += 2;
                } else {
                    picture = Some((u16::from(high), at, false));
                    at += 1;
                }
            }
            if flags & 0x40 != 0 {
                base = Some((*payload.get(at)?, at));
                at += 1;
            }
            if flags & 0x30 != 0 {
                at += 1;
            }
        }
        let frame = *payload.get(at)?;
        let begins = first & 0x10 != 0 && first & 0x07 == 0;
        Some(Self { key_frame: begins && frame & 1 == 0, picture, base, len: at })
    }

    /// Writes other numbers into the copy of the payload that this was read from.
    pub(crate) fn renumber(&self, payload: &mut [u8], picture: u16, base: u8) {
        if let Some((_, at, long)) = self.picture {
            if long {
                let [high, low] = picture.to_be_bytes();
                payload[at] = 0x80 | high;
                payload[at + 1] = low;
            } else {
                payload[at] = picture.to_be_bytes()[1] & 0x7f;
            }
        }
        if let Some((_, at)) = self.base {
            payload[at] = base;
        }
    }
}

fn vp9_base(payload: &[u8]) -> bool {
    let first = payload[0];
    if first & 0x20 == 0 {
        return true;
    }
    let picture = match (first & 0x80 != 0, payload.get(1)) {
        (false, _) => 0,
        (true, Some(id)) if id & 0x80 != 0 => 2,
        (true, _) => 1,
    };
    payload.get(1 + picture).is_some_and(|layer| layer >> 1 & 7 == 0)
}

const IDR: u8 = 5;
const SPS: u8 = 7;

/// A sequence parameter set, or an IDR slice where the sets were sent before (RFC 6184).
fn h264_key(payload: &[u8]) -> bool {
    let key = |kind: u8| matches!(kind & 0x1f, IDR | SPS);
    match payload.first().map(|first| first & 0x1f) {
        // STAP-A: several units, each with its length.
        Some(24) => {
            let mut rest = &payload[1..];
            while let Some((len, unit)) = rest.split_at_checked(2) {
                let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
                if unit.first().is_some_and(|kind| key(*kind)) {
                    return true;
                }
                rest = unit.get(len..).unwrap_or_default();
            }
            false
        }
        // FU-A: the first piece of a unit.
        Some(28) => payload.get(1).is_some_and(|piece| piece & 0x80 != 0 && key(*piece)),
        Some(kind) => key(kind),
        None => false,
    }
}

/// Writes the payload type of the inner codec into the blocks of a RED payload (RFC 2198).
pub(crate) fn renumber_red(payload: &mut [u8], inner: u8) {
    let mut at = 0;
    while let Some(first) = payload.get_mut(at) {
        let more = *first & 0x80;
        *first = more | inner;
        if more == 0 {
            return;
        }
        at += 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Codec; 6] =
        [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    #[test]
    fn a_vp8_key_frame_is_known_and_its_height() {
        let key = [0x90, 0xe0, 0x92, 0x34, 7, 0, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1];
        assert!(begins_key_frame(Codec::Vp8, &key));
        assert_eq!(height(Codec::Vp8, &key), Some(360));
        let vp8 = Vp8::read(&key).unwrap();
        assert_eq!((vp8.picture.unwrap().0, vp8.base.unwrap().0), (0x1234, 7));
        let mut copy = key;
        vp8.renumber(&mut copy, 0x7fff, 9);
        let again = Vp8::read(&copy).unwrap();
        assert_eq!((again.picture.unwrap().0, again.base.unwrap().0), (0x7fff, 9));
        let delta = [0x90, 0xe0, 0x92, 0x34, 7, 0, 0x11];
        assert!(!begins_key_frame(Codec::Vp8, &delta));
        let inside = [0x80, 0x80, 5, 0x10];
        assert!(!begins_key_frame(Codec::Vp8, &inside));
    }

    #[test]
    fn key_frames_of_the_other_codecs_are_known() {
        assert!(begins_key_frame(Codec::Vp9, &[0x88, 1]));
        assert!(!begins_key_frame(Codec::Vp9, &[0xc8, 1]), "predicted");
        assert!(!begins_key_frame(Codec::Vp9, &[0xa8, 1, 2]), "a higher spatial layer");
        assert!(begins_key_frame(Codec::H264, &[0x67, 0x42]));
        assert!(begins_key_frame(Codec::H264, &[24, 0, 1, 0x67, 0, 1, 0x68]));
        assert!(begins_key_frame(Codec::H264, &[28, 0x85, 1]));
        assert!(!begins_key_frame(Codec::H264, &[28, 0x05, 1]), "the middle of one");
        assert!(!begins_key_frame(Codec::H264, &[0x41, 1]));
        assert!(begins_key_frame(Codec::Av1, &[0x18, 1]));
        assert!(!begins_key_frame(Codec::Av1, &[0x10, 1]));
    }

    #[test]
    fn the_inner_type_of_red_is_renumbered_in_every_block() {
        let mut red = [0xef, 1, 2, 3, 0x6f, 9, 9];
        renumber_red(&mut red, 96);
        assert_eq!(red, [0xe0, 1, 2, 3, 0x60, 9, 9]);
    }

    proptest! {
        #[test]
        fn no_payload_makes_anything_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for codec in ALL {
                begins_key_frame(codec, &bytes);
                height(codec, &bytes);
            }
            if let Some(vp8) = Vp8::read(&bytes) {
                vp8.renumber(&mut bytes.clone(), 5, 5);
            }
            renumber_red(&mut bytes.clone(), 96);
        }
    }
}
