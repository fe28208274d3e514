//! The rules of a group, one by one.

use super::*;
use crate::persistent::{StartFrom, Strategy};

pub(in crate::persistent) fn settings() -> Settings {
    Settings {
        start_from: StartFrom::Start,
        resolve_links: false,
        extra_statistics: false,
        message_timeout: 1000,
        max_retry_count: 2,
        checkpoint_after: 500,
        min_checkpoint_count: 3,
        max_checkpoint_count: 10,
        max_subscriber_count: 0,
        live_buffer_size: 50,
        read_batch_size: 20,
        history_buffer_size: 100,
        strategy: Strategy::RoundRobin,
    }
}

pub(super) fn id(place: u64) -> Uuid {
    Uuid::from_u128(place.into())
}

pub(super) fn found(place: u64) -> Found<()> {
    Found { place, id: id(place), affinity: place % 8, bytes: 100, event: () }
}

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn group(settings: Settings, places: Range<u64>) -> Group<()> {
    let mut group = Group::new(settings, None, at(0));
    let last = places.end.checked_sub(1);
    group.read(places.map(found).collect(), last, 0, true);
    group
}

fn places(deliveries: &[Delivery<()>]) -> Vec<(u64, Place, u32)> {
    deliveries.iter().map(|one| (one.subscriber.0, one.place, one.retries)).collect()
}

#[test]
fn subscribers_take_turns() {
    let mut group = group(settings(), 0..5);
    let first = group.join(2, at(0)).expect("room");
    group.join(2, at(0)).expect("room");
    let taken: Vec<_> = group.deliver(at(0)).iter().map(|one| one.subscriber.0).collect();
    assert_eq!(taken, [1, 0, 1, 0]);
    group.acknowledge(first, id(1), at(0));
    assert_eq!(places(&group.deliver(at(0))), [(0, Place::Source(4), 0)]);
}

#[test]
fn a_single_one_is_given_all_it_has_room_for() {
    let mut group = group(Settings { strategy: Strategy::DispatchToSingle, ..settings() }, 0..5);
    group.join(3, at(0)).expect("room");
    group.join(3, at(0)).expect("room");
    let taken: Vec<_> = group.deliver(at(0)).iter().map(|one| one.subscriber.0).collect();
    assert_eq!(taken, [0, 0, 0, 1, 1]);
}

#[test]
fn what_belongs_together_goes_to_one_and_waits_for_it() {
    for strategy in [Strategy::Pinned, Strategy::PinnedByCorrelation] {
        let mut group = group(Settings { strategy, ..settings() }, 0..64);
        for _ in 0..3 {
            group.join(5, at(0)).expect("room");
        }
        let mut takers = std::collections::HashMap::new();
        let mut left = 64;
        while left > 0 {
            for one in group.deliver(at(0)) {
                let Place::Source(place) = one.place else { panic!("nothing is parked") };
                assert_eq!(*takers.entry(place % 8).or_insert(one.subscriber), one.subscriber);
                group.acknowledge(one.subscriber, one.id, at(0));
                left -= 1;
            }
        }
        let used: std::collections::HashSet<_> = takers.values().collect();
        assert!(used.len() > 1, "{takers:?}");
    }
}

#[test]
fn a_message_is_sent_again_until_it_is_parked() {
    let mut group = group(settings(), 0..1);
    group.join(1, at(0)).expect("room");
    for retries in 0..3 {
        let now = at(1000 * u64::from(retries));
        assert_eq!(places(&group.deliver(now)), [(0, Place::Source(0), retries)]);
        assert_eq!(group.deadline(), Some(now + at(1000)));
        group.expire(now + at(999));
        assert!(group.deliver(now + at(999)).is_empty());
        group.expire(now + at(1000));
    }
    let parked = group.take_to_park();
    assert_eq!(parked.len(), 1);
    assert!(group.deliver(at(5000)).is_empty());
    assert_eq!(group.checkpoint(at(5000), true), None, "it is not durable there yet");
    group.not_parked(parked);
    let parked = group.take_to_park();
    group.parked(parked[0].token);
    assert_eq!(group.checkpoint(at(5000), true), Some(0));
}

#[test]
fn a_late_word_about_what_waits_to_be_sent_again_counts() {
    let mut group = group(settings(), 0..2);
    let slow = group.join(1, at(0)).expect("room");
    group.deliver(at(0));
    group.expire(at(1000));
    group.acknowledge(slow, id(0), at(1001));
    assert_eq!(places(&group.deliver(at(1001))), [(0, Place::Source(1), 0)]);
    // A word about what another has in hand does not.
    let other = group.join(1, at(1001)).expect("room");
    group.acknowledge(other, id(1), at(1002));
    assert_eq!(group.book.len(), 1);
}

#[test]
fn without_a_timeout_nothing_is_overdue() {
    let mut group = group(Settings { message_timeout: 0, ..settings() }, 0..1);
    group.join(1, at(0)).expect("room");
    group.deliver(at(0));
    assert_eq!(group.deadline(), None);
    group.expire(Duration::MAX);
    assert_eq!(group.book.waiting(), 0);
}

#[test]
fn a_checkpoint_waits_for_the_least_count_and_the_time_or_for_the_most() {
    let mut group = group(settings(), 0..40);
    let one = group.join(40, at(0)).expect("room");
    group.deliver(at(0));
    for place in [0, 1, 3] {
        group.acknowledge(one, id(place), at(0));
    }
    assert_eq!(group.checkpoint(at(9000), false), None, "two are too few");
    group.acknowledge(one, id(2), at(0));
    assert_eq!(group.deadline(), Some(at(500)));
    assert_eq!(group.checkpoint(at(499), false), None);
    assert_eq!(group.checkpoint(at(500), false), Some(3));
    assert_eq!(group.checkpoint(at(500), true), None, "one at a time");
    group.recorded(false, at(600));
    assert_eq!(group.last_checkpoint(), None);
    assert_eq!(group.checkpoint(at(1100), false), Some(3), "it is tried again");
    group.recorded(true, at(1100));
    assert_eq!(group.last_checkpoint(), Some(3));
    (4..14).for_each(|place| group.acknowledge(one, id(place), at(1100)));
    assert_eq!(group.checkpoint(at(1100), false), Some(13), "so many do not wait");
}

#[test]
fn what_is_passed_over_is_behind_the_checkpoint_too() {
    let mut group = Group::<()>::new(settings(), Some(7), at(0));
    let one = group.join(5, at(0)).expect("room");
    group.read(vec![found(20)], Some(900), 50, true);
    group.deliver(at(0));
    assert_eq!(group.checkpoint(at(0), true), None);
    group.acknowledge(one, id(20), at(0));
    assert_eq!(group.checkpoint(at(0), true), Some(900));
    group.recorded(true, at(0));
    // What few others write brings no checkpoint about, or there would be no end to them.
    group.read(Vec::new(), Some(2000), 100, true);
    assert_eq!(group.checkpoint(at(9000), true), None);
    group.read(Vec::new(), Some(3000), 16 << 10, true);
    assert_eq!(group.checkpoint(at(9000), true), Some(3000));
}

#[test]
fn no_more_is_read_ahead_than_the_buffers_hold() {
    let mut group = Group::<()>::new(settings(), None, at(0));
    assert_eq!(group.wanted(), 0, "nobody would get it");
    group.join(1, at(0)).expect("room");
    let mut next = 0;
    while group.wanted() > 0 {
        let batch = group.wanted() as u64;
        group.read((next..next + batch).map(found).collect(), None, 0, false);
        next += batch;
    }
    assert_eq!(group.read_ahead().0, 100);
    let mut group = Group::<()>::new(settings(), None, at(0));
    group.join(1, at(0)).expect("room");
    group.read(vec![Found { bytes: 5 << 20, ..found(0) }], None, 0, false);
    assert_eq!(group.wanted(), 0, "large events are counted by their bytes");
    group.deliver(at(0));
    assert!(group.wanted() > 0);
}

#[test]
fn parked_messages_are_replayed_once_and_cut_off_when_they_are_finished() {
    let mut group = group(settings(), 0..0);
    let one = group.join(10, at(0)).expect("room");
    group.replay(3..6);
    assert_eq!(group.wanted_parked(), Some(3..6));
    group.read_parked((3..6).map(found).collect(), 6);
    assert_eq!(group.wanted_parked(), None);
    let taken = group.deliver(at(0));
    assert_eq!(places(&taken)[0], (0, Place::Parked(3), 0));
    group.replay(3..7);
    assert_eq!(group.wanted_parked(), Some(6..7), "the others are on their way");
    group.read_parked(vec![found(6)], 7);
    group.deliver(at(0));
    for place in [4, 5, 6] {
        group.acknowledge(one, id(place), at(0));
    }
    assert_eq!(group.to_cut(true), None);
    assert_eq!(group.replayed_to(), (true, 7));
    group.acknowledge(one, id(3), at(0));
    assert_eq!(group.to_cut(false), Some(7));
    group.was_cut(7);
    assert_eq!(group.to_cut(true), None);
    assert_eq!(group.replayed_to(), (false, 7));
    assert_eq!(group.checkpoint(at(9000), true), None, "they are not of the source");
}

#[test]
fn no_more_may_subscribe_than_is_set() {
    let mut group = group(Settings { max_subscriber_count: 1, ..settings() }, 0..0);
    let one = group.join(1, at(0)).expect("room");
    assert_eq!(group.join(1, at(0)), None);
    group.leave(one);
    assert!(group.join(1, at(0)).is_some());
}
