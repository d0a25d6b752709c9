//! Words into tokens: of the pairs in a word, the one learned first is merged first.
//!
//! Most words are in the memo. For the others there are two ways. A word of some dozen bytes is searched for its
//! lowest merge again and again: quadratic, but nothing has to be set up. A long one goes through its merges in the
//! order learned. When that order comes to a merge, all its places in the word are known, because both of its tokens
//! were made before; so each place is noted once, under its merge, and never searched for: linear time, also for a
//! million times the same letter.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::train::Merge;
use crate::words::{Key, KeyHasher, SHORT, key};

const NONE: u32 = u32::MAX;
const SEARCHED: usize = 48; // bytes of a word that is searched for its merges; measured

/// The tokens of a vocabulary: which pair becomes which.
#[derive(Debug)]
pub struct Vocabulary {
    bytes: Vec<u32>,        // by left and right byte: the token they become
    slots: Vec<(u64, u32)>, // an open-addressed table of the other pairs; at most half of it is used
    shift: u32,
    pub size: usize,
}

impl Vocabulary {
    /// Merge k makes token 256 + k.
    pub fn new(merges: &[Merge]) -> Self {
        let bits = (2 * merges.len().max(4)).next_power_of_two().trailing_zeros();
        let mut new = Self {
            bytes: vec![NONE; 1 << 16],
            slots: vec![(u64::MAX, NONE); 1 << bits],
            shift: 64 - bits,
            size: 256 + merges.len(),
        };
        for (&(left, right), token) in merges.iter().zip(256..) {
            if left < 256 && right < 256 {
                new.bytes[(left << 8 | right) as usize] = token;
            } else {
                let at = new.find(left, right);
                new.slots[at] = (pair(left, right), token);
            }
        }
        new
    }

    /// The token that two neighbors become, or NONE, which is greater than all.
    #[inline]
    fn merged(&self, left: u32, right: u32) -> u32 {
        if left | right < 256 { self.bytes[(left << 8 | right) as usize] } else { self.slots[self.find(left, right)].1 }
    }

    #[inline]
    fn find(&self, left: u32, right: u32) -> usize {
        let name = pair(left, right);
        let mut at = (name.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize;
        while self.slots[at].0 != name && self.slots[at].1 != NONE {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// What one thread needs to encode: a memo of words, and room to work.
#[derive(Debug)]
pub struct Encoder {
    hasher: KeyHasher,
    memo: Vec<Known>,
    long: LongWord,
}

/// A word and its tokens. A word that hashes to the same place takes it over: the memo never grows.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Known {
    key: [u64; 2],
    len: u32,
    tokens: [u32; MEMO_TOKENS],
}

const MEMO_TOKENS: usize = 11; // what fits beside the key in a cache line
const MEMO_WORDS: usize = 1 << 16;

impl Encoder {
    pub fn new(hasher: KeyHasher) -> Self {
        let empty = Known { key: [0; 2], len: 0, tokens: [0; MEMO_TOKENS] };
        Self { hasher, memo: vec![empty; MEMO_WORDS], long: LongWord::default() }
    }

    /// Adds the tokens of `text[start..end]`, which is one word, to `out`.
    #[inline]
    pub fn word(&mut self, vocabulary: &Vocabulary, text: &[u8], start: usize, end: usize, out: &mut Vec<u32>) {
        if end - start > SHORT {
            return self.merge(vocabulary, &text[start..end], out);
        }
        let key = key(text, start, end);
        let halves = [key as u64, (key >> 64) as u64];
        let at = self.hasher.hash(key) as usize % MEMO_WORDS;
        let known = &self.memo[at];
        if known.key == halves {
            // a copy of all, of a length that the compiler knows, is faster than a copy of some
            let len = out.len() + known.len as usize;
            out.extend_from_slice(&known.tokens);
            out.truncate(len);
        } else {
            self.learn(vocabulary, at, key, &text[start..end], out);
        }
    }

    #[cold]
    #[inline(never)]
    fn learn(&mut self, vocabulary: &Vocabulary, at: usize, key: Key, word: &[u8], out: &mut Vec<u32>) {
        let begin = out.len();
        self.merge(vocabulary, word, out);
        let tokens = &out[begin..];
        if tokens.len() <= MEMO_TOKENS {
            let known = &mut self.memo[at];
            known.key = [key as u64, (key >> 64) as u64];
            known.len = tokens.len() as u32;
            known.tokens[..tokens.len()].copy_from_slice(tokens);
        }
    }

    fn merge(&mut self, vocabulary: &Vocabulary, word: &[u8], out: &mut Vec<u32>) {
        if word.len() <= SEARCHED { search(vocabulary, word, out) } else { self.long.merge(vocabulary, word, out) }
    }
}

/// Merges by looking for the lowest merge, the leftmost of equals, until there is none.
fn search(vocabulary: &Vocabulary, word: &[u8], out: &mut Vec<u32>) {
    let mut tokens = [0; SEARCHED];
    let mut merged = [NONE; SEARCHED]; // what a token becomes with the next one
    let mut len = word.len();
    for (token, &byte) in tokens.iter_mut().zip(word) {
        *token = u32::from(byte);
    }
    for i in 1..len {
        merged[i - 1] = vocabulary.merged(tokens[i - 1], tokens[i]);
    }
    while len > 1 {
        let mut at = 0;
        for i in 1..len - 1 {
            if merged[i] < merged[at] {
                at = i;
            }
        }
        if merged[at] == NONE {
            break;
        }
        tokens[at] = merged[at];
        tokens.copy_within(at + 2..len, at + 1);
        merged.copy_within(at + 1..len, at);
        len -= 1;
        merged[at] = if at + 1 < len { vocabulary.merged(tokens[at], tokens[at + 1]) } else { NONE };
        if at > 0 {
            merged[at - 1] = vocabulary.merged(tokens[at - 1], tokens[at]);
        }
    }
    out.extend_from_slice(&tokens[..len]);
}

/// Room for a long word: its tokens as a linked list over its bytes, and the places of each merge.
#[derive(Debug, Default)]
struct LongWord {
    tokens: Vec<u32>, // by the place of a token's first byte; NONE where there is none any more
    next: Vec<u32>,   // where the following token is
    previous: Vec<u32>,
    queues: Vec<(u32, u32)>,           // by merged token: its first and its last entry
    entries: Vec<(u32, u32)>,          // a place and the next entry
    waiting: BinaryHeap<Reverse<u32>>, // the tokens whose queues are not empty
}

impl LongWord {
    fn merge(&mut self, vocabulary: &Vocabulary, word: &[u8], out: &mut Vec<u32>) {
        let len = word.len() as u32;
        self.tokens.clear();
        self.tokens.extend(word.iter().map(|&byte| u32::from(byte)));
        self.next.clear();
        self.next.extend(1..=len);
        self.previous.clear();
        self.previous.extend((0..len).map(|i| i.wrapping_sub(1)));
        self.queues.resize(vocabulary.size, (NONE, NONE));
        self.entries.clear();
        for i in 1..len {
            self.note(vocabulary, i - 1, i);
        }
        while let Some(Reverse(token)) = self.waiting.pop() {
            let (mut entry, _) = std::mem::replace(&mut self.queues[token as usize], (NONE, NONE));
            while entry != NONE {
                let (left, following) = self.entries[entry as usize];
                self.apply(vocabulary, left, token);
                entry = following;
            }
        }
        let mut at = 0;
        while at < len {
            out.push(self.tokens[at as usize]);
            at = self.next[at as usize];
        }
    }

    /// Notes that the tokens at `left` and `right` can be merged, if they can.
    fn note(&mut self, vocabulary: &Vocabulary, left: u32, right: u32) {
        let token = vocabulary.merged(self.tokens[left as usize], self.tokens[right as usize]);
        if token == NONE {
            return;
        }
        let entry = self.entries.len() as u32;
        self.entries.push((left, NONE));
        let (first, last) = &mut self.queues[token as usize];
        if *first == NONE {
            *first = entry;
            self.waiting.push(Reverse(token));
        } else {
            self.entries[*last as usize].1 = entry;
        }
        *last = entry;
    }

    /// Merges the token at `left` with the next one into `token`, unless another merge was faster.
    fn apply(&mut self, vocabulary: &Vocabulary, left: u32, token: u32) {
        let len = self.tokens.len() as u32;
        let right = self.next[left as usize];
        if self.tokens[left as usize] == NONE || right >= len {
            return;
        }
        if vocabulary.merged(self.tokens[left as usize], self.tokens[right as usize]) != token {
            return;
        }
        let after = self.next[right as usize];
        self.tokens[left as usize] = token;
        self.tokens[right as usize] = NONE;
        self.next[left as usize] = after;
        if after < len {
            self.previous[after as usize] = left;
            self.note(vocabulary, left, after);
        }
        if left > 0 {
            self.note(vocabulary, self.previous[left as usize], left);
        }
    }
}
