//! How often each word occurs.
//!
//! Nearly every word of a text has been seen before, so what counts is to find it again: one load makes the key of a
//! short word, one multiplication its hash, and, as the common words fit in the cache, one look finds its place.

use std::collections::HashMap;

use crate::words::{Key, KeyHasher, SHORT, bytes_of, key};

/// Counts of words: short ones in an open-addressed table that holds the words themselves, long ones in a map.
#[derive(Debug)]
pub struct Counts {
    hasher: KeyHasher,
    slots: Vec<Slot>, // a power of two of them, of which at least a third are empty
    used: usize,
    long: HashMap<Box<[u8]>, u64>,
}

/// Key (low and high half) and count; the key of an empty slot is 0. Not a u128, which would take 32 bytes.
type Slot = [u64; 3];

const SMALLEST: usize = 1 << 12;

impl Counts {
    pub fn new(hasher: KeyHasher) -> Self {
        Self { hasher, slots: vec![[0; 3]; SMALLEST], used: 0, long: HashMap::new() }
    }

    /// Counts `text[start..end]` `count` times more.
    #[inline]
    pub fn add(&mut self, text: &[u8], start: usize, end: usize, count: u64) {
        if end - start <= SHORT {
            self.add_short(key(text, start, end), count);
        } else {
            self.add_long(&text[start..end], count);
        }
    }

    #[inline]
    fn add_short(&mut self, key: Key, count: u64) {
        let at = self.find(key);
        let slot = &mut self.slots[at];
        slot[2] += count;
        if slot[0] == 0 && slot[1] == 0 {
            [slot[0], slot[1]] = halves(key);
            self.used += 1;
            if 3 * self.used > 2 * self.slots.len() {
                self.grow();
            }
        }
    }

    /// Where the key is or, if it is not there, belongs.
    #[inline]
    fn find(&self, key: Key) -> usize {
        let [low, high] = halves(key);
        let mask = self.slots.len() - 1;
        let mut at = self.hasher.hash(key) as usize & mask;
        loop {
            let [slot_low, slot_high, _] = self.slots[at];
            if (slot_low == low && slot_high == high) || (slot_high == 0) {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![[0; 3]; 2 * self.slots.len()];
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot[1] != 0 {
                let at = self.find(u128::from(slot[0]) | u128::from(slot[1]) << 64);
                self.slots[at] = slot;
            }
        }
    }

    #[cold]
    fn add_long(&mut self, word: &[u8], count: u64) {
        match self.long.get_mut(word) {
            Some(found) => *found += count,
            None => _ = self.long.insert(word.into(), count),
        }
    }

    /// Adds all that `other` has counted, unless `stop`, which is asked now and then, says otherwise.
    pub fn absorb(&mut self, other: Self, stop: &dyn Fn() -> bool) {
        for some in other.slots.chunks(1 << 16) {
            if stop() {
                return;
            }
            for &[low, high, count] in some.iter().filter(|slot| slot[1] != 0) {
                self.add_short(u128::from(low) | (u128::from(high) << 64), count);
            }
        }
        for (word, count) in other.long {
            self.add_long(&word, count);
        }
    }

    /// The number of different words.
    pub fn len(&self) -> usize {
        self.used + self.long.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every word and its count, in no particular order.
    pub fn for_each(&self, mut take: impl FnMut(&[u8], u64)) {
        for &[low, high, count] in self.slots.iter().filter(|slot| slot[1] != 0) {
            let (bytes, len) = bytes_of(u128::from(low) | u128::from(high) << 64);
            take(&bytes[..len], count);
        }
        for (word, &count) in &self.long {
            take(word, count);
        }
    }
}

#[inline]
fn halves(key: Key) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}
