//! A person: signs up once, and says what others see.

use events::{Personal, UserEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// What is known of a person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    account: Option<Account>,
}

/// A person who signed up.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Who.
    pub user: UserId,
    /// The name that others see.
    pub name: Personal<String>,
    /// The text about oneself.
    pub bio: Option<Personal<String>>,
    /// The password's hash, as a PHC string.
    pub password_hash: Personal<String>,
}

impl User {
    /// The account, once the person signed up.
    pub const fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }
}

/// What a person does to their account.
#[derive(Clone, Debug)]
pub enum Command {
    /// Sign up.
    SignUp {
        /// The new id.
        user: UserId,
        /// The normalised address.
        email: String,
        /// The normalised handle.
        handle: String,
        /// The name that others see.
        name: String,
        /// The password's hash, as a PHC string.
        password_hash: String,
    },
    /// Change what others see; what is absent stays.
    ChangeProfile {
        /// The new name.
        name: Option<String>,
        /// The new text about oneself.
        bio: Option<String>,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The id is taken.
    #[error("this account exists already")]
    AlreadySignedUp,
    /// Nobody has this id.
    #[error("this account does not exist")]
    NoSuchUser,
    /// Nobody is nameless.
    #[error("a name has 1 to 100 characters that are not all blank")]
    InvalidName,
    /// Too long.
    #[error("a text about oneself has at most 1000 characters")]
    BioTooLong,
}

fn valid_name(name: &str) -> Result<(), Rejection> {
    if name.trim().is_empty() || name.chars().count() > 100 {
        return Err(Rejection::InvalidName);
    }
    Ok(())
}

impl Decider for User {
    type Command = Command;
    type Event = UserEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<UserEvent>, Rejection> {
        match command {
            Command::SignUp { user, email, handle, name, password_hash } => {
                if self.account.is_some() {
                    return Err(Rejection::AlreadySignedUp);
                }
                valid_name(name)?;
                let personal = |text: &String| Personal::new(*user, text.clone());
                Ok(vec![UserEvent::SignedUp {
                    user: *user,
                    email: personal(email),
                    handle: personal(handle),
                    name: personal(name),
                    password_hash: personal(password_hash),
                }])
            }
            Command::ChangeProfile { name, bio } => {
                let account = self.account.as_ref().ok_or(Rejection::NoSuchUser)?;
                if let Some(name) = name {
                    valid_name(name)?;
                }
                if bio.as_ref().is_some_and(|bio| bio.chars().count() > 1000) {
                    return Err(Rejection::BioTooLong);
                }
                let name = name.as_ref().filter(|name| account.name.open() != Some(name));
                let bio = bio.as_ref().filter(|bio| {
                    account.bio.as_ref().and_then(Personal::open).map_or("", String::as_str)
                        != bio.as_str()
                });
                if name.is_none() && bio.is_none() {
                    return Ok(vec![]);
                }
                let personal = |text: &String| Personal::new(account.user, text.clone());
                Ok(vec![UserEvent::ProfileChanged {
                    user: account.user,
                    name: name.map(personal),
                    bio: bio.map(personal),
                }])
            }
        }
    }

    fn evolve(mut self, event: &UserEvent) -> Self {
        match event {
            UserEvent::SignedUp { user, name, password_hash, .. } => {
                self.account = Some(Account {
                    user: *user,
                    name: name.clone(),
                    bio: None,
                    password_hash: password_hash.clone(),
                });
            }
            UserEvent::ProfileChanged { name, bio, .. } => {
                if let Some(account) = &mut self.account {
                    account.name = name.clone().unwrap_or_else(|| account.name.clone());
                    account.bio = bio.clone().or_else(|| account.bio.take());
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        Command::ChangeProfile { name: name.map(str::to_owned), bio: bio.map(str::to_owned) }
    }

    fn personal(text: &str) -> Personal<String> {
        Personal::new(user(1), text.to_owned())
    }

    fn changed(name: Option<&str>, bio: Option<&str>) -> UserEvent {
        UserEvent::ProfileChanged {
            user: user(1),
            name: name.map(personal),
            bio: bio.map(personal),
        }
    }

    fn ada() -> User {
        given(&User::default().decide(&sign_up("Ada")).unwrap())
    }

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
    fn a_text_about_oneself_is_not_endless() {
        let longest = "é".repeat(1000);
        assert!(ada().decide(&change(None, Some(&longest))).is_ok());
        let longer = ada().decide(&change(None, Some(&format!("{longest}!"))));
        assert_eq!(longer, Err(Rejection::BioTooLong));
    }

    #[test]
    fn nobody_changes_an_account_that_does_not_exist() {
        let refused = User::default().decide(&change(Some("Ada"), None));
        assert_eq!(refused, Err(Rejection::NoSuchUser));
    }

    fn command() -> impl Strategy<Value = Command> {
        let text = || proptest::option::of("[ab ]{0,2}");
        prop_oneof![
            "[ab]".prop_map(|name| sign_up(&name)),
            (text(), text()).prop_map(|(name, bio)| Command::ChangeProfile { name, bio }),
        ]
    }

    proptest! {
        #[test]
        fn the_laws_hold(commands in proptest::collection::vec(command(), 0..40)) {
            hold::<User>(&commands, |_| false, |before, after| {
                let Some(account) = before.account() else { return };
                let next = after.account().expect("an account stays");
                assert_eq!(account.user, next.user);
                assert_eq!(account.password_hash, next.password_hash);
                assert!(!next.name.open().unwrap().trim().is_empty());
            });
        }
    }
}
