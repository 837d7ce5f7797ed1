//! Manifests: what is true of every crate stands once, in the root; a crate says what it is and what it uses.

use toml::{Table, Value};

use super::Violation;
use super::tree::{File, Tree};

const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];
const DEPENDENCIES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let manifests = tree.members.iter().filter_map(|member| tree.file(&member.manifest()));
    manifests.flat_map(in_manifest).collect()
}

/// Every dependency of a manifest, whatever its kind and target.
pub(super) fn dependencies(manifest: &Table) -> Vec<(&str, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let places = [manifest].into_iter().chain(targets.filter_map(Value::as_table));
    let sections =
        places.flat_map(|place| DEPENDENCIES.iter().filter_map(|name| place.get(*name)?.as_table()));
    sections.flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

fn in_manifest(file: &File) -> Vec<Violation> {
    let manifest: Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Violation::at(file, 1, format!("cannot be read as TOML: {error}"))],
    };
    let package = manifest.get("package").and_then(Value::as_table);
    let mut found = Vec::new();
    for key in INHERITED {
        if !package.and_then(|package| package.get(key)).is_some_and(is_inherited) {
            found.push(Violation::at(
                file,
                file.line_beginning(key),
                format!("write `{key}.workspace = true`"),
            ));
        }
    }
    let description = package.and_then(|package| package.get("description")).and_then(Value::as_str);
    if description.is_none_or(|text| text.trim().is_empty()) {
        found.push(Violation::at(file, 1, "`description` is missing; say in one line what the crate is"));
    }
    if !manifest.get("lints").is_some_and(is_inherited) {
        found.push(Violation::at(file, 1, "write `[lints] workspace = true`"));
    }
    for (name, _) in dependencies(&manifest).into_iter().filter(|(_, value)| !is_inherited(value)) {
        let message = format!("move the version to the root manifest, and write `{name}.workspace = true`");
        found.push(Violation::at(file, file.line_beginning(name), message));
    }
    found
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}
