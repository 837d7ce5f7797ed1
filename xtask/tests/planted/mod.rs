//! The violations that tidy must find, each planted in a workspace that is otherwise clean.

mod workspace;

pub(crate) use workspace::{Edit, Workspace};

use Edit::{Add, Drop, Lock, Swap};

/// A rule, the path it must name, and what to do to the clean workspace to break it.
pub(crate) struct Case {
    pub(crate) rule: &'static str,
    pub(crate) path: &'static str,
    pub(crate) edits: &'static [Edit],
}

const fn case(rule: &'static str, path: &'static str, edits: &'static [Edit]) -> Case {
    Case { rule, path, edits }
}

const CORE: &str = "cache-core/src/lib.rs";
const CORE_MANIFEST: &str = "cache-core/Cargo.toml";
const POLICY: &str = "cache-policy/src/lib.rs";
const MEMORY: &str = "cache-memory/src/lib.rs";
const MEMORY_MANIFEST: &str = "cache-memory/Cargo.toml";
const MEMORY_TESTS: &str = "cache-memory/tests/it.rs";
const SUITE: &str = "cache-testkit/src/suite/store.rs";
const ROOT: &str = "Cargo.toml";
const DOCS: &str = "docs/dependencies.md";
const SCENARIOS: &str = "docs/scenarios.md";
const CLAIM: &str = "// conformance: Store for MemoryStore";

const MODULE_404: &str = include_str!("long_module.txt");

/// A crate in its own folder, without code.
const TOKIO: Edit = Add(
    "tokio/Cargo.toml",
    "[package]\nname = \"tokio\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n",
);
/// A release of which a later one has mended a fault.
const OLD_LRU: Edit = Add(
    "lru/Cargo.toml",
    "[package]\nname = \"lru\"\nversion = \"0.18.1\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n",
);
const OLD_LRU_LIB: Edit = Add("lru/lib.rs", "//! Empty.\n");
const NEEDS_LRU: Edit =
    Swap(MEMORY_MANIFEST, "[dependencies]\n", "[dependencies]\nlru = { path = \"../lru\" }\n");
const TOKIO_LIB: Edit = Add("tokio/lib.rs", "//! Empty.\n");

#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    case("ranks", CORE_MANIFEST, &[Add(CORE_MANIFEST, "[dependencies]\ncache-policy.workspace = true\n")]),
    case("ranks", MEMORY_MANIFEST, &[Swap(MEMORY_MANIFEST, "[dev-dependencies]\n", "")]),
    case("ranks", CORE_MANIFEST, &[
        Add(CORE_MANIFEST, "[dev-dependencies]\ncache-memory = { path = \"../cache-memory\" }\n"),
    ]),
    case("ranks", "stray/Cargo.toml", &[
        Swap(ROOT, "members = [", "members = [\"stray\", "),
        Add("stray/Cargo.toml", "[package]\nname = \"stray\"\nversion = \"0.1.0\"\n"),
        Add("stray/src/lib.rs", "//! Stray.\n"),
    ]),
    case("outside", MEMORY_MANIFEST, &[Add(MEMORY_MANIFEST, "redis = \"1\"\n")]),
    case("outside", MEMORY_MANIFEST, &[Add(MEMORY_MANIFEST, "moka = \"1\"\n")]),
    case("outside", MEMORY_MANIFEST, &[Add(MEMORY_MANIFEST, "dashmap = \"6\"\n")]),
    case("outside", MEMORY_MANIFEST, &[Add(MEMORY_MANIFEST, "web = { package = \"axum\", version = \"1\" }\n")]),
    case("outside", MEMORY_MANIFEST, &[Add(MEMORY_MANIFEST, "hyper = \"1\"\n")]),
    case("outside", CORE_MANIFEST, &[Add(CORE_MANIFEST, "[dependencies]\ntokio = \"1\"\n")]),
    case("memory-only", MEMORY_MANIFEST, &[
        TOKIO, TOKIO_LIB,
        Swap(MEMORY_MANIFEST, "[dependencies]\n", "[dependencies]\ntokio = { path = \"../tokio\" }\n"),
        Lock,
    ]),
    case("memory-only", "Cargo.lock", &[Add("Cargo.lock", "broken")]),
    case("purity", POLICY, &[Add(POLICY, "use std::time::{Duration, Instant};\n")]),
    case("purity", POLICY, &[Add(POLICY, "fn f() -> std::io::Result<()> {\n    Ok(())\n}\n")]),
    case("purity", POLICY, &[Add(POLICY, "use std::sync::{Arc, Mutex as Lock};\n")]),
    case("manifests", CORE_MANIFEST, &[Swap(CORE_MANIFEST, "version.workspace = true", "version = \"0.1.0\"")]),
    case("manifests", CORE_MANIFEST, &[Swap(CORE_MANIFEST, "description = \"A crate.\"\n", "")]),
    case("manifests", CORE_MANIFEST, &[Swap(CORE_MANIFEST, "[lints]\nworkspace = true\n", "")]),
    case("manifests", CORE_MANIFEST, &[Add(CORE_MANIFEST, "[target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n")]),
    case("dependencies", ROOT, &[
        Add(ROOT, "bytes = \"1\"\n"),
        Add(CORE_MANIFEST, "[dependencies]\nbytes.workspace = true\n"),
        Add(DOCS, "| crate | why |\n"),
    ]),
    case("dependencies", ROOT, &[Add(ROOT, "bytes = \"1\"\n"), Add(DOCS, "| `bytes` | shared |\n")]),
    case("dependencies", DOCS, &[Add(DOCS, "| `bytes` | shared |\n")]),
    case("dependencies", DOCS, &[Add(ROOT, "bytes = \"1\"\n")]),
    case("supply", "Cargo.lock", &[OLD_LRU, OLD_LRU_LIB, NEEDS_LRU, Lock]),
    case("supply", "Cargo.lock", &[
        Swap(CORE_MANIFEST, "license.workspace = true", "license = \"GPL-3.0-only\""),
    ]),
    case("supply", "Cargo.lock", &[Add("Cargo.lock", "source = \"git+https://example.org/x\"\n")]),
    case("supply", "Cargo.lock", &[Drop("Cargo.lock")]),
    case("syntax", "cache-core/src/odd.rs", &[Add("cache-core/src/odd.rs", "//! Odd.\n\nfn f() { (}\n")]),
    case("module-docs", "cache-core/src/mute.rs", &[Add("cache-core/src/mute.rs", "fn f() {}\n")]),
    case("file-size", "cache-core/src/long.rs", &[Add("cache-core/src/long.rs", MODULE_404)]),
    case("file-size", OVERSIZE, &[Add(OVERSIZE, "cache-core/src/gone.rs 500\n")]),
    case("file-size", OVERSIZE, &[Add(OVERSIZE, "cache-core/src/lib.rs 500\n")]),
    case("file-size", OVERSIZE, &[
        Add("cache-core/src/long.rs", MODULE_404),
        Add(OVERSIZE, "cache-core/src/long.rs 500\n"),
    ]),
    case("names", "cache-core/src/utils.rs", &[Add("cache-core/src/utils.rs", "//! Odds.\n")]),
    case("names", "docs/helper-notes.md", &[Add("docs/helper-notes.md", "Notes.\n")]),
    case("names", CORE, &[Add(CORE, "struct StoreManagers;\n")]),
    case("names", CORE, &[Add(CORE, "mod inner {\n    enum SmartKey {}\n}\n")]),
    case("markers", CORE, &[Add(CORE, concat!("// FIX", "ME: wrong\n"))]),
    case("markers", "README.md", &[Add("README.md", concat!("TO", "DO write this\n"))]),
    case("attributes", CORE, &[Add(CORE, "#![allow(dead_code)]\n")]),
    case("attributes", CORE, &[Add(CORE, "#[cfg_attr(test, allow(dead_code))]\nfn f() {}\n")]),
    case("attributes", CORE, &[Add(CORE, "#[expect(dead_code)]\nfn f() {}\n")]),
    case("attributes", MEMORY_TESTS, &[Add(MEMORY_TESTS, "#[test]\n#[ignore = \"slow\"]\nfn f() {}\n")]),
    case("globs", CORE, &[Add(CORE, "use std::fmt::*;\n")]),
    case("globs", CORE, &[Add(CORE, "fn f() {\n    use std::{fmt::{self, *}, io};\n}\n")]),
    case("unsafe", MEMORY_TESTS, &[Add(MEMORY_TESTS, "fn f() {\n    unsafe { g() }\n}\n")]),
    case("unsafe", UNSAFE, &[Add(UNSAFE, "cache-core/src/lib.rs\n")]),
    case("places", "README.md", &[Add("README.md", concat!("See `/ho", "me/me/notes`.\n"))]),
    case("places", CORE, &[Add(CORE, concat!("// https://index.", "crates.io/x\n"))]),
    case("suites", SUITE, &[Add(SUITE, "/// Another question.\npub async fn forgotten() {}\n")]),
    case("suites", SUITE, &[Swap(SUITE, "pub async fn all", "pub async fn some")]),
    case("suites", PART, &[Add(PART, PART_TEXT)]),
    case("conformance", "cache-memory/src/other.rs", &[
        Add("cache-memory/src/other.rs", "//! Other.\n\n#[async_trait]\nimpl<K: Fn() -> u8> cache_core::Store for Other<K> {}\n"),
    ]),
    case("conformance", MEMORY, &[Swap(MEMORY_TESTS, CLAIM, "// nothing")]),
    case("conformance", MEMORY_TESTS, &[Add(MEMORY_TESTS, "// conformance: Store for Gone\n#[test]\nfn gone() {}\n")]),
    case("conformance", MEMORY_TESTS, &[Swap(MEMORY_TESTS, "suite::store::all", "suite::store::gone")]),
    case("conformance", MEMORY_TESTS, &[Swap(MEMORY_TESTS, "MemoryStore)", "Elsewhere)")]),
    case("conformance", MEMORY_TESTS, &[Swap(MEMORY_TESTS, "#[test]\n", "")]),
    case("conformance", "cache-memory/src/quota.rs", &[
        Add("cache-memory/src/quota.rs", "//! No suite for this seam.\n\nimpl Counters for Quota {}\n"),
    ]),
    case("wrappers", "cache-core/src/retry.rs", &[
        Add("cache-core/src/retry.rs", "//! Retry.\n\nimpl<S: Store> Store for Retry<S> {}\n"),
    ]),
    case("wrappers", "cache-core/src/tiers.rs", &[
        Add("cache-core/src/tiers.rs", "//! Tiers.\n\nstruct Tiers {\n    all: Vec<Tier>,\n}\n\nimpl Store for Tiers {}\n"),
        Add("cache-core/src/tier.rs", "//! Tier.\n\nstruct Tier(std::sync::Arc<dyn Store>);\n"),
    ]),
    case("scenarios", SCENARIOS, &[Drop(SCENARIOS)]),
    case("scenarios", SCENARIOS, &[Add(SCENARIOS, "| C01 | it works | `cache-core/tests/none.rs::it_works` |\n")]),
    case("scenarios", SCENARIOS, &[
        Add(SCENARIOS, "| C01 | it works | `cache-core/src/lib.rs::it_works` |\n"),
        Add(CORE, "// fn it_works()\nconst S: &str = \"it_works\";\n"),
    ]),
    case("scenarios", SCENARIOS, &[Add(SCENARIOS, "| C01 | it works | surely |\n")]),
    case("scenarios", SCENARIOS, &[Add(SCENARIOS, "| C01 | one | waits for a bus |\n| C01 | two | waits for a bus |\n")]),
    case("links", "README.md", &[Add("README.md", "[gone](docs/gone.md)\n")]),
    case("links", "README.md", &[Add("README.md", "[out](../../etc/hosts)\n")]),
    case("links", "README.md", &[Add("README.md", "[here](docs/architecture.md#nowhere)\n")]),
    case("links", CORE, &[Add(CORE, "/// See [why](../../docs/gone.md).\nstruct X;\n")]),
    case("readme", "README.md", &[Add("README.md", "```json\n{}\n```\n")]),
    case("readme", "README.md", &[Add("README.md", "```rust\nlet x = 1;\n```\n")]),
    case("readme", "README.md", &[Add("README.md", "```toml\n# CHANGELOG.md\nx = 1\n```\n")]),
    case("readme-numbers", "README.md", &[Add("README.md", "Reads are 1.8x faster (`results/gone.md`).\n")]),
    case("documents", "LICENSE", &[Drop("LICENSE")]),
    case("documents", "CHANGELOG.md", &[Swap("CHANGELOG.md", "# Changelog\n", "\n")]),
];

const PART: &str = "cache-testkit/src/suite/store/tags.rs";
const PART_TEXT: &str = "//! Tags.\n\npub async fn all() {\n    one().await;\n}\n\npub async fn one() {}\n";
const OVERSIZE: &str = "xtask/src/tidy/oversize.txt";
const UNSAFE: &str = "xtask/src/tidy/unsafe_modules.txt";

/// What a careless rule would report: a rule, and what to do to the clean workspace.
#[rustfmt::skip]
pub(crate) const QUIET: &[(&str, &[Edit])] = &[
    ("ranks", &[Add(CORE_MANIFEST, "[dev-dependencies]\ncache-policy.workspace = true\ncache-testkit.workspace = true\n")]),
    ("outside", &[Add(CORE_MANIFEST, "[dev-dependencies]\ntokio = \"1\"\n")]),
    ("outside", &[Swap(MEMORY_MANIFEST, "[dependencies]\n", "[dependencies]\nmoka = { version = \"1\", optional = true }\n")]),
    ("purity", &[Add(POLICY, "//! Not `std::fs`.\nconst S: &str = \"std::io\";\n#[cfg(test)]\nmod tests {\n    use std::thread;\n}\n")]),
    ("dependencies", &[
        Add(ROOT, "bytes = \"1\"\n"),
        Add(CORE_MANIFEST, "[dependencies]\nbytes.workspace = true\n"),
        Add(DOCS, "| crate | why |\n|---|---|\n| `bytes` | shared |\n"),
    ]),
    ("file-size", &[Add("cache-core/src/long.rs", MODULE_404), Add(OVERSIZE, "cache-core/src/long.rs 406 # known\n")]),
    ("file-size", &[Add("cache-core/src/long.rs", "//! Long.\n\n#[cfg(test)]\nmod tests {\n"), Add("cache-core/src/long.rs", MODULE_404), Add("cache-core/src/long.rs", "}\n")]),
    ("names", &[Add("cache-core/src/uncommon.rs", "//! The rare ones.\n\nstruct Futile;\n")]),
    ("markers", &[Add(CORE, concat!("// TO", "DO(#12): later. A `FIX", "ME` is never.\n"))]),
    ("attributes", &[Add(CORE, "/// Not `#[allow(x)]`.\n#[expect(dead_code, reason = \"soon\")]\nconst S: &str = \"#[ignore]\";\n")]),
    ("globs", &[Add(CORE, "use proptest::prelude::*;\nfn f(x: *const u8) -> u8 {\n    2 * 3\n}\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n")]),
    ("unsafe", &[Add(CORE, "fn f() {\n    unsafe { g() }\n}\n"), Add(UNSAFE, "cache-core/src/lib.rs\n")]),
    ("places", &[Add("README.md", concat!("`docs/wo", "rk/x` and https://example.org/ho", "me/x\n"))]),
    ("suites", &[Add(PART, PART_TEXT), Swap(SUITE, "    missing_is", "    tags::all().await;\n    missing_is")]),
    ("conformance", &[Add(MEMORY, "fn f() -> impl Store {}\n#[cfg(test)]\nmod tests {\n    impl Store for Fake {}\n}\n")]),
    ("wrappers", &[Add(CORE, "#[deny(clippy::missing_trait_methods)]\n#[async_trait]\nimpl Store for Box<dyn Store> {}\n")]),
    ("scenarios", &[
        Add(SCENARIOS, "| id | what | shown by |\n|---|---|---|\n| C01 | a | `cache-core/src/lib.rs::a` and `cache-core/src/lib.rs::b` |\n| C02 | b | waits for a bus |\n"),
        Add(CORE, "fn a() {}\nmacro_rules! tests { ($($name:ident: $how:literal)*) => {} }\ntests! { b: 1 }\n"),
    ]),
    ("links", &[Add("README.md", "# The Top\n[a](docs/architecture.md#the-map) [b](#the-top) [c](docs/) `[d](no.md)` https://x.y [e](mailto:a@b.c)\n")]),
    ("readme", &[Add("README.md", "```sh\nfalse\n```\n```text\n?\n```\n```toml\n[dependencies]\ncache-core = { path = \"../cache-core\" }\n```\n")]),
    ("readme-numbers", &[Add("README.md", "Reads are 1.8x faster\n([how](results/reads.md)).\n"), Add("results/reads.md", "1.8x\n")]),
];
