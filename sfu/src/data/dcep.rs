//! The protocol that opens channels (RFC 8832): two messages.

use bytes::{BufMut, Bytes, BytesMut};
use rtc_sctp::ReliabilityType;

use super::NAME;

const ACK: u8 = 2;
const OPEN: u8 = 3;

/// The bit of a channel type that says that order does not matter.
const UNORDERED: u8 = 0x80;

/// The bytes before the label.
const HEADER: usize = 12;

/// Until when a message is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reliability {
    /// Until it arrives.
    Whole,
    /// So many times.
    Times(u32),
    /// For so many milliseconds.
    Millis(u32),
}

impl Reliability {
    /// As SCTP takes it.
    pub(super) fn parameters(self) -> (ReliabilityType, u32) {
        match self {
            Self::Whole => (ReliabilityType::Reliable, 0),
            Self::Times(times) => (ReliabilityType::Rexmit, times),
            Self::Millis(millis) => (ReliabilityType::Timed, millis),
        }
    }
}

/// What a channel is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) ordered: bool,
    pub(crate) reliability: Reliability,
    pub(crate) priority: u16,
    pub(crate) label: String,
    pub(crate) protocol: String,
}

/// A message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dcep {
    Open(Open),
    Ack,
}

/// Why a message is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Malformed,
    /// The label or the protocol is longer than may be.
    TooLong,
}

impl Dcep {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is none, or its names are too long.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Wrong> {
        let (kind, rest) = match bytes {
            // Anything may follow an acknowledgement; nothing is known that does.
            [ACK, ..] => return Ok(Self::Ack),
            [OPEN, kind, rest @ ..] if bytes.len() >= HEADER => (*kind, rest),
            _ => return Err(Wrong::Malformed),
        };
        let short = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        let priority = short(0);
        let parameter = u32::from_be_bytes([rest[2], rest[3], rest[4], rest[5]]);
        let (label, protocol) = (usize::from(short(6)), usize::from(short(8)));
        let names = &bytes[HEADER..];
        if names.len() != label + protocol {
            return Err(Wrong::Malformed);
        }
        if label > NAME || protocol > NAME {
            return Err(Wrong::TooLong);
        }
        let reliability = match kind & !UNORDERED {
            0 => Reliability::Whole,
            1 => Reliability::Times(parameter),
            2 => Reliability::Millis(parameter),
            _ => return Err(Wrong::Malformed),
        };
        let text = |bytes: &[u8]| {
            std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Wrong::Malformed)
        };
        let (label, protocol) = names.split_at(label);
        let ordered = kind & UNORDERED == 0;
        let (label, protocol) = (text(label)?, text(protocol)?);
        Ok(Self::Open(Open { ordered, reliability, priority, label, protocol }))
    }

    /// Writes the acknowledgement.
    pub(super) fn ack() -> Bytes {
        Bytes::from_static(&[ACK])
    }
}

impl Open {
    /// Writes the message that opens such a channel.
    pub(super) fn write(&self) -> Bytes {
        let (kind, parameter) = match self.reliability {
            Reliability::Whole => (0, 0),
            Reliability::Times(times) => (1, times),
            Reliability::Millis(millis) => (2, millis),
        };
        let short = |text: &str| u16::try_from(text.len()).expect("names are bounded");
        let mut bytes = BytesMut::with_capacity(HEADER + self.label.len() + self.protocol.len());
        bytes.put_u8(OPEN);
        bytes.put_u8(kind | if self.ordered { 0 } else { UNORDERED });
        bytes.put_u16(self.priority);
        bytes.put_u32(parameter);
        bytes.put_u16(short(&self.label));
        bytes.put_u16(short(&self.protocol));
        bytes.put_slice(self.label.as_bytes());
        bytes.put_slice(self.protocol.as_bytes());
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opens() -> impl Strategy<Value = Open> {
        let reliability = prop_oneof![
            Just(Reliability::Whole),
            any::<u32>().prop_map(Reliability::Times),
            any::<u32>().prop_map(Reliability::Millis),
        ];
        let names = ("\\PC{0,40}", "\\PC{0,40}");
        (any::<bool>(), reliability, any::<u16>(), names).prop_map(
            |(ordered, reliability, priority, (label, protocol))| Open {
                ordered,
                reliability,
                priority,
                label,
                protocol,
            },
        )
    }

    #[test]
    fn a_message_is_read_as_the_specification_writes_it() {
        let bytes = b"\x03\x81\x01\x00\x00\x00\x00\x05\x00\x04\x00\x01chatx";
        let Ok(Dcep::Open(open)) = Dcep::read(bytes) else { panic!("it is one") };
        assert_eq!((open.label.as_str(), open.protocol.as_str()), ("chat", "x"));
        assert_eq!((open.ordered, open.priority), (false, 256));
        assert_eq!(open.reliability, Reliability::Times(5));
        assert_eq!(open.write(), bytes[..]);
        assert_eq!(Dcep::read(&Dcep::ack()), Ok(Dcep::Ack));
    }

    #[test]
    fn what_is_none_is_refused() {
        let label = "l".repeat(NAME + 1);
        let (ordered, reliability, protocol) = (true, Reliability::Whole, String::new());
        let long = Open { ordered, reliability, priority: 0, label, protocol };
        assert_eq!(Dcep::read(&long.write()), Err(Wrong::TooLong));
        for wrong in [
            &b""[..],
            b"\x03",
            b"\x04\0\0\0\0\0\0\0\0\0\0\0",
            b"\x03\x03\0\0\0\0\0\0\0\0\0\0",
            b"\x03\0\0\0\0\0\0\0\0\x01\0\0",
            b"\x03\0\0\0\0\0\0\0\0\0\0\0more",
            b"\x03\0\0\0\0\0\0\0\0\x01\0\0\xff",
        ] {
            assert_eq!(Dcep::read(wrong), Err(Wrong::Malformed), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(open in opens()) {
            prop_assert_eq!(Dcep::read(&open.write()), Ok(Dcep::Open(open)));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..64), shape in any::<bool>(),
        ) {
            if shape && !bytes.is_empty() {
                bytes[0] = OPEN;
            }
            let _ = Dcep::read(&bytes);
        }
    }
}
