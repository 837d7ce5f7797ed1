//! Rust source as a flat list of tokens: enough to find names, paths and attributes, not enough to understand them.
//!
//! Comments and docs are gone and strings are single tokens, so a rule that looks for a word never finds it in prose.
//! Brackets are tokens of their own; `::` is one token.

use std::collections::BTreeSet;
use std::ops::Range;

use proc_macro2::{Delimiter, Group, Punct, Spacing, Span, TokenStream, TokenTree};

/// A word, a literal or a mark, and the lines it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    last_line: usize,
    is_word: bool,
}

/// Where and why the source cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

/// A path with `::` in it; the items of a `use` group each have their own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PathUse {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    /// The text, if it is an identifier or a keyword.
    pub(crate) fn word(&self) -> Option<&str> {
        self.is_word.then_some(&self.text)
    }
}

pub(crate) fn read(source: &str) -> Result<Vec<Token>, Unreadable> {
    let stream: TokenStream = source.parse().map_err(|error: proc_macro2::LexError| Unreadable {
        line: error.span().start().line.max(1),
        reason: error.to_string(),
    })?;
    let mut reader = Reader { lines: source.lines().collect(), tokens: Vec::new(), after_joint_colon: false };
    reader.stream(stream);
    Ok(reader.tokens)
}

/// The tokens outside `#[cfg(test)]` modules.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let tests = test_modules(tokens);
    let outside = |at: &usize| !tests.iter().any(|test| test.contains(at));
    (0..tokens.len()).filter(outside).map(|at| tokens[at].clone()).collect()
}

/// How many lines hold a token: neither blank nor comment.
pub(crate) fn code_lines(tokens: &[Token]) -> usize {
    tokens.iter().flat_map(|token| token.line..=token.last_line).collect::<BTreeSet<_>>().len()
}

/// Whether this line is inside a literal, such as a string over several lines.
pub(crate) fn in_literal(tokens: &[Token], line: usize) -> bool {
    tokens.iter().any(|token| token.line < line && line <= token.last_line)
}

/// Every attribute, from its `#` to its `]`.
pub(crate) fn attributes(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    (0..tokens.len()).filter_map(|at| attribute_at(tokens, at).map(|range| &tokens[range]))
}

/// The attributes that stand directly before the token at `at`.
pub(crate) fn attributes_before(tokens: &[Token], at: usize) -> &[Token] {
    let mut start = at;
    while let Some(attribute) = (0..start).rev().find(|hash| tokens[*hash].is("#"))
        && attribute_at(tokens, attribute).is_some_and(|range| range.end == start)
    {
        start = attribute;
    }
    &tokens[start..at]
}

/// Every path of two segments or more.
pub(crate) fn paths(tokens: &[Token]) -> Vec<PathUse> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if tokens[at].is_word && is(tokens, at + 1, "::") && !continues_a_path(tokens, at) {
            path_at(tokens, at, Vec::new(), &mut found);
        }
    }
    found
}

/// The index of the bracket that closes the one at `open`, or of the last token.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}

pub(crate) fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.is(text))
}

fn attribute_at(tokens: &[Token], at: usize) -> Option<Range<usize>> {
    let open = if is(tokens, at + 1, "!") { at + 2 } else { at + 1 };
    (is(tokens, at, "#") && is(tokens, open, "[")).then(|| at..closing(tokens, open) + 1)
}

/// Whether a `::` before this word joins it to something; at the start of a path it joins nothing.
fn continues_a_path(tokens: &[Token], at: usize) -> bool {
    let joined = |before: &Token| before.is_word || before.is(">");
    at >= 2 && tokens[at - 1].is("::") && joined(&tokens[at - 2])
}

fn test_modules(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut modules = Vec::new();
    for at in 0..tokens.len() {
        let Some(attribute) = attribute_at(tokens, at) else { continue };
        let words = &tokens[attribute.clone()];
        let is_test =
            is(words, 2, "cfg") && words.iter().any(|w| w.is("test")) && !words.iter().any(|w| w.is("not"));
        let mut next = attribute.end;
        while let Some(further) = attribute_at(tokens, next) {
            next = further.end;
        }
        if is_test && is(tokens, next, "mod") {
            let end = if is(tokens, next + 2, "{") { closing(tokens, next + 2) } else { next + 2 };
            modules.push(at..end + 1);
        }
    }
    modules
}

/// Follows the path at `at`, into the groups of a `use` too, and says where it ends.
fn path_at(tokens: &[Token], mut at: usize, mut segments: Vec<String>, found: &mut Vec<PathUse>) -> usize {
    let line = tokens[at].line;
    loop {
        if is(tokens, at, "{") {
            let close = closing(tokens, at);
            at += 1;
            while at < close {
                let begins = tokens[at].is_word || is(tokens, at, "*");
                at = if begins { path_at(tokens, at, segments.clone(), found) } else { at + 1 };
            }
            return close + 1;
        }
        if tokens.get(at).is_some_and(|token| token.is_word || token.is("*")) {
            segments.push(tokens[at].text.clone());
            at += 1;
            if is(tokens, at, "::") {
                at += 1;
                continue;
            }
        }
        found.push(PathUse { line, segments });
        return at;
    }
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    tokens: Vec<Token>,
    after_joint_colon: bool,
}

impl Reader<'_> {
    fn stream(&mut self, stream: TokenStream) {
        let mut trees = stream.into_iter().peekable();
        while let Some(tree) = trees.next() {
            match tree {
                TokenTree::Punct(mark) if mark.as_char() == '#' && self.is_comment(mark.span()) => {
                    // A doc comment reads as `#[doc = "…"]` or `#![doc = "…"]`.
                    trees.next_if(|next| matches!(next, TokenTree::Punct(mark) if mark.as_char() == '!'));
                    trees.next();
                }
                TokenTree::Group(group) => self.group(&group),
                TokenTree::Punct(mark) => self.mark(&mark),
                TokenTree::Ident(word) => self.push(word.to_string(), word.span(), true),
                TokenTree::Literal(literal) => self.push(literal.to_string(), literal.span(), false),
            }
        }
    }

    fn is_comment(&self, span: Span) -> bool {
        let start = span.start();
        let line = self.lines.get(start.line.saturating_sub(1));
        line.and_then(|line| line.chars().nth(start.column)) == Some('/')
    }

    fn group(&mut self, group: &Group) {
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        self.push(open.to_owned(), group.span_open(), false);
        self.stream(group.stream());
        self.push(close.to_owned(), group.span_close(), false);
    }

    fn mark(&mut self, mark: &Punct) {
        let colon = mark.as_char() == ':';
        match self.tokens.last_mut().filter(|_| colon && self.after_joint_colon) {
            Some(last) => last.text.push(':'),
            None => self.push(mark.as_char().to_string(), mark.span(), false),
        }
        self.after_joint_colon = colon && mark.spacing() == Spacing::Joint && !self.after_joint_colon;
    }

    fn push(&mut self, text: String, span: Span, is_word: bool) {
        self.tokens.push(Token { text, line: span.start().line, last_line: span.end().line, is_word });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(source: &str) -> Vec<Token> {
        read(source).expect("the source of a test can be read")
    }

    #[track_caller]
    fn check_paths(source: &str, expected: &[&str]) {
        let found: Vec<_> = paths(&tokens(source)).into_iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_go_into_groups() {
        check_paths(
            "use std::{fs, time::{Duration, Instant as Now}};",
            &[
                "std::fs",
                "std::time::Duration",
                "std::time::Instant",
                "std::time::as",
                "std::time::Now",
                "time::Duration",
                "time::Instant",
                "time::as",
                "time::Now",
            ],
        );
        check_paths(
            "fn f() { ::std::thread::spawn(x); a.b; Vec::<u8>::new() }",
            &["std::thread::spawn", "Vec"],
        );
        check_paths("use a::*;", &["a::*"]);
    }

    #[test]
    fn docs_and_comments_are_no_code() {
        let source =
            "//! Über.\n\n/// Doc\n/* block */ // line\n#[doc = \"x\"]\nfn f() {\n    \"a\n    b\";\n}\n";
        assert_eq!(code_lines(&tokens(source)), 5);
        assert!(in_literal(&tokens(source), 8), "line 8 is inside the string");
    }

    #[test]
    fn test_modules_are_left_out() {
        let source = "fn a() {}\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n fn b() {}\n}\n#[cfg(not(test))]\nmod c {}\n";
        let rest = without_tests(&tokens(source));
        assert!(
            rest.iter().any(|token| token.is("c")) && !rest.iter().any(|token| token.is("b")),
            "{rest:?}"
        );
    }

    #[test]
    fn attributes_stand_before_their_item() {
        let tokens = tokens("#[a] fn x() {} #[b] #[c(d)] impl Y {}");
        let item = tokens.iter().position(|token| token.is("impl")).expect("there is one");
        let before: Vec<_> = attributes_before(&tokens, item).iter().filter_map(Token::word).collect();
        assert_eq!(before, ["b", "c", "d"]);
    }
}
