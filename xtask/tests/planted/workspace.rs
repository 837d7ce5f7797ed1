//! A tiny workspace in a temporary folder: four crates without outside dependencies, in which tidy finds nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A change to a file of the workspace.
#[derive(Debug)]
pub(crate) enum Edit {
    /// Appends the text, to a new file if need be.
    Add(&'static str, &'static str),
    /// Replaces the first text, which must be there, by the second.
    Swap(&'static str, &'static str, &'static str),
    /// Removes the file.
    Drop(&'static str),
    /// Writes the lock file anew.
    Lock,
}

/// The workspace; its folder goes with it.
pub(crate) struct Workspace {
    folder: TempDir,
}

impl Workspace {
    pub(crate) fn clean() -> Self {
        let workspace = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        for (path, text) in FILES {
            workspace.write(path, text);
        }
        for (name, dependencies) in CRATES {
            workspace.write(
                &format!("{name}/Cargo.toml"),
                &format!("[package]\nname = \"{name}\"\n{MANIFEST}{dependencies}"),
            );
        }
        workspace.lock();
        workspace
    }

    pub(crate) fn with(edits: &[Edit]) -> Self {
        let workspace = Self::clean();
        for edit in edits {
            workspace.edit(edit);
        }
        workspace
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    fn edit(&self, edit: &Edit) {
        match edit {
            Edit::Add(path, text) => self.write(path, &format!("{}{text}", self.read(path))),
            Edit::Swap(path, from, to) => {
                let text = self.read(path);
                assert!(text.contains(from), "{path} lacks {from:?}");
                self.write(path, &text.replacen(from, to, 1));
            }
            Edit::Lock => self.lock(),
            Edit::Drop(path) => fs::remove_file(self.root().join(path)).expect("the file to drop is there"),
        }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap_or_default()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder is made");
        fs::write(path, text).expect("the file is written");
    }

    fn lock(&self) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["generate-lockfile", "--offline"]).current_dir(self.root());
        let output = cargo.output().expect("cargo starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

const MANIFEST: &str = "\
description = \"A crate.\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true

[lints]
workspace = true

";

const CRATES: [(&str, &str); 4] = [
    ("cache-core", ""),
    ("cache-policy", ""),
    (
        "cache-memory",
        "[dependencies]\ncache-core.workspace = true\ncache-policy.workspace = true\n\n[dev-dependencies]\ncache-testkit.workspace = true\n",
    ),
    ("cache-testkit", "[dependencies]\ncache-core.workspace = true\n"),
];

const FILES: [(&str, &str); 14] = [
    (
        "Cargo.toml",
        "\
[workspace]
resolver = \"3\"
members = [\"cache-core\", \"cache-policy\", \"cache-memory\", \"cache-testkit\"]

[workspace.package]
version = \"0.1.0\"
edition = \"2024\"
rust-version = \"1.90\"
license = \"MIT\"

[workspace.lints.rust]
missing_docs = \"deny\"

[workspace.dependencies]
cache-core = { path = \"cache-core\" }
cache-policy = { path = \"cache-policy\" }
cache-testkit = { path = \"cache-testkit\" }
",
    ),
    ("LICENSE", "MIT\n"),
    ("README.md", "# Tiny\n\nSee the [map](docs/architecture.md#the-map).\n"),
    ("CHANGELOG.md", "# Changelog\n"),
    ("CONTRIBUTING.md", "# Contributing\n"),
    ("docs/architecture.md", "# Tiny inside\n\n## The map\n"),
    ("docs/scenarios.md", "# Scenarios\n"),
    ("cache-core/src/lib.rs", "//! Words.\n"),
    ("cache-policy/src/lib.rs", "//! Decisions.\n"),
    (
        "cache-memory/src/lib.rs",
        "//! The memory tier.\n\nstruct MemoryStore;\n\nimpl Store for MemoryStore {}\n",
    ),
    (
        "cache-memory/tests/it.rs",
        "\
//! The memory tier keeps its promises.

// conformance: Store for MemoryStore
#[test]
fn keeps_the_promises_of_stores() {
    block_on(suite::store::all(&MemoryStore));
}
",
    ),
    ("cache-testkit/src/lib.rs", "//! Questions.\n\npub mod suite;\n"),
    ("cache-testkit/src/suite.rs", "//! Suites.\n\npub mod store;\n"),
    (
        "cache-testkit/src/suite/store.rs",
        "\
//! Questions to stores.

/// Puts all questions.
pub async fn all() {
    missing_is_none().await;
}

/// A missing key is none.
pub async fn missing_is_none() {}
",
    ),
];
