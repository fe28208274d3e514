//! What stands between a client and the SCTP of the library, which trusts its peer in places: whole
//! packets are looked at, and what would make it loop, grow or end without need does not pass.
//!
//! Its cumulative TSN and its receive window are known from the acknowledgements that it sends.

use super::STREAMS;

/// How far beyond what is acknowledged a chunk of data may be: each is kept.
const AHEAD: i32 = 2048;

/// How far a peer may say at once that it gave data up: the library goes there step by step. No
/// acknowledgement reaches further either.
const FORWARD: i32 = 65_535;

/// Chunks that may come while nothing is left of the receive window, though everything that is whole
/// was taken: the library takes the next one, so that a message may become whole, however long.
const BEYOND: u32 = 64;

/// Chunks that may come while messages are left where they are.
const PILE: u32 = 1024;

/// The smallest fragment that is not the last: each costs more memory than it has bytes.
const FRAGMENT: usize = 8;

/// Resets that the peer asked for and that wait for data: a peer asks for one at a time, and the
/// library answers each again with every chunk that comes.
const ASKED: usize = 4;

/// Resets that were asked of the peer and that it did not answer.
const ASKING: usize = 64;

/// Chunks of one packet that are not data.
const CONTROLS: usize = 16;

/// The bytes before the chunks.
const HEADER: usize = 12;

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const INIT: u8 = 1;
    pub(super) const INIT_ACK: u8 = 2;
    pub(super) const SACK: u8 = 3;
    pub(super) const ABORT: u8 = 6;
    /// Heartbeats, shutdowns, cookies. Errors do not pass: the library panics at causes that are
    /// too long, and would end the association at each.
    pub(super) const PLAIN: [u8; 7] = [4, 5, 7, 8, 10, 11, 14];
    pub(super) const RECONFIG: u8 = 130;
    pub(super) const FORWARD: u8 = 192;
}

/// Parameters of `RE-CONFIG` (RFC 6525).
const RESET: u16 = 13;
const RESPONSE: u16 = 16;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// As if it had been lost on the way.
    Drop,
    /// No client that means well sends this: the association ends.
    Abort,
    /// The client ended the association.
    Over,
    /// It begins an association under this tag.
    Begins(u32),
}

/// What is known of an association from outside.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Whether it stands.
    pub(super) stands: bool,
    /// Up to where data came without a gap, and the furthest that did.
    seen: u32,
    furthest: u32,
    /// Whether the receive window is used up, and what came since.
    full: bool,
    beyond: u32,
    /// Chunks that came while messages were left where they are.
    piled: u32,
    /// Resets that the peer asked for, with the TSN after which they are due.
    asked: Vec<(u32, u32)>,
    /// Resets that were asked of the peer.
    asking: Vec<u32>,
    /// The tag of this side.
    tag: u32,
}

/// A chunk: its kind, its flags, and what follows its header.
struct Chunk<'a> {
    kind: u8,
    flags: u8,
    value: &'a [u8],
}

/// The chunks of a packet; `None` where a length is wrong.
fn chunks(packet: &[u8]) -> impl Iterator<Item = Option<Chunk<'_>>> {
    let mut rest = packet.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [kind, flags, high, low, ..] = *rest else {
            let left = !rest.is_empty();
            rest = &[];
            return left.then_some(None);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        let value = rest.get(4..len);
        rest = value.and_then(|_| rest.get(len.next_multiple_of(4)..)).unwrap_or_default();
        Some(value.map(|value| Chunk { kind, flags, value }))
    })
}

/// The parameters of a `RE-CONFIG`: kind and value.
fn parameters(value: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let (kind, len) = (word(rest, 0)?, usize::from(word(rest, 2)?));
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// By how much one number is after another (RFC 1982).
fn after(number: u32, other: u32) -> i32 {
    number.wrapping_sub(other).cast_signed()
}

impl Gate {
    /// Looks at a packet of the peer. `held` says that messages are left where they are, because
    /// the peer says too much.
    pub(super) fn inbound(&mut self, packet: &[u8], held: bool) -> Verdict {
        let (mut result, mut controls, mut count, mut sacks) = (Verdict::Pass, 0, 0, 0);
        self.piled = if held { self.piled } else { 0 };
        for chunk in chunks(packet) {
            let Some(chunk) = chunk else { return Verdict::Drop };
            count += 1;
            controls += usize::from(chunk.kind != kind::DATA);
            sacks += usize::from(chunk.kind == kind::SACK);
            if controls > CONTROLS || sacks > 1 {
                return Verdict::Drop;
            }
            match self.chunk(&chunk, held) {
                Some(Verdict::Pass) => {}
                // It stands alone in its packet (RFC 9260, section 3.3.2).
                Some(begins @ Verdict::Begins(_)) if count == 1 => result = begins,
                Some(Verdict::Begins(_)) | None => return Verdict::Drop,
                Some(other) => return other,
            }
        }
        match (result, count) {
            (_, 0) => Verdict::Drop,
            (Verdict::Begins(_), 2..) => Verdict::Drop,
            (result, _) => result,
        }
    }

    /// `None` for what is malformed.
    fn chunk(&mut self, chunk: &Chunk<'_>, held: bool) -> Option<Verdict> {
        let value = chunk.value;
        Some(match chunk.kind {
            kind::DATA => return self.data(chunk, held),
            // An INIT that was delayed would end an association that stands.
            kind::INIT | kind::INIT_ACK if self.stands => Verdict::Drop,
            kind::INIT | kind::INIT_ACK => {
                let first = long(value, 12)?;
                (self.seen, self.furthest) = (first.wrapping_sub(1), first.wrapping_sub(1));
                match chunk.kind {
                    kind::INIT => Verdict::Begins(long(value, 0)?),
                    _ => Verdict::Pass,
                }
            }
            kind::SACK => {
                let gaps = usize::from(word(value, 8)?);
                // They lie beside each other (RFC 9260, section 3.3.4): the library walks through
                // each of them.
                let mut last = 1;
                for gap in 0..gaps {
                    let (begin, end) = (word(value, 12 + gap * 4)?, word(value, 14 + gap * 4)?);
                    if begin <= last || end < begin {
                        return Some(Verdict::Drop);
                    }
                    last = end;
                }
                Verdict::Pass
            }
            kind::FORWARD => match after(long(value, 0)?, self.seen) > FORWARD {
                true => Verdict::Drop,
                false => Verdict::Pass,
            },
            kind::ABORT => Verdict::Over,
            kind::RECONFIG => return self.reconfig(value, held),
            other if kind::PLAIN.contains(&other) => Verdict::Pass,
            _ => Verdict::Drop,
        })
    }

    fn data(&mut self, chunk: &Chunk<'_>, held: bool) -> Option<Verdict> {
        let (tsn, stream) = (long(chunk.value, 0)?, word(chunk.value, 4)?);
        let len = chunk.value.len().checked_sub(12)?;
        let is_last = chunk.flags & 1 != 0;
        if len == 0 || stream >= STREAMS || len < FRAGMENT && !is_last {
            return Some(Verdict::Abort);
        }
        if !self.stands || after(tsn, self.seen) > AHEAD {
            return Some(Verdict::Drop);
        }
        if after(tsn, self.furthest) > 0 {
            if held {
                self.piled += 1;
                if self.piled > PILE {
                    return Some(Verdict::Drop);
                }
            } else if self.full {
                self.beyond += 1;
                if self.beyond > BEYOND {
                    return Some(Verdict::Abort);
                }
            }
            self.furthest = tsn;
        }
        Some(Verdict::Pass)
    }

    /// A reset that is asked for is kept by the library until its time comes; one that it asked for
    /// is kept until it is answered.
    fn reconfig(&mut self, value: &[u8], held: bool) -> Option<Verdict> {
        for (kind, value) in parameters(value) {
            let number = long(value, 0)?;
            match kind {
                // It would be kept until the messages are taken; it will come again.
                RESET if held => return Some(Verdict::Drop),
                RESET => {
                    let due = long(value, 8)?;
                    let seen = self.seen;
                    self.asked.retain(|(_, due)| after(*due, seen) > 0);
                    let known = self.asked.iter().any(|(known, _)| *known == number);
                    if after(due, self.seen) > AHEAD || self.asked.len() >= ASKED && !known {
                        return Some(Verdict::Drop);
                    }
                    if !known {
                        self.asked.push((number, due));
                    }
                }
                RESPONSE => self.asking.retain(|known| *known != number),
                _ => return Some(Verdict::Drop),
            }
        }
        Some(Verdict::Pass)
    }

    /// Looks at a packet of this side. `Begins` has the tag of this side.
    pub(super) fn outbound(&mut self, packet: &[u8]) -> Verdict {
        let mut result = Verdict::Pass;
        for chunk in chunks(packet).flatten() {
            match chunk.kind {
                kind::SACK => {
                    if let (Some(seen), Some(window)) = (long(chunk.value, 0), long(chunk.value, 4))
                    {
                        self.acknowledged(seen, window);
                    }
                }
                kind::INIT | kind::INIT_ACK => {
                    self.tag = long(chunk.value, 0).unwrap_or(0);
                    if chunk.kind == kind::INIT_ACK {
                        result = Verdict::Begins(self.tag);
                    }
                }
                kind::RECONFIG => {
                    for (kind, value) in parameters(chunk.value) {
                        if let (RESET, Some(number)) = (kind, long(value, 0))
                            && !self.asking.contains(&number)
                        {
                            self.asking.push(number);
                        }
                    }
                }
                _ => {}
            }
        }
        if self.asking.len() > ASKING { Verdict::Abort } else { result }
    }

    /// Whether the peer has not answered yet what it was asked to reset.
    pub(super) fn is_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// The tag that packets must have, and the number of the next chunk of data.
    #[cfg(test)]
    pub(super) fn expects(&self) -> (u32, u32) {
        (self.tag, self.furthest.wrapping_add(1))
    }

    /// A packet as of the peer, with data that came already and is to be acknowledged at once. The
    /// library tells a peer only then that there is room again, and who is not told asks ever later.
    pub(super) fn nudge(&self) -> Vec<u8> {
        let mut packet = vec![0x13, 0x88, 0x13, 0x88];
        packet.extend(self.tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([kind::DATA, 0x0b, 0, 17]);
        packet.extend(self.seen.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0, 0, 0, 51, 0, 0, 0, 0]);
        let sum = crc32c::crc32c(&packet).to_le_bytes();
        packet[8..12].copy_from_slice(&sum);
        packet
    }

    fn acknowledged(&mut self, seen: u32, window: u32) {
        self.seen = seen;
        if after(seen, self.furthest) > 0 {
            self.furthest = seen;
        }
        self.full = window == 0;
        if !self.full {
            self.beyond = 0;
        }
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
