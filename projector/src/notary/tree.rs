//! The two ways in which digests of events are put together: a tree, and a chain.

use sha2::{Digest as _, Sha256};

use super::leaf::Digest;

/// Goes before a node of the tree (RFC 9162, section 2.1.1).
const NODE: u8 = 1;
/// Goes before a link of the chain.
const LINK: u8 = 2;

/// The root of the Merkle tree over these leaves, which are at least one (RFC 9162, section 2.1.1).
///
/// Neighbours are joined level by level, and the last one of an odd number goes up as it is: that
/// is the tree of the RFC, whose left side is the largest power of two.
pub fn root(mut level: Vec<Digest>) -> Digest {
    assert!(!level.is_empty(), "a segment has an event");
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => joined(NODE, left, right),
                lone => lone[0],
            })
            .collect();
    }
    level[0]
}

/// The head of the chain after one more leaf.
pub fn link(head: &Digest, leaf: &Digest) -> Digest {
    joined(LINK, head, leaf)
}

fn joined(kind: u8, one: &Digest, other: &Digest) -> Digest {
    let mut hash = Sha256::new_with_prefix([kind]);
    hash.update(one);
    hash.update(other);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the RFC writes it down.
    fn by_the_rfc(leaves: &[Digest]) -> Digest {
        if let [leaf] = leaves {
            return *leaf;
        }
        let split = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(split);
        joined(NODE, &by_the_rfc(left), &by_the_rfc(right))
    }

    #[test]
    fn the_root_is_that_of_the_rfc_for_every_number_of_leaves() {
        let leaves: Vec<Digest> = (0..70).map(|number| [number; 32]).collect();
        for count in 1..=leaves.len() {
            assert_eq!(root(leaves[..count].to_vec()), by_the_rfc(&leaves[..count]), "{count}");
        }
    }

    #[test]
    fn a_chain_knows_the_order() {
        let (one, other) = ([1; 32], [2; 32]);
        let start = [0; 32];
        assert_ne!(link(&link(&start, &one), &other), link(&link(&start, &other), &one));
    }
}
