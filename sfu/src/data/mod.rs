//! Data channels (RFC 8831): SCTP over DTLS (RFC 8261) with one client, and what is said on it. Like
//! all of the media, it does no I/O and reads no clock: packets and time go in, packets and events
//! come out.

mod allowance;
mod association;
#[cfg(test)]
mod association_tests;
mod dcep;
mod gate;
mod waiting;

use bytes::Bytes;
use rtc_sctp::PayloadProtocolIdentifier as Identifier;

pub(crate) use association::{Association, Event, Sent};
pub(crate) use dcep::{Open, Reliability};

/// The largest message, in bytes (`a=max-message-size`).
pub(crate) const MESSAGE: usize = 65_536;

/// The longest label, and the longest protocol, in bytes.
pub(crate) const NAME: usize = 256;

/// Channels that one participant may have open.
pub(crate) const CHANNELS: usize = 16;

/// Streams of an association: as many as browsers have.
pub(crate) const STREAMS: u16 = 1024;

/// A message as it was said: text or not, and it may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) text: bool,
    pub(crate) payload: Bytes,
}

impl Message {
    /// What came under this identifier, which says whether it is text and whether it is empty (RFC
    /// 8831, section 6.6); `None` where it is no message of a channel.
    fn read(identifier: Identifier, payload: Bytes) -> Option<Self> {
        let (text, empty) = match identifier {
            Identifier::String => (true, false),
            Identifier::Binary => (false, false),
            Identifier::StringEmpty => (true, true),
            Identifier::BinaryEmpty => (false, true),
            _ => return None,
        };
        Some(Self { text, payload: if empty { Bytes::new() } else { payload } })
    }

    /// How it goes onto the wire: SCTP has no empty messages, so one byte stands for none.
    fn write(&self) -> (Identifier, Bytes) {
        match (self.text, self.payload.is_empty()) {
            (true, false) => (Identifier::String, self.payload.clone()),
            (false, false) => (Identifier::Binary, self.payload.clone()),
            (true, true) => (Identifier::StringEmpty, Bytes::from_static(&[0])),
            (false, true) => (Identifier::BinaryEmpty, Bytes::from_static(&[0])),
        }
    }
}
