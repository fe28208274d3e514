//! Every role and every command of a group, against the matrix.

use super::*;

const ROLES: [Role; 3] = [Role::Owner, Role::Admin, Role::Member];

/// Somebody in the group of the matrix: an owner, two admins and two members, and one banned.
#[derive(Clone, Copy, Debug)]
struct Who(u8, Option<Role>);

const OWNER: Who = Who(1, Some(Role::Owner));
const ADMIN: Who = Who(2, Some(Role::Admin));
const OTHER_ADMIN: Who = Who(3, Some(Role::Admin));
const MEMBER: Who = Who(4, Some(Role::Member));
const OTHER_MEMBER: Who = Who(5, Some(Role::Member));
const STRANGER: Who = Who(6, None);
const BANNED: Who = Who(7, None);

fn peopled() -> Conversation {
    after(&[
        open_group(1, "Study", vec![user(2), user(3), user(4), user(5)]),
        change_role(1, 2, Role::Admin),
        change_role(1, 3, Role::Admin),
        Command::Ban { by: user(1), user: user(7) },
        make_invite(1, 1, None, None),
        pin(1, 7),
    ])
}

/// Every command that the matrix is asked about, given by `by`, with whom it is done upon where
/// it is about rank.
fn commands(Who(by, _): Who) -> Vec<(Action, Option<Who>, Command)> {
    let by = user(by);
    let mut all = vec![
        (Action::Leave, None, Command::Remove { by, user: by }),
        (Action::Add, None, Command::Add { by, user: user(6) }),
        (Action::Unban, None, Command::Unban { by, user: user(7) }),
        (Action::Rename, None, Command::Rename { by, title: "Maths".to_owned() }),
        (Action::Invite, None, {
            let (invite, now) = (invite(2), at(10));
            Command::MakeInvite { by, invite, expires: None, uses: None, now }
        }),
        (Action::Invite, None, Command::RevokeInvite { by, invite: invite(1) }),
        (Action::SetSlowMode, None, Command::SetSlowMode { by, seconds: 30 }),
        (Action::Pin, None, Command::Pin { by, message: message(8), here: true }),
        (Action::Pin, None, Command::Unpin { by, message: message(7) }),
    ];
    let people = [OWNER, ADMIN, OTHER_ADMIN, MEMBER, OTHER_MEMBER, STRANGER, BANNED];
    for upon in people.into_iter().filter(|who| user(who.0) != by) {
        let user = user(upon.0);
        all.push((Action::Remove, Some(upon), Command::Remove { by, user }));
        all.push((Action::Ban, Some(upon), Command::Ban { by, user }));
        for role in [Role::Admin, Role::Member] {
            all.push((Action::ChangeRole, Some(upon), Command::ChangeRole { by, user, role }));
        }
        let transfer = Command::TransferOwnership { by, to: user };
        all.push((Action::TransferOwnership, None, transfer));
    }
    all
}

#[test]
fn the_matrix_says_which_role_gives_which_command_and_upon_whom() {
    let state = peopled();
    for who in [OWNER, ADMIN, MEMBER] {
        let role = who.1.unwrap();
        for (action, upon, command) in commands(who) {
            let decided = state.decide(&command);
            let above = upon.and_then(|upon| upon.1).is_none_or(|it| roles::outranks(role, it));
            let expected = match (may(role, action), above) {
                (true, true) => None,
                (true, false) => Some(Rejection::NotAllowed),
                (false, _) => Some(roles::refusal(action)),
            };
            let told = match decided {
                // What is about somebody outside is another matter than who may do it.
                Ok(_) | Err(Rejection::NoSuchMember) => None,
                Err(rejection) => Some(rejection),
            };
            assert_eq!(told, expected, "{role:?}: {command:?}");
        }
    }
}

#[test]
fn to_those_outside_no_command_of_a_group_has_a_group() {
    for who in [STRANGER, BANNED] {
        for (_, _, command) in commands(who) {
            let refused = peopled().decide(&command);
            assert_eq!(refused, Err(Rejection::NoSuchConversation), "{command:?}");
        }
    }
}

#[test]
fn the_matrix_has_one_row_for_each_action_and_higher_roles_may_more() {
    for (index, (action, roles)) in MATRIX.iter().enumerate() {
        assert!(MATRIX[..index].iter().all(|(other, _)| other != action), "{action:?}");
        let everybody_else = *action == Action::Leave;
        assert!(everybody_else || roles.contains(&Role::Owner), "{action:?}");
        assert!(everybody_else || !may(Role::Member, *action) || may(Role::Admin, *action));
    }
    let known: Vec<_> =
        ROLES.map(|role| MATRIX.iter().filter(|(it, _)| may(role, *it)).count()).into();
    assert_eq!(known, [14, 13, 3], "owner, admin, member");
}

#[test]
fn what_the_edge_asks_follows_the_matrix_as_well() {
    let state = peopled();
    for (action, _) in MATRIX {
        for who in [OWNER, ADMIN, MEMBER] {
            assert_eq!(state.may(user(who.0), *action), may(who.1.unwrap(), *action));
        }
        assert!(!state.may(user(6), *action));
        let either = [Action::Send, Action::React, Action::Pin, Action::IgnoreSlowMode];
        assert_eq!(direct().may(user(1), *action), either.contains(action));
    }
    for action in MATRIX.iter().map(|(action, _)| *action) {
        for who in [OWNER, ADMIN, MEMBER] {
            let (role, told) =
                (who.1.unwrap(), |kind, role| permitted(kind, role).any(|it| it == action));
            assert_eq!(told(ConversationKind::Group, role), state.may(user(who.0), action));
        }
        let told = permitted(ConversationKind::Direct, Role::Member).any(|it| it == action);
        assert_eq!(told, direct().may(user(1), action), "{action:?}");
    }
    let names: std::collections::BTreeSet<_> = MATRIX.iter().map(|(it, _)| it.name()).collect();
    assert_eq!(names.len(), MATRIX.len());
}

#[test]
fn who_transfers_a_group_is_an_admin_from_then_on() {
    let transfer = Command::TransferOwnership { by: user(1), to: user(4) };
    let state = then(peopled(), std::slice::from_ref(&transfer));
    assert_eq!((state.role(user(1)), state.role(user(4))), (Some(Role::Admin), Some(Role::Owner)));
    assert_eq!(state.decide(&transfer), Err(Rejection::NotOwner));
    let leave = Command::Remove { by: user(1), user: user(1) };
    assert_eq!(state.decide(&leave).unwrap().len(), 1, "the old owner may leave now");
    let oneself = Command::TransferOwnership { by: user(1), to: user(1) };
    assert_eq!(peopled().decide(&oneself), Ok(vec![]));
    let outside = Command::TransferOwnership { by: user(1), to: user(6) };
    assert_eq!(peopled().decide(&outside), Err(Rejection::NoSuchMember));
}

#[test]
fn a_role_is_given_once_and_ownership_never_as_a_role() {
    let state = then(peopled(), &[change_role(1, 4, Role::Admin)]);
    assert_eq!(state.role(user(4)), Some(Role::Admin));
    assert_eq!(state.decide(&change_role(1, 4, Role::Admin)), Ok(vec![]));
    assert_eq!(state.decide(&change_role(1, 4, Role::Owner)), Err(Rejection::OwnerIsNoRole));
    assert_eq!(state.decide(&change_role(1, 6, Role::Admin)), Err(Rejection::NoSuchMember));
    assert_eq!(state.decide(&change_role(1, 1, Role::Member)), Err(Rejection::OwnerStays));
}

#[test]
fn who_comes_back_is_a_member_whatever_they_were() {
    let [add, remove, _, _] = changes(1, 2);
    let state = then(peopled(), &[remove, add]);
    assert_eq!(state.role(user(2)), Some(Role::Member));
}
