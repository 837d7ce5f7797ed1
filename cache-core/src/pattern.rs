//! Patterns: which texts a glob in the syntax of Redis means, told in time that grows with the text, not exponentially.
//!
//! ```text
//! *       any number of characters     [abc]  one of these      [a-z]  one from a to z
//! ?       one character                [^a]   one but these     \*     the character itself
//! ```

use std::fmt;
use std::str::Chars;

use thiserror::Error;

/// The longest pattern, in bytes: as long as the longest key.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// A glob pattern over characters: `*`, `?`, classes such as `[a-z_]` and `[^0-9]`, and `\` before a character that means
/// itself. It has to match the whole text.
///
/// A range is meant whichever end comes first. In a class, `-` at the end and `^` anywhere but in front are themselves.
///
/// ```
/// use cache_core::{Pattern, PatternError};
/// let pattern = Pattern::new("user:*:profile")?;
/// assert!(pattern.matches("user:7:profile") && !pattern.matches("user:7:profiles"));
/// assert!(Pattern::new(r"[^a-c]?\*")?.matches("xä*"));
///
/// let error = Pattern::new("user:[0-9").unwrap_err();
/// assert_eq!(error, PatternError::Unclosed { pattern: "user:[0-9".into(), at: 5 });
/// # Ok::<(), PatternError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    /// What every text that matches begins with.
    prefix: Box<str>,
    /// What comes after it: begins with a wildcard, or is empty.
    rest: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Any number of characters. Never beside another one of its kind.
    Any,
    /// One character from any of these ranges, or from none of them.
    One { ranges: Box<[(char, char)]>, is_negated: bool },
    /// This character.
    Literal(char),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A class that is not closed or names no character, a backslash at the end, or more than [`MAX_PATTERN_BYTES`].
    pub fn new(pattern: impl AsRef<str>) -> Result<Self, PatternError> {
        let text = pattern.as_ref();
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong { bytes: text.len() });
        }
        let mut reader = Reader { text, left: text.chars() };
        let (mut prefix, mut rest) = (String::new(), Vec::new());
        while let Some(piece) = reader.piece()? {
            match piece {
                Piece::Literal(literal) if rest.is_empty() => prefix.push(literal),
                Piece::Any if rest.last() == Some(&Piece::Any) => {}
                piece => rest.push(piece),
            }
        }
        Ok(Self { text: text.into(), prefix: prefix.into(), rest: rest.into() })
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every text that matches begins with; all of it, if there is no wildcard.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Tells whether the pattern matches this text. Costs a comparison with the [`prefix`](Self::prefix) and, if that is
    /// passed, at most one look at each character of the text for each piece of the pattern. Allocates nothing.
    pub fn matches(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(&*self.prefix) else { return false };
        matches(&self.rest, rest.chars())
    }
}

/// Only the latest `*` is ever given another share of the text: what an earlier one could gain, a later one can, too.
fn matches(mut pieces: &[Piece], mut text: Chars<'_>) -> bool {
    let mut latest: Option<(&[Piece], Chars<'_>)> = None;
    loop {
        let fits = match pieces.split_first() {
            Some((Piece::Any, after)) => {
                latest = Some((after, text.clone()));
                pieces = after;
                continue;
            }
            Some((piece, after)) => {
                pieces = after;
                match text.next() {
                    Some(character) => piece.accepts(character),
                    // A larger share for the latest `*` would leave even less for what is behind it.
                    None => return false,
                }
            }
            None if text.as_str().is_empty() => return true,
            // What ends in `*` takes all that is left, without a look at it.
            None => match &latest {
                Some(([], _)) => return true,
                _ => false,
            },
        };
        if !fits {
            let Some((after, from)) = &mut latest else { return false };
            from.next();
            (pieces, text) = (after, from.clone());
        }
    }
}

impl Piece {
    fn accepts(&self, character: char) -> bool {
        match self {
            Self::Any => true,
            Self::One { ranges, is_negated } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&character)) != *is_negated
            }
            Self::Literal(literal) => *literal == character,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    left: Chars<'a>,
}

impl Reader<'_> {
    fn piece(&mut self) -> Result<Option<Piece>, PatternError> {
        let at = self.at();
        let Some(character) = self.left.next() else { return Ok(None) };
        let piece = match character {
            '*' => Piece::Any,
            '?' => Piece::One { ranges: [].into(), is_negated: true },
            '[' => self.class(at)?,
            '\\' => Piece::Literal(self.escaped(at)?),
            literal => Piece::Literal(literal),
        };
        Ok(Some(piece))
    }

    /// The class whose bracket was opened there.
    fn class(&mut self, opened: usize) -> Result<Piece, PatternError> {
        let pattern = || self.text.to_owned();
        let (unclosed, empty) = (
            PatternError::Unclosed { pattern: pattern(), at: opened },
            PatternError::EmptyClass { pattern: pattern(), at: opened },
        );
        let is_negated = self.left.as_str().starts_with('^');
        if is_negated {
            self.left.next();
        }
        let mut ranges = Vec::new();
        loop {
            let at = self.at();
            let first = match self.left.next() {
                Some(']') if ranges.is_empty() => return Err(empty),
                Some(']') => return Ok(Piece::One { ranges: ranges.into(), is_negated }),
                Some('\\') => self.escaped(at)?,
                Some(first) => first,
                None => return Err(unclosed),
            };
            let last = match self.left.as_str().strip_prefix('-') {
                None | Some("") => first,
                Some(after) if after.starts_with(']') => first,
                Some(_) => {
                    self.left.next();
                    let at = self.at();
                    match self.left.next() {
                        Some('\\') => self.escaped(at)?,
                        Some(last) => last,
                        None => return Err(unclosed),
                    }
                }
            };
            ranges.push((first.min(last), first.max(last)));
        }
    }

    /// The character behind a backslash that stands there.
    fn escaped(&mut self, at: usize) -> Result<char, PatternError> {
        self.left.next().ok_or_else(|| PatternError::Unfinished { pattern: self.text.to_owned(), at })
    }

    fn at(&self) -> usize {
        self.text.len() - self.left.as_str().len()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

impl std::str::FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::new(text)
    }
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A class without an end.
    #[error(
        "the pattern {pattern:?} has a '[' at byte {at} without a ']'; close it, or write '\\[' for a bracket"
    )]
    Unclosed {
        /// What was given.
        pattern: String,
        /// Where the class begins.
        at: usize,
    },
    /// A class of nothing.
    #[error(
        "the pattern {pattern:?} has a class at byte {at} without a character; name some, or write '\\[' for a \
         bracket and '\\]' for one in a class"
    )]
    EmptyClass {
        /// What was given.
        pattern: String,
        /// Where the class begins.
        at: usize,
    },
    /// A backslash with nothing behind it.
    #[error("the pattern {pattern:?} ends in a backslash at byte {at}; write '\\\\' for a backslash")]
    Unfinished {
        /// What was given.
        pattern: String,
        /// Where the backslash stands.
        at: usize,
    },
    /// Too much text.
    #[error("the pattern has {bytes} bytes; at most {MAX_PATTERN_BYTES} are allowed, as no key is longer")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let parsed = Pattern::new(pattern).expect("legal");
        for (texts, expected) in [(matching, true), (others, false)] {
            for text in texts {
                assert_eq!(parsed.matches(text), expected, "{pattern} on {text:?}");
            }
        }
    }

    #[test]
    fn each_sign_means_what_it_says() {
        check("", &[""], &["a"]);
        check("abc", &["abc"], &["ab", "abcd", "xabc", ""]);
        check("*", &["", "a", "a:b", "ä"], &[]);
        check("a*", &["a", "ab", "a:b:c"], &["", "b", "ba"]);
        check("*:b", &[":b", "a:b", "a:b:b"], &["b", "a:bc"]);
        check("a?c", &["abc", "aäc", "a?c"], &["ac", "abbc"]);
        check("[abc]", &["a", "c"], &["", "d", "ab", "A"]);
        check("[a-cx]", &["a", "b", "x"], &["d", "-"]);
        check("[c-a]", &["b"], &["-", "d"]);
        check("[^a-c]", &["d", "^"], &["a", "b", ""]);
        check("[a^]", &["a", "^"], &["b"]);
        check("[a-]", &["a", "-"], &["b"]);
        check(r"[\]\-\\]", &["]", "-", r"\"], &["a"]);
        check(r"[a-\z]", &["m"], &["\\"]);
        check(r"\*\?\[\]\\", &[r"*?[]\"], &["a"]);
        check("]-^", &["]-^"], &[]);
        check("*a*b", &["ab", "xaxb", "aab", "abab"], &["ba", "a", "abx"]);
    }

    #[test]
    fn what_is_malformed_is_named() {
        let unclosed = |pattern: &str, at| {
            let pattern = pattern.to_owned();
            assert_eq!(Pattern::new(&pattern), Err(PatternError::Unclosed { pattern, at }));
        };
        for pattern in ["[", "[a", "[a-", "[^", "[^a", "[a-z"] {
            unclosed(pattern, 0);
        }
        unclosed("ä*[x", 3);
        for (pattern, at) in [("\\", 0), ("ab\\", 2), ("[a\\", 2), ("[a-\\", 3)] {
            let error = PatternError::Unfinished { pattern: pattern.into(), at };
            assert_eq!(Pattern::new(pattern), Err(error));
        }
        for (pattern, at) in [("[]", 0), ("x[^]", 1)] {
            assert_eq!(Pattern::new(pattern), Err(PatternError::EmptyClass { pattern: pattern.into(), at }));
        }
        let long = "?".repeat(MAX_PATTERN_BYTES);
        assert!(Pattern::new(&long).is_ok_and(|pattern| pattern.matches(&"x".repeat(MAX_PATTERN_BYTES))));
        assert_eq!(Pattern::new(long + "?"), Err(PatternError::TooLong { bytes: MAX_PATTERN_BYTES + 1 }));
        let error = Pattern::new("user:[0-9").expect_err("not closed");
        let told = "the pattern \"user:[0-9\" has a '[' at byte 5 without a ']'; close it, or write '\\[' for a bracket";
        assert_eq!(error.to_string(), told);
    }

    #[test]
    fn the_prefix_is_all_before_the_first_wildcard() {
        let prefix = |pattern: &str| Pattern::new(pattern).expect("legal").prefix().to_owned();
        assert_eq!(
            [prefix("a:b*c"), prefix(r"a\*?"), prefix("plain"), prefix("*")],
            ["a:b", "a*", "plain", ""]
        );
    }

    #[test]
    fn many_stars_do_not_multiply() {
        // 300 stars and 1,000 characters: whoever tries all shares has about 10^263 of them, so a return at all is the proof.
        check(&("a*".repeat(300) + "b"), &[&("a".repeat(1000) + "b")], &[&"a".repeat(1000)]);
        check(&"*?".repeat(500), &[&"a".repeat(500)], &[&"a".repeat(499)]);
    }

    /// The obvious matcher: tries everything.
    fn naive(pieces: &[Piece], text: &[char]) -> bool {
        match (pieces.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((Piece::Any, after)), None) => naive(after, text),
            (Some((Piece::Any, after)), Some((_, others))) => naive(after, text) || naive(pieces, others),
            (None, Some(_)) | (Some(_), None) => false,
            (Some((piece, after)), Some((first, others))) => piece.accepts(*first) && naive(after, others),
        }
    }

    /// A piece as it is written, and as it is meant.
    fn piece() -> impl Strategy<Value = (String, Piece)> {
        let one = |ranges: Vec<(char, char)>, is_negated| Piece::One { ranges: ranges.into(), is_negated };
        prop_oneof![
            3 => prop::sample::select(vec!['a', 'b', 'ä']).prop_map(|c| (c.to_string(), Piece::Literal(c))),
            3 => Just(("*".to_owned(), Piece::Any)),
            1 => Just(("?".to_owned(), one(vec![], true))),
            1 => Just(("[ab]".to_owned(), one(vec![('a', 'a'), ('b', 'b')], false))),
            1 => Just(("[^a]".to_owned(), one(vec![('a', 'a')], true))),
            1 => Just(("[a-z]".to_owned(), one(vec![('a', 'z')], false))),
            1 => Just((r"\*".to_owned(), Piece::Literal('*'))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn agrees_with_who_tries_everything(
            pieces in prop::collection::vec(piece(), 0..10),
            text in prop::collection::vec(prop::sample::select(vec!['a', 'b', 'ä', '*']), 0..12),
        ) {
            let (written, meant): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
            let pattern = Pattern::new(written.concat()).expect("legal");
            let as_text: String = text.iter().collect();
            prop_assert_eq!(pattern.matches(&as_text), naive(&meant, &text), "{} on {}", pattern, as_text);
        }

        #[test]
        fn any_text_is_a_pattern_or_an_error(pattern in ".{0,40}", text in ".{0,40}") {
            if let Ok(pattern) = Pattern::new(&pattern) {
                prop_assert!(!pattern.matches(&text) || text.starts_with(pattern.prefix()));
            }
        }
    }
}
