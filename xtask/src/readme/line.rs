//! A line of a `sh` block: one command, what it may print, and how it wants to be run.
//!
//! `curl -sS localhost/x    # => Ada` must print exactly `Ada`, but for space around it. Any other comment is the
//! shell's to skip.

use std::process::ExitStatus;

use crate::markdown::Block;

/// A command as the README gives it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) command: &'a str,
    /// All that it may print on standard output.
    expected: Option<&'a str>,
}

/// How a command is run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It ends by itself.
    Ends,
    /// It is the server, and there for the lines after it.
    Server,
    /// It would run this task in itself, and so on for ever.
    RunsThis,
}

impl<'a> Line<'a> {
    /// The commands of a block; empty lines and whole lines of comment are none.
    pub(super) fn of_block<'b: 'a>(block: &'b Block) -> impl Iterator<Item = Self> {
        let numbered = (block.lines.start() + 1..).zip(block.text.lines().map(str::trim));
        let commands = numbered.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
        commands.map(|(number, text)| Self::new(number, text))
    }

    pub(super) fn new(number: usize, text: &'a str) -> Self {
        let (command, expected) = text
            .rsplit_once("# =>")
            .map_or((text, None), |(command, expected)| (command.trim_end(), Some(expected.trim())));
        Self { number, command, expected }
    }

    pub(super) fn kind(&self) -> Kind {
        let is_assignment = |word: &&str| word.contains('=');
        let words: Vec<&str> = self.command.split_whitespace().skip_while(is_assignment).collect();
        let has = |word: &str| words.contains(&word);
        let server = ["-p", "--package"].iter().any(|flag| words.windows(2).any(|it| it == [*flag, SERVER]));
        match words[..] {
            ["cargo", "xtask", "test" | "ci" | "readme", ..] => Kind::RunsThis,
            ["cargo", "run", ..] if server && !ENDS_AT_ONCE.iter().any(|flag| has(flag)) => Kind::Server,
            _ => Kind::Ends,
        }
    }

    /// The command that builds what this `cargo run` would build and run.
    pub(super) fn build(&self) -> String {
        let for_cargo = self.command.split(" -- ").next().unwrap_or(self.command);
        for_cargo.replacen("cargo run", "cargo build", 1)
    }

    /// The command in the shell's place, so that the shell's process is the command's.
    pub(super) fn in_place(&self) -> String {
        format!("exec env {}", self.command)
    }

    /// Whether the command kept its word: what is wrong, otherwise.
    pub(super) fn check(&self, status: ExitStatus, printed: &str) -> Result<(), String> {
        let printed = printed.trim();
        if !status.success() {
            return Err(format!("`{}` failed ({status})", self.command));
        }
        if self.command.starts_with("curl ") && is_problem(printed) {
            return Err(format!("the server refused: {printed}"));
        }
        match self.expected {
            Some(expected) if expected != printed => {
                Err(format!("it should print `{expected}`, and printed `{printed}`"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether this is an error as the server words it: a JSON object with the members of RFC 9457.
fn is_problem(printed: &str) -> bool {
    printed.starts_with('{') && ["\"title\":", "\"status\":"].iter().all(|member| printed.contains(member))
}

const SERVER: &str = "cache-server";
const ENDS_AT_ONCE: [&str; 3] = ["--check", "--help", "--version"];

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::markdown;

    #[test]
    fn every_line_of_a_block_is_a_command() {
        let blocks = markdown::blocks(
            "# T\n```sh\ncargo a\n\n# just talk\n  b 'x'  # why\nc y # => {\"n\":1} \n```\n",
        );
        let lines: Vec<_> = Line::of_block(&blocks[0]).collect();
        let expected = [
            Line { number: 3, command: "cargo a", expected: None },
            Line { number: 6, command: "b 'x'  # why", expected: None },
            Line { number: 7, command: "c y", expected: Some("{\"n\":1}") },
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_server_and_what_runs_this_are_told_apart_from_the_rest() {
        #[track_caller]
        fn check(command: &str, expected: &Kind) {
            assert_eq!(Line::new(1, command).kind(), *expected, "{command}");
        }
        check("cargo run --release -p cache-server", &Kind::Server);
        check("cargo run --package cache-server -- --listen 127.0.0.1:1", &Kind::Server);
        check("CACHE_LOG=debug cargo run -p cache-server", &Kind::Server);
        check("cargo run --release -p cache-server -- --config x.toml --check", &Kind::Ends);
        check("cargo run -p cache-server-demo", &Kind::Ends);
        check("cargo build -p cache-server", &Kind::Ends);
        check("cargo xtask test", &Kind::RunsThis);
        check("cargo xtask ci --only fmt", &Kind::RunsThis);
        check("cargo xtask hit-ratio --trace x", &Kind::Ends);
        check("curl -sS http://127.0.0.1:7400/readyz", &Kind::Ends);
    }

    #[test]
    fn the_build_of_a_server_leaves_its_settings_out() {
        let line = Line::new(1, "cargo run --release -p cache-server -- --listen 127.0.0.1:1");
        assert_eq!(line.build(), "cargo build --release -p cache-server");
        assert_eq!(line.in_place(), format!("exec env {}", line.command));
    }

    #[test]
    fn a_command_keeps_its_word_or_it_is_said_how_not() {
        #[track_caller]
        fn check(line: &str, code: u8, printed: &str, expected: Result<(), &str>) {
            let ended = Command::new("sh").args(["-c", &format!("exit {code}")]).status();
            let result = Line::new(1, line).check(ended.expect("a shell starts"), printed);
            match expected {
                Ok(()) => assert_eq!(result, Ok(())),
                Err(part) => assert!(result.as_ref().is_err_and(|text| text.contains(part)), "{result:?}"),
            }
        }
        check("echo", 0, "anything\n", Ok(()));
        check("echo # => Ada", 0, " Ada\n", Ok(()));
        check("echo # => Ada", 0, "Ada Lovelace\n", Err("should print `Ada`, and printed `Ada Lovelace`"));
        check("echo # => Ada", 3, "Ada", Err("`echo` failed (exit status: 3)"));
        check(
            "curl x",
            0,
            "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404}",
            Err("refused"),
        );
        check("curl x", 0, "{\"status\":\"ready\"}", Ok(()));
        check("curl x # =>", 0, "\n", Ok(()));
    }
}
