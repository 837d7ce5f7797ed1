//! Unsafe: only in the modules of a written list, which has no idle entries.

use super::Violation;
use super::tree::{File, Tree};

const LIST: &str = "xtask/src/tidy/unsafe_modules.txt";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let listed = tree.listed(LIST);
    let unlisted = |file: &&File| listed.iter().all(|(_, path)| *path != file.path);
    let loose = tree.rust_files().filter(unlisted).filter_map(|file| {
        let message =
            format!("`unsafe` outside the modules of {LIST}; find a safe way, or argue for the entry");
        Some(Violation::at(file, first_unsafe(file)?, message))
    });
    let idle = listed.iter().filter(|(_, path)| tree.file(path).and_then(first_unsafe).is_none());
    let idle =
        idle.map(|(line, _)| Violation::new(LIST, *line, "there is no unsafe code here; remove the line"));
    loose.chain(idle).collect()
}

/// The line of the first `unsafe`, be it a block, a function or an attribute.
fn first_unsafe(file: &File) -> Option<usize> {
    file.tokens.iter().find(|token| token.is("unsafe")).map(|token| token.line)
}
