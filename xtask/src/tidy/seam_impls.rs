//! Implementations of the seams: which type of which crate implements which seam, and whether it wraps another.
//!
//! Found by their first line, `impl<…> Seam for Type`; code that a macro writes is not seen.

use std::collections::BTreeSet;

use super::tokens::{self, Token, is};
use super::tree::{File, Member, Tree};

/// A trait that backends implement, and the suite that puts its questions to them.
#[derive(Debug)]
pub(crate) struct Seam {
    pub(crate) name: &'static str,
    /// The module of `cache-testkit/src/suite`.
    pub(crate) suite: &'static str,
}

pub(crate) const SEAMS: [Seam; 4] = [
    Seam { name: "Store", suite: "store" },
    Seam { name: "Transport", suite: "transport" },
    Seam { name: "Counters", suite: "counters" },
    Seam { name: "Lease", suite: "lease" },
];

/// The crate that asks the questions, and so need not answer them.
pub(crate) const TESTKIT: &str = "cache-testkit";

/// One `impl Seam for Type` outside tests.
pub(crate) struct SeamImpl<'a> {
    pub(crate) seam: &'static Seam,
    /// The type's last segment without generics, or `&S` for a reference.
    pub(crate) type_name: String,
    pub(crate) file: &'a File,
    pub(crate) line: usize,
    /// The tokens of the attributes on the `impl`.
    pub(crate) attributes: &'a [Token],
    /// Whether the type holds another implementation of a seam.
    pub(crate) wraps: bool,
}

/// The implementations in the shipped sources of a crate.
pub(crate) fn of_crate<'a>(tree: &'a Tree, member: &Member) -> Vec<SeamImpl<'a>> {
    let files: Vec<&File> = tree.below(&format!("{}/src", member.folder)).collect();
    let holders = holders(&files);
    let mut found = Vec::new();
    for file in files {
        for at in (0..file.shipped.len()).filter(|at| begins_impl(&file.shipped, *at)) {
            found.extend(read(file, at, &holders));
        }
    }
    found
}

/// Whether an `impl` item begins here, rather than a type such as `-> impl Store`.
fn begins_impl(tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let at_item = before.is_none_or(|token| ["}", ";", "]", "{", "unsafe"].iter().any(|mark| token.is(mark)));
    at_item && is(tokens, at, "impl")
}

fn read<'a>(file: &'a File, at: usize, holders: &BTreeSet<&str>) -> Option<SeamImpl<'a>> {
    let tokens = &file.shipped;
    let end = at + tokens[at..].iter().position(|token| token.is("{"))?;
    let head = &tokens[at + 1..end];
    let trait_at = if is(head, 0, "<") { after_generics(head) } else { 0 };
    let for_at = trait_at + head[trait_at..].iter().position(|token| token.is("for"))?;
    let trait_name = head[trait_at..for_at].iter().take_while(|token| !token.is("<")).last()?;
    let seam = const { &SEAMS }.iter().find(|seam| trait_name.is(seam.name))?;
    let type_name = type_name(&head[for_at + 1..]);
    let generics = [&head[..trait_at], &head[for_at..]].concat();
    let wraps = generics.iter().any(is_seam) || holders.contains(type_name.as_str());
    let attributes = tokens::attributes_before(tokens, at);
    Some(SeamImpl { seam, type_name, file, line: tokens[at].line, attributes, wraps })
}

/// The index after the `>` that closes the `<` at the start. The `>` of an arrow closes nothing.
fn after_generics(head: &[Token]) -> usize {
    let mut depth = 0;
    for at in 0..head.len() {
        let arrow = at > 0 && is(head, at - 1, "-");
        depth += i32::from(is(head, at, "<")) - i32::from(is(head, at, ">") && !arrow);
        if depth == 0 {
            return at + 1;
        }
    }
    head.len()
}

fn type_name(tokens: &[Token]) -> String {
    let bare = tokens.iter().take_while(|token| !token.is("<") && !token.is("where"));
    let mut name = String::new();
    for token in bare {
        if token.is("::") { name.clear() } else { name += &token.text }
    }
    name
}

/// The types that hold a seam, be it inside another type of the crate: `struct Retry<S: Store>`,
/// `struct Tiers(Arc<Inner>)` with `struct Inner(Box<dyn Store>)`.
fn holders<'a>(files: &[&'a File]) -> BTreeSet<&'a str> {
    let declared: Vec<(&str, &[Token])> = files.iter().flat_map(|file| declarations(&file.shipped)).collect();
    let mut holders: BTreeSet<&str> = BTreeSet::new();
    loop {
        let holds =
            |body: &[Token]| body.iter().any(|token| is_seam(token) || holders.contains(token.text.as_str()));
        let grown =
            declared.iter().filter(|(_, body)| holds(body)).map(|(name, _)| *name).collect::<BTreeSet<_>>();
        if grown.len() == holders.len() {
            return holders;
        }
        holders = grown;
    }
}

/// The types that these tokens declare, with what stands between the name and the end.
fn declarations(tokens: &[Token]) -> impl Iterator<Item = (&str, &[Token])> {
    let declares = |at: &usize| ["struct", "enum", "type"].iter().any(|keyword| is(tokens, *at, keyword));
    (0..tokens.len()).filter(declares).filter_map(|at| {
        let name = tokens.get(at + 1)?.word()?;
        Some((name, tokens.get(at + 2..end_of_declaration(tokens, at))?))
    })
}

/// The end of a declaration: its semicolon, or the brace that closes its fields.
fn end_of_declaration(tokens: &[Token], at: usize) -> usize {
    let stop =
        tokens[at..].iter().position(|token| token.is(";") || token.is("{")).map_or(at, |length| at + length);
    if is(tokens, stop, "{") { tokens::closing(tokens, stop) } else { stop }
}

fn is_seam(token: &Token) -> bool {
    SEAMS.iter().any(|seam| token.is(seam.name))
}
