//! Pseudonyms: what cannot be read any more, and is still like what it stands for.

use rand::Rng as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

/// A key that lives as long as the replay: without it nobody finds back.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Mask {
    key: [u8; 32],
}

impl Mask {
    /// With a new key.
    pub(super) fn new() -> Self {
        Self { key: rand::rng().random() }
    }

    /// Text of the same lengths: the same word is always the same other word, so that what is found
    /// often or seldom still is. Letters become letters and digits digits; the rest stays.
    pub(super) fn text(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        for word in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
            let mut stream = self.stream(word.trim_end_matches(|c: char| !c.is_alphanumeric()));
            masked.extend(word.chars().map(|c| other(c, || stream.next())));
        }
        masked
    }

    /// A short name for an id, in letters and digits.
    pub(super) fn name(&self, id: Uuid) -> String {
        hex::encode(&self.digest(id.as_bytes(), 0)[..8])
    }

    /// The idempotency key of a request: the same for the same one.
    pub(super) fn request(&self, what: &str) -> Uuid {
        let digest = self.digest(what.as_bytes(), u64::MAX);
        Builder::from_random_bytes(*digest.first_chunk().expect("a digest is longer")).into_uuid()
    }

    fn stream(&self, word: &str) -> Stream<'_> {
        Stream { mask: self, word: word.as_bytes().to_vec(), block: 0, bytes: Vec::new() }
    }

    fn digest(&self, what: &[u8], block: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(block.to_be_bytes());
        hash.update(what);
        hash.finalize().into()
    }
}

/// Bytes that follow from a word.
struct Stream<'a> {
    mask: &'a Mask,
    word: Vec<u8>,
    block: u64,
    bytes: Vec<u8>,
}

impl Stream<'_> {
    fn next(&mut self) -> u8 {
        if self.bytes.is_empty() {
            self.bytes = self.mask.digest(&self.word, self.block).to_vec();
            self.block += 1;
        }
        self.bytes.pop().unwrap_or_default()
    }
}

fn other(c: char, mut byte: impl FnMut() -> u8) -> char {
    let of = |first: u32, count: u32, byte: u8| {
        char::from_u32(first + u32::from(byte) % count).unwrap_or('x')
    };
    match c {
        '0'..='9' => of('0' as u32, 10, byte()),
        'A'..='Z' => of('A' as u32, 26, byte()),
        'a'..='z' => of('a' as u32, 26, byte()),
        // Ideographs, so that search still has what it is made for.
        '\u{4e00}'..='\u{9fff}' => {
            let two = u32::from(byte()) << 8 | u32::from(byte());
            char::from_u32(0x4e00 + two % 0x51a6).unwrap_or('\u{4e00}')
        }
        c if c.is_alphanumeric() => of('a' as u32, 26, byte()),
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_stay_as_long_and_as_often_as_they_were() {
        let mask = Mask::new();
        let masked = mask.text("Meet me at 10:30, meet me");
        let words: Vec<_> = masked.split(' ').collect();
        assert_eq!(words.iter().map(|word| word.len()).collect::<Vec<_>>(), [4, 2, 2, 6, 4, 2]);
        assert_eq!(words[1], words[5], "{masked}");
        assert_ne!(Mask::new().text("confidential matters"), mask.text("confidential matters"));
    }

    proptest! {
        #[test]
        fn no_long_word_survives(word in "[a-z]{12,30}") {
            prop_assert_ne!(Mask::new().text(&word), word);
        }

        #[test]
        fn any_text_keeps_its_length(text in any::<String>()) {
            prop_assert_eq!(Mask::new().text(&text).chars().count(), text.chars().count());
        }
    }
}
