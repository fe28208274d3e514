//! EBML (RFC 8794), as far as a Matroska file (RFC 9559) of ours needs it: elements written, and
//! elements of ours found again.

/// Ids of elements.
pub(super) mod id {
    pub(crate) const EBML: u32 = 0x1a45_dfa3;
    pub(crate) const DOC_TYPE: u32 = 0x4282;
    pub(crate) const SEGMENT: u32 = 0x1853_8067;
    pub(crate) const SEEK_HEAD: u32 = 0x114d_9b74;
    pub(crate) const SEEK: u32 = 0x4dbb;
    pub(crate) const SEEK_ID: u32 = 0x53ab;
    pub(crate) const SEEK_POSITION: u32 = 0x53ac;
    pub(crate) const VOID: u32 = 0xec;
    pub(crate) const INFO: u32 = 0x1549_a966;
    pub(crate) const DURATION: u32 = 0x4489;
    pub(crate) const TRACKS: u32 = 0x1654_ae6b;
    pub(crate) const CLUSTER: u32 = 0x1f43_b675;
    pub(crate) const TIMESTAMP: u32 = 0xe7;
    pub(crate) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(crate) const CUES: u32 = 0x1c53_bb6b;
}

/// Appends the id of an element.
pub(super) fn write_id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
    out.extend_from_slice(&bytes[skipped..]);
}

/// Appends a size in as few bytes as it takes.
pub(super) fn write_size(out: &mut Vec<u8>, size: u64) {
    // All ones mean that a size is not known, so they need a byte more.
    let len = (1..8).find(|len| size < (1 << (7 * len)) - 1).unwrap_or(8);
    let marked = size | 1 << (7 * len);
    out.extend_from_slice(&marked.to_be_bytes()[8 - len..]);
}

/// A size in eight bytes, so that another one can take its place.
pub(super) fn wide_size(size: u64) -> [u8; 8] {
    (size & 0x00ff_ffff_ffff_ffff | 1 << 56).to_be_bytes()
}

/// The size of what goes on to the end, whatever that is.
pub(super) const UNKNOWN: [u8; 8] = [1, 255, 255, 255, 255, 255, 255, 255];

/// Appends an element with these bytes.
pub(super) fn element(out: &mut Vec<u8>, id: u32, bytes: &[u8]) {
    write_id(out, id);
    write_size(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends an unsigned integer.
pub(super) fn uint(out: &mut Vec<u8>, id: u32, value: u64) {
    let bytes = value.to_be_bytes();
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count().min(7);
    element(out, id, &bytes[skipped..]);
}

/// Appends a floating point number of eight bytes.
pub(super) fn float(out: &mut Vec<u8>, id: u32, value: f64) {
    element(out, id, &value.to_be_bytes());
}

/// Appends an element whose content is written by a function.
pub(super) fn master(out: &mut Vec<u8>, id: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    element(out, id, &inner);
}

/// Appends an element that means nothing and has this length in all, at least two bytes.
pub(super) fn void(out: &mut Vec<u8>, len: usize) {
    write_id(out, id::VOID);
    if len < 10 {
        out.push(0x80 | u8::try_from(len.saturating_sub(2)).unwrap_or(0));
        out.resize(out.len() + len.saturating_sub(2), 0);
    } else {
        out.extend_from_slice(&wide_size(len as u64 - 9));
        out.resize(out.len() + len - 9, 0);
    }
}

/// The head of an element: its id, how long the head is, and the size of its content; `None` as a
/// size if it is not known.
pub(super) fn head(bytes: &[u8]) -> Option<(u32, usize, Option<u64>)> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    if id_len > 4 {
        return None;
    }
    let id = bytes.get(..id_len)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let rest = &bytes[id_len..];
    let len = rest.first()?.leading_zeros() as usize + 1;
    if len > 8 {
        return None;
    }
    let marked = rest.get(..len)?.iter().fold(0u64, |size, byte| size << 8 | u64::from(*byte));
    let ones = (1u64 << (7 * len)) - 1;
    let size = marked & ones;
    Some((id, id_len + len, (size != ones).then_some(size)))
}

/// The elements in these bytes, as far as they are whole.
pub(super) fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (id, len, size) = head(bytes)?;
        let size = usize::try_from(size?).ok()?;
        let content = bytes.get(len..)?.get(..size)?;
        bytes = &bytes[len + size..];
        Some((id, content))
    })
}

/// The value of an unsigned integer.
pub(super) fn read_uint(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_void_has_the_length_that_was_asked_for() {
        for len in [2, 9, 10, 11, 96] {
            let mut out = Vec::new();
            void(&mut out, len);
            assert_eq!(out.len(), len);
            let (found, head, size) = head(&out).unwrap();
            assert_eq!((found, head as u64 + size.unwrap()), (id::VOID, len as u64));
        }
    }

    #[test]
    fn an_unknown_size_is_none() {
        let mut out = Vec::new();
        write_id(&mut out, id::SEGMENT);
        out.extend_from_slice(&UNKNOWN);
        assert_eq!(head(&out), Some((id::SEGMENT, 12, None)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_found_again(sizes in proptest::collection::vec(0usize..20_000, 0..8)) {
            let mut out = Vec::new();
            for size in &sizes {
                element(&mut out, id::CLUSTER, &vec![7; *size]);
            }
            let found: Vec<usize> = elements(&out).map(|(_, content)| content.len()).collect();
            prop_assert_eq!(found, sizes);
        }

        #[test]
        fn numbers_are_read_as_they_were_written(value in any::<u64>()) {
            let mut out = Vec::new();
            uint(&mut out, id::TIMESTAMP, value);
            let (_, content) = elements(&out).next().unwrap();
            prop_assert_eq!(read_uint(content), value);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(elements(&bytes).count() <= bytes.len());
        }
    }
}
