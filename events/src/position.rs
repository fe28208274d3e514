//! A place in the log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in the log: commit and prepare position, compared as a pair.
///
/// As text, which is how clients see and return it, it is `"{commit}"`, or
/// `"{commit}/{prepare}"` in the rare case that the two differ. In Postgres it is 16 bytes, big
/// endian, whose order as bytes is the order of positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The commit position.
    pub commit: u64,
    /// The prepare position.
    pub prepare: u64,
}

impl Position {
    /// Before the first event. No event stands here in comparisons of "after".
    pub const START: Self = Self { commit: 0, prepare: 0 };

    /// The position of an ordinary append, whose commit and prepare positions are equal.
    pub const fn at(position: u64) -> Self {
        Self { commit: position, prepare: position }
    }

    /// The form that Postgres keeps (`bytea`).
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.commit.to_be_bytes());
        bytes[8..].copy_from_slice(&self.prepare.to_be_bytes());
        bytes
    }

    /// Reads what [`Position::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (commit, prepare) = bytes.split_at_checked(8)?;
        Some(Self {
            commit: u64::from_be_bytes(commit.try_into().ok()?),
            prepare: u64::from_be_bytes(prepare.try_into().ok()?),
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.commit == self.prepare {
            write!(f, "{}", self.commit)
        } else {
            write!(f, "{}/{}", self.commit, self.prepare)
        }
    }
}

/// The text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPosition;

impl fmt::Display for InvalidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a position is a decimal number, or two with a slash between them")
    }
}

impl std::error::Error for InvalidPosition {}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| match part.as_bytes() {
            [b'0'..=b'9', ..] => part.parse::<u64>().map_err(|_| InvalidPosition),
            _ => Err(InvalidPosition),
        };
        match text.split_once('/') {
            None => number(text).map(Self::at),
            Some((commit, prepare)) => {
                Ok(Self { commit: number(commit)?, prepare: number(prepare)? })
            }
        }
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Position {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("A place in the log, to be given back as it came."))
            .examples(["52137"])
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Position {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_come_back_and_keep_their_order() {
        let places = [
            Position::START,
            Position::at(7),
            Position { commit: 7, prepare: 9 },
            Position::at(300),
            Position::at(u64::MAX),
        ];
        for pair in places.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].to_bytes() < pair[1].to_bytes());
        }
        for place in places {
            assert_eq!(place.to_string().parse(), Ok(place));
            assert_eq!(Position::from_bytes(&place.to_bytes()), Some(place));
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "-1", "+1", "1/", "/1", "a", "1/2/3", "99999999999999999999999"] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text:?}");
        }
        assert_eq!(Position::from_bytes(&[0; 15]), None);
        assert_eq!(Position::from_bytes(&[0; 17]), None);
    }
}
