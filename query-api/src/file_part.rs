//! Which part of a file a request is for (RFC 9110, sections 13 and 14).

use std::ops::Range;

use http::{HeaderMap, HeaderValue, header};

/// Which part of a file a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// None: the client has it.
    Known,
    /// All of it.
    All,
    /// These bytes: at least one, none beyond the end.
    Range(Range<u64>),
    /// Bytes beyond the end.
    Beyond,
}

/// Which part of a file with this tag and length is asked for. Several ranges at once, and what
/// cannot be read, are answered with all of it, as the standard allows.
pub(crate) fn part(headers: &HeaderMap, tag: Option<&HeaderValue>, length: u64) -> Part {
    let tag = tag.and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    let said = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(known) = said(header::IF_NONE_MATCH)
        && known.split(',').any(|one| matches(one, tag))
    {
        return Part::Known;
    }
    if said(header::IF_RANGE).is_some_and(|one| one.trim() != tag) {
        return Part::All;
    }
    let mut ranges = headers.get_all(header::RANGE).iter();
    match (ranges.next().and_then(|range| range.to_str().ok()), ranges.next()) {
        (Some(range), None) => range.strip_prefix("bytes=").map_or(Part::All, |it| one(it, length)),
        _ => Part::All,
    }
}

/// The comparison for caches is a weak one.
fn matches(one: &str, tag: &str) -> bool {
    let one = one.trim();
    one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
}

fn one(range: &str, length: u64) -> Part {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    match range.trim().split_once('-') {
        Some((first, last)) if !digits(first) || !digits(last) => Part::All,
        Some(("", "")) | None => Part::All,
        Some(("", last)) => match number(last) {
            0 => Part::Beyond,
            _ if length == 0 => Part::Beyond,
            last => Part::Range(length.saturating_sub(last)..length),
        },
        Some((first, last)) => {
            let first = number(first);
            let last = if last.is_empty() { u64::MAX } else { number(last) };
            match (first > last, first >= length) {
                (true, _) => Part::All,
                (_, true) => Part::Beyond,
                _ => Part::Range(first..last.saturating_add(1).min(length)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(header::HeaderName, &'static str)]) -> Part {
        let pairs = pairs.iter().map(|(name, value)| (name, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        part(&headers, Some(&HeaderValue::from_static("\"abc\"")), 10)
    }

    #[test]
    fn a_range_is_cut_at_the_end_and_abuse_gets_the_whole() {
        for (range, expected) in [
            ("bytes=0-0", Part::Range(0..1)),
            ("bytes=2-5", Part::Range(2..6)),
            ("bytes=9-", Part::Range(9..10)),
            ("bytes=0-18446744073709551615", Part::Range(0..10)),
            ("bytes=0-99999999999999999999999", Part::Range(0..10)),
            ("bytes=-3", Part::Range(7..10)),
            ("bytes=-99", Part::Range(0..10)),
            ("bytes=10-", Part::Beyond),
            ("bytes=99999999999999999999999-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=5-2", Part::All),
            ("bytes=0-1,3-4", Part::All),
            ("bytes=0-,0-,0-,0-", Part::All),
            ("bytes=-", Part::All),
            ("bytes=--1", Part::All),
            ("bytes=a-b", Part::All),
            ("bytes=", Part::All),
            ("lines=1-2", Part::All),
        ] {
            assert_eq!(ask(&[(header::RANGE, range)]), expected, "{range}");
        }
        let twice = [(header::RANGE, "bytes=0-1"), (header::RANGE, "bytes=2-3")];
        assert_eq!(ask(&twice), Part::All);
        assert_eq!(one("0-", 0), Part::Beyond);
    }

    #[test]
    fn who_has_it_is_told_so_and_a_range_is_of_the_same_file() {
        for (known, expected) in [
            ("\"abc\"", Part::Known),
            ("\"x\", W/\"abc\"", Part::Known),
            ("*", Part::Known),
            ("\"x\"", Part::All),
        ] {
            assert_eq!(ask(&[(header::IF_NONE_MATCH, known)]), expected, "{known}");
        }
        let range = (header::RANGE, "bytes=1-2");
        let same = (header::IF_RANGE, "\"abc\"");
        assert_eq!(ask(&[same, range.clone()]), Part::Range(1..3));
        let other = (header::IF_RANGE, "\"x\"");
        assert_eq!(ask(&[other, range]), Part::All);
    }
}
