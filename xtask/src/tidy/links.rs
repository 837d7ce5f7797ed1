//! Links: every relative link in Markdown, and every link from Rust docs to Markdown, leads to something tracked.
//!
//! Addresses of other sites are not visited.

use super::Violation;
use super::tree::{File, Tree, is_markdown};
use crate::markdown::{self, Link};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in &tree.files {
        for Link { line, target } in links(file) {
            if let Some(reason) = broken(tree, file, &target) {
                found.push(Violation::at(file, line, format!("link to `{target}`: {reason}")));
            }
        }
    }
    found
}

fn links(file: &File) -> Vec<Link> {
    if file.is_markdown() {
        return markdown::links(&file.text).into_iter().filter(|link| !is_elsewhere(&link.target)).collect();
    }
    let to_markdown = |link: &Link| link.target.split('#').next().is_some_and(is_markdown);
    let mut links = if file.is_rust() { markdown::links(&docs(file)) } else { Vec::new() };
    links.retain(|link| to_markdown(link) && !is_elsewhere(&link.target));
    links
}

/// The docs of a Rust file, each on its own line, and the other lines empty.
fn docs(file: &File) -> String {
    let doc = |line: &str| {
        let line = line.trim_start();
        let text = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"));
        format!("{}\n", text.unwrap_or_default())
    };
    file.lines().map(|(_, line)| doc(line)).collect()
}

/// Whether the target has a scheme, such as `https:` or `mailto:`.
fn is_elsewhere(target: &str) -> bool {
    let scheme = target.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphabetic()))
}

fn broken(tree: &Tree, from: &File, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(&from.path, path) else {
        return Some("it leads out of the repository".to_owned());
    };
    if !tree.has(&path) {
        return Some(format!("there is no `{path}`; correct the path or add the file"));
    }
    let page = tree.file(&path).filter(|page| page.is_markdown() && !anchor.is_empty())?;
    let known = markdown::anchors(&page.text);
    let missing = !known.iter().any(|other| other == anchor);
    missing.then(|| format!("`{path}` has no heading `#{anchor}`; it has {}", known.join(", ")))
}

/// The path from the root; the empty path is the file itself, a leading `/` the root.
fn resolve(from: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(from.to_owned());
    }
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    if path.starts_with('/') {
        folders.clear();
    }
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(folders.pop()?),
            name => folders.push(name),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, path: &str, expected: Option<&str>) {
        assert_eq!(resolve(from, path).as_deref(), expected, "{path} in {from}");
    }

    #[test]
    fn relative_paths_resolve_inside_the_repository() {
        check("docs/a.md", "b.md", Some("docs/b.md"));
        check("docs/a.md", "../src/./x.rs", Some("src/x.rs"));
        check("docs/a.md", "/README.md", Some("README.md"));
        check("docs/a.md", "", Some("docs/a.md"));
        check("docs/a.md", "../", Some(""));
        check("docs/a.md", "../../etc", None);
    }
}
