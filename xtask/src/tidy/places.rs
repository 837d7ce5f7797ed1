//! Places: nothing in the repository knows the machine it was written on, nor where packages come from.

use super::Violation;
use super::tree::Tree;

// Each is written in two pieces, so that this file does not contain it.
const FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
const HOSTS: [&str; 5] = [
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("pypi", ".org"),
    concat!("deb.", "debian.org"),
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in &tree.files {
        for (line, text) in file.lines() {
            if let Some(folder) = FOLDERS.iter().find(|folder| begins_a_path(text, folder)) {
                let message = format!("`{folder}…` is a place on one machine; use a relative path");
                found.push(Violation::at(file, line, message));
            }
            if let Some(host) = HOSTS.iter().find(|host| text.contains(**host)) {
                let message = format!("`{host}` is a registry's host; leave it to the user's configuration");
                found.push(Violation::at(file, line, message));
            }
        }
    }
    found
}

/// Whether the folder stands at the start of a path, and not inside a longer one or a URL.
fn begins_a_path(line: &str, folder: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "-_./*}~".contains(c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(inside))
}
