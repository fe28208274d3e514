//! What an event comes to: one digest of everything that the store says of it.

use event_log::Stored;
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// Goes before what is hashed of an event, so that nothing else hashes to the same.
const CONTENT: &[u8] = b"roundtable-event/1\n";
/// Goes before a leaf of the tree (RFC 9162, section 2.1.1).
const LEAF: u8 = 0;

/// The two digests of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Of everything but its place in the log.
    pub content: Digest,
    /// Of its place in the log and its content: the leaf of the tree.
    pub digest: Digest,
}

impl Leaf {
    /// Hashes an event, as `docs/audit.md` says.
    pub fn of(event: &Stored) -> Self {
        let mut content = Sha256::new_with_prefix(CONTENT);
        let mut field = |bytes: &[u8]| {
            content.update((bytes.len() as u64).to_be_bytes());
            content.update(bytes);
        };
        field(event.stream.as_bytes());
        field(&event.revision.to_be_bytes());
        field(event.id.as_bytes());
        field(event.event_type.as_bytes());
        field(event.content_type.as_bytes());
        field(&event.created.to_be_bytes());
        field(&event.data);
        field(&event.metadata);
        let content = content.finalize().into();
        let mut digest = Sha256::new_with_prefix([LEAF]);
        digest.update(event.position.to_bytes());
        digest.update(content);
        Self { content, digest: digest.finalize().into() }
    }
}
