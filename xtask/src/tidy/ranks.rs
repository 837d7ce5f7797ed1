//! Ranks: arrows between our crates point strictly down, and the same rank never touches.
//!
//! Tests may also reach sideways, those of macros up to what their macros call, and every crate may test with `cache-testkit`. The packages outside the ranks (tools
//! of the repository) may use anything, and no crate may use them.

use cargo_metadata::{Dependency, DependencyKind, Target};

use super::Violation;
use super::tree::{Member, Tree};

const RANKS: [(&str, u8); 14] = [
    ("cache-core", 0),
    ("cache-policy", 0),
    ("cache-macros", 0),
    ("cache-memory", 1),
    ("cache-disk", 1),
    ("cache-redis", 1),
    ("cache-invalidation", 1),
    ("cache-ratelimit", 1),
    (TESTKIT, 1),
    ("strata", 2),
    ("cache-http", 3),
    ("cache-refresh", 3),
    ("cache-server", 4),
    ("cache-cli", 4),
];

const OUTSIDE: [&str; 5] = ["xtask", "fuzz", "measure", "peers", "sim"];
const TESTKIT: &str = "cache-testkit";

/// Whether this package is a tool of the repository rather than a crate of the product.
pub(super) fn is_outside(package: &str) -> bool {
    OUTSIDE.contains(&package)
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in tree.members.iter().filter(|member| !is_outside(member.name())) {
        let Some(rank) = rank(member.name()) else {
            let message = format!("`{}` has no rank; give it one in xtask/src/tidy/ranks.rs", member.name());
            found.push(Violation::new(member.manifest(), 1, message));
            continue;
        };
        let ours =
            |dependency: &&Dependency| tree.members.iter().any(|other| other.name() == dependency.name);
        for dependency in member.package.dependencies.iter().filter(ours) {
            if let Some(reason) = forbidden(member, rank, dependency) {
                found.push(violation(tree, member, dependency, &reason));
            }
        }
    }
    found
}

fn rank(package: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == package).map(|(_, rank)| *rank)
}

/// Why a crate of this rank must not have this dependency.
fn forbidden(member: &Member, from: u8, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    let in_tests = dependency.kind == DependencyKind::Development;
    let Some(to) = rank(name) else {
        return is_outside(name).then(|| "it is a tool of the repository, which no crate may use".to_owned());
    };
    if name == TESTKIT {
        return (!in_tests).then(|| "it is for tests: make it a dev-dependency".to_owned());
    }
    let writes_calls = member.package.targets.iter().any(Target::is_proc_macro);
    let down = to < from || in_tests && (to == from || writes_calls);
    let way_out = "depend on lower ranks only, or move what both need down to one of them";
    (!down).then(|| format!("it has rank {to}, and this crate has rank {from}: {way_out}"))
}

fn violation(tree: &Tree, member: &Member, dependency: &Dependency, reason: &str) -> Violation {
    let manifest = member.manifest();
    let line = tree.file(&manifest).map_or(1, |file| file.line_beginning(&dependency.name));
    Violation::new(
        manifest,
        line,
        format!("`{}` must not use `{}`: {reason}", member.name(), dependency.name),
    )
}
