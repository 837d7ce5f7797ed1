//! What the README states without a command: that its languages are known, its files are ours, its code is tested.
//!
//! Nothing here runs anything; the examples in Rust are run by `cargo test --doc`, and it is only made sure of that.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::markdown::{self, Block};

/// A place in a document, and what is wrong there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// Everything that is wrong with the blocks of the document at `file`, a path below `root`.
pub(crate) fn wrongs(root: &Path, file: &str, text: &str) -> Vec<Wrong> {
    let wrong = |block: Block| {
        let message = in_block(root, file, &block).err()?;
        Some(Wrong { line: *block.lines.start(), message })
    };
    markdown::blocks(text).into_iter().filter_map(wrong).collect()
}

fn in_block(root: &Path, file: &str, block: &Block) -> Result<(), String> {
    if !block.closed {
        return Err("this block never ends; close it".to_owned());
    }
    match block.language {
        "sh" | "text" => Ok(()),
        "toml" => toml(root, &block.text),
        "rust" => is_tested(root, file),
        "" => Err("a block without a language is checked by nobody; name sh, toml, rust or text".to_owned()),
        other => {
            Err(format!("a block in `{other}` is checked by nobody; it may be in sh, toml, rust or text"))
        }
    }
}

/// A block that names a file is that file; a list of dependencies names crates that there are.
fn toml(root: &Path, text: &str) -> Result<(), String> {
    if let Some(path) = named_file(text) {
        let stored = fs::read_to_string(root.join(path)).map_err(|error| format!("`{path}`: {error}"))?;
        return same(path, text, &stored);
    }
    let table: Table = text.parse().map_err(|error| format!("cannot be read as TOML: {error}"))?;
    let dependencies = table.get("dependencies").and_then(Value::as_table);
    dependencies.into_iter().flatten().try_for_each(|(name, value)| exists(root, name, value))
}

/// The path in the first line, if that is a comment that holds a path and nothing else.
fn named_file(text: &str) -> Option<&str> {
    let comment = text.lines().next()?.strip_prefix('#')?.trim();
    (comment.contains('.') && !comment.contains(char::is_whitespace)).then_some(comment)
}

fn same(path: &str, text: &str, stored: &str) -> Result<(), String> {
    if text == stored {
        return Ok(());
    }
    let mut lines = text.lines().zip(stored.lines());
    Err(match lines.find(|(here, there)| here != there) {
        Some((here, there)) => format!("this is not `{path}`: here `{here}`, there `{there}`"),
        None => format!("this is not `{path}`: one of them goes on where the other ends"),
    })
}

/// A crate by path is a folder of ours; any other is one that we depend on ourselves.
fn exists(root: &Path, name: &str, value: &Value) -> Result<(), String> {
    if let Some(path) = value.get("path").and_then(Value::as_str) {
        let ours = Path::new(path).ends_with(name) && root.join(name).join("Cargo.toml").is_file();
        return if ours { Ok(()) } else { Err(format!("there is no crate `{name}` at `{path}`")) };
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap_or_default();
    let manifest: Table = manifest.parse().unwrap_or_default();
    let known = manifest.get("workspace").and_then(|it| it.get("dependencies")?.get(name));
    known.map(|_| ()).ok_or_else(|| format!("`{name}` is no dependency of ours; is it a crate at all?"))
}

/// The examples are tests of the library if it includes the document when its docs are tested.
fn is_tested(root: &Path, file: &str) -> Result<(), String> {
    let library = fs::read_to_string(root.join(LIBRARY)).unwrap_or_default();
    let include = format!("#[doc = include_str!(\"../../{file}\")]");
    let included = library.contains("#[cfg(doctest)]") && library.contains(&include);
    let untested = || format!("no test runs this; write `{include}` under `#[cfg(doctest)]` in {LIBRARY}");
    included.then_some(()).ok_or_else(untested)
}

const LIBRARY: &str = "strata/src/lib.rs";

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn repository() -> TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder is made");
            fs::write(path, text).expect("the file is written");
        };
        write("Cargo.toml", "[workspace.dependencies]\ntokio = \"1\"\n");
        write("strata/Cargo.toml", "");
        write(LIBRARY, "#[cfg(doctest)]\n#[doc = include_str!(\"../../README.md\")]\nstruct Readme;\n");
        write("docs/a.toml", "# docs/a.toml\nx = 1\n");
        root
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let root = repository();
        let found = wrongs(root.path(), "README.md", text);
        let as_expected = found.iter().zip(expected).all(|(wrong, part)| wrong.message.contains(part));
        assert!(found.len() == expected.len() && as_expected, "{found:?} is not {expected:?}");
    }

    #[test]
    fn what_holds_is_left_alone() {
        check("```sh\nfalse\n```\n```text\n?\n```\n```rust\nfn main() {}\n```\n", &[]);
        check("```toml\n# docs/a.toml\nx = 1\n```\n", &[]);
        check("```toml\n# Not a path. x = 1\ny = 2\n```\n", &[]);
        check("```toml\n[dependencies]\nstrata = { path = \"../strata\" }\ntokio = \"1\"\n```\n", &[]);
    }

    #[test]
    fn a_block_is_in_a_language_that_is_checked() {
        check(
            "```\nx\n```\n```python\nx\n```\n```rust,ignore\nx\n```\n",
            &["without a language", "`python`", "`rust,ignore`"],
        );
        check("```sh\nls\n", &["never ends"]);
    }

    #[test]
    fn a_named_file_is_given_as_it_is() {
        check("```toml\n# docs/a.toml\nx = 2\n```\n", &["here `x = 2`, there `x = 1`"]);
        check("```toml\n# docs/a.toml\n```\n", &["goes on"]);
        check("```toml\n# docs/b.toml\nx = 1\n```\n", &["`docs/b.toml`: "]);
    }

    #[test]
    fn dependencies_are_crates_that_there_are() {
        check("```toml\n[dependencies]\nstrata = { path = \"../layers\" }\n```\n", &["no crate `strata`"]);
        check("```toml\n[dependencies]\nlayers = { path = \"../layers\" }\n```\n", &["no crate `layers`"]);
        check("```toml\n[dependencies]\ntokyo = \"1\"\n```\n", &["`tokyo`"]);
        check("```toml\n[dependencies\n```\n", &["as TOML"]);
    }

    #[test]
    fn examples_that_nobody_runs_are_reported() {
        let root = repository();
        let text = "\n```rust\nlet x = 1;\n```\n";
        assert_eq!(wrongs(root.path(), "README.md", text), []);
        let other = wrongs(root.path(), "OTHER.md", text);
        assert_eq!(other.iter().map(|wrong| wrong.line).collect::<Vec<_>>(), [2]);
        assert!(other[0].message.contains("include_str!(\"../../OTHER.md\")"), "{other:?}");
    }
}
