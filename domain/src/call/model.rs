//! Every state that a call can get into, by whatever anybody does and whenever a timer goes off.
//!
//! The states are not sampled: all that can be reached are looked at, breadth first, until there are
//! no new ones. A few people, with two devices at most, are enough: no rule knows more of them.

use std::collections::{BTreeMap, BTreeSet};

use events::FileId;
use uuid::Uuid;

use super::tests::{RECORDING, device, direct, enter, group, ring};
use super::*;
use crate::decider::laws::user;

/// All that people do about who is in a call. Person 2 has two devices.
fn of_people() -> Vec<Command> {
    let mut all = vec![Command::Expire, Command::StopRinging];
    for person in 2..=3 {
        all.push(Command::StopRingingAt { user: user(person) });
        for by in [device(1, 1), device(2, 1)] {
            all.push(Command::Ring(ring(by, vec![user(person)], vec![])));
        }
    }
    for by in [device(1, 1), device(2, 1), device(2, 2), device(3, 1)] {
        for node in [None, Some("a".to_owned())] {
            all.push(Command::Accept(Enter { node: node.clone(), ..enter(by) }));
            all.push(Command::Join(Enter { node: node.clone(), ..enter(by) }));
            all.push(Command::MoveToSfu { by, node });
        }
        all.extend([
            Command::Leave { by },
            Command::Fail { by },
            Command::Lose { participant: by },
        ]);
    }
    for number in 1..=3 {
        let by = user(number);
        all.extend([
            Command::Decline { by },
            Command::Cancel { by },
            Command::End { by, moderator: false },
            Command::End { by, moderator: true },
            Command::Remove { user: by },
        ]);
    }
    all
}

/// All that is done about media and recordings, by the first two.
fn of_media() -> Vec<Command> {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let mut all = vec![
        Command::ReplaceNode { lost: a.clone(), node: b.clone() },
        Command::ReplaceNode { lost: b.clone(), node: a.clone() },
        Command::StoreRecording {
            recording: RECORDING,
            file: FileId::new(Uuid::from_u128(0xf)),
            of: None,
            source: None,
            milliseconds: 1,
            offset: None,
        },
        Command::FailRecording { recording: RECORDING, reason: String::new() },
    ];
    for by in [device(1, 1), device(2, 1)] {
        for on in [true, false] {
            all.push(Command::Consent { by, agrees: on });
            let change = Toggle { microphone: Some(on), ..Toggle::default() };
            all.push(Command::Toggle { by, change });
        }
        for node in [a.clone(), b.clone()] {
            all.push(Command::JoinMedia { participant: by, node: node.clone() });
            all.push(Command::LeaveMedia { participant: by, node });
        }
        all.extend([
            Command::AddVideo { by },
            Command::AskConsent { by },
            Command::StartRecording { by, recording: RECORDING, moderator: false },
            Command::StartRecording { by, recording: RECORDING, moderator: true },
            Command::StopRecording { by, recording: RECORDING, moderator: true },
            Command::Join(Enter { agrees: true, ..enter(by) }),
        ]);
    }
    all
}

/// Everything, for the laws.
pub(super) fn commands() -> Vec<Command> {
    of_people().into_iter().chain(of_media()).collect()
}

/// What goes off by itself in a state.
fn timers(call: &Call) -> Vec<Command> {
    let inside = call.begun().into_iter().flat_map(|begun| begun.devices().to_vec());
    let lost = inside.map(|inside| Command::Lose { participant: inside.participant });
    let later = call.begun().into_iter().flat_map(|begun| begun.called_later.clone());
    let later = later.map(|user| Command::StopRingingAt { user });
    lost.chain(later).chain([Command::StopRinging, Command::Expire]).collect()
}

fn next(call: &Call, command: &Command) -> Option<(Vec<CallEvent>, Call)> {
    let events = call.decide(command).ok().filter(|events| !events.is_empty())?;
    let after = events.iter().fold(call.clone(), Call::evolve);
    Some((events, after))
}

/// Every state that these commands lead to, with its depth; each step is checked.
fn reach(begin: Start, commands: &[Command]) -> BTreeMap<Call, usize> {
    let (_, first) = next(&Call::default(), &Command::Start(Box::new(begin))).unwrap();
    let mut known = BTreeMap::from([(first.clone(), 0)]);
    let mut border = vec![first];
    for depth in 1.. {
        let mut beyond = vec![];
        for call in &border {
            for command in commands {
                let Some((events, after)) = next(call, command) else { continue };
                check_step(call, command, &events, &after);
                if !known.contains_key(&after) {
                    known.insert(after.clone(), depth);
                    beyond.push(after);
                }
            }
        }
        if beyond.is_empty() {
            return known;
        }
        border = beyond;
    }
    unreachable!("the depths do not end")
}

fn check_step(before: &Call, command: &Command, events: &[CallEvent], after: &Call) {
    let (was, is) = (before.begun().unwrap(), after.begun().unwrap());
    let step = || format!("{command:?} in {was:?}");
    let rank = |phase| match phase {
        Phase::Ringing => 0,
        Phase::Connected => 1,
        Phase::Ended(_) => 2,
    };
    assert!(rank(was.phase) <= rank(is.phase), "it went back: {}", step());
    assert!(!was.is_over() || was.phase == is.phase, "it ended twice: {}", step());
    assert!(!is.is_over() || is.inside.is_empty(), "somebody is in what is over: {}", step());
    assert!(!is.is_deserted(), "it goes on without anybody: {}", step());
    let devices: BTreeSet<_> = is.inside.iter().map(|inside| inside.participant).collect();
    assert_eq!(devices.len(), is.inside.len(), "a device is in it twice: {}", step());
    assert!(devices.iter().all(|one| !is.ringing.contains(&one.user)), "{}", step());
    assert!(is.called_later.is_subset(&is.ringing), "a timer for nobody: {}", step());
    assert!(was.media <= is.media, "cameras that were there are forbidden: {}", step());
    if is.carrier == Carrier::Peers {
        assert!(is.inside.len() <= usize::from(is.limit), "{}", step());
        assert!(is.node.is_none() && is.inside.iter().all(|one| !one.in_media), "{}", step());
    }
    if is.runs().is_some() {
        let agreed = is.users().into_iter().all(|user| is.agrees(user));
        assert!(agreed && is.carrier == Carrier::Sfu, "recorded without consent: {}", step());
    }
    let told = events.iter().rev().find_map(|event| match event {
        CallEvent::Accepted { inside, .. }
        | CallEvent::Joined { inside, .. }
        | CallEvent::Left { inside, .. } => Some(usize::from(*inside)),
        _ => None,
    });
    let ends = is.is_over();
    assert!(told.is_none_or(|told| ends || told == is.inside.len()), "a wrong number: {}", step());
}

/// Timers alone end the call, whichever goes off first: each that has an effect takes somebody out
/// of the call or stops it ringing at somebody, and as long as it is not over there is one.
fn check_no_zombie(call: &Call) {
    let begun = call.begun().unwrap();
    let measure = |begun: &Begun| begun.inside.len() + begun.ringing.len();
    let effects: Vec<_> =
        timers(call).iter().filter_map(|timer| next(call, timer)).map(|(_, after)| after).collect();
    assert_eq!(effects.is_empty(), begun.is_over(), "a zombie: {begun:?}");
    for after in effects {
        let after = after.begun().unwrap();
        assert!(after.is_over() || measure(after) < measure(begun), "{begun:?} to {after:?}");
    }
}

fn look_at(what: &str, begin: Start, commands: &[Command]) {
    let states = reach(begin, commands);
    let depth = states.values().max().unwrap();
    let over = states.keys().filter(|call| call.begun().is_some_and(Begun::is_over)).count();
    println!(
        "{what}: all {} states, {over} of them ended, by {} commands and timers; none is new \
         beyond depth {depth}",
        states.len(),
        commands.len(),
    );
    states.keys().for_each(check_no_zombie);
    assert!(over > 0 && *depth >= 4, "{what}: too little was looked at");
}

#[test]
fn no_state_of_a_call_between_two_is_a_zombie_and_the_end_is_final() {
    look_at("between two", direct(), &of_people());
}

#[test]
fn no_state_of_a_call_in_a_group_is_a_zombie_and_the_end_is_final() {
    look_at("in a group", group(), &of_people());
    look_at("in a group that grows", Start { grows: true, ..group() }, &of_people());
    let open = Start { ring: vec![], ..group() };
    look_at("in a group without ringing", open, &of_people());
}

#[test]
fn no_state_with_media_and_recordings_is_a_zombie_or_recorded_without_consent() {
    let leaves = [device(1, 1), device(2, 1)].map(|by| Command::Leave { by });
    let joins = [device(1, 1), device(2, 1)].map(|by| Command::Join(enter(by)));
    let all: Vec<_> = of_media().into_iter().chain(leaves).chain(joins).collect();
    let node = Some("a".to_owned());
    let begin = Start { on_sfu: true, node, media: Media::Audio, ..group() };
    look_at("with media and recordings", begin, &all);
}
