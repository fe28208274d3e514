//! Every way in which one device can go into two calls at once, step by step: it ends in one at the
//! most. This is the order of steps that `command-api` keeps (`lines.rs` there).

use std::collections::BTreeSet;

use events::call::{Media, Participant, Toggles};
use events::{ConversationId, LoginId};
use uuid::Uuid;

use super::*;
use crate::call::{self, Enter, Place, Start};
use crate::decider::laws::user;

/// How far somebody is on the way into a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Looks who has the line.
    Looks,
    /// Takes the line, and has seen which calls are over.
    Takes(BTreeSet<(Slot, CallId)>),
    /// Goes in.
    Enters(BTreeSet<(Slot, CallId)>),
    /// Looks whether the line is still theirs.
    Checks(BTreeSet<(Slot, CallId)>),
    /// Is in the call, and hangs up.
    Leaves,
    /// Has left, and gives the line back.
    Frees,
    /// Is done, or was refused, or died.
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    now: i64,
    line: Line,
    calls: [Call; 2],
    ways: [Way; 2],
}

const NUMBERS: [CallId; 2] =
    [CallId::new(Uuid::from_u128(0xca1)), CallId::new(Uuid::from_u128(0xca2))];

fn device() -> Participant {
    Participant { user: user(1), device: LoginId::new(Uuid::from_u128(11)) }
}

fn slot() -> Slot {
    Slot::Device(device().device)
}

fn at(second: i64) -> Moment {
    Moment::from_timestamp(second, 0).unwrap()
}

const HERE: Place = Place { member: true, blocked: false };

/// A call of a group that somebody else began.
fn begun(index: usize) -> Call {
    let by = Participant { user: user(7), device: LoginId::new(Uuid::from_u128(77)) };
    let start = Start {
        call: NUMBERS[index],
        conversation: ConversationId::new(Uuid::from_u128(9)),
        place: HERE,
        by,
        toggles: Toggles::default(),
        media: Media::Audio,
        direct: false,
        on_sfu: false,
        node: None,
        grows: false,
        limit: 4,
        ring: vec![],
        busy: vec![],
        ring_seconds: 45,
        idle_seconds: 300,
    };
    act(&Call::default(), &call::Command::Start(Box::new(start)))
}

fn act(call: &Call, command: &call::Command) -> Call {
    call.decide(command).unwrap().iter().fold(call.clone(), Call::evolve)
}

impl World {
    fn fresh() -> Self {
        let calls = [begun(0), begun(1)];
        Self { now: 0, line: Line::default(), calls, ways: [Way::Looks, Way::Looks] }
    }

    /// The device is in the first call for long, hangs up, and goes into the second one.
    fn leaving() -> Self {
        let mut world = Self::fresh();
        for _ in 0..4 {
            world = world.step(0).unwrap();
        }
        assert!(world.is_in(0) && world.ways[0] == Way::Done);
        world.now = 5;
        world.ways = [Way::Leaves, Way::Looks];
        world
    }

    fn is_in(&self, index: usize) -> bool {
        self.calls[index].has(device())
    }

    fn over(&self, index: usize) -> BTreeSet<(Slot, CallId)> {
        let other = 1 - index;
        let held = self.line.held(slot()).filter(|held| held.call == NUMBERS[other]);
        let over = |held: &Held| held.is_over(&self.calls[other], Some(device()), at(self.now));
        held.filter(over).map(|held| (slot(), held.call)).into_iter().collect()
    }

    fn line(&mut self, command: &Command) -> bool {
        match self.line.decide(command) {
            Ok(events) => {
                self.line = events.iter().fold(self.line.clone(), Line::evolve);
                true
            }
            Err(_) => false,
        }
    }

    /// The next step of one of the two.
    fn step(&self, index: usize) -> Option<Self> {
        let mut next = self.clone();
        let (call, now) = (NUMBERS[index], at(self.now));
        let leave = call::Command::Leave { by: device() };
        next.ways[index] = match self.ways[index].clone() {
            Way::Done => return None,
            Way::Looks => Way::Takes(self.over(index)),
            Way::Takes(over) => {
                let (slot, until, over_now) = (slot(), at(self.now + 2), over.clone());
                match next.line(&Command::Take { slot, call, now, until, over: over_now }) {
                    true => Way::Enters(over),
                    false => Way::Done,
                }
            }
            Way::Enters(over) => {
                let (by, toggles) = (device(), Toggles::default());
                let enter = Enter { by, place: HERE, toggles, agrees: false, node: None };
                next.calls[index] = act(&self.calls[index], &call::Command::Join(enter));
                Way::Checks(over)
            }
            Way::Checks(over) => {
                let holds = self.line.held(slot()).is_some_and(|held| held.call == call);
                let other_is_back = !over.is_empty() && self.is_in(1 - index);
                if !holds || other_is_back {
                    next.calls[index] = act(&self.calls[index], &leave);
                }
                Way::Done
            }
            Way::Leaves => {
                next.calls[index] = act(&self.calls[index], &leave);
                Way::Frees
            }
            Way::Frees => {
                next.line(&Command::Free { slot: slot(), call });
                Way::Done
            }
        };
        Some(next)
    }

    fn is_settled(&self) -> bool {
        self.ways.iter().all(|way| *way == Way::Done)
    }

    fn is_in_both(&self) -> bool {
        self.is_in(0) && self.is_in(1)
    }
}

/// Everything that can come of a world: by steps of either, and by what else may happen.
fn reach(first: World, also: impl Fn(&World) -> Vec<World>) -> BTreeSet<World> {
    let mut known = BTreeSet::from([first.clone()]);
    let mut border = vec![first];
    while let Some(world) = border.pop() {
        let steps = [0, 1].into_iter().filter_map(|index| world.step(index));
        for next in steps.chain(also(&world)) {
            if known.insert(next.clone()) {
                border.push(next);
            }
        }
    }
    known
}

/// Either dies.
fn deaths(world: &World) -> Vec<World> {
    let die = |index: usize| {
        let mut next = world.clone();
        next.ways[index] = Way::Done;
        next
    };
    vec![die(0), die(1)]
}

/// Time passes, so that a line is not kept any more for who is on the way.
fn time(world: &World) -> Vec<World> {
    let later = World { now: world.now + 1, ..world.clone() };
    if world.now < 12 { vec![later] } else { vec![] }
}

#[test]
fn whoever_dies_on_the_way_a_device_is_never_in_two_calls() {
    for first in [World::fresh(), World::leaving()] {
        let worlds = reach(first, deaths);
        println!("with deaths: {} worlds", worlds.len());
        assert!(worlds.iter().all(|world| !world.is_in_both()));
        assert!(worlds.iter().any(|world| world.is_settled() && world.is_in(1)));
    }
}

#[test]
fn however_slow_both_are_a_device_ends_in_one_call_at_the_most() {
    for first in [World::fresh(), World::leaving()] {
        let worlds = reach(first, time);
        println!("with time: {} worlds", worlds.len());
        let settled = || worlds.iter().filter(|world| world.is_settled());
        for world in settled() {
            assert!(!world.is_in_both(), "{world:?}");
        }
        assert!(settled().any(|world| world.is_in(1)));
    }
}

#[test]
fn a_line_whose_taker_died_is_free_again_after_a_while() {
    let mut world = World::fresh();
    world = world.step(0).unwrap().step(0).unwrap();
    world.ways[0] = Way::Done;
    let refused = world.step(1).unwrap().step(1).unwrap();
    assert!(refused.is_settled() && !refused.is_in(1), "it is kept for who is on the way");
    world.now = 2;
    for _ in 0..4 {
        world = world.step(1).unwrap();
    }
    assert!(world.is_in(1));
}
