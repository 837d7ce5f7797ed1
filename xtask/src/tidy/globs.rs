//! Globs: a glob import hides where a name comes from. Tests and preludes may have them.

use super::Violation;
use super::tokens::{Token, is};
use super::tree::{File, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.rust_files().filter(|file| !is_prelude(file)) {
        for import in imports(&file.shipped).filter(|import| has_glob(import)) {
            found.push(Violation::at(file, import[0].line, "name what you import instead of `*`"));
        }
    }
    found
}

fn is_prelude(file: &File) -> bool {
    file.path.ends_with("/prelude.rs")
}

/// Each `use` up to its semicolon; `use<…>` in a type is not one.
fn imports(tokens: &[Token]) -> impl Iterator<Item = &[Token]> {
    let starts = (0..tokens.len()).filter(|at| is(tokens, *at, "use") && !is(tokens, at + 1, "<"));
    starts.map(|start| {
        let length = tokens[start..].iter().position(|token| token.is(";")).unwrap_or(1);
        &tokens[start..start + length]
    })
}

fn has_glob(import: &[Token]) -> bool {
    let from_prelude = |at: usize| at >= 2 && is(import, at - 2, "prelude");
    (0..import.len()).any(|at| is(import, at, "*") && !from_prelude(at))
}
