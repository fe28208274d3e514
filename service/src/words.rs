//! The words of a text, as search knows them: what is put into the index, and what is asked of it.
//!
//! Case, accents and widths are folded. Where words have no spaces between them (Chinese, Japanese,
//! Korean with its particles, Thai and its neighbours), every two characters that stand beside each
//! other are a word, so that any part of a text is found. The last character of such a run is a
//! word too: then every character begins one, and one character alone is asked for as a beginning.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_canonical, is_combining_mark};

/// How many characters of a word count.
const LONGEST: usize = 40;
/// How many words of a question count.
const MOST: usize = 16;

/// The words of a text as a `tsvector` of Postgres, each beginning with the scope.
pub fn vector(text: &str, scope: &str) -> String {
    let mut vector = String::new();
    let mut place = 0;
    let mut put = |word: &[char], place: Option<usize>| {
        vector.push('\'');
        vector.push_str(scope);
        vector.extend(word);
        vector.push('\'');
        if let Some(place) = place {
            vector.push_str(&format!(":{place}"));
        }
        vector.push(' ');
    };
    for run in runs(text) {
        match run {
            Run::Word(word) => put(&word, None),
            // What comes after something else does not stand beside it.
            Run::Unspaced(characters) => {
                for pair in characters.windows(2) {
                    place += 1;
                    put(pair, Some(place));
                }
                put(&characters[characters.len() - 1..], None);
                place += 1;
            }
        }
    }
    vector
}

/// What is asked for as a `tsquery` of Postgres, each word beginning with `~`, where the scope goes;
/// none if there is no word in it. Every word may go on, and all must be there.
pub fn query(text: &str) -> Option<String> {
    let quoted = |word: &[char]| format!("'~{}'", word.iter().collect::<String>());
    let parts = runs(text).into_iter().take(MOST).map(|run| match run {
        Run::Word(word) => format!("{}:*", quoted(&word)),
        Run::Unspaced(characters) if characters.len() == 1 => format!("{}:*", quoted(&characters)),
        Run::Unspaced(characters) => {
            let pairs: Vec<String> = characters.windows(2).map(quoted).collect();
            format!("({})", pairs.join(" <-> "))
        }
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(" & "))
}

/// Characters that belong together.
#[derive(Debug, PartialEq)]
enum Run {
    /// A word with something else around it.
    Word(Vec<char>),
    /// Characters of a script that writes words without spaces: one at least.
    Unspaced(Vec<char>),
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut last = None;
    for character in folded(text) {
        let kind = kind_of(character);
        match (kind, runs.last_mut()) {
            (None, _) => {}
            (Some(Kind::Word), Some(Run::Word(word))) if last == kind => {
                if word.len() < LONGEST {
                    word.push(character);
                }
            }
            (Some(Kind::Unspaced), Some(Run::Unspaced(run))) if last == kind => run.push(character),
            (Some(Kind::Word), _) => runs.push(Run::Word(vec![character])),
            (Some(Kind::Unspaced), _) => runs.push(Run::Unspaced(vec![character])),
        }
        last = kind;
    }
    runs
}

/// In one case, without accents, in the usual width.
fn folded(text: &str) -> impl Iterator<Item = char> {
    text.nfkc().flat_map(char::to_lowercase).flat_map(|character| {
        let mut parts = Vec::with_capacity(2);
        if is_unspaced(character) {
            parts.push(character);
            return parts;
        }
        decompose_canonical(character, |part| match part {
            'ß' => parts.extend(['s', 's']),
            'æ' => parts.extend(['a', 'e']),
            'œ' => parts.extend(['o', 'e']),
            'ø' => parts.push('o'),
            'đ' | 'ð' => parts.push('d'),
            'ł' => parts.push('l'),
            'ı' => parts.push('i'),
            'ς' => parts.push('σ'),
            part if is_accent(part) => {}
            part => parts.push(part),
        });
        parts
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Word,
    Unspaced,
}

fn kind_of(character: char) -> Option<Kind> {
    if !character.is_alphanumeric() && !is_combining_mark(character) {
        None
    } else if is_unspaced(character) {
        Some(Kind::Unspaced)
    } else {
        Some(Kind::Word)
    }
}

/// Marks that people leave out when they search: accents, and the points of Hebrew and Arabic. The
/// vowels of other scripts are marks too, and stay.
const fn is_accent(character: char) -> bool {
    matches!(
        character,
        '\u{300}'..='\u{36F}' | '\u{591}'..='\u{5C7}' | '\u{610}'..='\u{61A}'
            | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{1AB0}'..='\u{1AFF}'
            | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE0F}'
            | '\u{FE20}'..='\u{FE2F}'
    )
}

/// Scripts without spaces between words, and Hangul.
const fn is_unspaced(character: char) -> bool {
    matches!(
        character,
        '\u{E00}'..='\u{EFF}' | '\u{1000}'..='\u{109F}' | '\u{1100}'..='\u{11FF}'
            | '\u{1780}'..='\u{17FF}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{312F}'
            | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}'
            | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let vector = vector(text, "");
        let words = vector.split_whitespace().map(|word| {
            word.trim_start_matches('\'').split('\'').next().unwrap_or_default().to_owned()
        });
        words.collect()
    }

    #[test]
    fn case_accents_and_widths_do_not_matter() {
        for (text, folded) in [
            ("Café", "cafe"),
            ("CAFE\u{301}", "cafe"),
            ("Straße", "strasse"),
            ("Ｗｉｄｅ", "wide"),
            ("İstanbul", "istanbul"),
            ("Łódź", "lodz"),
            ("ΣΟΦΌΣ", "σοφοσ"),
            ("ЁЛКА", "елка"),
            ("שָׁלוֹם", "שלום"),
        ] {
            assert_eq!(words(text), [folded], "{text}");
        }
    }

    #[test]
    fn words_are_what_is_between_signs() {
        assert_eq!(words("Don't panic: 42 e-mails!"), ["don", "t", "panic", "42", "e", "mails"]);
        assert_eq!(words(" \n—👍'\\"), [""; 0]);
        assert_eq!(words(&"x".repeat(100)), ["x".repeat(40)]);
    }

    #[test]
    fn unspaced_scripts_are_pairs_and_the_last_one() {
        assert_eq!(words("東京都"), ["東京", "京都", "都"]);
        assert_eq!(words("Rust入門"), ["rust", "入門", "門"]);
        assert_eq!(words("ﾗｰﾒﾝ"), words("ラーメン"));
        assert_eq!(words("ガ"), ["ガ"], "a dot of kana is no accent");
        assert_eq!(words("한국어를 한"), ["한국", "국어", "어를", "를", "한"]);
    }

    #[test]
    fn places_tell_what_stands_beside_what() {
        assert_eq!(vector("東京都 a", "5"), "'5東京':1 '5京都':2 '5都' '5a' ");
        assert_eq!(vector("東京 京都", ""), "'東京':1 '京' '京都':3 '都' ");
    }

    #[test]
    fn a_question_is_beginnings_and_neighbours() {
        assert_eq!(query("Hel Wör").as_deref(), Some("'~hel':* & '~wor':*"));
        assert_eq!(query("東京都").as_deref(), Some("('~東京' <-> '~京都')"));
        assert_eq!(query("東").as_deref(), Some("'~東':*"));
        assert_eq!(query("?!'\\ "), None);
    }

    #[test]
    fn nobody_writes_a_query_of_their_own() {
        for text in ["a' | 'b", "a\\", "~x", "a:* & !b", "<->", "\0"] {
            let query = query(text).unwrap_or_default();
            let inside = query.split('\'').skip(1).step_by(2);
            for word in inside {
                let word = word.trim_start_matches('~');
                assert!(word.chars().all(char::is_alphanumeric), "{text}: {query}");
            }
        }
    }
}
