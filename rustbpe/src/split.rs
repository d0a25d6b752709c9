//! Text into words: what the pattern matches, one match after the other. No merge ever crosses a word's border.
//!
//! The GPT-4 patterns are alternatives in order, and at each place the first that matches wins:
//!
//! ```text
//! '(?i:[sdmt]|ll|ve|re)         the ending of a contraction
//! [^\r\n\p{L}\p{N}]?+\p{L}+     letters, with at most one other sign before them
//! \p{N}{1,3}                    at most so many digits
//!  ?[^\s\p{L}\p{N}]++[\r\n]*    a run of signs, with a space before and line ends after it
//! \s*[\r\n]                     white space up to the last line end in it
//! \s+(?!\S)                     white space up to, not including, the last blank before a word
//! \s+                           that last blank
//! ```
//!
//! A regex engine with lookahead tries these by backtracking. But one look at the first two characters tells which
//! alternative it will be, so `Family` decides by them and then only looks for the end of a run.

use fancy_regex::Regex;

use crate::unicode::{Class, classes};

/// The pattern that the published rustbpe trains with when it is given none.
pub const DEFAULT_PATTERN: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";

/// What stands before and after the digits in patterns that mean the same: that of nanochat, that of cl100k_base.
const FAMILY: [(&str, &str); 2] = [
    (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}", r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
];

/// A compiled pattern.
#[derive(Debug, Clone)]
pub enum Splitter {
    Family(Family),
    Regex(Box<Regex>),
}

impl Splitter {
    pub fn new(pattern: &str) -> Result<Self, fancy_regex::Error> {
        match Family::recognize(pattern) {
            Some(family) => Ok(Self::Family(family)),
            None => Ok(Self::Regex(Box::new(Regex::new(pattern)?))),
        }
    }

    /// Calls `take(start, end)` for each word, in order, until it returns false. Empty matches are no words, and what
    /// no match covers is left out. Only a pattern outside the family can fail: backtracking has its limits.
    #[inline]
    pub fn words(&self, text: &str, mut take: impl FnMut(usize, usize) -> bool) -> Result<(), fancy_regex::Error> {
        match self {
            Self::Family(family) => {
                let mut at = 0;
                while at < text.len() {
                    let end = family.word_end(text.as_bytes(), at);
                    if !take(at, end) {
                        break;
                    }
                    at = end;
                }
            }
            Self::Regex(regex) => {
                for found in regex.find_iter(text) {
                    let found = found?;
                    if found.start() < found.end() && !take(found.start(), found.end()) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The last place in `text`, after 0, where it can be cut without changing a word, whatever follows the text.
    ///
    /// Such a place is behind a letter and before an ASCII character that is none: only alternatives of letters hold
    /// letters, all of them end with letters, and none looks further than one character behind white space.
    pub fn last_cut(&self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Family(_) => {
                text.windows(2).rposition(|w| w[0].is_ascii_alphabetic() && w[1].is_ascii_whitespace()).map(|i| i + 1)
            }
            Self::Regex(_) => None,
        }
    }
}

/// The GPT-4 patterns, which differ in how many digits make a word.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    digits: usize,
    classes: &'static [Class; 0x11_0000],
}

impl Family {
    /// The family member that `pattern` is, for 1 to 3 digits.
    pub fn recognize(pattern: &str) -> Option<Self> {
        let digits =
            FAMILY.iter().find_map(|(head, tail)| match pattern.strip_prefix(head)?.strip_suffix(tail)? {
                "" | "{1,1}" => Some(1),
                "{1,2}" => Some(2),
                "{1,3}" => Some(3),
                _ => None,
            })?;
        Some(Self { digits, classes: classes() })
    }

    /// The end of the word that begins at `start`, which is before the end and at a character's first byte.
    #[inline]
    pub fn word_end(&self, text: &[u8], start: usize) -> usize {
        let first = text[start];
        let (class, next) = self.class(text, start);
        match class {
            Class::Letter => return self.letters(text, next),
            Class::Number => return self.numbers(text, next),
            Class::Other | Class::Space => {}
        }
        if first == b'\''
            && let Some(end) = contraction(text, next)
        {
            return end;
        }
        if next < text.len() {
            let (class, after) = self.class(text, next);
            match class {
                Class::Letter if first != b'\r' && first != b'\n' => return self.letters(text, after),
                Class::Other if first == b' ' => return self.signs(text, after),
                _ => {}
            }
        }
        if class == Class::Other { self.signs(text, next) } else { self.blanks(text, start) }
    }

    /// The class of the character at `at`, and where the next one begins.
    #[inline]
    fn class(&self, text: &[u8], at: usize) -> (Class, usize) {
        let byte = text[at];
        if byte < 0x80 {
            return (self.classes[byte as usize], at + 1);
        }
        let (code_point, next) = decode(text, at);
        (self.classes[code_point], next)
    }

    #[inline]
    fn letters(&self, text: &[u8], mut at: usize) -> usize {
        loop {
            while let Some(eight) = text.get(at..at + 8) {
                let letters = ascii_letters(u64::from_le_bytes(eight.try_into().expect("eight bytes")));
                if letters == 8 {
                    at += 8;
                } else {
                    at += letters as usize;
                    break;
                }
            }
            if at == text.len() {
                return at;
            }
            let (class, next) = self.class(text, at);
            if class != Class::Letter {
                return at;
            }
            at = next;
        }
    }

    fn numbers(&self, text: &[u8], mut at: usize) -> usize {
        for _ in 1..self.digits {
            if at == text.len() {
                break;
            }
            let (class, next) = self.class(text, at);
            if class != Class::Number {
                break;
            }
            at = next;
        }
        at
    }

    fn signs(&self, text: &[u8], at: usize) -> usize {
        let mut at = self.run(Class::Other, text, at);
        while at < text.len() && (text[at] == b'\r' || text[at] == b'\n') {
            at += 1;
        }
        at
    }

    /// White space from `start` on: up to its last line end; else without its last character where a word follows.
    fn blanks(&self, text: &[u8], start: usize) -> usize {
        let end = self.run(Class::Space, text, start);
        if let Some(last) = text[start..end].iter().rposition(|&byte| byte == b'\r' || byte == b'\n') {
            return start + last + 1;
        }
        if end == text.len() {
            return end;
        }
        let last = (start..end).rev().find(|&at| text[at] & 0xC0 != 0x80).expect("a first byte");
        if last > start { last } else { end }
    }

    fn run(&self, class: Class, text: &[u8], mut at: usize) -> usize {
        while at < text.len() {
            let (found, next) = self.class(text, at);
            if found != class {
                break;
            }
            at = next;
        }
        at
    }
}

/// The end of `(?i:[sdmt]|ll|ve|re)` at `at`. To a regex that ignores case, U+017F is an s.
fn contraction(text: &[u8], at: usize) -> Option<usize> {
    let byte = |i: usize| text.get(at + i).copied().unwrap_or(0);
    match [byte(0) | 0x20, byte(1) | 0x20] {
        [b's' | b'd' | b'm' | b't', _] => Some(at + 1),
        [b'l', b'l'] | [b'v', b'e'] | [b'r', b'e'] => Some(at + 2),
        _ if text[at..].starts_with("\u{17F}".as_bytes()) => Some(at + 2),
        _ => None,
    }
}

/// The code point that begins at `at`, in text that is UTF-8 and not ASCII there, and where the next one begins.
#[inline]
fn decode(text: &[u8], at: usize) -> (usize, usize) {
    let bits = |i: usize| (text[at + i] & 0x3F) as usize;
    let first = text[at] as usize;
    match first {
        0..0xE0 => (((first & 0x1F) << 6) | bits(1), at + 2),
        0xE0..0xF0 => (((first & 0x0F) << 12) | (bits(1) << 6) | bits(2), at + 3),
        _ => (((first & 0x07) << 18) | (bits(1) << 12) | (bits(2) << 6) | bits(3), at + 4),
    }
}

/// How many ASCII letters the eight bytes begin with. Works on all of them at once: each byte's top bit is the answer.
#[inline]
fn ascii_letters(eight: u64) -> u32 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let lower = (eight | (0x20 * EACH)) & (0x7F * EACH);
    let from_a = lower + (0x80 - b'a' as u64) * EACH;
    let beyond_z = lower + (0x80 - b'z' as u64 - 1) * EACH;
    let letters = from_a & !beyond_z & !eight & (0x80 * EACH);
    (letters ^ (0x80 * EACH)).trailing_zeros() / 8
}
