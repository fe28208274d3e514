//! Packets that no client that means well sends.

use super::*;
use proptest::prelude::*;

fn packet(chunks: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let mut packet = vec![0; HEADER];
    for (kind, flags, value) in chunks {
        let len = u16::try_from(value.len() + 4).unwrap();
        packet.extend([*kind, *flags]);
        packet.extend(len.to_be_bytes());
        packet.extend(value);
        packet.resize(packet.len().next_multiple_of(4), 0);
    }
    packet
}

fn data(tsn: u32, stream: u16, flags: u8, len: usize) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend(stream.to_be_bytes());
    value.extend([0, 0, 0, 0, 0, 51]);
    value.resize(12 + len, 7);
    packet(&[(kind::DATA, flags, value)])
}

fn sack(seen: u32, window: u32) -> Vec<u8> {
    let value = [seen.to_be_bytes(), window.to_be_bytes(), [0; 4]].concat();
    packet(&[(kind::SACK, 0, value)])
}

fn reset(number: u32, due: u32) -> Vec<u8> {
    let mut value = vec![0, 13, 0, 18];
    value.extend([number, 0, due].into_iter().flat_map(u32::to_be_bytes));
    value.extend([0, 1]);
    packet(&[(kind::RECONFIG, 0, value)])
}

/// One that stands, up to this number.
fn gate(seen: u32) -> Gate {
    let mut gate = Gate { stands: true, ..Gate::default() };
    gate.outbound(&sack(seen, 1000));
    gate.furthest = seen;
    gate
}

#[test]
fn data_passes_within_its_bounds_also_where_numbers_wrap() {
    let mut gate = gate(u32::MAX - 1);
    assert_eq!(gate.inbound(&data(u32::MAX, 3, 3, 10), false), Verdict::Pass);
    assert_eq!(gate.inbound(&data(0, 3, 3, 1), false), Verdict::Pass);
    assert_eq!(gate.inbound(&data(2046, 3, 3, 1), false), Verdict::Pass);
    assert_eq!(gate.inbound(&data(2047, 3, 3, 1), false), Verdict::Drop);
    assert_eq!(gate.inbound(&data(5, STREAMS, 3, 1), false), Verdict::Abort);
    assert_eq!(gate.inbound(&data(5, 3, 3, 0), false), Verdict::Abort);
    assert_eq!(gate.inbound(&data(5, 3, 2, 7), false), Verdict::Abort);
    assert_eq!(gate.inbound(&data(5, 3, 2, 8), false), Verdict::Pass);
}

#[test]
fn a_message_without_an_end_ends_the_association() {
    let mut gate = gate(0);
    gate.outbound(&sack(100, 0));
    let endless = |gate: &mut Gate, from: u32, count: u32| {
        let numbers = from..from + count;
        numbers.map(|tsn| gate.inbound(&data(tsn, 1, 0, 1000), false)).collect::<Vec<_>>()
    };
    assert!(endless(&mut gate, 101, BEYOND).iter().all(|verdict| *verdict == Verdict::Pass));
    assert_eq!(endless(&mut gate, 101 + BEYOND, 1), [Verdict::Abort]);
    // A window that opens again forgives.
    gate.outbound(&sack(101 + BEYOND, 500));
    assert_eq!(endless(&mut gate, 103 + BEYOND, 1), [Verdict::Pass]);
}

#[test]
fn what_piles_up_while_messages_wait_is_as_if_it_were_lost() {
    let mut gate = gate(0);
    for tsn in 1..=PILE {
        assert_eq!(gate.inbound(&data(tsn, 1, 3, 1), true), Verdict::Pass);
    }
    assert_eq!(gate.inbound(&data(PILE + 1, 1, 3, 1), true), Verdict::Drop);
    assert_eq!(gate.inbound(&data(PILE + 1, 1, 3, 1), false), Verdict::Pass);
}

#[test]
fn what_would_make_the_library_loop_or_keep_things_does_not_pass() {
    let mut gate = gate(0);
    let forward = |to: u32| packet(&[(kind::FORWARD, 0, to.to_be_bytes().to_vec())]);
    assert_eq!(gate.inbound(&forward(65_535), false), Verdict::Pass);
    assert_eq!(gate.inbound(&forward(1 << 30), false), Verdict::Drop);
    let mut value = [[0; 4], [0, 0, 0, 1], [0, 2, 0, 0]].concat();
    value.extend([0, 1, 255, 255, 0, 1, 255, 255]);
    assert_eq!(gate.inbound(&packet(&[(kind::SACK, 0, value)]), false), Verdict::Drop);
    let beats: Vec<_> = (0..17).map(|_| (4, 0, vec![0, 1, 0, 4])).collect();
    assert_eq!(gate.inbound(&packet(&beats), false), Verdict::Drop);
    // Resets that never become due, and resets that are never answered.
    for number in 0..u32::try_from(ASKING).unwrap() {
        let verdict = if number < 4 { Verdict::Pass } else { Verdict::Drop };
        assert_eq!(gate.inbound(&reset(number, 500), false), verdict);
        assert_eq!(gate.outbound(&reset(number, 1)), Verdict::Pass);
    }
    assert_eq!(gate.inbound(&reset(1, 500), true), Verdict::Drop);
    assert_eq!(gate.inbound(&reset(1, 500), false), Verdict::Pass);
    assert_eq!(gate.outbound(&reset(99, 1)), Verdict::Abort);
    gate.outbound(&sack(500, 1));
    assert_eq!(gate.inbound(&reset(99, 500), false), Verdict::Pass);
}

#[test]
fn an_association_begins_once_and_alone_in_its_packet() {
    let init =
        |kind| (kind, 0, [7u32, 1000, 0, 9].into_iter().flat_map(u32::to_be_bytes).collect());
    let mut gate = Gate::default();
    assert_eq!(gate.inbound(&packet(&[init(kind::INIT)]), false), Verdict::Begins(7));
    assert_eq!(gate.seen, 8);
    let two = packet(&[init(kind::INIT), init(kind::INIT)]);
    assert_eq!(gate.inbound(&two, false), Verdict::Drop);
    assert_eq!(gate.outbound(&packet(&[init(kind::INIT_ACK)])), Verdict::Begins(7));
    gate.stands = true;
    assert_eq!(gate.inbound(&packet(&[init(kind::INIT)]), false), Verdict::Drop);
    assert_eq!(gate.inbound(&packet(&[]), false), Verdict::Drop);
    assert_eq!(gate.inbound(&[0; 14], false), Verdict::Drop);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kinds in proptest::collection::vec((prop_oneof![0u8..15, Just(130), Just(192)], 0u8..16,
            proptest::collection::vec(any::<u8>(), 0..60)), 0..6),
        held in any::<bool>(),
    ) {
        let mut gate = gate(5);
        gate.inbound(&bytes, held);
        gate.inbound(&packet(&kinds), held);
        gate.outbound(&packet(&kinds));
        gate.stands = false;
        gate.inbound(&packet(&kinds), held);
    }
}
