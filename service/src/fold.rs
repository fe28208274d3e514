//! Texts as people are found by: without case, accents, and what else differs between keyboards.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A text without case and accents, its words one space apart. What is typed and what is stored
/// are folded alike, so that one is compared with the other byte by byte.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        let bare = word.nfkd().filter(|character| !is_combining_mark(*character));
        for character in bare.flat_map(char::to_lowercase) {
            match in_ascii(character) {
                Some(letters) => folded.push_str(letters),
                // The lower case of a letter may have a mark that the upper case has not.
                None if is_combining_mark(character) => {}
                None => folded.push(character),
            }
        }
    }
    folded
}

/// Letters that are no base with a mark on it, as people without their keyboard write them.
const fn in_ascii(letter: char) -> Option<&'static str> {
    Some(match letter {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'ı' => "i",
        'þ' => "th",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_is_alike() {
        for (text, folded) in [
            ("Zoë  Ångström ", "zoe angstrom"),
            ("Zoe\u{308}", "zoe"),
            ("STRASSE", "strasse"),
            ("Straße", "strasse"),
            ("Søren Łukasz", "soren lukasz"),
            ("İstanbul", "istanbul"),
            ("Ｆｕｌｌ ﬁ", "full fi"),
            ("Дмитрий", "дмитрии"),
            ("李小龍", "李小龍"),
            (" \t", ""),
            ("ada_99", "ada_99"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
            assert_eq!(fold(&fold(text)), folded, "{text}, folded again");
        }
    }
}
