//! A user as an event keeps it, and what names, groups and passwords may look like. Pure.

use serde::{Deserialize, Serialize};

use super::acl::{ADMINS, OPERATORS, Who};

/// The most bytes of a login name, and of the name of a group.
const NAME: usize = 128;
/// The most bytes of a person's name.
const FULL_NAME: usize = 512;
/// The most bytes of a password.
const PASSWORD: usize = 1024;
/// The most groups of a user.
const GROUPS: usize = 64;

/// The state of a user after the event that holds it: each event of a user's stream says all.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) login_name: String,
    pub(crate) full_name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) disabled: bool,
    /// Argon2id, as a PHC string.
    pub(crate) hash: String,
}

impl User {
    pub(crate) fn who(&self) -> Who<'_> {
        Who::User { login: &self.login_name, groups: &self.groups }
    }

    /// What an event of a user's stream says; `None` when it is not one of ours.
    pub(crate) fn from_event(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok()
    }

    pub(crate) fn to_event(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a user can be written as JSON")
    }
}

/// A login name: what Basic credentials can carry, and what no group of the system is called.
pub(crate) fn check_login(login: &str) -> Result<(), String> {
    if is_name(login) {
        return Ok(());
    }
    Err(format!("a login name has 1 to {NAME} ASCII letters, digits and . _ - + @"))
}

pub(crate) fn check_groups(groups: &[String]) -> Result<(), String> {
    if groups.len() > GROUPS {
        return Err(format!("a user is in at most {GROUPS} groups"));
    }
    if groups.iter().all(|group| group == ADMINS || group == OPERATORS || is_name(group)) {
        return Ok(());
    }
    Err(format!(
        "a group is {ADMINS}, {OPERATORS}, or has 1 to {NAME} ASCII letters, digits and . _ - + @"
    ))
}

pub(crate) fn check_full_name(name: &str) -> Result<(), String> {
    if name.len() <= FULL_NAME && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("a full name has at most {FULL_NAME} bytes and no control characters"))
}

pub(crate) fn check_password(password: &str) -> Result<(), String> {
    if (1..=PASSWORD).contains(&password.len()) {
        return Ok(());
    }
    Err(format!("a password has 1 to {PASSWORD} bytes"))
}

fn is_name(name: &str) -> bool {
    (1..=NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_header_and_a_list_can_carry() {
        for good in ["ann", "ann.lee-2_x", "ann+test@example.com"] {
            assert_eq!(check_login(good), Ok(()), "{good}");
        }
        let long = "a".repeat(NAME + 1);
        for bad in ["", "a b", "a:b", "$admins", "$all", "ä", "a\n", "a/b", &long] {
            assert!(check_login(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_the_systems_groups_only_two_can_be_given() {
        let check = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            check_groups(&names)
        };
        assert_eq!(check(&["$admins", "$ops", "devs"]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        for bad in ["$all", "$system", "", "a b"] {
            assert!(check(&[bad]).is_err(), "{bad}");
        }
        assert!(check(&["g"; GROUPS + 1]).is_err());
    }

    #[test]
    fn a_user_is_read_from_its_event() {
        let user = User {
            login_name: "ann".to_owned(),
            full_name: "Ann Lee".to_owned(),
            groups: vec!["devs".to_owned()],
            disabled: true,
            hash: "$argon2id$".to_owned(),
        };
        assert!(User::from_event(&user.to_event()) == Some(user));
        assert!(User::from_event(br#"{"loginName":"ann","salt":"x","hash":"y"}"#).is_none());
        assert!(User::from_event(b"").is_none());
    }
}
