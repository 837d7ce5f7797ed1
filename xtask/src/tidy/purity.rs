//! Purity: `cache-policy` decides from what it is given. It does no I/O, reads no clock and takes no lock.

use super::Violation;
use super::tokens;
use super::tree::Tree;

const PURE: &str = "cache-policy/src";

/// Paths that stand for a world outside the arguments; each is found anywhere inside a longer path.
const IMPURE: [&[&str]; 12] = [
    &["std", "env"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["time", "Instant"],
    &["time", "SystemTime"],
    &["sync", "Condvar"],
    &["sync", "Mutex"],
    &["sync", "RwLock"],
    &["parking_lot"],
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.below(PURE) {
        for path in tokens::paths(&file.shipped) {
            let impure = |banned: &&&[&str]| path.segments.windows(banned.len()).any(|part| part == **banned);
            if let Some(banned) = IMPURE.iter().find(impure) {
                let message =
                    format!("`{}` in a crate of pure decisions; pass the value in", banned.join("::"));
                found.push(Violation::at(file, path.line, message));
            }
        }
    }
    found
}
