//! A small seeded generator, so that a failure tells how to have it again.

use std::{fmt, time::SystemTime};

/// SplitMix64; shows its first seed, which `SEED` in the environment sets.
#[derive(Clone)]
pub(crate) struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// A new seed at each run, or the one in the environment.
    #[expect(clippy::disallowed_methods, reason = "a test is the edge that reads its seed")]
    pub(crate) fn from_clock() -> Self {
        let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self::new(given.unwrap_or(now.as_nanos() as u64))
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index of a list that is not empty.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    pub(crate) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A generator of its own for a part of the test.
    pub(crate) fn fork(&mut self) -> Self {
        let state = self.next();
        Self { seed: self.seed, state }
    }
}

impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "again with SEED={}", self.seed)
    }
}

/// How many rounds a test runs: what the variable says, or the default.
#[expect(clippy::disallowed_methods, reason = "a test is the edge that reads its rounds")]
pub(crate) fn rounds(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}
