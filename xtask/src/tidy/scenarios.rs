//! Scenarios: each behaviour in `docs/scenarios.md` names the tests that show it, and those tests are there.
//!
//! A row is `| id | behaviour | shown by |`. Its last cell names tests, as `folder/file.rs::name` in backticks, or says
//! what the behaviour waits for, or why it is not offered.

use std::collections::BTreeSet;

use super::Violation;
use super::tokens::{Token, is};
use super::tree::{File, Tree};

const TABLE: &str = "docs/scenarios.md";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(table) = tree.file(TABLE) else {
        let message = "is missing; write a table with a row for each behaviour that is promised";
        return vec![Violation::new(TABLE, 1, message)];
    };
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for (line, text) in table.lines() {
        let Some((id, shown_by)) = row(text) else { continue };
        let message = if known.insert(id) {
            objection(tree, shown_by)
        } else {
            Some(format!("there is another row {id}; make them one"))
        };
        found.extend(message.map(|message| Violation::at(table, line, message)));
    }
    found
}

/// The id and the last cell, if the line is a row with an id: letters, then digits.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.trim().strip_prefix('|')?.strip_suffix('|')?.split(" | ").map(str::trim);
    let (id, shown_by) = (cells.next()?, cells.last()?);
    let digits = id.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let is_id = digits.len() < id.len() && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_id.then_some((id, shown_by))
}

/// What is wrong with a last cell.
fn objection(tree: &Tree, shown_by: &str) -> Option<String> {
    let tests: Vec<(&str, &str)> = quoted(shown_by).filter_map(|text| text.split_once(".rs::")).collect();
    if tests.is_empty() {
        let excused = ["waits for ", "not offered: "].iter().any(|words| shown_by.starts_with(words));
        let message = "name a test as `folder/file.rs::name`, or begin with `waits for` or `not offered:`";
        return (!excused).then(|| message.to_owned());
    }
    tests.into_iter().find_map(|(path, name)| {
        let path = format!("{path}.rs");
        let Some(file) = tree.file(&path) else {
            return Some(format!("there is no `{path}`; name the file in which the test is now"));
        };
        (!has_test(file, name))
            .then(|| format!("`{path}` has no test `{name}`; name the one that shows this now"))
    })
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether there is a function of this name, or a macro is given the name for one.
fn has_test(file: &File, name: &str) -> bool {
    let tokens: &[Token] = &file.tokens;
    let named = |at: &usize| {
        is(tokens, *at, name) && (is(tokens, at.wrapping_sub(1), "fn") || is(tokens, at + 1, ":"))
    };
    (0..tokens.len()).any(|at| named(&at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_an_id_and_a_last_cell() {
        assert_eq!(row("| C01 | a \\| b | `x.rs::y` |"), Some(("C01", "`x.rs::y`")));
        assert_eq!(row("| I10b | x | y |"), None);
        assert_eq!(row("| id | behaviour | shown by |"), None);
        assert_eq!(row("|---|---|---|"), None);
        assert_eq!(row("C01 is a row"), None);
    }

    #[test]
    fn what_is_quoted_is_found() {
        assert_eq!(quoted("`a::b`, and `c`; d").collect::<Vec<_>>(), ["a::b", "c"]);
        assert_eq!(quoted("none").count(), 0);
    }
}
