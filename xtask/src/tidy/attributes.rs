//! Attributes: a lint is silenced by `expect` with a reason, so that it speaks up when the cause is gone, and no test
//! is switched off.

use super::Violation;
use super::tokens::{self, Token, is};
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.rust_files() {
        for attribute in tokens::attributes(&file.tokens) {
            if let Some(message) = objection(attribute) {
                found.push(Violation::at(file, attribute[0].line, message));
            }
        }
    }
    found
}

fn objection(attribute: &[Token]) -> Option<&'static str> {
    let called = |name: &str| attribute.windows(2).any(|pair| pair[0].is(name) && pair[1].is("("));
    let has = |name: &str| attribute.iter().any(|token| token.is(name));
    if called("allow") {
        Some("write `#[expect(lint, reason = \"…\")]` instead of `allow`, or better mend the cause")
    } else if called("expect") && !has("reason") {
        Some("say why: `#[expect(lint, reason = \"…\")]`")
    } else if is(attribute, 2, "ignore") || is(attribute, 2, "cfg_attr") && has("ignore") {
        Some("a test is never ignored; make it run, or remove it")
    } else {
        None
    }
}
