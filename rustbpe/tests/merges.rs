//! Training and encoding against a few lines that do it slowly: count all pairs anew for each merge.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicUsize;

use rustbpe::count::Counts;
use rustbpe::encode::{Encoder, Vocabulary};
use rustbpe::train::{Failure, Merge, train};
use rustbpe::words::KeyHasher;

mod random;
use random::Random;

type Words = BTreeMap<Vec<u8>, u64>;

fn counted(words: &Words) -> Counts {
    let mut counts = Counts::new(KeyHasher::random());
    for (word, &count) in words {
        counts.add(word, 0, word.len(), count);
    }
    counts
}

fn fast(words: &Words, limit: usize) -> Vec<Merge> {
    train(counted(words), limit, &AtomicUsize::new(0), &|| false).unwrap()
}

fn slow(words: &Words, limit: usize) -> Vec<Merge> {
    let mut split: Vec<(Vec<u32>, u64)> =
        words.iter().map(|(word, &count)| (word.iter().map(|&b| b.into()).collect(), count)).collect();
    let mut merges = Vec::new();
    while merges.len() < limit {
        let mut pairs: HashMap<Merge, u64> = HashMap::new();
        for (ids, count) in &split {
            for two in ids.windows(2) {
                *pairs.entry((two[0], two[1])).or_default() += count;
            }
        }
        let Some((&pair, _)) = pairs.iter().min_by_key(|&(&pair, &count)| (std::cmp::Reverse(count), pair)) else {
            break;
        };
        for (ids, _) in &mut split {
            *ids = replaced(ids, pair, 256 + merges.len() as u32);
        }
        merges.push(pair);
    }
    merges
}

fn replaced(ids: &[u32], pair: Merge, new: u32) -> Vec<u32> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < ids.len() {
        if i + 1 < ids.len() && (ids[i], ids[i + 1]) == pair {
            out.push(new);
            i += 2;
        } else {
            out.push(ids[i]);
            i += 1;
        }
    }
    out
}

fn slowly_encoded(word: &[u8], merges: &[Merge]) -> Vec<u32> {
    let bytes = word.iter().map(|&byte| byte.into()).collect();
    merges.iter().zip(256..).fold(bytes, |ids: Vec<u32>, (&pair, new)| replaced(&ids, pair, new))
}

fn random_words(random: &mut Random) -> Words {
    let letters = 1 + random.below(5);
    let longest = [3, 8, 40, 200][random.below(4)];
    let highest = [1, 2, 1000][random.below(3)];
    (0..1 + random.below(30))
        .map(|_| {
            let word = (0..1 + random.below(longest)).map(|_| b'a' + random.below(letters) as u8).collect();
            (word, 1 + random.below(highest) as u64)
        })
        .collect()
}

#[test]
fn merges_are_those_of_counting_anew() {
    let mut random = Random::new(3);
    for round in 0..3000 {
        let words = random_words(&mut random);
        let limit = random.below(60);
        assert_eq!(fast(&words, limit), slow(&words, limit), "round {round}: {words:?}");
    }
}

#[test]
fn training_ends_when_no_pair_is_left() {
    let words = Words::from([(b"abc".to_vec(), 5), (b"d".to_vec(), 9)]);
    assert_eq!(fast(&words, usize::MAX), [(97, 98), (256, 99)]);
    assert_eq!(fast(&Words::new(), 10), []);
}

#[test]
fn counts_go_beyond_32_bits() {
    let words = Words::from([(b"ab".to_vec(), u64::from(u32::MAX)), (b"cd".to_vec(), 1 << 33), (b"ef".to_vec(), 3)]);
    assert_eq!(fast(&words, 3), [(99, 100), (97, 98), (101, 102)]);
}

#[test]
fn training_stops_when_told() {
    let words = Words::from([(b"abc".to_vec(), 5)]);
    assert_eq!(train(counted(&words), 5, &AtomicUsize::new(0), &|| true), Err(Failure::Stopped));
}

#[test]
fn words_are_counted_whatever_their_length() {
    let mut random = Random::new(4);
    let mut expected = HashMap::new();
    let mut counts = [Counts::new(KeyHasher::random()), Counts::new(KeyHasher::random())];
    for i in 0..200_000 {
        let text = random.below(100_000).to_string().repeat(1 + i % 4);
        let (start, end) = (random.below(2), text.len());
        if start < end {
            counts[i % 2].add(text.as_bytes(), start, end, 1);
            *expected.entry(text.as_bytes()[start..].to_vec()).or_insert(0) += 1;
        }
    }
    let [mut all, other] = counts;
    all.absorb(other, &|| false);
    assert_eq!(all.len(), expected.len());
    all.for_each(|word, count| assert_eq!(expected.remove(word), Some(count), "{word:?}"));
    assert!(expected.is_empty());
}

#[test]
fn words_are_encoded_by_the_earliest_merge() {
    let mut random = Random::new(5);
    for round in 0..1000 {
        let words = random_words(&mut random);
        let merges = fast(&words, 1 + random.below(200));
        let vocabulary = Vocabulary::new(&merges);
        let mut encoder = Encoder::new(KeyHasher::random());
        for other in [words, random_words(&mut random)] {
            for word in other.keys().chain(other.keys()) {
                let mut ids = vec![7];
                encoder.word(&vocabulary, word, 0, word.len(), &mut ids);
                assert_eq!(ids[1..], slowly_encoded(word, &merges), "round {round}: {word:?}");
            }
        }
    }
}

#[test]
fn a_word_of_a_million_letters_takes_no_patience() {
    let word = b"a".repeat(1_000_001);
    let merges = fast(&Words::from([(word.clone(), 1)]), usize::MAX);
    let mut ids = Vec::new();
    Encoder::new(KeyHasher::random()).word(&Vocabulary::new(&merges), &word, 0, word.len(), &mut ids);
    assert_eq!(ids.len(), 1);
}
