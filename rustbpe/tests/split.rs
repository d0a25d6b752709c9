//! The scanner against a regex engine, on text that is made to hit the borders between alternatives.

use rustbpe::split::{DEFAULT_PATTERN, Splitter};

mod random;
use random::Random;

const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn family() -> Vec<String> {
    let digits = ["{1,1}", "", "{1,2}", "{1,3}"];
    [DEFAULT_PATTERN, CL100K].iter().flat_map(|p| digits.map(|d| p.replace("{1,3}", d))).collect()
}

fn words<'t>(splitter: &Splitter, text: &'t str) -> Vec<&'t str> {
    let mut words = Vec::new();
    let take = |start, end| {
        words.push(&text[start..end]);
        true
    };
    splitter.words(text, take).unwrap();
    words
}

fn expected<'t>(regex: &fancy_regex::Regex, text: &'t str) -> Vec<&'t str> {
    regex.find_iter(text).map(|found| found.unwrap().as_str()).collect()
}

#[test]
fn the_scanner_splits_as_the_regex_does() {
    let mut random = Random::new(1);
    for pattern in family() {
        let splitter = Splitter::new(&pattern).unwrap();
        assert!(matches!(splitter, Splitter::Family(_)), "{pattern}");
        let regex = fancy_regex::Regex::new(&pattern).unwrap();
        for _ in 0..20_000 {
            let text = random.text(24);
            assert_eq!(words(&splitter, &text), expected(&regex, &text), "{text:?} by {pattern}");
        }
    }
}

#[test]
fn each_character_splits_as_the_regex_does() {
    let splitter = Splitter::new(DEFAULT_PATTERN).unwrap();
    let regex = fancy_regex::Regex::new(DEFAULT_PATTERN).unwrap();
    for c in '\0'..=char::MAX {
        let text = format!("{c}a{c}{c} {c}1'{c}\n{c} ");
        assert_eq!(words(&splitter, &text), expected(&regex, &text), "{c:?}");
    }
}

#[test]
fn a_cut_changes_no_word() {
    let mut random = Random::new(2);
    let splitter = Splitter::new(DEFAULT_PATTERN).unwrap();
    let mut cuts = 0;
    for _ in 0..50_000 {
        let text = random.text(40);
        let some = random.boundary(&text);
        let Some(cut) = splitter.last_cut(&text.as_bytes()[..some]) else { continue };
        let (head, tail) = text.split_at(cut);
        assert_eq!(
            [words(&splitter, head), words(&splitter, tail)].concat(),
            words(&splitter, &text),
            "{text:?} at {cut}"
        );
        cuts += 1;
    }
    assert!(cuts > 10_000, "{cuts}");
}

#[test]
fn a_long_run_needs_neither_stack_nor_patience() {
    let splitter = Splitter::new(DEFAULT_PATTERN).unwrap();
    for (run, rest) in [(" ", "a"), ("\t", "\n"), ("a", ""), ("!", "\n"), ("\u{3000}", "x"), ("\u{E9}", "1")] {
        let text = run.repeat(1 << 20) + rest;
        assert!(words(&splitter, &text).len() <= 3, "{run:?}");
    }
}

#[test]
fn other_patterns_go_through_the_regex() {
    let splitter = Splitter::new(r"x*|\w(?=!)").unwrap();
    assert!(matches!(splitter, Splitter::Regex(_)));
    assert_eq!(words(&splitter, "xxa!bxx"), ["xx", "xx"]);
    assert_eq!(words(&Splitter::new("").unwrap(), "text"), [""; 0]);
    assert!(Splitter::new("(").is_err());
}
