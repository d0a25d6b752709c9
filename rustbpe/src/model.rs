//! A trained tokenizer: a pattern, merges and special tokens, and what follows from them.

use std::collections::HashMap;
use std::sync::Mutex;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::encode::{Encoder, Vocabulary};
use crate::split::Splitter;
use crate::train::Merge;
use crate::words::KeyHasher;

/// Ids 0-255 are the bytes, 256 + k is merge k, and the special tokens follow the last merge.
#[derive(Debug)]
pub struct Model {
    pub pattern: String,
    pub splitter: Splitter,
    pub merges: Vec<Merge>,
    pub special: Vec<String>,
    finder: Option<AhoCorasick>, // of the special tokens' names
    vocabulary: Vocabulary,
    bytes: Vec<u8>,   // of all tokens, one after the other
    ends: Vec<usize>, // by token, where its bytes end in `bytes`
    hasher: KeyHasher,
    encoders: Mutex<Vec<Encoder>>, // those that no thread is using
}

impl Model {
    /// Fails, with a reason, where the merges or the special tokens are such as no training gives.
    pub fn new(pattern: String, splitter: Splitter, merges: Vec<Merge>, special: Vec<String>) -> Result<Self, String> {
        let mut bytes: Vec<u8> = (0..=255).collect();
        let mut ends: Vec<usize> = (1..=256).collect();
        for (k, &(left, right)) in merges.iter().enumerate() {
            for member in [left, right] {
                let end = *ends[..256 + k]
                    .get(member as usize)
                    .ok_or_else(|| format!("merge {k} joins {left} and {right}, which do not exist yet"))?;
                let start = if member == 0 { 0 } else { ends[member as usize - 1] };
                bytes.extend_from_within(start..end);
            }
            ends.push(bytes.len());
        }
        let mut model = Self {
            vocabulary: Vocabulary::new(&merges),
            pattern,
            splitter,
            merges,
            special: Vec::new(),
            finder: None,
            bytes,
            ends,
            hasher: KeyHasher::random(),
            encoders: Mutex::new(Vec::new()),
        };
        let tokens = 0..model.ends.len() as u32;
        let mut seen = HashMap::with_capacity(model.ends.len());
        for token in tokens {
            if let Some(other) = seen.insert(model.token(token).unwrap_or_default(), token) {
                return Err(format!("tokens {other} and {token} are the same bytes"));
            }
        }
        model.set_special(special)?;
        Ok(model)
    }

    fn set_special(&mut self, special: Vec<String>) -> Result<(), String> {
        for (i, name) in special.iter().enumerate() {
            if name.is_empty() {
                return Err(format!("special token {i} is empty"));
            }
            if special[..i].contains(name) {
                return Err(format!("special token {i}, {name:?}, is there twice"));
            }
        }
        if !special.is_empty() {
            let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&special);
            self.finder = Some(built.map_err(|error| format!("special tokens: {error}"))?);
        }
        self.special = special;
        Ok(())
    }

    /// The number of ids, special tokens included.
    pub fn size(&self) -> usize {
        self.ends.len() + self.special.len()
    }

    /// The number of ids that are bytes or merges.
    pub fn mergeable(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token; a special token's are its name.
    pub fn token(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        match self.ends.get(id) {
            Some(&end) => Some(&self.bytes[if id == 0 { 0 } else { self.ends[id - 1] }..end]),
            None => self.special.get(id - self.ends.len()).map(String::as_bytes),
        }
    }

    /// Adds the tokens of `text` to `out`; with `special`, names of special tokens in it become those. Ends early where
    /// `go_on`, which is asked for each word, is false.
    pub fn encode(
        &self,
        encoder: &mut Encoder,
        text: &str,
        special: bool,
        out: &mut Vec<u32>,
        go_on: impl Fn() -> bool,
    ) -> Result<(), fancy_regex::Error> {
        let mut ordinary = |text: &str, out: &mut Vec<u32>| {
            self.splitter.words(text, |start, end| {
                encoder.word(&self.vocabulary, text.as_bytes(), start, end, out);
                go_on()
            })
        };
        let mut at = 0;
        if let (Some(finder), true) = (&self.finder, special) {
            for found in finder.find_iter(text) {
                ordinary(&text[at..found.start()], out)?;
                out.push((self.ends.len() + found.pattern().as_usize()) as u32);
                at = found.end();
            }
        }
        ordinary(&text[at..], out)
    }

    /// Lends an encoder, whose memo is warm where one has been used before.
    pub fn with_encoder<T>(&self, work: impl FnOnce(&mut Encoder) -> T) -> T {
        let free = |encoders: &Mutex<Vec<Encoder>>| encoders.lock().ok().and_then(|mut free| free.pop());
        let mut encoder = free(&self.encoders).unwrap_or_else(|| Encoder::new(self.hasher));
        let result = work(&mut encoder);
        if let Ok(mut free) = self.encoders.lock() {
            free.push(encoder);
        }
        result
    }
}
