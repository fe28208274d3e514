//! Whatever order things happen in: no event is lost, none passes the checkpoint unfinished, and
//! no subscriber has more in hand than it has room for.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::{rules, *};
use crate::persistent::Strategy as Spreading;

#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    Leave(usize),
    Read(u64),
    Wait(u64),
    /// About the message that was sent as the so-manieth.
    Acknowledge(usize),
    Refuse(usize, Nack),
    Park(bool),
    Record(bool),
    Replay,
    ReadParked,
    Lose(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let nack =
        prop_oneof![Just(Nack::Park), Just(Nack::Retry), Just(Nack::Skip), Just(Nack::Stop),];
    prop_oneof![
        2 => (1usize..5).prop_map(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
        4 => (0u64..12).prop_map(Step::Read),
        2 => (0u64..600).prop_map(Step::Wait),
        8 => any::<usize>().prop_map(Step::Acknowledge),
        4 => (any::<usize>(), nack).prop_map(|(which, what)| Step::Refuse(which, what)),
        3 => any::<bool>().prop_map(Step::Park),
        3 => any::<bool>().prop_map(Step::Record),
        1 => Just(Step::Replay),
        2 => Just(Step::ReadParked),
        1 => any::<usize>().prop_map(Step::Lose),
    ]
}

/// A group, and what should be true of it.
struct World {
    group: Group<()>,
    now: Duration,
    next: u64,
    /// What was read and is not finished, and what became durable as parked.
    unfinished: BTreeMap<Place, Uuid>,
    parked: Vec<Place>,
    parking: Vec<ToPark>,
    recording: bool,
    cut: u64,
    sent: Vec<(SubscriberId, Token, Place, Uuid)>,
    holds: HashMap<SubscriberId, usize>,
}

impl World {
    fn new(strategy: Spreading, timeout: u32) -> Self {
        let settings = Settings { strategy, message_timeout: timeout, ..rules::settings() };
        Self {
            group: Group::new(settings, None, Duration::ZERO),
            now: Duration::ZERO,
            next: 0,
            unfinished: BTreeMap::new(),
            parked: Vec::new(),
            parking: Vec::new(),
            recording: false,
            cut: 0,
            sent: Vec::new(),
            holds: HashMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Join(room) => {
                let joined = self.group.join(room, self.now).expect("any number may");
                self.holds.insert(joined, room);
            }
            Step::Leave(which) => {
                if let Some(one) = self.subscriber(which) {
                    self.group.leave(one);
                }
            }
            Step::Read(count) => {
                // Some places are not there, as in a log.
                let places: Vec<u64> = (self.next..self.next + count).map(|at| at * 3).collect();
                self.next += count;
                for place in &places {
                    self.unfinished.insert(Place::Source(*place), rules::id(*place));
                }
                let last = places.last().map(|last| last + 1);
                self.group.read(places.into_iter().map(rules::found).collect(), last, 1, true);
            }
            Step::Wait(milliseconds) => self.now += Duration::from_millis(milliseconds),
            Step::Acknowledge(which) => self.say(which, None),
            Step::Refuse(which, what) => self.say(which, Some(what)),
            Step::Park(works) => self.park(works),
            Step::Record(works) => {
                if std::mem::take(&mut self.recording) {
                    self.group.recorded(works, self.now);
                }
            }
            Step::Replay => self.group.replay(self.cut..self.parked.len() as u64),
            Step::ReadParked => self.read_parked(),
            Step::Lose(which) => {
                if let Some((_, token, place, _)) = self.message(which) {
                    self.group.lost(token);
                    self.unfinished.remove(&place);
                    self.parking.retain(|one| one.token != token);
                }
            }
        }
    }

    fn subscriber(&self, which: usize) -> Option<SubscriberId> {
        let count = self.group.subscribers.len();
        (count > 0).then(|| self.group.subscribers[which % count].id)
    }

    fn message(&self, which: usize) -> Option<(SubscriberId, Token, Place, Uuid)> {
        (!self.sent.is_empty()).then(|| self.sent[which % self.sent.len()])
    }

    /// A subscriber says something about what it was sent once; often too late.
    fn say(&mut self, which: usize, what: Option<Nack>) {
        let Some((by, _, _, id)) = self.message(which) else { return };
        let about = self.group.spoken_of(by, id);
        let place = about.and_then(|token| self.group.book.get(token)).map(|one| one.place);
        match what {
            None => self.group.acknowledge(by, id, self.now),
            Some(what) => self.group.refuse(by, id, what, "so it is"),
        }
        if matches!(what, None | Some(Nack::Skip))
            && let Some(place) = place
        {
            self.unfinished.remove(&place);
        }
    }

    fn park(&mut self, works: bool) {
        let messages = std::mem::take(&mut self.parking);
        if !works {
            return self.group.not_parked(messages);
        }
        for message in messages {
            self.group.parked(message.token);
            if self.unfinished.remove(&message.place).is_some() {
                self.parked.push(message.place);
            }
        }
    }

    fn read_parked(&mut self) {
        let Some(range) = self.group.wanted_parked() else { return };
        for place in range.clone() {
            self.unfinished.insert(Place::Parked(place), rules::id(place));
        }
        let events = range.clone().map(rules::found).collect();
        self.group.read_parked(events, range.end);
    }

    /// What the task of the group does after each step.
    fn act(&mut self) {
        self.group.expire(self.now);
        for one in self.group.deliver(self.now) {
            assert!(self.unfinished.contains_key(&one.place), "what is finished is not sent");
            self.sent.push((one.subscriber, one.token, one.place, one.id));
        }
        if self.parking.is_empty() {
            self.parking = self.group.take_to_park();
        }
        if !self.recording
            && let Some(to) = self.group.checkpoint(self.now, false)
        {
            self.recording = true;
            let first = self.unfinished.keys().next().copied();
            assert!(first.is_none_or(|first| first > Place::Source(to)), "{first:?} <= {to}");
        }
        if let Some(to) = self.group.to_cut(false) {
            self.group.was_cut(to);
            self.cut = to;
            let left = self.unfinished.range(Place::Parked(0)..).next();
            assert!(left.is_none_or(|(left, _)| *left >= Place::Parked(to)));
        }
        for subscriber in &self.group.subscribers {
            assert!(subscriber.in_flight() <= self.holds[&subscriber.id]);
        }
        let (fresh, replayed) = self.group.read_ahead();
        assert_eq!(self.group.book.len() + fresh + replayed, self.unfinished.len());
    }

    /// One that handles everything gets all that is left.
    fn finish(&mut self) {
        let ids: Vec<_> = self.group.subscribers.iter().map(|one| one.id).collect();
        ids.into_iter().for_each(|id| self.group.leave(id));
        let last = self.group.join(3, self.now).expect("any number may");
        self.holds.insert(last, 3);
        while !self.unfinished.is_empty() {
            let before = self.unfinished.len();
            self.act();
            self.park(true);
            for (by, _, place, id) in std::mem::take(&mut self.sent) {
                if by == last && self.unfinished.remove(&place).is_some() {
                    self.group.acknowledge(by, id, self.now);
                }
            }
            assert!(self.unfinished.len() < before, "the group does not come to an end");
        }
        if std::mem::take(&mut self.recording) {
            self.group.recorded(true, self.now);
        }
        let read = (self.next > 0).then(|| (self.next - 1) * 3 + 1);
        let reached = self.group.checkpoint(self.now, true).or(self.group.last_checkpoint());
        assert_eq!(reached, read.filter(|_| self.group.has_begun()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_event_is_finished_or_still_to_be_delivered(
        steps in prop::collection::vec(step(), 0..200),
        strategy in prop_oneof![
            Just(Spreading::RoundRobin),
            Just(Spreading::DispatchToSingle),
            Just(Spreading::Pinned),
        ],
        timeout in prop_oneof![Just(0u32), Just(1000)],
    ) {
        let mut world = World::new(strategy, timeout);
        for step in steps {
            world.take(step);
            world.act();
        }
        world.finish();
    }
}
