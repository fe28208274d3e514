//! Data about a person, which has to be forgettable in a log that forgets nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::UserId;

/// A value about a person. In the log it is sealed with the key of its subject; destroying that
/// key erases the value everywhere at once.
///
/// In JSON the three forms are objects with one key, which the codec of the seam finds without
/// knowing the event: `{"$personal": {"subject", "value"}}` is what the domain works with and is
/// never written anywhere, `{"$sealed": {"subject", "data"}}` is what the log holds, and
/// `{"$erased": {"subject"}}` is what is read once the key is destroyed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Personal<T> {
    /// Readable.
    #[serde(rename = "$personal")]
    Open {
        /// Whom the value is about, and whose key seals it.
        subject: UserId,
        /// The value.
        value: T,
    },
    /// Still sealed, because the key could not be fetched.
    #[serde(rename = "$sealed")]
    Sealed {
        /// Whose key sealed the value.
        subject: UserId,
        /// Nonce and ciphertext, in base64 without padding.
        data: String,
    },
    /// Gone: the key was destroyed.
    #[serde(rename = "$erased")]
    Erased {
        /// Whom the value was about.
        subject: UserId,
    },
}

impl<T> Personal<T> {
    /// A readable value about `subject`.
    pub const fn new(subject: UserId, value: T) -> Self {
        Self::Open { subject, value }
    }

    /// Whom the value is about.
    pub const fn subject(&self) -> UserId {
        match self {
            Self::Open { subject, .. }
            | Self::Sealed { subject, .. }
            | Self::Erased { subject } => *subject,
        }
    }

    /// The value, where it is readable.
    pub const fn open(&self) -> Option<&T> {
        match self {
            Self::Open { value, .. } => Some(value),
            Self::Sealed { .. } | Self::Erased { .. } => None,
        }
    }
}

/// Shows whom a value is about and never the value, so that it cannot reach a log file.
impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self {
            Self::Open { .. } => "Open",
            Self::Sealed { .. } => "Sealed",
            Self::Erased { .. } => "Erased",
        };
        write!(f, "Personal::{form}({})", self.subject())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn each_form_is_an_object_with_one_key() {
        let subject = UserId::new(Uuid::from_u128(1));
        let id = subject.to_string();
        let open = Personal::new(subject, "Ada".to_owned());
        assert_eq!(
            serde_json::to_value(&open).unwrap(),
            json!({"$personal": {"subject": id, "value": "Ada"}})
        );
        let sealed: Personal<String> =
            serde_json::from_value(json!({"$sealed": {"subject": id, "data": "AA"}})).unwrap();
        assert_eq!(sealed, Personal::Sealed { subject, data: "AA".to_owned() });
        let erased: Personal<String> =
            serde_json::from_value(json!({"$erased": {"subject": id}})).unwrap();
        assert_eq!(erased.open(), None);
    }

    #[test]
    fn debug_never_shows_the_value() {
        let secret = Personal::new(UserId::new(Uuid::from_u128(1)), "Ada".to_owned());
        assert!(!format!("{secret:?}").contains("Ada"));
    }
}
