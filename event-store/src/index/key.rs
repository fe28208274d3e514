//! Streams by keyed hash: 128 bits stand for a name of any length.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use siphasher::sip128::SipHasher13;

/// A stream's name as 128 bits of SipHash-1-3 (Aumasson and Bernstein) under a secret of this
/// folder, so a collision can be neither found nor expected.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct StreamKey(pub(crate) u64, pub(crate) u64);

/// Makes the keys of streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys(SipHasher13);

impl Keys {
    pub(crate) fn new(secret: &[u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(secret))
    }

    pub(crate) fn key(&self, stream: &[u8]) -> StreamKey {
        let hash = self.0.hash(stream);
        StreamKey(hash.h1, hash.h2)
    }
}

/// Takes what is hashed for the hash: it is one already.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only keys made of numbers are hashed here")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 ^= value;
    }
}

pub(crate) type ByKey<V> = HashMap<StreamKey, V, BuildHasherDefault<AsItIs>>;
