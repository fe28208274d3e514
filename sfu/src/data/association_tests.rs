//! Two associations of ours that speak with each other, over a way that loses what it is told to, and
//! what a client does that means ill.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use rtc_sctp::PayloadProtocolIdentifier as Identifier;

use super::*;

/// Two sides; the first shook hands as the client.
struct Pair {
    sides: [Association; 2],
    events: [Vec<Event>; 2],
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let side = || Association::new(CHANNELS, u64::MAX, now);
        Self { sides: [side(), side()], events: [Vec::new(), Vec::new()], now }
    }

    /// Lets time pass and packets go; `lost` says which are lost on the way.
    fn run(&mut self, millis: u64, mut lost: impl FnMut(usize) -> bool) {
        for _ in 0..millis / 10 {
            self.now += Duration::from_millis(10);
            for from in [0, 1] {
                self.sides[from].tick(self.now);
                for packet in self.sides[from].outgoing(self.now) {
                    if !lost(from) {
                        self.sides[1 - from].receive(packet, self.now);
                    }
                }
            }
            for (side, events) in self.sides.iter_mut().zip(&mut self.events) {
                events.extend(std::iter::from_fn(|| side.poll()));
            }
        }
    }

    /// Both stand, and the client opened a channel. Returns its stream.
    fn connected(open: &Open) -> (Self, u16) {
        let mut pair = Self::new();
        pair.sides[0].connect(pair.now);
        pair.run(100, |_| false);
        assert_eq!(pair.events, [[Event::Connected], [Event::Connected]]);
        let stream = pair.sides[0].open(open, true, pair.now).unwrap();
        pair.run(100, |_| false);
        assert_eq!(pair.events[1][1], Event::Opened { stream, open: open.clone() });
        pair.events = [Vec::new(), Vec::new()];
        (pair, stream)
    }

    fn messages(&self) -> Vec<Message> {
        let events = self.events[1].iter();
        let messages = events.filter_map(|event| match event {
            Event::Message { message, .. } => Some(message.clone()),
            _ => None,
        });
        messages.collect()
    }
}

fn channel(ordered: bool, reliability: Reliability) -> Open {
    let (label, protocol) = ("chat".to_owned(), "proto".to_owned());
    Open { ordered, reliability, priority: 0, label, protocol }
}

fn text(payload: impl Into<Bytes>) -> Message {
    Message { text: true, payload: payload.into() }
}

#[test]
fn messages_of_every_kind_and_length_arrive_as_they_were_sent() {
    let (mut pair, stream) = Pair::connected(&channel(true, Reliability::Whole));
    let sent = [
        text("hello"),
        text(""),
        Message { text: false, payload: Bytes::new() },
        Message { text: false, payload: Bytes::from(vec![7; MESSAGE]) },
        text("end"),
    ];
    for message in &sent {
        assert_eq!(pair.sides[0].send(stream, message, pair.now), Sent::Queued);
    }
    let long = text(vec![7; MESSAGE + 1]);
    assert_eq!(pair.sides[0].send(stream, &long, pair.now), Sent::TooLong);
    pair.run(2000, |_| false);
    assert_eq!(pair.messages(), sent);
    pair.sides[0].close(stream);
    pair.run(2000, |_| false);
    assert_eq!(pair.events[1].last(), Some(&Event::Closed { stream }));
    // The stream is free again.
    let open = channel(true, Reliability::Whole);
    assert_eq!(pair.sides[0].open(&open, true, pair.now), Some(stream));
}

#[test]
fn whatever_is_lost_reliable_messages_arrive_once_and_in_order() {
    let (mut pair, stream) = Pair::connected(&channel(true, Reliability::Whole));
    let mut count = 0u32;
    for number in 0..2000u32 {
        let message = Message { text: false, payload: number.to_be_bytes().to_vec().into() };
        assert_eq!(pair.sides[0].send(stream, &message, pair.now), Sent::Queued);
        if number % 5 == 0 {
            pair.run(10, |_| {
                count += 1;
                count.wrapping_mul(0x9e37_79b9) >> 27 == 0
            });
        }
    }
    pair.run(60_000, |_| false);
    let numbers = pair.messages().into_iter();
    let numbers = numbers.map(|m| u32::from_be_bytes(m.payload[..].try_into().unwrap()));
    assert_eq!(numbers.collect::<Vec<_>>(), (0..2000).collect::<Vec<_>>());
    assert_eq!(pair.sides[0].waiting(), 0);
}

#[test]
fn a_begin_that_is_repeated_begins_one_association() {
    let mut pair = Pair::new();
    pair.sides[0].connect(pair.now);
    // The first answers are lost.
    let mut count = 0;
    pair.run(9000, |from| {
        count += usize::from(from == 1);
        from == 1 && count < 3
    });
    assert_eq!(pair.events, [[Event::Connected], [Event::Connected]]);
}

#[test]
fn too_much_that_waits_is_refused_or_left_out() {
    for (reliability, result) in
        [(Reliability::Whole, Sent::Full), (Reliability::Times(0), Sent::Late)]
    {
        let (mut pair, stream) = Pair::connected(&channel(true, reliability));
        let message = text(vec![7; 60_000]);
        let mut sent = 0;
        while pair.sides[0].send(stream, &message, pair.now) == Sent::Queued {
            sent += 1;
            assert!(sent < 100);
        }
        assert_eq!(pair.sides[0].send(stream, &message, pair.now), result);
        pair.run(20_000, |_| false);
        assert_eq!(pair.messages().len(), sent);
        assert_eq!(pair.sides[0].send(stream, &message, pair.now), Sent::Queued);
    }
}

#[test]
fn who_says_too_much_waits_on_a_reliable_channel_and_is_cut_on_another() {
    for reliability in [Reliability::Whole, Reliability::Times(0)] {
        let (mut pair, stream) = Pair::connected(&channel(true, reliability));
        let mut sent = 0;
        for _ in 0..500 {
            for _ in 0..40 {
                if pair.sides[0].send(stream, &text("x"), pair.now) == Sent::Queued {
                    sent += 1;
                }
            }
            pair.run(10, |_| false);
        }
        let got = pair.messages().len();
        assert!((4000..7000).contains(&got), "{got} in five seconds");
        pair.run(120_000, |_| false);
        match reliability {
            Reliability::Whole => assert_eq!(pair.messages().len(), sent),
            _ => assert!(pair.messages().len() < sent),
        }
    }
}

#[test]
fn long_messages_that_are_too_many_come_as_fast_as_they_may() {
    let (mut pair, stream) = Pair::connected(&channel(true, Reliability::Whole));
    let mut sent = 0;
    for millis in (0..8000).step_by(10) {
        while sent < 100
            && pair.sides[0].send(stream, &text(vec![7; 60_000]), pair.now) == Sent::Queued
        {
            sent += 1;
        }
        pair.run(10, |_| false);
        let got = pair.messages().len();
        assert!(!pair.events[1].contains(&Event::Ended), "{got} after {millis} ms");
    }
    assert_eq!(pair.messages().len(), 100);
}

#[test]
fn a_channel_too_many_and_a_message_too_long_are_refused() {
    let open = channel(true, Reliability::Whole);
    let (mut pair, first) = Pair::connected(&open);
    for _ in 1..CHANNELS {
        pair.sides[0].open(&open, true, pair.now).unwrap();
    }
    let stream = pair.sides[0].open(&open, true, pair.now).unwrap();
    pair.run(500, |_| false);
    let refused = Event::Refused { stream, reason: "too_many" };
    assert!(pair.events[1].contains(&refused), "{:?}", pair.events[1]);
    assert!(pair.events[0].contains(&Event::Closed { stream }));
    // The library of the other side would refuse to send it.
    for part in 0..=60u32 {
        let last = part == 60;
        pair.forge(first, part == 0, last, &[7; 1100]);
    }
    pair.run(500, |_| false);
    let refused = Event::Refused { stream: first, reason: "too_large" };
    assert!(pair.events[1].contains(&refused), "{:?}", pair.events[1]);
    let closed = pair.events[1].iter().filter(|it| **it == Event::Closed { stream: first });
    assert_eq!(closed.count(), 1, "the room forgets the channel, once");
}

impl Pair {
    /// The next chunk of data, which the client's library did not make.
    fn forge(&mut self, stream: u16, first: bool, last: bool, payload: &[u8]) {
        let (tag, tsn) = self.sides[1].expects();
        let mut packet = [5000u16, 5000].iter().flat_map(|p| p.to_be_bytes()).collect::<Vec<u8>>();
        packet.extend(tag.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([0, u8::from(first) << 1 | u8::from(last)]);
        packet.extend(u16::try_from(16 + payload.len()).unwrap().to_be_bytes());
        packet.extend(tsn.to_be_bytes());
        packet.extend(stream.to_be_bytes());
        packet.extend(1u16.to_be_bytes());
        packet.extend((Identifier::Binary as u32).to_be_bytes());
        packet.extend(payload);
        packet.resize(packet.len().next_multiple_of(4), 0);
        self.hand(packet);
    }

    /// Hands a packet to the server with the checksum that it must have.
    fn hand(&mut self, mut packet: Vec<u8>) {
        packet[8..12].fill(0);
        let sum = crc32c::crc32c(&packet).to_le_bytes();
        packet[8..12].copy_from_slice(&sum);
        self.sides[1].receive(packet.into(), self.now);
        self.sides[1].outgoing(self.now);
        let events = &mut self.events[1];
        events.extend(std::iter::from_fn(|| self.sides[1].poll()));
    }
}

#[test]
fn a_message_without_an_end_and_streams_without_number_end_the_association() {
    let open = channel(true, Reliability::Whole);
    let (mut pair, stream) = Pair::connected(&open);
    let mut part = 0;
    while !pair.events[1].contains(&Event::Ended) {
        pair.forge(stream, part == 0, false, &[7; 1100]);
        part += 1;
        assert!(part < 300, "it grows");
    }
    let (mut pair, _) = Pair::connected(&open);
    let mut part = 100;
    while !pair.events[1].contains(&Event::Ended) {
        pair.forge(part, true, true, &[7; 10]);
        part += 1;
        assert!(part < 200, "it grows");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Chunks of any kind with anything in them, in packets whose tag and checksum are right.
    #[test]
    fn no_packets_make_it_panic(packets in proptest::collection::vec(
        proptest::collection::vec((
            prop_oneof![0u8..16, Just(130u8), Just(192u8), any::<u8>()], 0u8..16, any::<u16>(),
            proptest::collection::vec(any::<u8>(), 0..80), any::<bool>(),
        ), 1..6), 1..40,
    )) {
        let (mut pair, _) = Pair::connected(&channel(true, Reliability::Whole));
        for chunks in packets {
            let (tag, next) = pair.sides[1].expects();
            let mut packet = vec![0x13, 0x88, 0x13, 0x88];
            packet.extend(tag.to_be_bytes());
            packet.extend([0; 4]);
            for (kind, flags, near, mut value, shape) in chunks {
                if shape && value.len() >= 8 {
                    // Numbers that are near to those that are expected get further.
                    let tsn = next.wrapping_add(u32::from(near) % 2100).wrapping_sub(20);
                    let at = if kind == 130 { 12.min(value.len() - 4) } else { 0 };
                    value[at..at + 4].copy_from_slice(&tsn.to_be_bytes());
                    if kind == 130 {
                        let len = u16::try_from(value.len()).unwrap();
                        value[..4].copy_from_slice(&[0, if near & 1 == 0 { 13 } else { 16 }, 0, 0]);
                        value[2..4].copy_from_slice(&len.to_be_bytes());
                    } else {
                        value[4] = 0;
                    }
                }
                let len = u16::try_from(value.len() + 4).unwrap();
                packet.extend([kind, flags]);
                packet.extend(len.to_be_bytes());
                packet.extend(value);
                packet.resize(packet.len().next_multiple_of(4), 0);
            }
            pair.hand(packet);
            pair.run(10, |_| false);
        }
        pair.run(300, |_| false);
        prop_assert!(pair.sides[1].waiting() < 1 << 22);
    }
}
