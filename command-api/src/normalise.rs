//! What people type as address, handle and password, in the one form that is compared.

use service::Problem;

/// An e-mail address: trimmed, in lower case.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Email {
    /// Checks the form only: whether mail arrives there is found out by sending some.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let address = text.trim().to_lowercase();
        let good = address.len() <= 254
            && !address.contains(|c: char| c.is_whitespace() || c.is_control())
            && address.split_once('@').is_some_and(|(name, host)| {
                !name.is_empty()
                    && !host.contains('@')
                    && host.split('.').count() >= 2
                    && host.split('.').all(|label| !label.is_empty())
            });
        if good { Ok(Self(address)) } else { Err(Problem::invalid("`email` must be an address")) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The unique short name of a person: 3 to 30 of `[a-z0-9_]`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Handle(String);

impl Handle {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let handle = text.trim().to_lowercase();
        let good = (3..=30).contains(&handle.len())
            && handle.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if good {
            return Ok(Self(handle));
        }
        Err(Problem::invalid("`handle` must be 3 to 30 of the letters a-z, digits and _"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a new password is neither too short nor absurdly long. It is not changed in any way.
pub(crate) fn password(text: &str) -> Result<(), Problem> {
    if (8..=200).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(Problem::invalid("`password` must have 8 to 200 characters"))
}

/// What a device calls itself: one line of at most 200 characters, or nothing.
pub(crate) fn device(text: &str) -> Option<String> {
    let line: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_however_it_is_typed() {
        for text in ["ada@example.org", " Ada@Example.ORG\n"] {
            assert_eq!(
                Email::parse(text).ok().as_ref().map(Email::as_str),
                Some("ada@example.org")
            );
        }
        let long = format!("{}@example.org", "a".repeat(250));
        for text in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example",
            "a@b@c.d",
            "a b@c.d",
            "a@c..d",
            &long,
        ] {
            assert!(Email::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_handle_however_it_is_typed() {
        assert_eq!(Handle::parse(" Ada_99 ").ok().as_ref().map(Handle::as_str), Some("ada_99"));
        for text in ["", "ad", "ada!", "ädä", "a da", &"a".repeat(31)] {
            assert!(Handle::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_device_is_one_short_line() {
        assert_eq!(device(" Ada's\n phone ").as_deref(), Some("Ada's phone"));
        assert_eq!(device(&"ä".repeat(300)).map(|name| name.chars().count()), Some(200));
        assert_eq!(device(" \t"), None);
    }

    #[test]
    fn passwords_have_a_length() {
        assert!(password("1234567").is_err());
        assert!(password("12345678").is_ok());
        assert!(password(&"ä".repeat(200)).is_ok());
        assert!(password(&"a".repeat(201)).is_err());
    }
}
