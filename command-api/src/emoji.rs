//! What may be a reaction: one emoji, as people see it.

use unicode_segmentation::UnicodeSegmentation;

/// Whether a text is one emoji, with whatever skin, sex or flag it has: one grapheme cluster that
/// is no letter, digit, space or control character. New emoji are emoji from the day they are.
pub(crate) fn is_one(text: &str) -> bool {
    let mut clusters = text.graphemes(true);
    let (Some(one), None) = (clusters.next(), clusters.next()) else { return false };
    let mut characters = one.chars();
    let Some(first) = characters.next() else { return false };
    match first {
        // Keycaps: 1️⃣.
        '0'..='9' | '#' | '*' => one.ends_with('\u{20E3}'),
        // Letters that are emoji when they are followed by the selector for pictures.
        'ℹ' | 'Ⓜ' => one.ends_with('\u{FE0F}'),
        _ if first.is_ascii() || first.is_control() || first.is_whitespace() => false,
        // Lettered signs and flags count as letters, and are emoji.
        '\u{1F100}'..='\u{1FBFF}' => true,
        _ => !first.is_alphanumeric() && first >= '\u{A9}' && !is_mark(first),
    }
}

/// Marks that belong to a character before them, and invisible ones.
const fn is_mark(character: char) -> bool {
    matches!(
        character,
        '\u{300}'..='\u{36F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_emoji_is_one_whatever_it_is_made_of() {
        for emoji in ["👍", "👍🏽", "❤️", "❤", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "1️⃣", "🅰️", "ℹ️", "©️", "™️"]
        {
            assert!(is_one(emoji), "{emoji}");
        }
    }

    #[test]
    fn words_several_emoji_and_nothing_visible_are_none() {
        let none =
            ["", " ", "a", "1", "é", "東", "ok", "👍👍", "👍a", "\u{200B}", "\u{301}", "\n", "<"];
        for text in none {
            assert!(!is_one(text), "{text:?}");
        }
    }
}
