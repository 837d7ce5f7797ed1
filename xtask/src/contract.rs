//! `cargo xtask contract`: an outside tester asks the server for everything that its API's document names.
//!
//! ```text
//! venv ── schemathesis, from PyPI ──► requests that the document allows, and requests that it does not
//! server ─ on a free port, with a token ──► every answer has to be one that the document has
//! ```
//!
//! Streams without an end are left out: the tester waits for the end of each answer.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use cargo_metadata::MetadataCommand;

use crate::readme::server::{DRAIN, PATIENCE, Server};
use crate::run::{self, Failure, Outcome};

/// The tester, in the version that this was last clean with.
const TESTER: &str = "schemathesis==4.32.5";
/// Good for everything on the server under test, and for nothing else.
const TOKEN: &str = "of-the-contract-alone";
/// What never ends.
const ENDLESS: &str = "/events(/stats)?$";

/// Tests for so many seconds, and fails if anything is found.
pub(crate) fn run(seconds: u32, seed: Option<&str>) -> Outcome {
    let root = run::root();
    run::run(run::cargo().args(["build", "--quiet", "--package", "cache-server"]))?;
    let metadata = MetadataCommand::new().current_dir(&root).no_deps().exec();
    let metadata = metadata.map_err(|error| Failure::new(format!("cargo metadata: {error}")))?;
    let target = metadata.target_directory.as_std_path();
    let tester = tester(&target.join("contract"))?;

    let address = free_address()?;
    let mut server = Command::new(target.join("debug").join("cache-server"));
    server.args(["--listen", &address.to_string(), "--log", "error"]).env("CACHE_TOKEN", TOKEN);
    let server = Server::start(server, address, PATIENCE)?;

    let mut command = Command::new(tester);
    command
        .arg("--config-file")
        .arg(root.join("xtask/src/contract.toml"))
        .args(["run", &format!("http://{address}/v1/openapi.json"), "--header"])
        .arg(format!("Authorization: Bearer {TOKEN}"))
        .args(["--checks", "all", "--max-time", &seconds.to_string(), "--generation-database", "none"])
        .args(["--exclude-path-regex", ENDLESS, "--no-color"])
        .args(seed.iter().flat_map(|seed| ["--seed", seed]))
        .current_dir(target);
    let outcome = run::run(&mut command);
    server.end(DRAIN)?;
    outcome
}

/// The tester's program, installed below this folder if it is not there.
fn tester(folder: &Path) -> Result<std::path::PathBuf, Failure> {
    let stamp = folder.join("installed");
    let program = folder.join("bin").join("schemathesis");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == TESTER) {
        return Ok(program);
    }
    run::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    run::run(Command::new(folder.join("bin").join("pip")).args(["install", "--quiet", TESTER]))?;
    fs::write(&stamp, TESTER).map_err(|error| Failure::new(format!("{}: {error}", stamp.display())))?;
    Ok(program)
}

fn free_address() -> Result<SocketAddr, Failure> {
    let none = |error| Failure::new(format!("no free port on 127.0.0.1: {error}"));
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(none)
}
