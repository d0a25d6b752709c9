//! Short words as numbers: up to 15 bytes and their count of bytes fill a u128, which is compared and hashed at once.

use std::hash::{BuildHasher, RandomState};

/// The longest word, in bytes, that is a `Key`.
pub const SHORT: usize = 15;

/// The bytes of a word from the lowest up, and its length in the highest byte. No word is 0.
pub type Key = u128;

/// The key of `text[start..end]`, a word of 1 to `SHORT` bytes.
#[inline]
pub fn key(text: &[u8], start: usize, end: usize) -> Key {
    let len = end - start;
    let bytes = match text.get(start..start + 16) {
        // one load, of more than the word, and what is too much is masked
        Some(sixteen) => u128::from_le_bytes(sixteen.try_into().expect("sixteen bytes")) & ((1 << (8 * len)) - 1),
        None => {
            let mut sixteen = [0; 16];
            sixteen[..len].copy_from_slice(&text[start..end]);
            u128::from_le_bytes(sixteen)
        }
    };
    bytes | ((len as u128) << 120)
}

/// The word of a key: its first `key >> 120` bytes.
pub fn bytes_of(key: Key) -> ([u8; 16], usize) {
    (key.to_le_bytes(), (key >> 120) as usize)
}

/// Hashes keys. Each process draws its own numbers, so that nobody can prepare words that collide.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher(u64, u64);

impl KeyHasher {
    /// Hashes with numbers that nobody knows.
    pub fn random() -> Self {
        let random = RandomState::new();
        Self(random.hash_one(0), random.hash_one(1))
    }

    /// The two halves of a product of 64 by 64 bits, folded: all bits of the result depend on all bits of the key.
    #[inline]
    pub fn hash(self, key: Key) -> u64 {
        let product = u128::from(key as u64 ^ self.0) * u128::from((key >> 64) as u64 ^ self.1);
        product as u64 ^ (product >> 64) as u64
    }
}
