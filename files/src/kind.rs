//! What a file is, as its first bytes say.

/// How many of the first bytes are looked at.
pub(crate) const LOOKED_AT: usize = 4096;

/// What a file is.
///
/// The list is closed on purpose. What a browser might run (HTML, SVG, XML, scripts) has no type of
/// its own: it is bytes, or plain text, and is only ever downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A picture that browsers show, and that is treated.
    Jpeg,
    /// As [`Kind::Jpeg`].
    Png,
    /// As [`Kind::Jpeg`].
    Gif,
    /// As [`Kind::Jpeg`].
    Webp,
    /// Anything else, with its media type.
    Other(&'static str),
}

/// What nobody knows.
const BYTES: Kind = Kind::Other("application/octet-stream");
const TEXT: Kind = Kind::Other("text/plain");

/// Signatures at the very beginning.
const SIGNATURES: &[(&[u8], Kind)] = &[
    (b"\xFF\xD8\xFF", Kind::Jpeg),
    (b"\x89PNG\r\n\x1A\n", Kind::Png),
    (b"GIF87a", Kind::Gif),
    (b"GIF89a", Kind::Gif),
    (b"%PDF-", Kind::Other("application/pdf")),
    (b"PK\x03\x04", Kind::Other("application/zip")),
    (b"PK\x05\x06", Kind::Other("application/zip")),
    (b"\x1F\x8B\x08", Kind::Other("application/gzip")),
    (b"7z\xBC\xAF\x27\x1C", Kind::Other("application/x-7z-compressed")),
    (b"OggS", Kind::Other("audio/ogg")),
    (b"fLaC", Kind::Other("audio/flac")),
    (b"ID3", Kind::Other("audio/mpeg")),
    (b"\xFF\xFB", Kind::Other("audio/mpeg")),
    (b"\x1A\x45\xDF\xA3", Kind::Other("video/webm")),
];

impl Kind {
    /// What a file is that begins like this.
    pub fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(LOOKED_AT)];
        // WebM is Matroska by another name, which stands in the header.
        let is_matroska = head.get(..64).unwrap_or(head).windows(8).any(|name| name == b"matroska");
        if head.starts_with(b"\x1A\x45\xDF\xA3") && is_matroska {
            return Self::Other("video/x-matroska");
        }
        if let Some((_, kind)) = SIGNATURES.iter().find(|(magic, _)| head.starts_with(magic)) {
            return *kind;
        }
        match (head.get(..4), head.get(4..8), head.get(8..12)) {
            (Some(b"RIFF"), _, Some(b"WEBP")) => Self::Webp,
            (Some(b"RIFF"), _, Some(b"WAVE")) => Self::Other("audio/wav"),
            (_, Some(b"ftyp"), Some(b"M4A ")) => Self::Other("audio/mp4"),
            // Pictures of this family (HEIC, AVIF) are not treated, so they are not shown either.
            (_, Some(b"ftyp"), Some(b"heic" | b"heix" | b"mif1" | b"avif" | b"avis")) => BYTES,
            (_, Some(b"ftyp"), Some(_)) => Self::Other("video/mp4"),
            _ if is_plain_text(head) => TEXT,
            _ => BYTES,
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
            Self::Other(media_type) => media_type,
        }
    }

    /// Whether it is one of the pictures that are treated.
    pub const fn is_picture(self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// Whether a browser may show a file of this recorded media type in place.
    pub fn may_be_shown(media_type: &str) -> bool {
        [Self::Jpeg, Self::Png, Self::Gif, Self::Webp]
            .iter()
            .any(|kind| kind.media_type() == media_type)
    }
}

/// Whether it is text in UTF-8 that is no markup and no script, as far as its beginning tells.
fn is_plain_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character that is cut off at the end of what is looked at.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let text = text.trim_start_matches('\u{FEFF}');
    let is_text = |character: char| !character.is_control() || "\t\n\r\x0C".contains(character);
    let begins = text.trim_start();
    !text.is_empty()
        && text.chars().all(is_text)
        && !begins.starts_with('<')
        && !begins.starts_with("#!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_what_the_content_says() {
        for (head, media_type) in [
            (&b"\xFF\xD8\xFF\xE0"[..], "image/jpeg"),
            (b"\x89PNG\r\n\x1A\n....", "image/png"),
            (b"GIF89a....", "image/gif"),
            (b"RIFF\x04\0\0\0WEBPVP8L", "image/webp"),
            (b"%PDF-1.7", "application/pdf"),
            (b"PK\x03\x04....", "application/zip"),
            (b"\0\0\0\x18ftypisom", "video/mp4"),
            (b"\x1A\x45\xDF\xA3\x9f\x42\x82\x84webm", "video/webm"),
            (b"\x1A\x45\xDF\xA3\xa3\x42\x82\x88matroska", "video/x-matroska"),
            (b"\0\0\0\x18ftypheic", "application/octet-stream"),
            ("\u{FEFF}Grüße\r\n".as_bytes(), "text/plain"),
            (b"", "application/octet-stream"),
            (b"\0\x01\x02", "application/octet-stream"),
            (b"RIFF\x01", "application/octet-stream"),
        ] {
            assert_eq!(Kind::of(head).media_type(), media_type, "{head:?}");
        }
    }

    #[test]
    fn what_a_browser_might_run_has_no_type_of_its_own() {
        for head in [
            "<html><script>alert(1)</script>",
            "\u{FEFF} \n<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            "<?xml version='1.0'?>",
            "#!/bin/sh\n",
        ] {
            assert_eq!(Kind::of(head.as_bytes()), BYTES, "{head}");
        }
        for media_type in ["image/svg+xml", "text/html", "text/plain", "application/pdf"] {
            assert!(!Kind::may_be_shown(media_type));
        }
        assert!(Kind::may_be_shown("image/webp"));
    }

    #[test]
    fn a_character_cut_in_two_is_still_text() {
        let mut head = "a".repeat(LOOKED_AT - 1);
        head.push('é');
        assert_eq!(Kind::of(head.as_bytes()), TEXT);
        assert_eq!(Kind::of(b"a\xFFb"), BYTES);
    }
}
