//! Study rooms: owned by the tutor, entered through their session.

use super::*;

fn enter(who: u8, admitted: bool) -> Command {
    Command::Enter { user: user(who), admitted }
}

fn leave(who: u8) -> Command {
    Command::Leave { user: user(who) }
}

/// Led by 1, with 2 in it.
fn room() -> Conversation {
    after(&[open_study(1), enter(2, true)])
}

#[test]
fn a_room_is_opened_once_and_its_tutor_owns_it() {
    let state = after(&[open_study(1)]);
    assert_eq!(state.kind(), Some(ConversationKind::Study));
    assert_eq!(state.role(user(1)), Some(Role::Owner));
    assert_eq!(state.decide(&open_study(1)), Err(Rejection::AlreadyOpened));
    let member = Member { user: user(1), role: Role::Owner };
    let opened = Conversation::default().decide(&open_study(1)).unwrap();
    let [ConversationEvent::Opened { members, .. }] = &opened[..] else { panic!("{opened:?}") };
    assert_eq!(members[..], [member]);
}

#[test]
fn people_enter_and_leave_with_their_session() {
    assert_eq!(room().role(user(2)), Some(Role::Member));
    assert_eq!(room().decide(&enter(2, true)), Ok(vec![]));
    assert_eq!(room().decide(&enter(2, false)), Ok(vec![]), "who is in need not be let in");
    assert_eq!(room().decide(&enter(3, false)), Err(Rejection::StudyRoom));
    let state = then(room(), &[leave(2)]);
    assert!(!state.has_member(user(2)));
    assert_eq!(state.decide(&leave(2)), Ok(vec![]));
    assert_eq!(state.decide(&leave(1)), Ok(vec![]), "the tutor keeps the room");
}

#[test]
fn nobody_is_added_or_invited_to_a_room_and_it_stays_the_tutors() {
    for command in [
        Command::Add { by: user(1), user: user(3) },
        make_invite(1, 1, None, None),
        Command::TransferOwnership { by: user(1), to: user(2) },
    ] {
        assert_eq!(room().decide(&command), Err(Rejection::StudyRoom), "{command:?}");
    }
}

#[test]
fn the_tutor_removes_and_bans() {
    let [_, remove, ban, _] = changes(1, 2);
    assert!(!then(room(), &[remove]).has_member(user(2)));
    let state = then(room(), &[ban]);
    assert_eq!(state.decide(&enter(2, true)), Err(Rejection::Banned));
}

#[test]
fn only_rooms_are_entered() {
    for state in [Conversation::default(), group(), direct()] {
        for command in [enter(4, true), leave(2)] {
            assert_eq!(state.decide(&command), Err(Rejection::NoSuchConversation));
        }
    }
}
