//! Memory only: who takes `cache-memory` alone compiles no async runtime and no client of a server.
//!
//! This asks cargo for the whole tree of normal dependencies, since what a dependency brings along counts too.

use super::Violation;
use super::tree::{Member, Tree};
use crate::run;

const HEAVY: [&str; 5] = ["async-std", "fred", "redis", "smol", "tokio"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(member) = tree.members.iter().find(|member| member.name() == "cache-memory") else {
        return Vec::new();
    };
    match packages_under(tree, member) {
        Ok(packages) => {
            let heavy = packages.iter().filter(|package| HEAVY.contains(&package.as_str()));
            heavy.map(|package| violation(tree, member, package)).collect()
        }
        Err(reason) => vec![Violation::new("Cargo.lock", 1, format!("`cargo tree` failed: {reason}"))],
    }
}

fn packages_under(tree: &Tree, member: &Member) -> Result<Vec<String>, String> {
    let mut cargo = run::cargo();
    cargo.current_dir(&tree.root).args(["tree", "--locked", "--package", member.name()]);
    cargo.args(["--edges", "normal", "--prefix", "none"]);
    let output = cargo.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "));
    }
    let packages = String::from_utf8_lossy(&output.stdout);
    Ok(packages.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

fn violation(tree: &Tree, member: &Member, package: &str) -> Violation {
    let manifest = member.manifest();
    let line = tree.file(&manifest).map_or(1, |file| file.line_beginning(package));
    let how = format!("`cargo tree -p cache-memory -i {package}` shows the way it comes in");
    Violation::new(manifest, line, format!("a memory-only user compiles `{package}`; {how}"))
}
