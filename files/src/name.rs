//! The name of a file, freed of what could mislead a person or a program.

/// The most characters of a name.
const LONGEST: usize = 255;
/// What is called a file that has no name left.
const NAMELESS: &str = "file";

/// The name as it is kept: the last part of a path, without control characters and without those
/// that turn the direction of writing (with which `exe.gpj` looks like a picture), at most 255
/// characters, its ending kept.
pub fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String = last.chars().filter(|character| !misleads(*character)).collect();
    let name = trimmed(&shown);
    // A name of dots only is a folder.
    if name.trim_matches(['.', ' ']).is_empty() {
        return NAMELESS.to_owned();
    }
    shorten(name)
}

/// Without blanks around it and dots after it, which some systems take away by themselves.
fn trimmed(name: &str) -> &str {
    name.trim_start().trim_end_matches(|end: char| end == '.' || end.is_whitespace())
}

fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}'
            | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let ending = ending.filter(|ending| (1..=16).contains(&ending.chars().count()));
    let room = LONGEST - ending.map_or(0, |ending| ending.chars().count() + 1);
    let short: String = name.chars().take(room).collect();
    match ending {
        Some(ending) => format!("{short}.{ending}"),
        None => trimmed(&short).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_holds_no_path_and_nothing_that_misleads() {
        for (name, kept) in [
            ("engine.png", "engine.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Windows\\system.ini", "system.ini"),
            ("/etc/", "file"),
            ("..", "file"),
            ("", "file"),
            (" . ", "file"),
            ("a\0b\n.txt", "ab.txt"),
            ("photo\u{202E}gpj.exe", "photogpj.exe"),
            (".profile", ".profile"),
            ("Ünïcode 🎉.pdf", "Ünïcode 🎉.pdf"),
            ("report.pdf. ", "report.pdf"),
        ] {
            assert_eq!(clean(name), kept, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_ending() {
        let short = clean(&format!("{}.jpeg", "é".repeat(300)));
        assert_eq!(short.chars().count(), 255);
        assert!(short.ends_with("é.jpeg"));
        assert_eq!(clean(&"x".repeat(300)).len(), 255);
    }

    proptest! {
        #[test]
        fn what_is_kept_is_always_a_good_name_and_stays_as_it_is(name in any::<String>()) {
            let kept = clean(&name);
            let count = kept.chars().count();
            prop_assert!((1..=255).contains(&count) && !kept.trim().is_empty());
            prop_assert!(!kept.contains(['/', '\\']) && !kept.chars().any(char::is_control));
            prop_assert_eq!(clean(&kept), kept);
        }
    }
}
