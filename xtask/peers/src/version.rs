//! The versions that this program was built with.

/// The version of a package, or nothing if it is not there. Where there are several, the newest.
pub(crate) fn version(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines();
    let mut found = "";
    while lines.any(|line| line == name) {
        let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        found = version.unwrap_or(found);
    }
    found
}

const LOCK: &str = include_str!("../../../Cargo.lock");
