//! What kind of character a code point is, as the pattern's `\p{L}`, `\p{N}` and `\s` see it.

use std::sync::OnceLock;

use regex_syntax::hir::{Class as Set, HirKind};

/// The four kinds that the pattern tells apart. Line ends are white space here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Class {
    Other = 0,
    Letter = 1,
    Number = 2,
    Space = 3,
}

const CODE_POINTS: usize = 0x11_0000;

/// The class of every code point, one byte each, made from regex-syntax's tables at first use.
///
/// A text touches only the lines of the table where its own scripts lie, so the megabyte costs no more cache than a
/// packed table would, and a look-up is one load. Taking the tables from regex-syntax, as fancy-regex does, leaves no
/// second version of Unicode to disagree with.
pub fn classes() -> &'static [Class; CODE_POINTS] {
    static TABLE: OnceLock<Box<[Class; CODE_POINTS]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = vec![Class::Other; CODE_POINTS].into_boxed_slice();
        for (pattern, class) in [(r"\p{L}", Class::Letter), (r"\p{N}", Class::Number), (r"\s", Class::Space)] {
            let parsed = regex_syntax::parse(pattern).expect("a valid pattern");
            let HirKind::Class(Set::Unicode(set)) = parsed.kind() else {
                unreachable!("{pattern} is a set of characters")
            };
            for range in set.ranges() {
                table[range.start() as usize..=range.end() as usize].fill(class);
            }
        }
        table.try_into().expect("as long as it was made")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_point_is_what_the_regex_crate_says() {
        let sets = [(r"^\p{L}$", Class::Letter), (r"^\p{N}$", Class::Number), (r"^\s$", Class::Space)]
            .map(|(pattern, class)| (fancy_regex::Regex::new(pattern).unwrap(), class));
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            let found = sets.iter().find(|(set, _)| set.is_match(&text).unwrap());
            assert_eq!(classes()[c as usize], found.map_or(Class::Other, |(_, class)| *class), "{c:?}");
        }
    }
}
