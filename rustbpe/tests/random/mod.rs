//! Random texts, the same in every run.

#![allow(dead_code)] // each test file uses some of it

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n` (splitmix64).
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) % n as u64) as usize
    }

    /// Up to `most` pieces, of all kinds that a pattern tells apart.
    pub fn text(&mut self, most: usize) -> String {
        const PIECES: [&str; 40] = [
            "a",
            "b",
            "Z",
            "s",
            "S",
            "t",
            "ll",
            "VE",
            "re",
            "d",
            "m",
            "'",
            "'",
            " ",
            " ",
            " ",
            "  ",
            "\t",
            "\n",
            "\r",
            "\r\n",
            "\u{B}",
            "\u{A0}",
            "\u{3000}",
            "\u{85}",
            "0",
            "1",
            "23",
            "\u{0663}",
            "\u{00BD}",
            "!",
            "?!",
            "\u{0301}",
            "\u{E9}",
            "\u{17F}",
            "\u{4E2D}\u{6587}",
            "\u{1F600}",
            "\0",
            "wordsoflength",
            "\u{200D}",
        ];
        let mut text = String::new();
        for _ in 0..self.below(most + 1) {
            if self.below(20) == 0 {
                text.push(char::from_u32(self.below(0x11_0000) as u32).unwrap_or('\u{FFFD}'));
            } else {
                text.push_str(PIECES[self.below(PIECES.len())]);
            }
        }
        text
    }

    /// A place between two characters of `text`.
    pub fn boundary(&mut self, text: &str) -> usize {
        (0..=self.below(text.len() + 1)).rev().find(|&i| text.is_char_boundary(i)).unwrap()
    }
}
