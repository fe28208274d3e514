//! The rules of accounts, one by one, and the laws over all commands.

use events::user::{Avatar, PlatformRole};
use events::{FileId, Moment, Position, PushId, UserEvent};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::decider::laws::{given, hold, user};

fn sign_up(name: &str) -> Command {
    Command::SignUp {
        user: user(1),
        email: "ada@example.org".to_owned(),
        handle: "ada".to_owned(),
        name: name.to_owned(),
        password_hash: "$argon2id$".to_owned(),
    }
}

fn change(name: Option<&str>, bio: Option<&str>) -> Command {
    Command::ChangeProfile(Profile {
        name: name.map(str::to_owned),
        bio: bio.map(str::to_owned),
        ..Profile::default()
    })
}

fn personal(text: &str) -> Personal<String> {
    Personal::new(user(1), text.to_owned())
}

fn changed(name: Option<&str>, bio: Option<&str>) -> UserEvent {
    UserEvent::ProfileChanged {
        user: user(1),
        name: name.map(personal),
        bio: bio.map(personal),
        native_language: None,
        learning_language: None,
        location: None,
        avatar: None,
    }
}

fn ada() -> User {
    given(&User::default().decide(&sign_up("Ada")).unwrap())
}

fn then(state: User, command: &Command) -> User {
    state.decide(command).unwrap().iter().fold(state, User::evolve)
}

fn at(second: u8) -> Moment {
    Moment::from_timestamp(second.into(), 0).unwrap()
}

fn full() -> Profile {
    let text = |text: &str| Some(text.to_owned());
    Profile {
        name: text("Ada L"),
        bio: text("Notes"),
        native_language: text("en-GB"),
        learning_language: text("fr"),
        ..Profile::default()
    }
}

fn subscribe(number: u8, endpoint: &str) -> Command {
    Command::SubscribePush {
        push: PushId::new(Uuid::from_u128(number.into())),
        endpoint: endpoint.to_owned(),
        p256dh: "B".repeat(87),
        auth: "a".repeat(22),
    }
}

fn appoint(by_role: PlatformRole, role: PlatformRole, last_admin: bool) -> Command {
    Command::ChangePlatformRole { by: user(2), by_role, role, last_admin }
}

fn suspend(by_role: PlatformRole, until: Option<u8>, reason: &str) -> Command {
    let (by, until, now) = (user(2), until.map(at), at(10));
    Command::Suspend { by, by_role, until, reason: reason.to_owned(), now }
}

fn of_role(role: PlatformRole) -> User {
    ada().evolve(&UserEvent::RoleChanged { user: user(1), role, by: user(2) })
}

const ROLES: [PlatformRole; 3] = [PlatformRole::User, PlatformRole::Moderator, PlatformRole::Admin];

#[test]
fn a_person_signs_up_once() {
    assert_eq!(ada().account().unwrap().name, personal("Ada"));
    assert_eq!(ada().decide(&sign_up("Ada")), Err(Rejection::AlreadySignedUp));
}

#[test]
fn a_name_is_neither_blank_nor_endless() {
    let longest = "é".repeat(100);
    assert!(User::default().decide(&sign_up(&longest)).is_ok());
    for name in ["", "  ", &format!("{longest}!")] {
        assert_eq!(User::default().decide(&sign_up(name)), Err(Rejection::InvalidName));
        assert_eq!(ada().decide(&change(Some(name), None)), Err(Rejection::InvalidName));
    }
}

#[test]
fn only_what_is_different_is_changed() {
    let both = ada().decide(&change(Some("Ada L"), Some("Notes")));
    assert_eq!(both, Ok(vec![changed(Some("Ada L"), Some("Notes"))]));
    let one = ada().decide(&change(Some("Ada"), Some("Notes")));
    assert_eq!(one, Ok(vec![changed(None, Some("Notes"))]));
    assert_eq!(ada().decide(&change(Some("Ada"), None)), Ok(vec![]));
    assert_eq!(ada().decide(&change(None, Some(""))), Ok(vec![]), "no text is an empty one");
    let with_bio = ada().evolve(&changed(None, Some("Notes")));
    assert_eq!(with_bio.decide(&change(None, Some(""))), Ok(vec![changed(None, Some(""))]));
}

#[test]
fn texts_about_oneself_are_not_endless() {
    let about = |bio: usize, location: usize| {
        let (bio, location) = (Some("é".repeat(bio)), Some("é".repeat(location)));
        ada().decide(&Command::ChangeProfile(Profile { bio, location, ..Profile::default() }))
    };
    assert_eq!(about(1000, 100).unwrap().len(), 1);
    assert_eq!(about(1001, 100), Err(Rejection::BioTooLong));
    assert_eq!(about(1000, 101), Err(Rejection::LocationTooLong));
}

#[test]
fn a_language_looks_like_a_tag_of_bcp_47() {
    let speaking = |tag: &str| {
        let native_language = Some(tag.to_owned());
        ada().decide(&Command::ChangeProfile(Profile { native_language, ..Profile::default() }))
    };
    for tag in ["en", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske", "de-DE-u-co-phonebk", "es-419"] {
        assert!(speaking(tag).is_ok(), "{tag}");
    }
    let long = ["en"; 13].join("-");
    for tag in
        ["", "e", "x-y", "12", "en_GB", "en-", "-en", "en--GB", "en-a", "englishlanguage", &long]
    {
        assert_eq!(speaking(tag), Err(Rejection::InvalidLanguage), "{tag}");
    }
}

#[test]
fn a_picture_is_a_preset_or_ones_own() {
    let file = Avatar::File(FileId::new(Uuid::from_u128(1)));
    for (avatar, owns_avatar, allowed) in [
        (Avatar::Preset(0), true, false),
        (Avatar::Preset(1), false, true),
        (Avatar::Preset(PRESETS), false, true),
        (Avatar::Preset(PRESETS + 1), true, false),
        (file, true, true),
        (file, false, false),
    ] {
        let profile = Profile { avatar: Some(avatar), owns_avatar, ..Profile::default() };
        let decided = ada().decide(&Command::ChangeProfile(profile));
        assert_eq!(decided.is_ok(), allowed, "{avatar:?}");
        assert!(allowed || decided == Err(Rejection::InvalidAvatar));
    }
}

#[test]
fn a_person_is_onboarded_once_with_all_that_others_need() {
    let onboard = Command::Onboard(full());
    let decided = ada().decide(&onboard).unwrap();
    assert!(matches!(decided[0], UserEvent::ProfileChanged { .. }));
    assert_eq!(decided[1..], [UserEvent::Onboarded { user: user(1) }]);
    let state = then(ada(), &onboard);
    assert!(state.account().unwrap().onboarded);
    assert_eq!(state.decide(&onboard), Ok(vec![]));
    let other = Command::Onboard(Profile { bio: Some("Engines".to_owned()), ..full() });
    assert_eq!(state.decide(&other), Ok(vec![changed(None, Some("Engines"))]));
    let text = || Some(" ".to_owned());
    for missing in [
        Profile { name: None, ..full() },
        Profile { bio: text(), ..full() },
        Profile { native_language: None, ..full() },
        Profile { learning_language: text(), ..full() },
    ] {
        assert_eq!(ada().decide(&Command::Onboard(missing)), Err(Rejection::Incomplete));
    }
}

#[test]
fn a_hash_is_replaced_only_if_it_is_the_one_that_was_verified() {
    let rehash =
        |old: &str, new: &str| Command::Rehash { old: old.to_owned(), new: new.to_owned() };
    let state = then(ada(), &rehash("$argon2id$", "new"));
    assert_eq!(state.account().unwrap().password_hash, personal("new"));
    assert_eq!(state.decide(&rehash("$argon2id$", "new")), Ok(vec![]));
    assert_eq!(state.decide(&rehash("$argon2id$", "newer")), Err(Rejection::OtherHash));
    let change = Command::ChangePassword { old: "new".to_owned(), new: "chosen".to_owned() };
    let chosen = UserEvent::PasswordRehashed {
        user: user(1),
        password_hash: personal("chosen"),
        chosen: true,
    };
    assert_eq!(state.decide(&change), Ok(vec![chosen]));
    assert_eq!(ada().decide(&change), Err(Rejection::OtherHash));
}

#[test]
fn only_admins_appoint_and_the_last_admin_stays_one() {
    for by_role in [PlatformRole::User, PlatformRole::Moderator] {
        for role in ROLES {
            assert_eq!(ada().decide(&appoint(by_role, role, false)), Err(Rejection::NotAdmin));
        }
    }
    let make = appoint(PlatformRole::Admin, PlatformRole::Admin, false);
    let admin = then(ada(), &make);
    assert_eq!(admin.account().unwrap().role, PlatformRole::Admin);
    assert_eq!(admin.decide(&make), Ok(vec![]));
    let dismiss = |last| appoint(PlatformRole::Admin, PlatformRole::User, last);
    assert_eq!(admin.decide(&dismiss(true)), Err(Rejection::LastAdmin));
    assert_eq!(admin.decide(&dismiss(false)).unwrap().len(), 1);
}

#[test]
fn moderators_and_admins_suspend_and_reinstate_those_below_them() {
    for by_role in ROLES {
        for role in ROLES {
            let expected = match by_role {
                PlatformRole::User => Err(Rejection::NotModerator),
                _ if role >= by_role => Err(Rejection::NotBelow),
                _ => Ok(1),
            };
            let count = |decided: Result<Vec<_>, _>| decided.map(|events| events.len());
            let suspended = of_role(role).decide(&suspend(by_role, None, "Spam"));
            assert_eq!(count(suspended), expected, "{by_role:?} upon {role:?}");
            let state = then(ada(), &suspend(PlatformRole::Admin, None, "Spam"));
            let state = state.evolve(&UserEvent::RoleChanged { user: user(1), role, by: user(2) });
            let reinstated = state.decide(&Command::Reinstate { by: user(2), by_role });
            assert_eq!(count(reinstated), expected, "{by_role:?} upon {role:?}");
        }
    }
}

#[test]
fn a_suspension_has_a_reason_and_an_end_in_the_future_or_none() {
    let by = PlatformRole::Moderator;
    let reinstate = Command::Reinstate { by: user(2), by_role: by };
    assert_eq!(ada().decide(&reinstate), Ok(vec![]));
    assert_eq!(ada().decide(&suspend(by, Some(10), "Spam")), Err(Rejection::InvalidEnd));
    for reason in [" ", &"x".repeat(1001)] {
        assert_eq!(ada().decide(&suspend(by, None, reason)), Err(Rejection::InvalidReason));
    }
    let state = then(ada(), &suspend(by, Some(20), "Spam"));
    let suspended = |state: &User, now| state.account().unwrap().is_suspended(at(now));
    assert!(suspended(&state, 19) && !suspended(&state, 20));
    assert_eq!(state.decide(&suspend(by, Some(20), "Spam")), Ok(vec![]));
    let state = then(state, &suspend(by, None, "Again"));
    assert!(suspended(&state, 200));
    assert!(!suspended(&then(state, &reinstate), 200));
}

#[test]
fn a_browser_subscribes_once_and_only_so_many_do() {
    let one = subscribe(1, "https://push.example/1");
    let state = then(ada(), &one);
    assert_eq!(state.decide(&one), Ok(vec![]));
    let moved = subscribe(1, "https://push.example/2");
    assert_eq!(state.decide(&moved).unwrap().len(), 1, "its address may change");
    let number = |number| subscribe(number, "https://push.example/1");
    let state = (2..=10).fold(state, |state, it| then(state, &number(it)));
    assert_eq!(state.decide(&number(11)), Err(Rejection::TooManySubscriptions));
    assert!(state.decide(&moved).is_ok(), "that one is there already");
    let leave = Command::UnsubscribePush { push: PushId::new(Uuid::from_u128(1)) };
    let state = then(state, &leave);
    assert_eq!(state.decide(&leave), Ok(vec![]));
    assert!(state.decide(&number(11)).is_ok());
}

#[test]
fn a_subscription_has_a_safe_address_and_keys_of_the_right_size() {
    let with = |endpoint: &str, key: usize, secret: usize| Command::SubscribePush {
        push: PushId::new(Uuid::from_u128(1)),
        endpoint: endpoint.to_owned(),
        p256dh: "_".repeat(key),
        auth: "-".repeat(secret),
    };
    assert!(ada().decide(&with("https://a", 87, 22)).is_ok());
    let long = format!("https://{}", "a".repeat(2041));
    for wrong in [
        with("http://a", 87, 22),
        with("https://", 87, 22),
        with("https://a b", 87, 22),
        with(&long, 87, 22),
        with("https://a", 86, 22),
        with("https://a", 87, 23),
    ] {
        assert_eq!(ada().decide(&wrong), Err(Rejection::InvalidSubscription));
    }
}

#[test]
fn what_was_seen_stays_seen() {
    let read = |upto| Command::ReadNotifications { upto: Position::at(upto) };
    let state = then(ada(), &read(5));
    assert_eq!(state.decide(&read(5)), Ok(vec![]));
    assert_eq!(state.decide(&read(4)), Ok(vec![]));
    assert_eq!(state.decide(&read(6)).unwrap().len(), 1);
}

#[test]
fn nobody_does_anything_to_an_account_that_does_not_exist() {
    for command in [
        change(Some("Ada"), None),
        Command::Onboard(full()),
        appoint(PlatformRole::Admin, PlatformRole::Moderator, false),
        suspend(PlatformRole::Admin, None, "Spam"),
        Command::Reinstate { by: user(2), by_role: PlatformRole::Admin },
        subscribe(1, "https://push.example/1"),
        Command::ReadNotifications { upto: Position::at(1) },
    ] {
        assert_eq!(User::default().decide(&command), Err(Rejection::NoSuchUser));
    }
}

fn command() -> impl Strategy<Value = Command> {
    let text = || proptest::option::of("[ab ]{0,2}");
    let profile = (text(), text(), 0..10_u8).prop_map(|(name, bio, preset)| Profile {
        name,
        bio,
        avatar: Some(Avatar::Preset(preset)),
        ..full()
    });
    let role = || (0..3_usize).prop_map(|role| ROLES[role]);
    prop_oneof![
        "[ab]".prop_map(|name| sign_up(&name)),
        profile.clone().prop_map(Command::ChangeProfile),
        profile.prop_map(Command::Onboard),
        ("[ab]", "[ab]").prop_map(|(old, new)| Command::Rehash { old, new }),
        ("[ab]", "[ab]").prop_map(|(old, new)| Command::ChangePassword { old, new }),
        (role(), role(), any::<bool>()).prop_map(|(by, role, last)| appoint(by, role, last)),
        (role(), proptest::option::of(5..20_u8), "[a ]")
            .prop_map(|(by, until, reason)| suspend(by, until, &reason)),
        role().prop_map(|by_role| Command::Reinstate { by: user(2), by_role }),
        (0..13_u8).prop_map(|number| subscribe(number, "https://push.example/1")),
        (0..13_u128).prop_map(|number| Command::UnsubscribePush {
            push: PushId::new(Uuid::from_u128(number))
        }),
        (0..9_u64).prop_map(|upto| Command::ReadNotifications { upto: Position::at(upto) }),
    ]
}

fn erase(by: u8, by_role: PlatformRole) -> Erase {
    Erase {
        by: user(by),
        by_role,
        last_admin: false,
        held: false,
        conversations: vec![],
        names: vec!["email-5f".to_owned()],
    }
}

#[test]
fn who_is_erased_has_no_account_and_nothing_is_done_to_it_any_more() {
    let erased = then(ada(), &Command::Erase(erase(1, PlatformRole::User)));
    assert!(erased.account().is_none());
    assert_eq!(erased.erasure(), Some(Erasure { user: user(1), certified: false }));
    assert_eq!(erased.decide(&change(Some("Ada L"), None)), Err(Rejection::NoSuchUser));
    assert_eq!(erased.decide(&sign_up("Ada")), Err(Rejection::AlreadySignedUp));
    assert_eq!(erased.decide(&Command::Erase(erase(2, PlatformRole::Admin))), Ok(vec![]));
}

#[test]
fn only_the_person_and_admins_erase_and_no_hold_may_be_in_force() {
    let refused = |order| ada().decide(&Command::Erase(order)).unwrap_err();
    assert_eq!(refused(erase(2, PlatformRole::Moderator)), Rejection::NotAdmin);
    let held = Erase { held: true, ..erase(1, PlatformRole::User) };
    assert_eq!(refused(held), Rejection::LegalHold);
    let admin = then(ada(), &appoint(PlatformRole::Admin, PlatformRole::Admin, false));
    let last = Erase { last_admin: true, ..erase(1, PlatformRole::Admin) };
    assert_eq!(admin.decide(&Command::Erase(last)), Err(Rejection::LastAdmin));
}

#[test]
fn an_erasure_is_certified_once() {
    let certify = |text: &str| Command::CertifyErasure {
        certificate: text.to_owned(),
        signature: "c2ln".to_owned(),
    };
    assert_eq!(ada().decide(&certify("{}")), Err(Rejection::NotErased));
    let erased = then(ada(), &Command::Erase(erase(1, PlatformRole::User)));
    let certified = then(erased, &certify("{}"));
    assert!(certified.erasure().unwrap().certified);
    assert_eq!(certified.decide(&certify("another")), Ok(vec![]));
}

proptest! {
    #[test]
    fn the_laws_hold(commands in proptest::collection::vec(command(), 0..60)) {
        let commands: Vec<_> = std::iter::once(sign_up("a")).chain(commands).collect();
        hold::<User>(&commands, |_| false, |before, after| {
            let Some(account) = before.account() else { return };
            let next = after.account().expect("an account stays");
            assert_eq!(account.user, next.user);
            assert!(!next.name.open().unwrap().trim().is_empty());
            assert!(!account.onboarded || next.onboarded);
            assert!(next.notifications_read >= account.notifications_read);
            assert!(next.subscriptions.len() <= MAX_SUBSCRIPTIONS);
        });
    }
}
