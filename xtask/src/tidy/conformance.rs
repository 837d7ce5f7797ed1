//! Conformance: every implementation of a seam answers the seam's whole suite, in its own crate's tests.
//!
//! A test that puts the suite to a type says so, `// conformance: Store for MemoryStore`, above or inside a function
//! that carries a `test` attribute, calls `store::all(…)` once per such line, and names the type in some spelling.
//! An implementation without such a test breaks the rule, and so does such a line without its implementation.

use super::Violation;
use super::seam_impls::{self, SEAMS, Seam, SeamImpl, TESTKIT};
use super::suites::SUITES;
use super::tokens::{self, Token, is};
use super::tree::{File, Member, Tree};

const MARK: &str = "// conformance:";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let members = tree.members.iter().filter(|member| member.name() != TESTKIT);
    members.flat_map(|member| in_crate(tree, member)).collect()
}

fn in_crate(tree: &Tree, member: &Member) -> Vec<Violation> {
    let impls = seam_impls::of_crate(tree, member);
    let claims: Vec<Claim> = tree
        .below(&format!("{}/tests", member.folder))
        .filter(|file| file.is_rust())
        .flat_map(claims)
        .collect();
    let unasked = impls.iter().filter(|it| !claims.iter().any(|claim| claim.is_about(it)));
    let mut found: Vec<Violation> = unasked.map(|it| unasked_violation(tree, member, it)).collect();
    for claim in &claims {
        let known = impls.iter().any(|it| claim.is_about(it));
        let idle = (!known).then(|| format!("this crate has no `impl {}`; remove the line", claim.text));
        if let Some(message) = idle.or_else(|| claim.objection(&claims)) {
            found.push(Violation::at(claim.file, claim.line, message));
        }
    }
    found
}

fn unasked_violation(tree: &Tree, member: &Member, it: &SeamImpl) -> Violation {
    let Seam { name, suite } = it.seam;
    let message = if tree.file(&format!("{SUITES}/{suite}.rs")).is_some() {
        let mark = format!("{MARK} {name} for {}", it.type_name);
        format!(
            "no test puts the suite to it; call `suite::{suite}::all(…)` in {}/tests under `{mark}`",
            member.folder
        )
    } else {
        format!("`{name}` has no suite; write {SUITES}/{suite}.rs")
    };
    Violation::at(it.file, it.line, message)
}

/// A line that says: the test here puts this suite to this type.
struct Claim<'a> {
    text: &'a str,
    seam: &'a str,
    type_name: &'a str,
    file: &'a File,
    line: usize,
}

impl Claim<'_> {
    fn is_about(&self, it: &SeamImpl) -> bool {
        self.seam == it.seam.name && self.type_name == it.type_name
    }

    /// Why the test does not do what the line says.
    fn objection(&self, claims: &[Claim]) -> Option<String> {
        let suite = SEAMS.iter().find(|seam| seam.name == self.seam)?.suite;
        let Some(function) = test_at(&self.file.tokens, self.line) else {
            return Some("no function with a `test` attribute follows; move the line to its test".to_owned());
        };
        let same_test = |claim: &&Claim| {
            claim.file.path == self.file.path && claim.seam == self.seam && claim.line <= self.line
        };
        let earlier = claims
            .iter()
            .filter(same_test)
            .filter(|claim| test_at(&claim.file.tokens, claim.line) == Some(function));
        if calls_of(function, suite) < earlier.count() {
            Some(format!("the test lacks a call of `suite::{suite}::all(…)` for this line"))
        } else if !names(function, self.type_name) {
            Some(format!(
                "the test does not name `{}`; make it there, so that the reader sees it",
                self.type_name
            ))
        } else {
            None
        }
    }
}

fn claims(file: &File) -> impl Iterator<Item = Claim<'_>> {
    file.lines().filter(|(line, _)| !tokens::in_literal(&file.tokens, *line)).filter_map(|(line, text)| {
        let text = text.trim().strip_prefix(MARK)?.trim();
        let (seam, type_name) = text.split_once(" for ")?;
        Some(Claim { text, seam, type_name, file, line })
    })
}

/// The body of the function that this line is in or, failing that, of the next one; only if it is a test.
fn test_at(tokens: &[Token], line: usize) -> Option<&[Token]> {
    let named =
        |at: &usize| is(tokens, *at, "fn") && tokens.get(at + 1).is_some_and(|next| next.word().is_some());
    for at in (0..tokens.len()).filter(named) {
        let open = at + tokens[at..].iter().position(|token| token.is("{"))?;
        let close = tokens::closing(tokens, open);
        if tokens[close].line >= line {
            let item = if is(tokens, at.wrapping_sub(1), "async") { at - 1 } else { at };
            let attributes = tokens::attributes_before(tokens, item);
            return attributes.iter().any(|token| token.is("test")).then_some(&tokens[open..close]);
        }
    }
    None
}

fn calls_of(body: &[Token], suite: &str) -> usize {
    let call = |at: &usize| is(body, *at, suite) && is(body, at + 1, "::") && is(body, at + 2, "all");
    (0..body.len()).filter(call).count()
}

/// Whether a word of the body contains the type's name in any spelling: `Retry`, `RetryLayer`, `retry`.
fn names(body: &[Token], type_name: &str) -> bool {
    let plain = |name: &str| {
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>()
    };
    let wanted = plain(type_name);
    body.iter().filter_map(Token::word).any(|word| plain(word).contains(&wanted))
}
