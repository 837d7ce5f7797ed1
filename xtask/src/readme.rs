//! `cargo xtask readme`: what the README says is done word for word, as by a new user, and must hold.
//!
//! ```text
//! sh         ──► line ─┬─► a shell runs it: it ends well, and prints what the line says
//!                      └─► server: it is started, is ready in time, and ends with the last line
//! toml, rust ──► stated    checked by reading; tidy asks the same
//! ```
//!
//! Every line has a shell of its own in the repository's root. The server and the files that a line leaves are there
//! for the lines after it.

mod line;
pub(crate) mod server;
pub(crate) mod stated;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use self::line::{Kind, Line};
use self::server::Server;
use self::stated::Wrong;
use crate::markdown;
use crate::run::{self, Failure, Outcome};
use crate::tools::{self, Tool};

/// The README that visitors see first.
pub(crate) const README: &str = "README.md";

/// Follows the README at `file`, a path below `root`, and tells everything in it that does not hold.
pub(crate) fn run(root: &Path, file: &str) -> Outcome {
    let text = fs::read_to_string(root.join(file));
    let text = text.map_err(|error| Failure::new(format!("cannot read {file}: {error}")))?;
    let stated = stated::wrongs(root, file, &text);
    for Wrong { line, message } in &stated {
        eprintln!("error: {file}:{line}: {message}");
    }
    let blocks = markdown::blocks(&text);
    let lines: Vec<Line> =
        blocks.iter().filter(|block| block.language == "sh").flat_map(Line::of_block).collect();
    tools::ensure(lines.iter().filter_map(needed))?;

    let mut reader = Reader { root, file, address: announced(&text), server: None };
    let mut wrong = stated.len();
    for line in &lines {
        if let Err(failure) = reader.follow(line) {
            failure.report();
            wrong += 1;
            // Where the server should be is nobody, or a stranger whom the next lines had better not talk to.
            if line.kind() == Kind::Server {
                break;
            }
        }
    }
    wrong += usize::from(reader.leave().map_err(Failure::report).is_err());
    match wrong {
        0 => {
            let followed = lines.iter().filter(|line| line.kind() != Kind::RunsThis).count();
            println!("{file}: {followed} commands and {} blocks hold", blocks.len());
            Ok(())
        }
        _ => Err(Failure::new(format!("{file}: what does not hold: {wrong}"))),
    }
}

/// Who reads the README and does what it says.
struct Reader<'a> {
    root: &'a Path,
    file: &'a str,
    address: Option<SocketAddr>,
    server: Option<Server>,
}

impl Reader<'_> {
    fn follow(&mut self, line: &Line) -> Outcome {
        let place = format!("{}:{}", self.file, line.number);
        eprintln!("\n$ {}    ({place})", line.command);
        let done = match line.kind() {
            Kind::Server => self.start(line),
            Kind::RunsThis => {
                eprintln!("  not again: it is what runs this");
                Ok(())
            }
            Kind::Ends => self.ends_well(line),
        };
        done.map_err(|failure| failure.at(&place))
    }

    /// Builds the server, then starts it: how long it takes to be ready does not depend on what was built before.
    fn start(&mut self, line: &Line) -> Outcome {
        let address = self.address.ok_or_else(|| {
            Failure::new("the text does not say where the server is; write `127.0.0.1:` and its port")
        })?;
        let build = line.build();
        eprintln!("$ {build}    (first, and not on the server's time)");
        self.ends_well(&Line::new(line.number, &build))?;
        let server = Server::start(self.shell(&line.in_place()), address, server::PATIENCE)?;
        self.server = Some(server);
        Ok(())
    }

    fn ends_well(&self, line: &Line) -> Outcome {
        let (output, took) = run::timed(|| self.shell(line.command).stderr(Stdio::inherit()).output());
        let output = output.map_err(|error| Failure::new(format!("cannot run bash: {error}")))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !said.is_empty() {
            println!("{}", said.trim_end());
        }
        eprintln!("  {:.1} s", took.as_secs_f32());
        line.check(output.status, &said).map_err(Failure::new)
    }

    /// A shell that runs one line as a user's would.
    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).current_dir(self.root).stdin(Stdio::null());
        shell
    }

    /// Ends the server, if there is one.
    fn leave(self) -> Outcome {
        self.server.map_or(Ok(()), |server| server.end(server::DRAIN))
    }
}

/// The tool without which this line cannot work.
fn needed(line: &Line) -> Option<&'static Tool> {
    let begins = |(command, _): &&(&str, Tool)| line.command.starts_with(*command);
    NEEDED.iter().find(begins).map(|(_, tool)| tool)
}

static NEEDED: [(&str, Tool); 2] = [("curl ", tools::CURL), ("cargo xtask bench", tools::VALGRIND)];

/// The first address of this machine in the text, which is where the server says it will be.
fn announced(text: &str) -> Option<SocketAddr> {
    let (_, rest) = text.split_once("127.0.0.1:")?;
    let port = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_where_the_text_says_first() {
        let address = announced("It is on 127.0.0.1:7400.\ncurl http://127.0.0.1:9/\n");
        assert_eq!(address, Some(SocketAddr::from(([127, 0, 0, 1], 7400))));
        assert_eq!(announced("It is on 127.0.0.1:nowhere"), None);
    }

    #[test]
    fn tools_are_needed_only_by_their_lines() {
        let blocks = markdown::blocks("```sh\ncurl -sS x\ncargo xtask bench\ncargo xtask load\n```\n");
        let has_tool: Vec<_> = Line::of_block(&blocks[0]).map(|line| needed(&line).is_some()).collect();
        assert_eq!(has_tool, [true, true, false]);
    }
}
