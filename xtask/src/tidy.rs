//! `cargo xtask tidy`: the project's law, one rule per file.
//!
//! A rule is a function from the repository as it stands on disk to what it finds wrong there. Rules read; none of them
//! changes anything. Everything found is printed with the place and what to do about it.
//!
//! ```text
//! tree (files, crates) ──► rule ──► violations        tokens, seam_impls: how a rule reads
//! ```

mod attributes;
mod conformance;
mod dependencies;
mod documents;
mod file_size;
mod globs;
mod links;
mod manifests;
mod markers;
mod memory_only;
mod module_docs;
mod names;
mod outside;
mod places;
mod purity;
mod ranks;
mod readme;
mod readme_numbers;
mod scenarios;
mod seam_impls;
mod suites;
mod supply;
mod syntax;
mod tokens;
pub(crate) mod tree;
mod unsafe_code;
mod wrappers;

use std::path::Path;

use self::tree::{File, Tree};
use crate::run::{Failure, Outcome};

/// One rule of the law.
struct Rule {
    name: &'static str,
    demands: &'static str,
    check: fn(&Tree) -> Vec<Violation>,
}

/// A place that breaks a rule, and how to mend it.
#[derive(Debug)]
struct Violation {
    path: String,
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, message: message.into() }
    }

    fn at(file: &File, line: usize, message: impl Into<String>) -> Self {
        Self::new(&file.path, line, message)
    }
}

#[rustfmt::skip]
const RULES: [Rule; 24] = [
    Rule { name: "ranks", demands: "a crate depends only on crates of lower rank", check: ranks::check },
    Rule { name: "outside", demands: "one crate knows one outside thing", check: outside::check },
    Rule { name: "memory-only", demands: "cache-memory compiles no runtime and no client", check: memory_only::check },
    Rule { name: "purity", demands: "cache-policy does no I/O, reads no clock, takes no lock", check: purity::check },
    Rule { name: "manifests", demands: "crates inherit versions and lints, and describe themselves", check: manifests::check },
    Rule { name: "dependencies", demands: "every dependency is used, and explained in the docs", check: dependencies::check },
    Rule { name: "supply", demands: "what is locked is from the registry, free, and not known to be broken", check: supply::check },
    Rule { name: "syntax", demands: "every Rust file can be read", check: syntax::check },
    Rule { name: "module-docs", demands: "every Rust file starts with `//!`", check: module_docs::check },
    Rule { name: "file-size", demands: "a file has at most 400 code lines", check: file_size::check },
    Rule { name: "names", demands: "no banned words in file and type names", check: names::check },
    Rule { name: "markers", demands: "open work has an issue", check: markers::check },
    Rule { name: "attributes", demands: "lints are expected with a reason, tests are not ignored", check: attributes::check },
    Rule { name: "globs", demands: "no glob imports outside tests and preludes", check: globs::check },
    Rule { name: "unsafe", demands: "unsafe code only in the listed modules", check: unsafe_code::check },
    Rule { name: "places", demands: "no machine paths, no registry hosts", check: places::check },
    Rule { name: "suites", demands: "a suite's `all` runs every function of the suite", check: suites::check },
    Rule { name: "conformance", demands: "every seam implementation runs the seam's suite", check: conformance::check },
    Rule { name: "wrappers", demands: "a wrapper cannot forget a method of its seam", check: wrappers::check },
    Rule { name: "scenarios", demands: "every promised behaviour names a test that exists", check: scenarios::check },
    Rule { name: "links", demands: "links in Markdown and docs lead somewhere", check: links::check },
    Rule { name: "readme", demands: "every code block of the README is run or checked", check: readme::check },
    Rule { name: "readme-numbers", demands: "ratios in the README cite a stored result", check: readme_numbers::check },
    Rule { name: "documents", demands: "the expected documents exist", check: documents::check },
];

/// Prints the rules.
pub(crate) fn list() {
    for Rule { name, demands, .. } in &RULES {
        println!("{name:<15} {demands}");
    }
}

/// Checks the repository at `root` by the named rules, or by all, and fails if anything breaks one.
pub(crate) fn run(root: &Path, only: &[String]) -> Outcome {
    if let Some(unknown) = only.iter().find(|name| RULES.iter().all(|rule| rule.name != **name)) {
        return Err(Failure::new(format!(
            "--only {unknown}: no such rule; `cargo xtask tidy --list` shows them"
        )));
    }
    let tree = Tree::load(root)?;
    let mut found = 0;
    for rule in RULES.iter().filter(|rule| only.is_empty() || only.iter().any(|name| name == rule.name)) {
        for Violation { path, line, message } in (rule.check)(&tree) {
            println!("{path}:{line}: {}: {message}", rule.name);
            found += 1;
        }
    }
    match found {
        0 => {
            println!("tidy: {} files are clean", tree.files.len());
            Ok(())
        }
        1 => Err(Failure::new("tidy found one violation")),
        _ => Err(Failure::new(format!("tidy found {found} violations"))),
    }
}
