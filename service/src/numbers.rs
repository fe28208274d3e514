//! Settings that are a number: one table, for those who read them and for `--check-config`.

use std::ops::RangeInclusive;

/// A setting that is a whole number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// The variable.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// What it may be.
    pub range: RangeInclusive<u64>,
    /// What it is when nothing is said.
    pub default: u64,
}

/// A variable is no number, or one out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is wrong: it must be a number of {} from {} to {}", .0.name, .0.unit, .0.range.start(), .0.range.end())]
pub struct WrongNumber(Number);

/// How often the server pings a socket.
pub const HEARTBEAT_MS: Number = Number {
    name: "ROUNDTABLE_HEARTBEAT_MS",
    unit: "milliseconds",
    range: 500..=300_000,
    default: 25_000,
};

/// How often receipts are appended to the log.
pub const RECEIPTS_FLUSH_MS: Number = Number {
    name: "ROUNDTABLE_RECEIPTS_FLUSH_MS",
    unit: "milliseconds",
    range: 10..=10_000,
    default: 2000,
};

/// Memory of a password hash.
pub const ARGON2_KIB: Number =
    Number { name: "ROUNDTABLE_ARGON2_KIB", unit: "KiB", range: 8..=262_144, default: 19_456 };

/// How long somebody whose connection was lost stays in a study session.
pub const SESSION_GRACE: Number =
    Number { name: "ROUNDTABLE_SESSION_GRACE", unit: "seconds", range: 1..=3600, default: 30 };

/// How long a device in a call whose connection was lost stays in it.
pub const CALL_GRACE: Number =
    Number { name: "ROUNDTABLE_CALL_GRACE", unit: "seconds", range: 1..=3600, default: 30 };

/// How often the notary signs what is new in the log.
pub const NOTARY_EVERY: Number =
    Number { name: "ROUNDTABLE_NOTARY_EVERY", unit: "seconds", range: 1..=3600, default: 5 };

/// All of them.
pub const NUMBERS: [Number; 6] =
    [HEARTBEAT_MS, RECEIPTS_FLUSH_MS, ARGON2_KIB, SESSION_GRACE, CALL_GRACE, NOTARY_EVERY];

impl Number {
    /// Reads what the environment says of it; a variable that is empty says nothing.
    ///
    /// # Errors
    /// When that is wrong.
    pub fn from_env(&self) -> Result<u64, WrongNumber> {
        #[expect(clippy::disallowed_methods, reason = "read once, at the start")]
        let said = std::env::var(self.name).ok();
        self.read(said.as_deref())
    }

    /// Reads what was said of it; blanks say nothing.
    ///
    /// # Errors
    /// When that is wrong.
    pub fn read(&self, said: Option<&str>) -> Result<u64, WrongNumber> {
        let Some(text) = said.map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(self.default);
        };
        let number = text.parse().ok().filter(|number| self.range.contains(number));
        number.ok_or_else(|| WrongNumber(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_its_range_or_the_fault_is_named() {
        assert_eq!(SESSION_GRACE.read(None), Ok(30));
        assert_eq!(SESSION_GRACE.read(Some(" ")), Ok(30));
        assert_eq!(SESSION_GRACE.read(Some("2")), Ok(2));
        for wrong in ["0", "-1", "3601", "soon", "1.5"] {
            let error = SESSION_GRACE.read(Some(wrong)).unwrap_err().to_string();
            let expected =
                "ROUNDTABLE_SESSION_GRACE is wrong: it must be a number of seconds from 1 to 3600";
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn what_is_usual_is_allowed() {
        for number in NUMBERS {
            assert!(number.range.contains(&number.default), "{number:?}");
        }
    }
}
