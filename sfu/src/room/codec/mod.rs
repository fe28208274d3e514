//! What the SFU knows of codecs: where a key frame begins, how high its picture is, which layer a
//! packet is of, and the numbers that must not jump when another stream takes over. Nothing is
//! decoded.

pub(crate) mod av1;
mod bits;
pub(crate) mod descriptor;
pub(crate) mod h264;
mod place;
pub(crate) mod vp8;
pub(crate) mod vp9;

pub(crate) use place::{Part, Place};

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

/// Whether a key frame begins in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    No,
    /// Only if no packet of the same picture came before it, which the payload does not tell.
    IfFirst,
    Begins,
}

/// What a payload of video says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) key: Key,
    /// How high the picture is, if this begins a key frame that tells it.
    pub(crate) height: Option<u16>,
    pub(crate) numbers: Option<Numbers>,
    pub(crate) place: Place,
}

/// The height of a size, as it is told.
fn lines((_, height): (u32, u32)) -> Option<u16> {
    u16::try_from(height).ok()
}

/// Looks at a payload; of one that is malformed or encrypted nothing is known.
pub(crate) fn look(codec: Codec, payload: &[u8]) -> Look {
    let found = match codec {
        Codec::Opus | Codec::Red => None,
        Codec::Vp8 => vp8::look(payload),
        Codec::Vp9 => vp9::look(payload),
        Codec::H264 => h264::look(payload),
        Codec::Av1 => av1::look(payload),
    };
    let key = if codec.is_audio() { Key::Begins } else { Key::No };
    found.unwrap_or(Look { key, height: None, numbers: None, place: Place::default() })
}

/// Numbers in the descriptor of a VP8 or VP9 payload that count pictures, and where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The picture id, its place and whether it has 15 bits.
    pub(crate) picture: Option<(u16, usize, bool)>,
    /// The index of the base temporal layer and its place.
    pub(crate) base: Option<(u8, usize)>,
    /// Whether no id may be left out when a picture is (VP8).
    pub(crate) dense: bool,
}

impl Numbers {
    fn read_picture(&mut self, payload: &[u8], at: &mut usize) -> Option<()> {
        let high = *payload.get(*at)?;
        if high & 0x80 == 0 {
            self.picture = Some((u16::from(high), *at, false));
            *at += 1;
            return Some(());
        }
        let low = *payload.get(*at + 1)?;
        self.picture = Some((u16::from_be_bytes([high & 0x7f, low]), *at, true));
        *at += 2;
        Some(())
    }

    /// Picture id and base layer index; 0 where there is none.
    pub(crate) fn values(&self) -> (u16, u8) {
        (self.picture.map_or(0, |(id, ..)| id), self.base.map_or(0, |(index, _)| index))
    }

    /// Writes other numbers into the copy of the payload that these were read from.
    pub(crate) fn renumber(&self, payload: &mut [u8], picture: u16, base: u8) {
        let [high, low] = picture.to_be_bytes();
        match self.picture {
            Some((_, at, true)) => (payload[at], payload[at + 1]) = (0x80 | high, low),
            Some((_, at, false)) => payload[at] = low & 0x7f,
            None => {}
        }
        if let Some((_, at)) = self.base {
            payload[at] = base;
        }
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
    fn the_inner_type_of_red_is_renumbered_in_every_block() {
        let mut red = [0xef, 1, 2, 3, 0x6f, 9, 9];
        renumber_red(&mut red, 96);
        assert_eq!(red, [0xe0, 1, 2, 3, 0x60, 9, 9]);
    }

    proptest! {
        #[test]
        fn no_payload_makes_anything_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for codec in ALL {
                let found = look(codec, &bytes);
                if let Some(numbers) = found.numbers {
                    numbers.renumber(&mut bytes.clone(), 5, 5);
                }
            }
            // The forms that chance rarely finds.
            for first in [0x67, 0x78, 0x7c] {
                look(Codec::H264, &[&[first][..], &bytes].concat());
            }
            look(Codec::Av1, &[&[0x18, 0x08][..], &bytes].concat());
            look(Codec::Vp9, &[&[0xaa][..], &bytes].concat());
            renumber_red(&mut bytes.clone(), 96);
        }
    }
}
