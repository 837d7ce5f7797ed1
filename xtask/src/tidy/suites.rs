//! Suites: in each file of `cache-testkit/src/suite`, the function `all` runs every other public `async fn`.
//!
//! Backends call `all`, so a question that it leaves out is put to nobody. Where a suite is split, `store/tags.rs` has
//! an `all` of its own, which `all` in `store.rs` runs as `tags::all(…)`.

use super::Violation;
use super::tokens::{self, Token, is};
use super::tree::{File, Tree};

pub(super) const SUITES: &str = "cache-testkit/src/suite";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.below(SUITES).filter(|file| file.is_rust()) {
        let functions = public_async_functions(&file.shipped);
        for function in functions.iter().filter(|function| !is_run(tree, file, &functions, function)) {
            let message =
                format!("no `all` runs `{}`; call it there, so that every backend is asked", function.name);
            found.push(Violation::at(file, function.line, message));
        }
    }
    found
}

/// Whether `all` runs the function or, of a part of a suite, whether the suite runs the part.
fn is_run(tree: &Tree, file: &File, functions: &[Function], function: &Function) -> bool {
    if function.name != "all" {
        return functions.iter().any(|all| all.name == "all" && all.calls(&[&function.name]));
    }
    let (folder, part) = file.path.trim_end_matches(".rs").rsplit_once('/').unwrap_or_default();
    let suite = tree.file(&format!("{folder}.rs")).filter(|_| folder != SUITES);
    let whole = suite.map(|suite| public_async_functions(&suite.shipped)).unwrap_or_default();
    suite.is_none() || whole.iter().any(|all| all.name == "all" && all.calls(&[part, "::", "all"]))
}

#[derive(Debug)]
struct Function<'a> {
    name: String,
    line: usize,
    body: &'a [Token],
}

impl Function<'_> {
    fn calls(&self, path: &[&str]) -> bool {
        let named =
            |at: usize| path.iter().enumerate().all(|(offset, word)| is(self.body, at + offset, word));
        let followed = |at: usize| ["(", "::"].iter().any(|mark| is(self.body, at + path.len(), mark));
        (0..self.body.len()).any(|at| named(at) && followed(at))
    }
}

fn public_async_functions(tokens: &[Token]) -> Vec<Function<'_>> {
    let starts = (0..tokens.len()).filter(|at| {
        ["pub", "async", "fn"].iter().enumerate().all(|(offset, word)| is(tokens, at + offset, word))
    });
    let function = |at: usize| {
        let name = tokens.get(at + 3)?;
        let open = at + tokens[at..].iter().position(|token| token.is("{"))?;
        let body = &tokens[open..tokens::closing(tokens, open)];
        Some(Function { name: name.text.clone(), line: name.line, body })
    };
    starts.filter_map(function).collect()
}
