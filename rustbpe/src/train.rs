//! The merges of a corpus: again and again the most frequent pair of neighbors becomes one token.
//!
//! All different words lie in one array of cells, a cell per byte. A token that spans several bytes writes its id into
//! its first and its last cell. So both neighbors of a token are one step away, and as ids tell lengths, so are their
//! beginnings: a linked list without links.
//!
//! What makes this fast is when things happen. Two tokens x, y become neighbors for the first time when the later of
//! the two is created, and never after that: every later merge only takes tokens away. Therefore
//!
//! - all places of a pair are known once the merge that made its later token is done. They are written down then, in
//!   one piece and in order; places that other merges have since taken are recognized by what their cells now hold;
//! - from then on its count only falls. A heap may hold counts that are out of date: when such a pair comes to the top
//!   it gets its present count and sinks to where it belongs, and the first one on top that is up to date is the
//!   greatest of all;
//! - in a merge of (a, b) into c, a neighbor x on the left turns as many (x, a) into (x, c). One number per neighbor,
//!   summed in an array, stands for two updates of hash maps per place.

use std::collections::{BinaryHeap, HashMap, binary_heap::PeekMut};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::count::Counts;

pub type Merge = (u32, u32);

/// Why there are no merges.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// `stop` was true.
    Stopped,
    /// The different words together have more bytes than cells can be numbered, 4 GiB.
    TooManyWords,
}

const BORDER: u32 = u32::MAX; // the cell between two words
const INSIDE: u32 = u32::MAX - 1; // a cell that is neither first nor last of its token

/// The first cell of a pair's left token, and the word that it is in.
#[derive(Clone, Copy, Debug)]
struct Place {
    cell: u32,
    word: u32,
}

/// Two neighbors, how often they occur now, and where in `places` their places begin and end.
#[derive(Debug)]
struct Pair {
    tokens: Merge,
    count: u64,
    places: std::ops::Range<usize>,
}

/// What one merge learns about a neighbor of the new token.
#[derive(Clone, Copy, Default, Debug)]
struct Neighbor {
    count: u64,
    places: u32,
    next: usize, // where its next place goes
}

#[derive(Debug, Default)]
struct Side {
    of: Vec<Neighbor>,      // by the neighbor's id
    touched: Vec<u32>,      // the ids that this merge has met
    met: Vec<(u32, Place)>, // the neighbor and the place, in order
}

impl Side {
    #[inline]
    fn meet(&mut self, neighbor: u32, cell: u32, word: u32, count: u64) {
        let entry = &mut self.of[neighbor as usize];
        if entry.places == 0 {
            self.touched.push(neighbor);
        }
        entry.count += count;
        entry.places += 1;
        self.met.push((neighbor, Place { cell, word }));
    }
}

/// At most `limit` merges, in the order learned: the pair with the highest count first and, among equals, the smallest
/// ids. Fewer when no pair is left. `done` tells how many there are so far; `stop` is asked now and then.
pub fn train(counts: Counts, limit: usize, done: &AtomicUsize, stop: &dyn Fn() -> bool) -> Result<Vec<Merge>, Failure> {
    let mut trainer = Trainer::new(counts, stop)?;
    let mut merges = Vec::new();
    while merges.len() < limit {
        let Some(pair) = trainer.most_frequent() else { break };
        merges.push(trainer.pairs[pair as usize].tokens);
        trainer.merge(pair, stop)?;
        done.store(merges.len(), Relaxed);
    }
    Ok(merges)
}

struct Trainer {
    cells: Vec<u32>,
    counts: Vec<u64>,  // by word
    lengths: Vec<u32>, // by token, in bytes
    places: Vec<Place>,
    pairs: Vec<Pair>,
    index: HashMap<u64, u32, BuildHasherDefault<PairHasher>>, // pair -> its number
    heap: BinaryHeap<(u64, std::cmp::Reverse<Merge>, u32)>,
    left: Side,
    right: Side,
}

impl Trainer {
    fn new(words: Counts, stop: &dyn Fn() -> bool) -> Result<Self, Failure> {
        let mut bytes = 1;
        words.for_each(|word, _| bytes += if word.len() > 1 { word.len() + 1 } else { 0 });
        if bytes >= INSIDE as usize {
            return Err(Failure::TooManyWords);
        }
        let mut cells = Vec::with_capacity(bytes);
        let mut counts = Vec::new();
        cells.push(BORDER);
        words.for_each(|word, count| {
            if word.len() > 1 {
                cells.extend(word.iter().map(|&byte| u32::from(byte)));
                cells.push(BORDER);
                counts.push(count);
            }
        });
        drop(words);
        let mut trainer = Self {
            cells,
            counts,
            lengths: vec![1; 256],
            places: Vec::new(),
            pairs: Vec::new(),
            index: HashMap::default(),
            heap: BinaryHeap::new(),
            left: Side { of: vec![Neighbor::default(); 256], ..Side::default() },
            right: Side { of: vec![Neighbor::default(); 256], ..Side::default() },
        };
        trainer.find_pairs_of_bytes(stop)?;
        Ok(trainer)
    }

    /// The pairs of bytes, counted and then written down.
    fn find_pairs_of_bytes(&mut self, stop: &dyn Fn() -> bool) -> Result<(), Failure> {
        let mut table = vec![Neighbor::default(); 1 << 16]; // by left and right byte
        let slot = |left: u32, right: u32| (left << 8 | right) as usize;
        let mut word = 0;
        for (i, two) in self.cells[1..].windows(2).enumerate() {
            if i % (1 << 20) == 0 && stop() {
                return Err(Failure::Stopped);
            }
            if two[0] == BORDER {
                word += 1;
            } else if two[1] != BORDER {
                let entry = &mut table[slot(two[0], two[1])];
                entry.count += self.counts[word];
                entry.places += 1;
            }
        }
        let mut next = 0;
        for (i, entry) in table.iter_mut().enumerate().filter(|(_, entry)| entry.places > 0) {
            entry.next = next;
            next += entry.places as usize;
            self.pairs.push(Pair {
                tokens: (i as u32 >> 8, i as u32 & 0xFF),
                count: entry.count,
                places: entry.next..next,
            });
        }
        for number in 0..self.pairs.len() as u32 {
            self.file(number);
        }
        self.places = vec![Place { cell: 0, word: 0 }; next];
        let mut word = 0;
        for (i, two) in self.cells.windows(2).enumerate().skip(1) {
            if i % (1 << 20) == 0 && stop() {
                return Err(Failure::Stopped);
            }
            if two[0] == BORDER {
                word += 1;
            } else if two[1] != BORDER {
                let entry = &mut table[slot(two[0], two[1])];
                self.places[entry.next] = Place { cell: i as u32, word };
                entry.next += 1;
            }
        }
        Ok(())
    }

    /// Puts a pair into the index and the heap.
    fn file(&mut self, number: u32) {
        let Pair { tokens, count, .. } = self.pairs[number as usize];
        self.index.insert(name(tokens), number);
        self.heap.push((count, std::cmp::Reverse(tokens), number));
    }

    /// The pair to merge now, if any is left.
    fn most_frequent(&mut self) -> Option<u32> {
        loop {
            let mut top = self.heap.peek_mut()?;
            let (count, _, number) = *top;
            let present = self.pairs[number as usize].count;
            if present == 0 {
                PeekMut::pop(top);
            } else if present < count {
                top.0 = present; // it sinks when `top` is dropped
            } else {
                PeekMut::pop(top);
                return Some(number);
            }
        }
    }

    /// Makes a new token of every occurrence of the pair, and files the pairs that this gives rise to.
    fn merge(&mut self, pair: u32, stop: &dyn Fn() -> bool) -> Result<(), Failure> {
        let (a, b) = self.pairs[pair as usize].tokens;
        let new = self.lengths.len() as u32;
        self.lengths.push(self.lengths[a as usize] + self.lengths[b as usize]);
        for side in [&mut self.left, &mut self.right] {
            side.of.push(Neighbor::default());
            side.touched.clear();
            side.met.clear();
        }
        self.replace(pair, new, stop)?;
        self.pairs[pair as usize].count = 0;
        self.write_down(new, true);
        self.write_down(new, false);
        for i in 0..self.left.touched.len() {
            let x = self.left.touched[i];
            self.take_away((x, a), true, x);
        }
        for i in 0..self.right.touched.len() {
            let y = self.right.touched[i];
            self.take_away((b, y), false, y);
        }
        Ok(())
    }

    /// Writes `new` over all occurrences of the pair, from left to right, and collects its neighbors.
    fn replace(&mut self, pair: u32, new: u32, stop: &dyn Fn() -> bool) -> Result<(), Failure> {
        let Pair { tokens: (a, b), ref places, .. } = self.pairs[pair as usize];
        let (len_a, len_b) = (self.lengths[a as usize], self.lengths[b as usize]);
        let cells = &mut self.cells[..];
        for (i, &Place { cell, word }) in self.places[places.clone()].iter().enumerate() {
            if i % (1 << 16) == (1 << 16) - 1 && stop() {
                return Err(Failure::Stopped);
            }
            let middle = cell + len_a;
            if cells[cell as usize] != a || cells[middle as usize] != b {
                continue; // taken by another merge, or by the occurrence before: aaa
            }
            let end = middle + len_b;
            let (before, after) = (cells[cell as usize - 1], cells[end as usize]);
            cells[middle as usize - 1] = INSIDE;
            cells[middle as usize] = INSIDE;
            cells[cell as usize] = new;
            cells[end as usize - 1] = new;
            let count = self.counts[word as usize];
            if before != BORDER {
                self.left.meet(before, cell - self.lengths[before as usize], word, count);
            }
            if after != BORDER {
                self.right.meet(after, cell, word, count);
            }
        }
        if stop() { Err(Failure::Stopped) } else { Ok(()) }
    }

    /// Files the pairs of `new` with its neighbors on one side. Pairs (new, new) are on the left only: when the left of
    /// the two was made, the right one was not yet.
    fn write_down(&mut self, new: u32, on_left: bool) {
        let side = if on_left { &mut self.left } else { &mut self.right };
        let mut next = self.places.len();
        let first = self.pairs.len() as u32;
        for &neighbor in &side.touched {
            let entry = &mut side.of[neighbor as usize];
            entry.next = next;
            next += entry.places as usize;
            let tokens = if on_left { (neighbor, new) } else { (new, neighbor) };
            self.pairs.push(Pair { tokens, count: entry.count, places: entry.next..next });
        }
        self.places.resize(next, Place { cell: 0, word: 0 });
        for &(neighbor, place) in &side.met {
            let entry = &mut side.of[neighbor as usize];
            self.places[entry.next] = place;
            entry.next += 1;
        }
        for number in first..self.pairs.len() as u32 {
            self.file(number);
        }
    }

    /// Lowers the count of a pair that lost `neighbor` to the new token, and forgets the neighbor.
    fn take_away(&mut self, tokens: Merge, on_left: bool, neighbor: u32) {
        let side = if on_left { &mut self.left } else { &mut self.right };
        let lost = std::mem::take(&mut side.of[neighbor as usize]).count;
        let pair = &mut self.pairs[self.index[&name(tokens)] as usize];
        pair.count = pair.count.saturating_sub(lost); // the pair that is being merged is 0 already
    }
}

fn name((left, right): Merge) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Hashes a u64 by one multiplication, folded.
#[derive(Default)]
pub struct PairHasher(u64);

impl Hasher for PairHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("pairs are u64");
    }

    fn write_u64(&mut self, pair: u64) {
        let product = u128::from(pair ^ 0x243F_6A88_85A3_08D3) * 0x9E37_79B9_7F4A_7C15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}
