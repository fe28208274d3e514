use super::*;
use crate::room::codec::{Codec, look};
use proptest::prelude::*;
use std::time::Duration;

fn packet(sequence: u64, timestamp: u32, key_frame: bool, at: Instant) -> Stored {
    let look = look(Codec::Vp8, &[0x90, 0xc0, 0x80 | 1, 2, 7, u8::from(!key_frame)]);
    Stored {
        sequence,
        timestamp,
        marker: false,
        payload_type: 96,
        arrived: at,
        key_frame,
        numbers: look.numbers,
        place: look.place,
        descriptor: None,
        level: None,
        turned: None,
        payload: Vec::new(),
    }
}

#[test]
fn nothing_is_forwarded_before_a_key_frame() {
    let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
    forwarder.want(Some(0));
    assert_eq!(forwarder.take(0, &packet(1, 0, false, now), |_, _| None), None);
    assert_eq!(forwarder.waits_for(), Some(0));
    assert!(forwarder.take(0, &packet(2, 0, true, now), |_, _| None).is_some());
    assert_eq!(forwarder.waits_for(), None);
}

#[test]
fn a_switch_waits_for_the_key_frame_and_goes_on_without_a_jump() {
    let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
    let at = |millis| now + Duration::from_millis(millis);
    forwarder.want(Some(0));
    let first = forwarder.take(0, &packet(100, 5000, true, at(0)), |_, _| None).unwrap();
    forwarder.want(Some(2));
    let second = forwarder.take(0, &packet(101, 8000, false, at(33)), |_, _| None).unwrap();
    assert_eq!(second.sequence, first.sequence + 1);
    assert_eq!(forwarder.take(2, &packet(900, 77, false, at(50)), |_, _| None), None);
    let third = forwarder.take(2, &packet(901, 77, true, at(66)), |_, _| None).unwrap();
    assert_eq!(third.sequence, second.sequence + 1);
    let step = third.timestamp.wrapping_sub(second.timestamp);
    assert!((2900..3100).contains(&step), "{step}");
    let (picture, base) = second.numbers.unwrap();
    assert_eq!(third.numbers, Some((picture + 1, base + 1)));
    assert_eq!(forwarder.take(0, &packet(102, 11_000, false, at(67)), |_, _| None), None);
    // What was sent before the switch is found in the layer before.
    assert_eq!(forwarder.origin(101), Some((101, 0, 101)));
    assert_eq!(forwarder.origin(102), Some((102, 2, 901)));
    assert_eq!(forwarder.origin(103), None);
}

#[test]
fn sender_reports_make_the_time_exact() {
    let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
    forwarder.want(Some(0));
    forwarder.take(0, &packet(1, 1_000_000, true, now), |_, _| None);
    forwarder.want(Some(1));
    // It arrived 40 ms later, but was captured 33 1/3 ms later.
    let later = packet(1, 503_000, true, now + Duration::from_millis(40));
    let out = forwarder.take(1, &later, |_, _| Some(500_000u32.wrapping_sub(1_000_000)));
    assert_eq!(out.unwrap().timestamp, 1_003_000);
}

#[test]
fn a_late_packet_of_the_layer_gets_the_place_that_was_left_for_it() {
    let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
    forwarder.want(Some(0));
    forwarder.take(0, &packet(10, 0, true, now), |_, _| None);
    let after = forwarder.take(0, &packet(12, 0, false, now), |_, _| None).unwrap();
    let late = forwarder.take(0, &packet(11, 0, false, now), |_, _| None).unwrap();
    assert_eq!(late.sequence + 1, after.sequence);
}

proptest! {
    #[test]
    fn numbers_never_repeat_and_times_never_go_back(
        steps in proptest::collection::vec((0usize..3, any::<bool>(), 0usize..4), 1..200),
    ) {
        let (mut forwarder, begin) = (Forwarder::new(90_000, true), Instant::now());
        let (mut sequences, mut last) = ([1000u64, 5000, 9000], None::<Rewritten>);
        for (index, (layer, key, want)) in steps.into_iter().enumerate() {
            forwarder.want((want < 3).then_some(want));
            let at = begin + Duration::from_millis(index as u64 * 20);
            sequences[layer] += 1;
            let timestamp = (index as u32 * 1800).wrapping_add(layer as u32 * 1_000_000_000);
            let stored = packet(sequences[layer], timestamp, key, at);
            let Some(out) = forwarder.take(layer, &stored, |_, _| None) else { continue };
            if let Some(last) = last {
                prop_assert!(out.sequence > last.sequence);
                prop_assert!(out.timestamp.wrapping_sub(last.timestamp).cast_signed() > 0);
            }
            #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
            let origin = forwarder.origin(out.sequence as u16);
            prop_assert_eq!(origin, Some((out.sequence, layer, stored.sequence)));
            last = Some(out);
        }
    }
}

/// A picture of one packet, of VP8 with three temporal layers as encoders send them.
fn temporal(number: u16, key_frame: bool, at: Instant) -> Stored {
    let layer = [0x00u8, 0x80, 0x40, 0xa0][usize::from(number) % 4];
    let sync = if number % 8 < 4 { 0x20 } else { 0 };
    let [high, low] = number.to_be_bytes();
    let payload = [0x90, 0xe0, 0x80 | high, low, low / 4, layer | sync, u8::from(!key_frame)];
    let look = look(Codec::Vp8, &payload);
    let (numbers, place) = (look.numbers, look.place);
    let (sequence, timestamp) = (1000 + u64::from(number), u32::from(number) * 3000);
    Stored { marker: true, numbers, place, ..packet(sequence, timestamp, key_frame, at) }
}

#[test]
fn temporal_layers_are_left_out_without_a_gap_and_come_back_where_they_may() {
    let (mut forwarder, begin) = (Forwarder::new(90_000, true), Instant::now());
    let mut last: Option<(Rewritten, u64)> = None;
    let mut counts = [0; 4];
    for number in 0..160u16 {
        let stage = usize::from(number / 40);
        let part = Part { temporal: [3, 0, 1, 3][stage], ..Part::WHOLE };
        forwarder.want_part(Some((0, part)));
        assert_eq!(forwarder.waits_for().is_some(), number == 0, "no key frame is needed");
        let at = begin + Duration::from_millis(u64::from(number) * 33);
        let stored = temporal(number, number == 0, at);
        let Some(out) = forwarder.take(0, &stored, |_, _| None) else { continue };
        counts[stage] += 1;
        if let Some((last, _)) = last {
            assert_eq!(out.sequence, last.sequence + 1);
            assert_eq!(out.numbers.unwrap().0, last.numbers.unwrap().0 + 1);
            assert!(out.timestamp > last.timestamp);
        }
        let origin = forwarder.origin(u16::try_from(out.sequence & 0xffff).unwrap());
        assert_eq!(origin, Some((out.sequence, 0, stored.sequence)));
        last = Some((out, stored.sequence));
    }
    assert_eq!((counts[0], counts[1]), (40, 10));
    // To rise, a picture is waited for that refers to the lowest layer only.
    assert!((18..=20).contains(&counts[2]) && (34..=40).contains(&counts[3]), "{counts:?}");
}

#[test]
fn what_comes_late_and_is_left_out_keeps_its_place_empty() {
    let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
    forwarder.want_part(Some((0, Part { temporal: 0, ..Part::WHOLE })));
    let first = forwarder.take(0, &temporal(0, true, now), |_, _| None).unwrap();
    // The second is missing, the third and the fourth are left out.
    assert!(forwarder.take(0, &temporal(2, false, now), |_, _| None).is_none());
    assert!(forwarder.take(0, &temporal(3, false, now), |_, _| None).is_none());
    let next = forwarder.take(0, &temporal(4, false, now), |_, _| None).unwrap();
    assert_eq!(next.sequence, first.sequence + 2);
    let late = forwarder.take(0, &temporal(1, false, now), |_, _| None).unwrap();
    assert!(late.empty && late.sequence == first.sequence + 1);
}

#[test]
fn a_spatial_layer_falls_at_once_and_rises_with_a_key_frame() {
    // VP9 with two spatial layers, each picture two packets.
    let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
    let spatial = |number: u16, layer: u8, key_frame: bool| {
        let predicted = if key_frame { 0 } else { 0x40 };
        let [_, low] = number.to_be_bytes();
        let payload = [0xac | predicted, 0x80, low, layer << 1, 0, 0];
        let look = look(Codec::Vp9, &payload);
        let (numbers, place, marker) = (look.numbers, look.place, layer == 1);
        let (sequence, time) = (u64::from(number) * 2 + u64::from(layer), u32::from(number) * 3000);
        let key_frame = look.key == crate::room::codec::Key::Begins;
        Stored { marker, numbers, place, ..packet(500 + sequence, time, key_frame, now) }
    };
    forwarder.want(Some(0));
    let take = |forwarder: &mut Forwarder, number, key| {
        [0, 1].map(|layer| {
            let stored = spatial(number, layer, key);
            forwarder.take(0, &stored, |_, _| None).map(|out| (out.sequence, out.marker))
        })
    };
    assert_eq!(take(&mut forwarder, 0, true), [Some((500, false)), Some((501, true))]);
    forwarder.want_part(Some((0, Part { spatial: 0, ..Part::WHOLE })));
    assert_eq!(forwarder.waits_for(), None, "a lower layer needs no key frame");
    assert_eq!(take(&mut forwarder, 1, false), [Some((502, true)), None]);
    forwarder.want(Some(0));
    assert_eq!(take(&mut forwarder, 2, false), [Some((503, true)), None]);
    assert_eq!(forwarder.waits_for(), Some(0), "a higher one does");
    assert_eq!(take(&mut forwarder, 3, true), [Some((504, false)), Some((505, true))]);
    assert_eq!(forwarder.waits_for(), None);
}
