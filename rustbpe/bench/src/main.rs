//! split-bench FILE ROUNDS: a line of JSON per round, the MB/s of each contender in its turn, on one thread.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use fancy_regex::Regex;
use rustbpe::split::{DEFAULT_PATTERN, Splitter};

type Turn = Box<dyn Fn(&str) -> usize>; // the number of words

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, rounds] = arguments.as_slice() else { return Err("split-bench FILE ROUNDS".into()) };
    let text = std::fs::read_to_string(file)?;
    let splitter = Splitter::new(DEFAULT_PATTERN)?;
    let regex = Regex::new(DEFAULT_PATTERN)?;
    let ours = move |text: &str| {
        let mut words = 0;
        let take = |start, end| {
            black_box((start, end));
            words += 1;
            true
        };
        splitter.words(text, take).expect("a pattern that cannot fail");
        words
    };
    let mut contenders: Vec<(&str, Turn)> = vec![
        ("ours", Box::new(ours)),
        ("pretokie 0.1.3", Box::new(|text| pretokie::Cl100k::new(text).map(black_box).count())),
        ("pretokie 0.0.4", Box::new(|text| pretokie_0_0_4::Cl100k::new(text).map(black_box).count())),
        ("fancy-regex", Box::new(move |text| regex.find_iter(text).map(black_box).count())),
    ];
    for (name, turn) in &contenders {
        eprintln!("{name}: {} words", turn(&text));
    }
    for _ in 0..rounds.parse()? {
        let mut speeds = Vec::new();
        for (name, turn) in &contenders {
            let started = Instant::now();
            black_box(turn(black_box(&text)));
            speeds.push(format!("{name:?}: {}", text.len() as f64 / 1e6 / started.elapsed().as_secs_f64()));
        }
        println!("{{{}}}", speeds.join(", "));
        contenders.reverse();
    }
    Ok(())
}
