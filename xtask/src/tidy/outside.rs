//! Outside things: one crate knows one outside thing, so that exchanging it touches one crate.
//!
//! The table says who may depend on what, in any way, tests included. Tools of the repository are free, except that
//! competitors are compiled by `peers` alone.

use cargo_metadata::{Dependency, DependencyKind};

use super::Violation;
use super::ranks::is_outside;
use super::tree::{Member, Tree};

struct Fence {
    things: &'static [&'static str],
    open_to: &'static [&'static str],
}

const FENCES: [Fence; 5] = [
    Fence { things: &["redis", "fred"], open_to: &["cache-redis"] },
    Fence { things: &["axum", "axum-server", "metrics-exporter-prometheus"], open_to: &["cache-server"] },
    Fence {
        things: &["http", "http-body", "http-body-util", "hyper", "hyper-util", "reqwest", "tower-http"],
        open_to: &["cache-http", "cache-server"],
    },
    Fence { things: &["ureq"], open_to: &["cache-cli", "cache-server"] },
    Fence { things: &COMPETITORS, open_to: &["peers"] },
];

const COMPETITORS: [&str; 7] = ["TinyUFO", "dashmap", "foyer", "foyer-memory", "lru", "moka", "quick_cache"];
const RUNTIMES: [&str; 3] = ["async-std", "smol", "tokio"];
const WITHOUT_RUNTIME: [&str; 2] = ["cache-core", "cache-policy"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in &tree.members {
        for dependency in &member.package.dependencies {
            if let Some(reason) = forbidden(member, dependency) {
                let manifest = member.manifest();
                let line = tree.file(&manifest).map_or(1, |file| file.line_beginning(&dependency.name));
                let message = format!("`{}` must not use `{}`: {reason}", member.name(), dependency.name);
                found.push(Violation::new(manifest, line, message));
            }
        }
    }
    found
}

fn forbidden(member: &Member, dependency: &Dependency) -> Option<String> {
    let (crate_, thing) = (member.name(), dependency.name.as_str());
    if WITHOUT_RUNTIME.contains(&crate_) && RUNTIMES.contains(&thing) {
        let shipped = dependency.kind != DependencyKind::Development;
        return shipped.then(|| "this crate runs without an async runtime".to_owned());
    }
    let fence = FENCES.iter().find(|fence| fence.things.contains(&thing))?;
    // moka may be an engine of the memory tier, for those who ask for it.
    let engine = crate_ == "cache-memory" && thing == "moka" && dependency.optional;
    let free = is_outside(crate_) && !COMPETITORS.contains(&thing);
    // A layer for web applications is tried in one.
    let tried = crate_ == "cache-http" && thing == "axum" && dependency.kind == DependencyKind::Development;
    let open = fence.open_to.contains(&crate_) || engine || tried || free;
    (!open).then(|| format!("only {} may; go through it", fence.open_to.join(" and ")))
}
