//! Invitations: who makes them, who comes by them, and until when.

use super::*;

#[test]
fn people_come_by_an_invitation_once_and_are_members() {
    let state = then(group(), &[make_invite(1, 1, None, None)]);
    let (conversation, invite) = (GROUP, Some(invite(1)));
    let came = ConversationEvent::MemberAdded { conversation, user: user(4), by: user(4), invite };
    assert_eq!(state.decide(&accept(4, 1, 11)), Ok(vec![came.clone()]));
    let state = state.evolve(&came);
    assert_eq!(state.role(user(4)), Some(Role::Member));
    assert_eq!(state.decide(&accept(4, 1, 11)), Ok(vec![]));
    assert_eq!(state.decide(&accept(1, 1, 11)), Ok(vec![]), "who is in stays what they are");
}

#[test]
fn an_invitation_ends_by_time_by_use_and_by_being_revoked() {
    let made = [
        make_invite(1, 1, Some(20), None),
        make_invite(1, 2, None, Some(1)),
        make_invite(1, 3, None, None),
        accept(4, 2, 11),
        Command::RevokeInvite { by: user(1), invite: invite(3) },
    ];
    let state = then(group(), &made);
    assert_eq!(state.decide(&accept(5, 1, 19)).unwrap().len(), 1);
    assert_eq!(state.decide(&accept(5, 1, 20)), Err(Rejection::InviteExpired));
    assert_eq!(state.decide(&accept(5, 2, 11)), Err(Rejection::InviteUsedUp));
    assert_eq!(state.decide(&accept(5, 3, 11)), Err(Rejection::InviteRevoked));
    assert_eq!(state.decide(&accept(5, 4, 11)), Err(Rejection::NoSuchInvite));
    assert_eq!(Conversation::default().decide(&accept(5, 1, 11)), Err(Rejection::NoSuchInvite));
}

#[test]
fn nobody_who_is_banned_comes_and_nobody_into_a_full_group() {
    let ban = Command::Ban { by: user(1), user: user(4) };
    let banned = then(group(), &[make_invite(1, 1, None, None), ban]);
    assert_eq!(banned.decide(&accept(4, 1, 11)), Err(Rejection::Banned));
    let full =
        after(&[open_group(1, "Study", crowd(MAX_MEMBERS - 1)), make_invite(1, 1, None, None)]);
    assert_eq!(full.decide(&accept(4, 1, 11)), Err(Rejection::Full));
}

#[test]
fn an_invitation_is_made_once_and_its_id_never_means_another() {
    let made = make_invite(1, 1, Some(20), Some(3));
    let state = then(group(), std::slice::from_ref(&made));
    assert_eq!(state.decide(&made), Ok(vec![]));
    let other = make_invite(1, 1, Some(30), Some(3));
    assert_eq!(state.decide(&other), Err(Rejection::InviteExists));
    let revoke = Command::RevokeInvite { by: user(1), invite: invite(1) };
    let state = then(state, std::slice::from_ref(&revoke));
    assert_eq!(state.decide(&revoke), Ok(vec![]));
    assert_eq!(state.decide(&made), Err(Rejection::InviteExists), "a dead code stays dead");
    let unknown = Command::RevokeInvite { by: user(1), invite: invite(2) };
    assert_eq!(state.decide(&unknown), Err(Rejection::NoSuchInvite));
}

#[test]
fn an_invitation_that_nobody_could_use_is_not_made() {
    for never in [make_invite(1, 1, Some(10), None), make_invite(1, 1, None, Some(0))] {
        assert_eq!(group().decide(&never), Err(Rejection::InvalidInvite));
    }
}

#[test]
fn only_so_many_invitations_are_open_at_a_time() {
    let many = (0..100).map(|number| make_invite(1, number, Some(20), None)).collect::<Vec<_>>();
    let state = then(group(), &many);
    assert_eq!(state.open_invites(at(19)), MAX_OPEN_INVITES);
    let one_more = make_invite(1, 100, Some(20), None);
    assert_eq!(state.decide(&one_more), Err(Rejection::TooManyInvites));
    let revoke = Command::RevokeInvite { by: user(1), invite: invite(0) };
    assert!(then(state.clone(), &[revoke]).decide(&one_more).is_ok());
    let (by, invite, now) = (user(1), invite(100), at(20));
    let later = Command::MakeInvite { by, invite, expires: None, uses: None, now };
    assert!(state.decide(&later).is_ok(), "those that expired are not open");
}

#[test]
fn of_very_many_invitations_those_that_are_over_are_forgotten() {
    let mut group = group();
    for number in 0..3000_u32 {
        let invite = InviteId::new(Uuid::from_u128(u128::from(number)));
        let expires = (number % 2 == 0).then(|| at(2));
        let make = Command::MakeInvite { by: user(1), invite, expires, uses: None, now: at(1) };
        let now = if number % 2 == 0 { at(1) } else { at(3) };
        let make = match make {
            Command::MakeInvite { by, invite, expires, uses, .. } => {
                Command::MakeInvite { by, invite, expires, uses, now }
            }
            other => other,
        };
        if let Ok(events) = group.decide(&make) {
            group = events.iter().fold(group, Conversation::evolve);
        }
        if number % 2 == 1 {
            group = then(group, &[Command::RevokeInvite { by: user(1), invite }]);
        }
    }
    assert!(group.invites.len() <= 1001, "{}", group.invites.len());
}
