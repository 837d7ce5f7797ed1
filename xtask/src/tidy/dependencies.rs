//! Dependencies: the root's table, its explanation in `docs/dependencies.md` and the crates' use of it agree.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Violation;
use super::manifests;
use super::tree::{File, Tree};

const ROOT: &str = "Cargo.toml";
const DOCS: &str = "docs/dependencies.md";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(root) = tree.file(ROOT) else { return vec![Violation::new(ROOT, 1, "is missing")] };
    let manifest = table(root);
    let Some(declared) =
        manifest.get("workspace").and_then(|it| it.get("dependencies")).and_then(Value::as_table)
    else {
        return Vec::new();
    };
    let ours = |(_, value): &(&String, &Value)| value.get("path").is_some();
    let external: BTreeSet<&str> =
        declared.iter().filter(|it| !ours(it)).map(|(name, _)| name.as_str()).collect();
    let mut found = unused(tree, root, declared);
    found.extend(unexplained(tree, root, &external));
    found
}

/// Declared in the root, but by no crate.
fn unused(tree: &Tree, root: &File, declared: &Table) -> Vec<Violation> {
    let members: Vec<Table> =
        tree.members.iter().filter_map(|member| tree.file(&member.manifest())).map(table).collect();
    let used: BTreeSet<&str> =
        members.iter().flat_map(manifests::dependencies).map(|(name, _)| name).collect();
    let idle = declared.keys().filter(|name| !used.contains(name.as_str()));
    idle.map(|name| {
        Violation::at(root, root.line_beginning(name), format!("no crate uses `{name}`; remove it"))
    })
    .collect()
}

/// Declared without a row in the docs, or the other way round.
fn unexplained(tree: &Tree, root: &File, external: &BTreeSet<&str>) -> Vec<Violation> {
    let Some(docs) = tree.file(DOCS) else {
        let message =
            "is missing; write a table with a row for each external dependency, its name in backticks";
        return if external.is_empty() { Vec::new() } else { vec![Violation::new(DOCS, 1, message)] };
    };
    let rows: Vec<(usize, &str)> = docs.lines().filter_map(row).collect();
    let silent = external.iter().filter(|name| rows.iter().all(|(_, row)| row != *name)).map(|name| {
        let message =
            format!("`{name}` has no row in {DOCS}; say there what it does and what we would write instead");
        Violation::at(root, root.line_beginning(name), message)
    });
    let stale = rows.iter().filter(|(_, name)| !external.contains(name)).map(|(line, name)| {
        Violation::new(DOCS, *line, format!("`{name}` is no dependency of the workspace; remove the row"))
    });
    silent.chain(stale).collect()
}

/// The crate's name if the line is a table row that starts with one in backticks.
fn row((number, line): (usize, &str)) -> Option<(usize, &str)> {
    let cell = line.trim_start().strip_prefix('|')?.split('|').next()?.trim();
    Some((number, cell.strip_prefix('`')?.strip_suffix('`')?))
}

/// An unreadable manifest counts as empty here; cargo and the rule on manifests report it.
fn table(file: &File) -> Table {
    file.text.parse().unwrap_or_default()
}
