//! Texts whose words are as unevenly common as those of a language (Zipf's law).

use rand::Rng;

/// How many words there are.
const WORDS: f64 = 20_000.0;

/// How many Chinese characters are used, beginning at U+4E00.
const CHARACTERS: f64 = 3000.0;

/// Every tenth message is written in Chinese.
const CHINESE: f64 = 0.1;

const SYLLABLES: [&str; 20] = [
    "ka", "lo", "mi", "ré", "su", "ta", "vo", "ni", "pé", "da", "xu", "ge", "ri", "fo", "ma", "ze",
    "hi", "bo", "ne", "ju",
];

/// A message of a dozen words, or of as many Chinese characters.
pub(super) fn text(random: &mut impl Rng) -> String {
    if random.random_bool(CHINESE) {
        return (0..16).map(|_| character(rank(random, CHARACTERS))).collect();
    }
    let words: Vec<String> = (0..12).map(|_| word(rank(random, WORDS))).collect();
    words.join(" ")
}

/// The word of a rank: 0 is the most common one.
pub(super) fn word(rank: u32) -> String {
    let (mut rest, mut word) = (rank + 400, String::new());
    while rest > 0 {
        word.push_str(SYLLABLES[(rest % 20) as usize]);
        rest /= 20;
    }
    word
}

/// The Chinese character of a rank.
pub(super) fn character(rank: u32) -> char {
    char::from_u32(0x4E00 + rank).unwrap_or('\u{4E00}')
}

/// The rank `r` comes about `1 / r` times as often as the first.
fn rank(random: &mut impl Rng, of: f64) -> u32 {
    of.powf(random.random::<f64>()) as u32 - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rank_is_another_word() {
        let words: BTreeSet<_> = (0..20_000).map(word).collect();
        assert_eq!(words.len(), 20_000);
    }

    #[test]
    fn a_text_has_words_or_characters() {
        let mut random = rand::rng();
        for _ in 0..200 {
            let text = text(&mut random);
            assert!(text.split(' ').count() == 12 || text.chars().count() == 16, "{text}");
        }
    }
}
