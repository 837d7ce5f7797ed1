//! Supply: what is locked comes from the registry, is under a licence that lets everybody use it, and is not known to be broken.

use cargo_metadata::semver::Version;
use cargo_metadata::{MetadataCommand, Package};

use super::Violation;
use super::tree::Tree;

const LOCK: &str = "Cargo.lock";
/// What the standard registry is called in a lock, wherever packages are really fetched from.
const REGISTRY: &str = "source = \"registry+";

/// The oldest release of a crate that may be locked, and what is wrong with those before it.
const FLOORS: [(&str, &str, &str); 3] = [
    ("lru", "0.18.2", "a key that panics breaks the cache"),
    ("lz4_flex", "0.12.1", "damaged input shows old memory"),
    ("moka", "0.12.16", "the eviction stalls under reuse of keys"),
];

/// Licences that ask for nothing but that their text stays.
const LICENCES: [&str; 11] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(lock) = tree.file(LOCK) else {
        return vec![Violation::new(LOCK, 1, "is missing; commit it, so that everybody builds the same")];
    };
    let is_elsewhere = |text: &str| text.starts_with("source = ") && !text.starts_with(REGISTRY);
    let elsewhere = lock.lines().filter(|(_, text)| is_elsewhere(text)).map(|(line, text)| {
        Violation::at(lock, line, format!("{text} is no registry; what is there can change or be gone"))
    });
    let mut found: Vec<Violation> = elsewhere.collect();
    let metadata = MetadataCommand::new().current_dir(&tree.root).other_options(["--locked".into()]).exec();
    match metadata {
        Ok(metadata) => {
            for package in &metadata.packages {
                let what_is_wrong = [too_old(package), not_free(package)];
                let at = lock.line_beginning(&format!("name = \"{}\"", package.name));
                found.extend(what_is_wrong.into_iter().flatten().map(|why| Violation::at(lock, at, why)));
            }
        }
        Err(error) => found.push(Violation::new(LOCK, 1, format!("`cargo metadata --locked`: {error}"))),
    }
    found
}

fn too_old(package: &Package) -> Option<String> {
    let (name, floor, why) = FLOORS.into_iter().find(|(name, ..)| *name == package.name.as_str())?;
    let is_older = Version::parse(floor).map_or(true, |floor| package.version < floor);
    is_older.then(|| format!("{name} {} is too old: before {floor} {why}", package.version))
}

fn not_free(package: &Package) -> Option<String> {
    let name = &package.name;
    match &package.license {
        Some(licence) if !is_free(licence) => Some(format!(
            "{name} is under {licence}; take another crate, or argue for it in the list of this rule"
        )),
        None if package.source.is_some() => Some(format!("{name} names no licence")),
        _ => None,
    }
}

/// Whether one may choose a licence of the list, for each part that has one of its own.
fn is_free(expression: &str) -> bool {
    let is_listed = |name: &str| LICENCES.contains(&name.trim());
    let may_choose = |part: &str| part.split(" OR ").flat_map(|part| part.split('/')).any(is_listed);
    expression.replace(['(', ')'], "").split(" AND ").all(may_choose)
}

#[cfg(test)]
mod tests {
    use super::is_free;

    #[test]
    fn each_part_of_a_crate_has_to_be_free() {
        for free in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT OR X) AND Unicode-3.0"] {
            assert!(is_free(free), "{free}");
        }
        for not in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR Zlib) AND X", "MITX"] {
            assert!(!is_free(not), "{not}");
        }
    }
}
