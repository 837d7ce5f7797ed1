//! File size: at most 400 code lines. Blank lines, comments and `#[cfg(test)]` modules do not count.
//!
//! A larger file stands on a written list with its size (`path lines`), and that list may only shrink.

use super::Violation;
use super::tokens;
use super::tree::{File, Tree};

const LIMIT: usize = 400;
/// How far a listed file may fall below its listed size before the list must follow.
const SLACK: usize = 10;
const LIST: &str = "xtask/src/tidy/oversize.txt";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let listed: Vec<(usize, &str, usize)> = tree.listed(LIST).into_iter().map(entry).collect();
    let too_large = tree.rust_files().filter_map(|file| {
        let limit =
            listed.iter().find(|(_, path, _)| *path == file.path).map_or(LIMIT, |(_, _, limit)| *limit);
        let lines = code_lines(file);
        let message =
            format!("{lines} code lines, at most {limit} are allowed; split it by what changes together");
        (lines > limit).then(|| Violation::at(file, 1, message))
    });
    let stale = listed
        .iter()
        .filter_map(|(line, path, limit)| Some(Violation::new(LIST, *line, stale(tree.file(path), *limit)?)));
    too_large.chain(stale).collect()
}

/// A line of the list; a missing or broken number counts as zero, which no file meets.
fn entry((line, entry): (usize, &str)) -> (usize, &str, usize) {
    let (path, limit) = entry.split_once(' ').unwrap_or((entry, ""));
    (line, path, limit.trim().parse().unwrap_or(0))
}

/// Why this line of the list must change.
fn stale(file: Option<&File>, limit: usize) -> Option<String> {
    let Some(lines) = file.map(code_lines) else { return Some("no such file; remove the line".to_owned()) };
    if lines <= LIMIT {
        return Some(format!("the file is down to {lines} code lines; remove the line"));
    }
    (lines + SLACK < limit)
        .then(|| format!("the file is down to {lines} code lines; shrink the list to that"))
}

fn code_lines(file: &File) -> usize {
    tokens::code_lines(&tokens::without_tests(&file.tokens))
}
