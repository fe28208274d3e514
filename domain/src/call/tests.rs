//! The rules of calls, one by one, and the laws over all commands.

use events::call::{LeaveCause, MoveCause, StopCause, Toggles};
use events::{FileId, LoginId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::decider::laws::{hold, user};

pub(super) const CALL: CallId = CallId::new(Uuid::from_u128(0xca));
pub(super) const ROOM: ConversationId = ConversationId::new(Uuid::from_u128(9));
pub(super) const RECORDING: RecordingId = RecordingId::new(Uuid::from_u128(0x4ec));

pub(super) const HEARD: Toggles = Toggles { microphone: true, camera: false, screen: false };

/// A person's device.
pub(super) fn device(person: u8, number: u8) -> Participant {
    let device = LoginId::new(Uuid::from_u128(u128::from(person) * 100 + u128::from(number)));
    Participant { user: user(person), device }
}

/// Person 1 calls person 2.
pub(super) fn direct() -> Start {
    Start {
        call: CALL,
        conversation: ROOM,
        place: Place { member: true, blocked: false },
        by: device(1, 1),
        toggles: HEARD,
        media: Media::Video,
        direct: true,
        on_sfu: false,
        node: None,
        grows: false,
        limit: 3,
        ring: vec![user(2)],
        busy: vec![],
        ring_seconds: 45,
        idle_seconds: 300,
    }
}

/// Person 1 calls 2 and 3, in a group.
pub(super) fn group() -> Start {
    Start { direct: false, ring: vec![user(2), user(3)], ..direct() }
}

pub(super) fn enter(by: Participant) -> Enter {
    let place = Place { member: true, blocked: false };
    Enter { by, place, toggles: HEARD, agrees: false, node: None }
}

pub(super) fn ring(by: Participant, ring: Vec<UserId>, busy: Vec<UserId>) -> Ring {
    let place = Place { member: true, blocked: false };
    Ring { by, place, ring, busy, ring_seconds: 30 }
}

fn start(start: Start) -> Command {
    Command::Start(Box::new(start))
}

fn accept(person: u8, number: u8) -> Command {
    Command::Accept(enter(device(person, number)))
}

fn join(person: u8, number: u8) -> Command {
    Command::Join(enter(device(person, number)))
}

fn leave(person: u8, number: u8) -> Command {
    Command::Leave { by: device(person, number) }
}

/// The state after commands that all have to be allowed.
fn after(begin: Start, commands: &[Command]) -> Call {
    std::iter::once(&start(begin)).chain(commands).fold(Call::default(), |state, command| {
        let decided = state.decide(command);
        let events = decided.unwrap_or_else(|no| panic!("{command:?}: {no}"));
        events.iter().fold(state, Call::evolve)
    })
}

fn phase(call: &Call) -> Phase {
    call.begun().unwrap().phase
}

fn ended(call: &Call, command: &Command) -> EndCause {
    let events = call.decide(command).unwrap();
    match events.last() {
        Some(CallEvent::Ended { cause, .. }) => *cause,
        other => panic!("{command:?} does not end the call: {other:?}"),
    }
}

#[test]
fn a_call_rings_is_taken_and_ends_when_one_of_two_hangs_up() {
    let ringing = after(direct(), &[]);
    assert_eq!(phase(&ringing), Phase::Ringing);
    let connected = after(direct(), &[accept(2, 1)]);
    assert_eq!(phase(&connected), Phase::Connected);
    for hangs_up in [leave(1, 1), leave(2, 1)] {
        assert_eq!(ended(&connected, &hangs_up), EndCause::Completed);
    }
    let failed = Command::Fail { by: device(2, 1) };
    assert_eq!(ended(&connected, &failed), EndCause::Failed);
    let lost = Command::Lose { participant: device(1, 1) };
    assert_eq!(ended(&connected, &lost), EndCause::Lost);
}

#[test]
fn only_who_is_in_the_conversation_and_not_blocked_calls_or_comes() {
    let outside = Place::default();
    let blocked = Place { member: true, blocked: true };
    for (place, no) in [(outside, Rejection::NoSuchConversation), (blocked, Rejection::NotFriends)]
    {
        let begin = start(Start { place, ..direct() });
        assert_eq!(Call::default().decide(&begin), Err(no));
        let enter = Enter { place, ..enter(device(2, 1)) };
        let ringing = after(direct(), &[]);
        assert_eq!(ringing.decide(&Command::Accept(enter.clone())), Err(no));
        assert_eq!(ringing.decide(&Command::Join(enter)), Err(no));
    }
}

#[test]
fn the_second_device_is_told_that_the_first_one_answered() {
    let connected = after(direct(), &[accept(2, 1)]);
    assert_eq!(connected.decide(&accept(2, 2)), Err(Rejection::AnsweredElsewhere));
    assert_eq!(connected.decide(&accept(2, 1)), Ok(vec![]), "the same device again");
    assert_eq!(connected.decide(&accept(3, 1)), Err(Rejection::NotRinging));
    let decline = Command::Decline { by: user(2) };
    assert_eq!(connected.decide(&decline), Err(Rejection::NotRinging));
}

#[test]
fn a_call_that_nobody_takes_is_declined_cancelled_or_missed() {
    let ringing = after(direct(), &[]);
    assert_eq!(ended(&ringing, &Command::Decline { by: user(2) }), EndCause::Declined);
    assert_eq!(ended(&ringing, &Command::StopRinging), EndCause::Missed);
    assert_eq!(ended(&ringing, &leave(1, 1)), EndCause::Cancelled);
    let cancelled = ringing.decide(&Command::Cancel { by: user(1) }).unwrap();
    let [CallEvent::Ended { cause: EndCause::Cancelled, missed, .. }] = &cancelled[..] else {
        panic!("{cancelled:?}")
    };
    assert_eq!(missed[..], [user(2)], "who was called has missed it");
    let by_other = Command::Cancel { by: user(2) };
    assert_eq!(ringing.decide(&by_other), Err(Rejection::NotCaller));
    let connected = after(direct(), &[accept(2, 1)]);
    let late = connected.decide(&Command::Cancel { by: user(1) });
    assert_eq!(late, Err(Rejection::Answered));
    assert_eq!(connected.decide(&Command::StopRinging), Ok(vec![]));
}

#[test]
fn who_is_in_another_call_is_busy() {
    let busy = Start { ring: vec![], busy: vec![user(2)], ..direct() };
    let call = after(busy, &[]);
    assert_eq!(phase(&call), Phase::Ended(EndCause::Busy));
    // In a group the others are rung.
    let some = Start { ring: vec![user(3)], busy: vec![user(2)], ..group() };
    let call = after(some, &[]);
    assert_eq!(phase(&call), Phase::Ringing);
    assert_eq!(call.decide(&accept(2, 1)), Err(Rejection::NotRinging));
    assert!(call.decide(&join(2, 1)).is_ok(), "they may come when they are free");
    let nobody = Start { ring: vec![], ..direct() };
    assert_eq!(Call::default().decide(&start(nobody)), Err(Rejection::NobodyToCall));
    let oneself = Start { ring: vec![user(1)], ..direct() };
    assert_eq!(Call::default().decide(&start(oneself)), Err(Rejection::NobodyToCall));
}

#[test]
fn in_a_group_it_rings_until_all_have_answered_somehow() {
    let decline = |who| Command::Decline { by: user(who) };
    let one = after(group(), &[decline(2)]);
    assert_eq!(phase(&one), Phase::Ringing);
    assert_eq!(ended(&one, &decline(3)), EndCause::Declined);
    assert_eq!(ended(&one, &Command::StopRinging), EndCause::Missed);
    let talks = after(group(), &[accept(2, 1)]);
    let (users, rings_on) = (vec![user(3)], false);
    let missed = CallEvent::Missed { call: CALL, conversation: ROOM, users, rings_on };
    assert_eq!(talks.decide(&Command::StopRinging), Ok(vec![missed]));
    let late = after(group(), &[accept(2, 1), Command::StopRinging, join(3, 1)]);
    assert_eq!(late.begun().unwrap().devices().len(), 3, "missed is not shut out");
    let nobody = after(Start { ring: vec![], ..group() }, &[]);
    assert_eq!(phase(&nobody), Phase::Connected, "a room that people come into as they like");
    assert_eq!(ended(&nobody, &Command::Expire), EndCause::Idle);
    assert_eq!(talks.decide(&Command::Expire), Ok(vec![]));
}

#[test]
fn a_group_call_goes_on_until_the_last_one_leaves_or_it_is_ended_for_all() {
    let three = after(group(), &[accept(2, 1), accept(3, 1), leave(1, 1)]);
    let two = after(group(), &[accept(2, 1), accept(3, 1), leave(1, 1), leave(2, 1)]);
    assert_eq!((phase(&three), phase(&two)), (Phase::Connected, Phase::Connected));
    assert_eq!(ended(&two, &leave(3, 1)), EndCause::Completed);
    let end = |by, moderator| Command::End { by: user(by), moderator };
    assert_eq!(two.decide(&end(3, false)), Err(Rejection::MayNotEnd));
    assert_eq!(ended(&two, &end(3, true)), EndCause::Completed);
    assert_eq!(ended(&two, &end(1, false)), EndCause::Completed, "who called");
    let pair = after(direct(), &[accept(2, 1)]);
    assert_eq!(ended(&pair, &end(2, false)), EndCause::Completed);
    assert_eq!(pair.decide(&end(3, true)), Err(Rejection::NotInCall));
}

#[test]
fn who_is_in_a_call_rings_at_more_people_each_with_their_own_time() {
    let by = device(1, 1);
    let call = |people: &[u8], busy: &[u8]| {
        let users = |numbers: &[u8]| numbers.iter().map(|number| user(*number)).collect();
        Command::Ring(ring(by, users(people), users(busy)))
    };
    let talks = || after(group(), &[accept(2, 1)]);
    let events = talks().decide(&call(&[1, 2, 3, 4], &[5])).unwrap();
    let [CallEvent::Rung { ring: rung, busy, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&rung[..], &busy[..]), (&[user(4)][..], &[user(5)][..]), "who is new to it");
    assert_eq!(talks().decide(&call(&[], &[5])), Err(Rejection::Busy));
    assert_eq!(talks().decide(&call(&[2, 3], &[])), Ok(vec![]));
    let outside = Command::Ring(ring(device(3, 1), vec![user(4)], vec![]));
    assert_eq!(talks().decide(&outside), Err(Rejection::NotInCall));
    let gone = Ring { place: Place::default(), ..ring(by, vec![user(4)], vec![]) };
    assert_eq!(talks().decide(&Command::Ring(gone)), Err(Rejection::NoSuchConversation));
    let many: Vec<u8> = (4..40).collect();
    assert_eq!(talks().decide(&call(&many, &[])), Err(Rejection::TooManyRung));

    // Three was called at the beginning, four later: two timers.
    let rung = after(group(), &[accept(2, 1), call(&[4], &[])]);
    let missed = |command: &Command| match &rung.decide(command).unwrap()[..] {
        [] => None,
        [CallEvent::Missed { users, rings_on, .. }] => Some((users.clone(), *rings_on)),
        other => panic!("{other:?}"),
    };
    assert_eq!(missed(&Command::StopRinging), Some((vec![user(3)], false)));
    let at = |person| Command::StopRingingAt { user: user(person) };
    assert_eq!(missed(&at(4)), Some((vec![user(4)], true)));
    assert_eq!(missed(&at(3)), None, "the other timer is about them");
    assert!(rung.decide(&accept(4, 1)).is_ok());
    assert!(rung.decide(&Command::Decline { by: user(4) }).is_ok());
    // Who did not want to may be asked again, and has the whole time again.
    let decline = Command::Decline { by: user(3) };
    let again = after(group(), &[accept(2, 1), decline, call(&[3], &[])]);
    assert_eq!(again.decide(&Command::StopRinging), Ok(vec![]));
    assert!(again.decide(&accept(3, 1)).is_ok());
    // Before anybody took it, those who were called later count as well.
    let waits = after(group(), &[call(&[4], &[]), Command::StopRinging]);
    assert_eq!(phase(&waits), Phase::Ringing);
    assert_eq!(ended(&waits, &at(4)), EndCause::Missed);
}

#[test]
fn a_recording_for_which_nobody_was_connected_has_failed() {
    let begin = || Start { on_sfu: true, node: Some("a".to_owned()), ring: vec![], ..group() };
    let (by, recording) = (device(1, 1), RECORDING);
    let ask = Command::AskConsent { by };
    let record = Command::StartRecording { by, recording, moderator: false };
    let stop = Command::StopRecording { by, recording, moderator: false };
    let connect = Command::JoinMedia { participant: by, node: "a".to_owned() };
    let fails = |history: &[Command], by: &Command| {
        let events = after(begin(), history).decide(by).unwrap();
        events.iter().any(|event| matches!(event, CallEvent::RecordingFailed { .. }))
    };
    let unheard = [ask.clone(), record.clone()];
    assert!(fails(&unheard, &stop));
    assert!(fails(&unheard, &leave(1, 1)));
    assert!(!fails(&[ask.clone(), record.clone(), connect.clone()], &stop));
    let gone = Command::LeaveMedia { participant: by, node: "a".to_owned() };
    assert!(!fails(&[connect, ask, record, gone], &stop), "somebody was");
}

#[test]
fn a_newcomer_offers_to_everybody_who_is_there() {
    let two = after(group(), &[accept(2, 1)]);
    let [CallEvent::Accepted { offers_to, inside: 3, .. }] =
        &two.decide(&accept(3, 1)).unwrap()[..]
    else {
        panic!("it is one event")
    };
    assert_eq!(offers_to[..], [device(1, 1), device(2, 1)]);
    let sfu = Start { on_sfu: true, node: Some("a".to_owned()), ..group() };
    let [CallEvent::Accepted { offers_to, .. }] =
        &after(sfu, &[]).decide(&accept(2, 1)).unwrap()[..]
    else {
        panic!("it is one event")
    };
    assert!(offers_to.is_empty(), "the node talks to each of them");
}

#[test]
fn a_mesh_is_small_and_grows_onto_the_sfu_if_it_was_asked_to() {
    let full = after(group(), &[accept(2, 1), accept(3, 1)]);
    assert_eq!(full.decide(&join(4, 1)), Err(Rejection::MeshFull));
    let grows = Start { grows: true, ..group() };
    let two = after(grows, &[accept(2, 1)]);
    let third = |node: Option<&str>| {
        let node = node.map(str::to_owned);
        Command::Accept(Enter { node, ..enter(device(3, 1)) })
    };
    let [CallEvent::Accepted { offers_to, .. }, CallEvent::Moved { from: None, cause, .. }] =
        &two.decide(&third(Some("a"))).unwrap()[..]
    else {
        panic!("it moves")
    };
    assert!(offers_to.is_empty());
    assert_eq!(*cause, MoveCause::Grew);
    let meshed = two.decide(&third(None)).unwrap();
    assert_eq!(meshed.len(), 1, "without a node the devices are connected to each other");
}

#[test]
fn a_call_moves_to_a_node_and_to_the_next_when_that_is_lost() {
    let two = after(direct(), &[accept(2, 1)]);
    let to =
        |node: Option<&str>| Command::MoveToSfu { by: device(1, 1), node: node.map(str::to_owned) };
    assert_eq!(two.decide(&to(None)), Err(Rejection::NoNode));
    let stranger = Command::MoveToSfu { by: device(1, 2), node: Some("a".to_owned()) };
    assert_eq!(two.decide(&stranger), Err(Rejection::NotInCall));
    let join_media =
        |node: &str| Command::JoinMedia { participant: device(1, 1), node: node.to_owned() };
    assert_eq!(two.decide(&join_media("a")), Err(Rejection::NotOnSfu));
    let moved = after(direct(), &[accept(2, 1), to(Some("a"))]);
    assert_eq!(moved.decide(&to(None)), Ok(vec![]), "it is there");
    assert_eq!(moved.decide(&join_media("b")), Err(Rejection::WrongNode));
    let lose = |lost: &str, node: &str| Command::ReplaceNode {
        lost: lost.to_owned(),
        node: node.to_owned(),
    };
    let history = [accept(2, 1), to(Some("a")), join_media("a"), lose("a", "b"), join_media("b")];
    let there = after(direct(), &history);
    let inside = there.begun().unwrap().inside(device(1, 1)).unwrap();
    assert!(inside.in_media);
    assert_eq!(there.decide(&lose("a", "c")), Ok(vec![]), "somebody was faster");
    let late = Command::LeaveMedia { participant: device(1, 1), node: "a".to_owned() };
    assert_eq!(there.decide(&late), Ok(vec![]), "the lost node has nothing to say any more");
}

#[test]
fn what_is_on_is_a_fact_and_a_voice_call_shows_screens_until_there_is_video() {
    let two = after(direct(), &[accept(2, 1)]);
    let toggle = |change| Command::Toggle { by: device(2, 1), change };
    let camera = Toggle { camera: Some(true), ..Toggle::default() };
    let toggles = Toggles { microphone: true, camera: true, screen: false };
    let participant = device(2, 1);
    let fact = CallEvent::Toggled { call: CALL, conversation: ROOM, participant, toggles };
    assert_eq!(two.decide(&toggle(camera)), Ok(vec![fact]));
    let microphone = Toggle { microphone: Some(true), ..Toggle::default() };
    assert_eq!(two.decide(&toggle(microphone)), Ok(vec![]), "it is on");
    let voice = after(Start { media: Media::Audio, ..direct() }, &[accept(2, 1)]);
    assert_eq!(voice.decide(&toggle(camera)), Err(Rejection::VoiceOnly));
    let screen = Toggle { screen: Some(true), ..Toggle::default() };
    assert_eq!(voice.decide(&toggle(screen)).unwrap().len(), 1);
    let video = |person| Command::AddVideo { by: device(person, 1) };
    assert_eq!(voice.decide(&video(3)), Err(Rejection::NotInCall));
    let begin = Start { media: Media::Audio, ..direct() };
    let seen = after(begin, &[accept(2, 1), video(2)]);
    assert_eq!(seen.decide(&video(1)), Ok(vec![]), "it is one of video already");
    assert!(seen.decide(&toggle(camera)).is_ok());
    let seen = Start { media: Media::Audio, toggles, ..direct() };
    assert_eq!(Call::default().decide(&start(seen)), Err(Rejection::VoiceOnly));
}

#[test]
fn nobody_is_recorded_who_has_not_agreed() {
    let sfu = || Start { on_sfu: true, node: Some("a".to_owned()), ..group() };
    let ask = Command::AskConsent { by: device(1, 1) };
    let agree = |who, agrees| Command::Consent { by: device(who, 1), agrees };
    let (by, recording) = (device(1, 1), RECORDING);
    let record = Command::StartRecording { by, recording, moderator: false };
    let mesh = after(group(), &[accept(2, 1), ask.clone(), agree(2, true)]);
    assert_eq!(mesh.decide(&record), Err(Rejection::NotOnSfu));
    let two = after(sfu(), &[accept(2, 1)]);
    assert_eq!(two.decide(&agree(2, true)), Err(Rejection::NotAsked));
    assert_eq!(two.decide(&record), Err(Rejection::NoConsent));
    let asked = after(sfu(), &[accept(2, 1), ask.clone()]);
    assert_eq!(asked.decide(&record), Err(Rejection::NoConsent));
    let history = [accept(2, 1), ask, agree(2, true), record];
    let recorded = after(sfu(), &history);
    let cause = |command: &Command| {
        let events = recorded.decide(command).unwrap();
        events.iter().find_map(|event| match event {
            CallEvent::RecordingStopped { cause, .. } => Some(*cause),
            _ => None,
        })
    };
    assert_eq!(cause(&agree(2, false)), Some(StopCause::Withdrawn));
    assert_eq!(cause(&accept(3, 1)), Some(StopCause::Newcomer));
    let agreeing = Command::Accept(Enter { agrees: true, ..enter(device(3, 1)) });
    assert_eq!(cause(&agreeing), None, "who agrees in advance may come");
    assert_eq!(cause(&join(2, 2)), None, "another device of one who agreed");
    assert_eq!(cause(&Command::End { by: user(1), moderator: false }), Some(StopCause::Ended));
    let lost = Command::ReplaceNode { lost: "a".to_owned(), node: "b".to_owned() };
    assert_eq!(cause(&lost), Some(StopCause::NodeLost));
    let gone = after(sfu(), &[&history[..], &[leave(2, 1), join(2, 1)]].concat());
    assert_eq!(gone.begun().unwrap().runs(), None, "who comes back is asked anew");
}

#[test]
fn who_called_and_who_moderates_records_and_between_two_both() {
    let on_sfu = |begin| Start { on_sfu: true, node: Some("a".to_owned()), ..begin };
    let ask = Command::AskConsent { by: device(1, 1) };
    let agree = Command::Consent { by: device(2, 1), agrees: true };
    let record = |person, moderator| Command::StartRecording {
        by: device(person, 1),
        recording: RECORDING,
        moderator,
    };
    let stop = |person, moderator| Command::StopRecording {
        by: device(person, 1),
        recording: RECORDING,
        moderator,
    };
    let pair = after(on_sfu(direct()), &[accept(2, 1), ask.clone(), agree.clone()]);
    assert!(pair.decide(&record(2, false)).is_ok());
    let history = [accept(2, 1), ask, agree];
    let group = || on_sfu(group());
    let talks = after(group(), &history);
    assert_eq!(talks.decide(&record(2, false)), Err(Rejection::MayNotRecord));
    assert_eq!(talks.decide(&record(4, true)), Err(Rejection::NotInCall));
    assert!(talks.decide(&record(2, true)).is_ok());
    let recorded = after(group(), &[&history[..], &[record(1, false)]].concat());
    assert_eq!(recorded.decide(&stop(2, false)), Err(Rejection::MayNotRecord));
    assert!(!recorded.decide(&stop(2, true)).unwrap().is_empty());
    let other = RecordingId::new(Uuid::from_u128(1));
    let another = Command::StartRecording { by: device(1, 1), recording: other, moderator: false };
    assert_eq!(recorded.decide(&another), Err(Rejection::RecordingRuns));
}

#[test]
fn files_of_a_recording_are_kept_after_the_end_once_each() {
    let begin = Start { on_sfu: true, node: Some("a".to_owned()), ring: vec![], ..group() };
    let ask = Command::AskConsent { by: device(1, 1) };
    let (by, recording) = (device(1, 1), RECORDING);
    let record = Command::StartRecording { by, recording, moderator: false };
    let store = |recording| Command::StoreRecording {
        recording,
        file: FileId::new(Uuid::from_u128(0xf)),
        of: None,
        source: None,
        milliseconds: 7,
        offset: Some(1),
    };
    let over = after(begin.clone(), &[ask.clone(), record.clone(), leave(1, 1)]);
    assert!(over.begun().unwrap().is_over());
    let other = RecordingId::new(Uuid::from_u128(1));
    assert_eq!(over.decide(&store(other)), Err(Rejection::NoSuchRecording));
    assert_eq!(over.decide(&store(RECORDING)).unwrap().len(), 1);
    let kept = after(begin, &[ask, record, leave(1, 1), store(RECORDING)]);
    assert_eq!(kept.decide(&store(RECORDING)), Ok(vec![]));
}

#[test]
fn who_is_not_in_the_conversation_any_more_is_out_of_the_call_with_all_devices() {
    let three = after(group(), &[accept(2, 1), join(2, 2)]);
    let events = three.decide(&Command::Remove { user: user(2) }).unwrap();
    let left: Vec<u16> = events
        .iter()
        .filter_map(|event| match event {
            CallEvent::Left { cause: LeaveCause::Removed, inside, .. } => Some(*inside),
            _ => None,
        })
        .collect();
    assert_eq!(left, [2, 1]);
    assert_eq!(events.len(), 2, "the call goes on: {events:?}");
    let ringing = after(direct(), &[]);
    assert_eq!(ended(&ringing, &Command::Remove { user: user(2) }), EndCause::Cancelled);
}

fn any_command() -> impl Strategy<Value = Command> {
    let commands = super::model::commands();
    (0..commands.len()).prop_map(move |index| commands[index].clone())
}

proptest! {
    #[test]
    fn the_laws_hold(
        begin in 0..2_u8,
        commands in proptest::collection::vec(any_command(), 0..40),
    ) {
        let first = start(if begin == 0 { direct() } else { group() });
        let commands: Vec<_> = std::iter::once(first).chain(commands).collect();
        hold::<Call>(&commands, |_| false, |before, after| {
            let was_over = before.begun().is_some_and(Begun::is_over);
            assert!(!was_over || after.begun().is_some_and(Begun::is_over), "it came back");
        });
    }
}
