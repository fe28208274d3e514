//! A split block Bloom filter: says of most streams that a run does not know them, in one cache miss.
//!
//! The layout is that of Apache Parquet: blocks of 256 bits, of which a key sets one in each of
//! eight words (Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters").

use super::key::StreamKey;

/// Bits for each key: about one key in two hundred is let through wrongly.
const BITS_PER_KEY: u64 = 12;
const BITS_PER_BLOCK: u64 = 256;
/// Odd constants that spread 32 bits over eight words; those of Parquet.
const SALTS: [u32; 8] = [
    0x47b6_137b,
    0x4497_4d91,
    0x8824_ad5b,
    0xa2b7_289d,
    0x7054_95c7,
    0x2df1_424b,
    0x9efc_4947,
    0x5c6b_fb31,
];

type Block = [u32; 8];

/// Which streams a run may know.
#[derive(Debug)]
pub(crate) struct Bloom(Vec<Block>);

impl Bloom {
    /// Room for this many streams.
    pub(crate) fn new(streams: u64) -> Self {
        let blocks = (streams * BITS_PER_KEY).div_ceil(BITS_PER_BLOCK).max(1);
        Self(vec![[0; 8]; usize::try_from(blocks).expect("a filter fits in memory")])
    }

    pub(crate) fn insert(&mut self, key: StreamKey) {
        let at = self.at(key);
        for (word, bit) in self.0[at].iter_mut().zip(bits(key)) {
            *word |= bit;
        }
    }

    /// False when the stream was certainly not inserted.
    pub(crate) fn may_hold(&self, key: StreamKey) -> bool {
        self.0[self.at(key)].iter().zip(bits(key)).all(|(word, bit)| word & bit != 0)
    }

    pub(crate) fn blocks(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The filter of these bytes; `None` unless they are whole blocks.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<4>();
        let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
        let (blocks, odd) = words.as_chunks::<8>();
        (rest.is_empty() && odd.is_empty() && !blocks.is_empty()).then(|| Self(blocks.to_vec()))
    }

    fn at(&self, key: StreamKey) -> usize {
        (((key.1 >> 32) * self.0.len() as u64) >> 32) as usize
    }
}

fn bits(key: StreamKey) -> impl Iterator<Item = u32> {
    SALTS.into_iter().map(move |salt| 1 << ((key.1 as u32).wrapping_mul(salt) >> 27))
}

/// The bytes of a block in a file.
pub(crate) const BLOCK_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::key::Keys;

    #[test]
    fn what_was_inserted_is_held_and_little_else() {
        let keys = Keys::new(&[7; 16]);
        let mut filter = Bloom::new(10_000);
        for number in 0..10_000u32 {
            filter.insert(keys.key(&number.to_le_bytes()));
        }
        let filter = Bloom::from_bytes(&filter.to_bytes()).expect("whole blocks");
        let held = |number: u32| filter.may_hold(keys.key(&number.to_le_bytes()));
        assert!((0..10_000).all(held));
        assert!((10_000..110_000).filter(|number| held(*number)).count() < 1500);
    }
}
