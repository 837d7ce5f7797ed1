//! The repository as it stands on disk: its files and its crates.
//!
//! Files are those that git tracks or would offer to add; without git, everything but build output. Paths are relative
//! to the root and written with `/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use cargo_metadata::{MetadataCommand, Package};

use super::tokens::{self, Token};
use crate::run::Failure;

/// What the rules look at.
pub(crate) struct Tree {
    pub(crate) root: std::path::PathBuf,
    pub(crate) files: Vec<File>,
    pub(crate) members: Vec<Member>,
}

/// A crate of the workspace.
pub(crate) struct Member {
    /// Its folder, relative to the root.
    pub(crate) folder: String,
    pub(crate) package: Package,
}

/// A file and, if it is Rust, its tokens.
pub(crate) struct File {
    pub(crate) path: String,
    /// Empty if the file is not UTF-8.
    pub(crate) text: String,
    /// All of it, without comments and docs.
    pub(crate) tokens: Vec<Token>,
    /// The tokens outside tests: nothing in test files, and no `#[cfg(test)]` module.
    pub(crate) shipped: Vec<Token>,
    /// Why there are no tokens although this is Rust.
    pub(crate) unreadable: Option<tokens::Unreadable>,
}

impl Tree {
    pub(crate) fn load(root: &Path) -> Result<Self, Failure> {
        let root =
            root.canonicalize().map_err(|error| Failure::new(format!("{}: {error}", root.display())))?;
        let metadata = MetadataCommand::new().current_dir(&root).no_deps().exec();
        let metadata =
            metadata.map_err(|error| Failure::new(format!("cannot read the workspace: {error}")))?;
        let members = metadata.workspace_packages().into_iter().map(|package| Member {
            folder: relative(&root, package.manifest_path.as_std_path().parent().unwrap_or(&root)),
            package: package.clone(),
        });
        let members = members.collect();
        let files = paths(&root).into_iter().map(|path| File::load(&root, path)).collect();
        Ok(Self { root, files, members })
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is a file or a folder of files at this path; the empty path is the root.
    pub(crate) fn has(&self, path: &str) -> bool {
        let inside = |file: &File| file.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        path.is_empty() || self.files.iter().any(|file| file.path == path || inside(file))
    }

    pub(crate) fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// The files below a folder.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = &File> {
        let prefix = format!("{folder}/");
        self.files.iter().filter(move |file| file.path.starts_with(&prefix))
    }

    /// The entries of a written list: one per line, `#` begins a comment.
    pub(crate) fn listed(&self, list: &str) -> Vec<(usize, &str)> {
        let lines = self.file(list).map(File::lines).into_iter().flatten();
        let entries = lines.map(|(number, line)| (number, line.split('#').next().unwrap_or(line).trim()));
        entries.filter(|(_, entry)| !entry.is_empty()).collect()
    }
}

impl Member {
    pub(crate) fn name(&self) -> &str {
        &self.package.name
    }

    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

impl File {
    fn load(root: &Path, path: String) -> Self {
        let text = fs::read_to_string(root.join(&path)).unwrap_or_default();
        let mut file = Self { path, text, tokens: Vec::new(), shipped: Vec::new(), unreadable: None };
        if file.is_rust() {
            match tokens::read(&file.text) {
                Ok(tokens) => file.tokens = tokens,
                Err(unreadable) => file.unreadable = Some(unreadable),
            }
            if !file.is_test() {
                file.shipped = tokens::without_tests(&file.tokens);
            }
        }
        file
    }

    pub(crate) fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        is_markdown(&self.path)
    }

    fn is_test(&self) -> bool {
        let mut folders = self.path.split('/').rev();
        folders.next() == Some("tests.rs") || folders.any(|folder| folder == "tests" || folder == "benches")
    }

    /// The lines with their numbers, which start at 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The first line on which `word` begins, or else line 1.
    pub(crate) fn line_beginning(&self, word: &str) -> usize {
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_');
        let begins = |line: &str| line.strip_prefix(word).is_some_and(ends);
        self.lines().find(|(_, line)| begins(line)).map_or(1, |(number, _)| number)
    }
}

/// Whether this is the path of a Markdown file.
pub(crate) fn is_markdown(path: &str) -> bool {
    has_extension(path, "md")
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

pub(crate) fn paths(root: &Path) -> BTreeSet<String> {
    let mut paths = tracked(root).unwrap_or_default();
    if paths.is_empty() {
        walk(root, root, &mut paths);
    }
    paths
}

/// What git tracks or would add, as far as it still exists; nothing if git does not know this folder.
fn tracked(root: &Path) -> Option<BTreeSet<String>> {
    let mut git = Command::new("git");
    // A hook's own variables would point git at another repository than the one in `root`.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
    git.args(["-c", "safe.directory=*", "-C"]).arg(root);
    let output = git.args(["ls-files", "-z", "-co", "--exclude-standard"]).output().ok()?;
    let names = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(names.split('\0').filter(|name| root.join(name).is_file()).map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &Path, paths: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_file() {
            paths.insert(relative(root, &path));
        } else if path.is_dir() && !["target", ".git"].iter().any(|skipped| path.ends_with(skipped)) {
            walk(root, &path, paths);
        }
    }
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
