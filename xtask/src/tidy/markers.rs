//! Markers: open work stands in an issue, and the code points there. What must be fixed never reaches main.
//!
//! A marker in quotes or backticks is talk about markers, and allowed.

use super::Violation;
use super::tree::{File, Tree};

const NEVER: &str = "FIXME";
const WITH_ISSUE: &str = "TODO";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    tree.files.iter().flat_map(in_file).collect()
}

fn in_file(file: &File) -> impl Iterator<Item = Violation> {
    file.lines().filter_map(|(line, text)| {
        let message = if marks(text, NEVER) {
            format!("`{NEVER}` never reaches main; fix it")
        } else if marks(text, WITH_ISSUE) && !names_an_issue(text) {
            format!("`{WITH_ISSUE}` without an issue; do it, or write `{WITH_ISSUE}(#12)`")
        } else {
            return None;
        };
        Some(Violation::at(file, line, message))
    })
}

fn marks(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
        !before.is_some_and(|c| part_of_name(c) || "`\"'".contains(c)) && !after.is_some_and(part_of_name)
    })
}

/// Whether the line holds something like `#12` or `/issues/12`.
fn names_an_issue(line: &str) -> bool {
    let number_follows =
        |(at, mark): (usize, &str)| line[at + mark.len()..].starts_with(|c: char| c.is_ascii_digit());
    line.match_indices('#').chain(line.match_indices("/issues/")).any(number_follows)
}
