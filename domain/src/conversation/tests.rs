//! The rules of conversations, one by one, and the laws over all commands.

use events::conversation::{ConversationKind, Member, Role};
use events::{ConversationEvent, ConversationId, InviteId, MessageId, Moment, UserId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::decider::laws::{hold, user};

mod invites;
mod matrix;
mod rooms;

const GROUP: ConversationId = ConversationId::new(Uuid::from_u128(9));

fn invite(number: u8) -> InviteId {
    InviteId::new(Uuid::from_u128(number.into()))
}

fn message(number: u8) -> MessageId {
    MessageId::new(Uuid::from_u128(number.into()))
}

fn at(second: u8) -> Moment {
    Moment::from_timestamp(second.into(), 0).unwrap()
}

fn open_group(by: u8, title: &str, members: Vec<UserId>) -> Command {
    Command::OpenGroup { conversation: GROUP, by: user(by), title: title.to_owned(), members }
}

fn open_direct(by: u8, with: u8, friends: bool) -> Command {
    Command::OpenDirect { by: user(by), with: user(with), friends }
}

fn open_study(tutor: u8) -> Command {
    Command::OpenStudy { conversation: GROUP, tutor: user(tutor), title: "Maths".to_owned() }
}

fn rename(by: u8, title: &str) -> Command {
    Command::Rename { by: user(by), title: title.to_owned() }
}

fn change_role(by: u8, of: u8, role: Role) -> Command {
    Command::ChangeRole { by: user(by), user: user(of), role }
}

fn make_invite(by: u8, number: u8, expires: Option<u8>, uses: Option<u32>) -> Command {
    let (by, expires, now) = (user(by), expires.map(at), at(10));
    Command::MakeInvite { by, invite: invite(number), expires, uses, now }
}

fn accept(who: u8, number: u8, now: u8) -> Command {
    Command::AcceptInvite { user: user(who), invite: invite(number), now: at(now) }
}

fn pin(by: u8, number: u8) -> Command {
    Command::Pin { by: user(by), message: message(number), here: true }
}

fn then(state: Conversation, commands: &[Command]) -> Conversation {
    commands.iter().fold(state, |state, command| {
        state.decide(command).unwrap().iter().fold(state, Conversation::evolve)
    })
}

fn after(commands: &[Command]) -> Conversation {
    then(Conversation::default(), commands)
}

/// Owned by 1, with 2 and 3 in it.
fn group() -> Conversation {
    after(&[open_group(1, "Study", vec![user(2), user(3)])])
}

fn direct() -> Conversation {
    after(&[open_direct(1, 2, true)])
}

/// Adds, removes, bans, unbans.
fn changes(by: u8, of: u8) -> [Command; 4] {
    let (by, user) = (user(by), user(of));
    [
        Command::Add { by, user },
        Command::Remove { by, user },
        Command::Ban { by, user },
        Command::Unban { by, user },
    ]
}

#[test]
fn bans_have_a_bound_and_make_room_again() {
    let banned = |number: usize| UserId::new(Uuid::from_u128(0xBA4_0000 + number as u128));
    let ban = |number| Command::Ban { by: user(1), user: banned(number) };
    let full = (0..MAX_BANS).fold(group(), |state, number| {
        let (conversation, user, by) = (GROUP, banned(number), user(1));
        state.evolve(&ConversationEvent::MemberBanned { conversation, user, by })
    });
    assert_eq!(full.decide(&ban(0)), Ok(vec![]), "who is banned already takes no room");
    assert_eq!(full.decide(&ban(MAX_BANS)), Err(Rejection::TooManyBans));
    let unban = Command::Unban { by: user(1), user: banned(7) };
    assert!(then(full, &[unban]).decide(&ban(MAX_BANS)).is_ok());
}

#[test]
fn friends_open_their_one_direct_conversation() {
    assert_eq!(direct().kind(), Some(ConversationKind::Direct));
    assert!(direct().has_member(user(1)) && direct().has_member(user(2)));
    assert_eq!(direct().decide(&open_direct(2, 1, true)), Ok(vec![]));
    assert_eq!(direct().decide(&open_direct(2, 1, false)), Ok(vec![]), "it is still there");
    let new = Conversation::default();
    assert_eq!(new.decide(&open_direct(1, 2, false)), Err(Rejection::NotFriends));
    assert_eq!(new.decide(&open_direct(1, 1, true)), Err(Rejection::Oneself));
}

#[test]
fn what_is_no_direct_conversation_is_not_opened_as_one() {
    assert_eq!(group().decide(&open_direct(1, 2, true)), Err(Rejection::AlreadyOpened));
}

#[test]
fn a_direct_conversation_never_changes() {
    let settings = [
        rename(1, "Study"),
        Command::SetSlowMode { by: user(1), seconds: 5 },
        change_role(1, 2, Role::Admin),
        Command::TransferOwnership { by: user(1), to: user(2) },
        make_invite(1, 1, None, None),
        Command::RevokeInvite { by: user(1), invite: invite(1) },
    ];
    let people = [changes(1, 2), changes(1, 3), changes(1, 1)];
    for command in people.iter().flatten().chain(&settings) {
        assert_eq!(direct().decide(command), Err(Rejection::Direct), "{command:?}");
    }
}

#[test]
fn a_group_has_its_opener_as_owner_and_everyone_once() {
    let twice = open_group(1, "Study", vec![user(2), user(1), user(2)]);
    let state = after(&[twice]);
    assert_eq!(state.members().collect::<Vec<_>>(), [user(1), user(2)]);
    assert_eq!(state.role(user(1)), Some(Role::Owner));
    let again = state.decide(&open_group(1, "Study", vec![]));
    assert_eq!(again, Err(Rejection::AlreadyOpened));
}

#[test]
fn a_title_is_neither_blank_nor_endless() {
    let longest = "é".repeat(200);
    assert!(Conversation::default().decide(&open_group(1, &longest, vec![])).is_ok());
    assert!(group().decide(&rename(1, &longest)).is_ok());
    for title in ["", "  ", &format!("{longest}!")] {
        let refused = Conversation::default().decide(&open_group(1, title, vec![]));
        assert_eq!(refused, Err(Rejection::InvalidTitle));
        assert_eq!(group().decide(&rename(1, title)), Err(Rejection::InvalidTitle));
    }
}

#[test]
fn a_group_gets_another_title_only_if_it_is_another() {
    let title = events::Personal::new(user(1), "Maths".to_owned());
    let renamed = ConversationEvent::TitleChanged { conversation: GROUP, title, by: user(1) };
    assert_eq!(group().decide(&rename(1, "Maths")), Ok(vec![renamed.clone()]));
    assert_eq!(group().decide(&rename(1, "Study")), Ok(vec![]));
    assert_eq!(group().evolve(&renamed).decide(&rename(1, "Maths")), Ok(vec![]));
}

fn crowd(count: usize) -> Vec<UserId> {
    (1000..).take(count).map(|number| UserId::new(Uuid::from_u128(number))).collect()
}

#[test]
fn a_group_is_full_at_its_limit() {
    let full = after(&[open_group(1, "Study", crowd(MAX_MEMBERS - 1))]);
    let add = Command::Add { by: user(1), user: user(2) };
    assert_eq!(full.decide(&add), Err(Rejection::Full));
    let more = Conversation::default().decide(&open_group(1, "Study", crowd(MAX_MEMBERS)));
    assert_eq!(more, Err(Rejection::Full));
}

#[test]
fn members_decide_nothing_and_others_do_not_see_the_group() {
    for (by, refusal) in [(2, Rejection::NotAllowed), (4, Rejection::NoSuchConversation)] {
        for command in changes(by, 3) {
            assert_eq!(group().decide(&command), Err(refusal));
        }
    }
    for command in changes(1, 3) {
        let refused = Conversation::default().decide(&command);
        assert_eq!(refused, Err(Rejection::NoSuchConversation));
    }
}

#[test]
fn people_are_added_and_removed_once() {
    let [add, remove, _, _] = changes(1, 4);
    let (conversation, user, by) = (GROUP, user(4), user(1));
    let added = ConversationEvent::MemberAdded { conversation, user, by, invite: None };
    assert_eq!(group().decide(&add), Ok(vec![added.clone()]));
    let state = group().evolve(&added);
    assert_eq!(state.decide(&add), Ok(vec![]));
    let removed = ConversationEvent::MemberRemoved { conversation, user, by };
    assert_eq!(state.decide(&remove), Ok(vec![removed.clone()]));
    assert_eq!(state.evolve(&removed).decide(&remove), Ok(vec![]));
}

#[test]
fn everybody_may_leave_but_the_owner() {
    let leave = |who| Command::Remove { by: user(who), user: user(who) };
    let admin = change_role(1, 3, Role::Admin);
    let state = then(group(), &[admin, leave(2), leave(3)]);
    assert!(!state.has_member(user(2)) && !state.has_member(user(3)));
    assert_eq!(state.decide(&leave(2)), Err(Rejection::NoSuchConversation));
    assert_eq!(state.decide(&leave(1)), Err(Rejection::OwnerStays));
    assert_eq!(state.decide(&changes(1, 1)[2]), Err(Rejection::OwnerStays));
}

#[test]
fn who_is_banned_is_out_until_unbanned() {
    let [add, _, ban, unban] = changes(1, 2);
    let state = after(&[open_group(1, "Study", vec![user(2)]), ban.clone()]);
    assert!(!state.has_member(user(2)));
    assert_eq!(state.decide(&ban), Ok(vec![]));
    assert_eq!(state.decide(&add), Err(Rejection::Banned));
    let state = then(state, std::slice::from_ref(&unban));
    assert!(!state.has_member(user(2)), "to be let in is not to be in");
    assert_eq!(state.decide(&unban), Ok(vec![]));
    assert_eq!(state.decide(&add).unwrap().len(), 1);
}

#[test]
fn slow_mode_lasts_at_most_six_hours_and_is_set_once() {
    let slow = |seconds| Command::SetSlowMode { by: user(1), seconds };
    assert_eq!(group().decide(&slow(0)), Ok(vec![]));
    let state = then(group(), &[slow(MAX_SLOW_MODE)]);
    assert_eq!((state.slow_mode(), state.decide(&slow(MAX_SLOW_MODE))), (21_600, Ok(vec![])));
    assert_eq!(state.decide(&slow(MAX_SLOW_MODE + 1)), Err(Rejection::InvalidSlowMode));
    assert_eq!(then(state, &[slow(0)]).slow_mode(), 0);
}

#[test]
fn messages_are_pinned_once_and_either_of_two_may_pin() {
    for (state, by) in [(group(), 1), (direct(), 1), (direct(), 2)] {
        let state = then(state, &[pin(by, 7)]);
        assert_eq!((state.is_pinned(message(7)), state.decide(&pin(by, 7))), (true, Ok(vec![])));
        let unpin = Command::Unpin { by: user(by), message: message(7) };
        let state = then(state, std::slice::from_ref(&unpin));
        assert_eq!((state.is_pinned(message(7)), state.decide(&unpin)), (false, Ok(vec![])));
    }
}

#[test]
fn only_so_many_messages_of_the_conversation_itself_are_pinned() {
    let elsewhere = Command::Pin { by: user(1), message: message(7), here: false };
    assert_eq!(group().decide(&elsewhere), Err(Rejection::NoSuchMessage));
    let pins: Vec<_> = (0..50).map(|number| pin(1, number)).collect();
    let state = then(group(), &pins);
    assert_eq!(state.decide(&pin(1, 50)), Err(Rejection::TooManyPins));
    assert_eq!(state.decide(&pin(1, 49)), Ok(vec![]), "that one is pinned already");
}

fn settings() -> impl Strategy<Value = Command> {
    (0..10_usize, 1..5_u8, 1..5_u8, 0..4_u8).prop_map(|(kind, by, of, number)| match kind {
        0 => rename(by, ["Maths", "Study"][usize::from(number % 2)]),
        1 => change_role(by, of, [Role::Admin, Role::Member, Role::Owner][usize::from(number % 3)]),
        2 => Command::TransferOwnership { by: user(by), to: user(of) },
        3 => make_invite(by, number, [None, Some(20)][usize::from(number % 2)], Some(2)),
        4 => Command::RevokeInvite { by: user(by), invite: invite(number) },
        5 => accept(by, number, 5 * number),
        6 => Command::SetSlowMode { by: user(by), seconds: number.into() },
        7 => Command::Pin { by: user(by), message: message(number), here: number != 0 },
        8 => Command::Unpin { by: user(by), message: message(number) },
        _ => Command::Enter { user: user(by), admitted: number != 0 },
    })
}

fn command() -> impl Strategy<Value = Command> {
    let people = (0..8_usize, 1..5_u8, 1..5_u8, any::<bool>()).prop_map(
        |(kind, by, of, friends)| match kind {
            0 => open_group(by, "Study", vec![user(of)]),
            1 => open_direct(by, of, friends),
            2 => open_study(by),
            3 => Command::Leave { user: user(by) },
            change => changes(by, of)[change - 4].clone(),
        },
    );
    prop_oneof![people, settings()]
}

proptest! {
    #[test]
    fn the_laws_hold(first in 0..3_usize, commands in proptest::collection::vec(command(), 0..80)) {
        // Mostly groups, where most can happen.
        let opening = [open_group(1, "Study", vec![user(2)]), open_study(1), open_direct(1, 2, true)];
        let commands: Vec<_> = std::iter::once(opening[first].clone()).chain(commands).collect();
        hold::<Conversation>(&commands, |_| false, |before, after| {
            assert!(before.opened.is_none() || before.opened == after.opened);
            assert!(after.banned.iter().all(|user| !after.has_member(*user)));
            assert!(after.invites.len() >= before.invites.len(), "ids are used once");
            let owners = after.members.values().filter(|role| **role == Role::Owner).count();
            match after.kind() {
                Some(ConversationKind::Group | ConversationKind::Study) => assert_eq!(owners, 1),
                Some(ConversationKind::Direct) => {
                    assert_eq!((owners, after.members.len()), (0, 2));
                }
                None => assert!(after.members.is_empty()),
            }
        });
    }
}
