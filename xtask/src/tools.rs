//! The programs that building and testing need beyond cargo, and how to get them.
//!
//! A tool is one row: how to see that it works, and its package under each package manager. What is missing is
//! installed if we may (root, or `sudo` without a password); otherwise the user is told the exact command.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::run::{self, Failure, Outcome};

/// A program that must be there.
pub(crate) struct Tool {
    name: &'static str,
    needed_for: &'static str,
    works: fn() -> bool,
    packages: &'static [(&'static str, &'static str)],
    /// What a package starts on its own, and nobody here wants to run.
    services: &'static [&'static str],
    /// The command to tell where no package manager is known, or none has it.
    by_hand: &'static str,
}

pub(crate) const C_COMPILER: Tool = Tool {
    name: "cc",
    needed_for: "linking, and the C code of zstd",
    works: compiles_c,
    packages: &[("apt-get", "build-essential"), ("dnf", "gcc"), ("apk", "build-base"), ("brew", "gcc")],
    services: &[],
    by_hand: "install a C compiler that answers to `cc`, with its headers",
};

pub(crate) const RUSTFMT: Tool = Tool {
    name: "rustfmt",
    needed_for: "checking the format",
    works: || answers("cargo-fmt", &["--version"]),
    packages: &[],
    services: &[],
    by_hand: "rustup component add rustfmt",
};

pub(crate) const CLIPPY: Tool = Tool {
    name: "clippy",
    needed_for: "the lints",
    works: || answers("cargo-clippy", &["--version"]),
    packages: &[],
    services: &[],
    by_hand: "rustup component add clippy",
};

pub(crate) const CURL: Tool = Tool {
    name: "curl",
    needed_for: "the README's requests to the server",
    works: || answers("curl", &["--version"]),
    packages: &[("apt-get", "curl"), ("dnf", "curl"), ("apk", "curl"), ("brew", "curl")],
    services: &[],
    by_hand: "install curl",
};

pub(crate) const REDIS: Tool = Tool {
    name: "redis-server",
    needed_for: "the tests of the Redis tier",
    works: || ["redis-server", "redis-sentinel"].iter().all(|program| answers(program, &["--version"])),
    packages: &[
        ("apt-get", "redis-server redis-sentinel"),
        ("dnf", "redis"),
        ("apk", "redis"),
        ("brew", "redis"),
    ],
    services: &["redis-server", "redis-sentinel"],
    by_hand: "install Redis 7 or later, with `redis-server` and `redis-sentinel` on the path",
};

pub(crate) const OPENSSL: Tool = Tool {
    name: "openssl",
    needed_for: "the certificates of the tests' servers",
    works: || answers("openssl", &["version"]),
    packages: &[("apt-get", "openssl"), ("dnf", "openssl"), ("apk", "openssl"), ("brew", "openssl")],
    services: &[],
    by_hand: "install openssl",
};

pub(crate) const VALGRIND: Tool = Tool {
    name: "valgrind",
    needed_for: "counting instructions",
    works: || answers("valgrind", &["--quiet", "--tool=none", "true"]),
    packages: &[("apt-get", "valgrind"), ("dnf", "valgrind"), ("apk", "valgrind"), ("brew", "valgrind")],
    services: &[],
    by_hand: "install valgrind",
};

/// Makes sure that each tool works, installing it if it is missing and we may.
pub(crate) fn ensure<'a>(tools: impl IntoIterator<Item = &'a Tool>) -> Outcome {
    for tool in tools {
        if !(tool.works)() {
            install(tool)?;
        }
    }
    Ok(())
}

fn install(tool: &Tool) -> Outcome {
    let installer = INSTALLERS.iter().find(|installer| answers(installer.name, &["--version"]));
    let rights = Rights::of_this_user();
    for command in plan(tool, installer, rights)? {
        execute(&command)?;
    }
    for service in tool.services.iter().filter(|service| answers("service", &[service, "status"])) {
        execute(&format!("{}service {service} stop", rights.prefix()))?;
    }
    if (tool.works)() { Ok(()) } else { Err(missing(tool, tool.by_hand)) }
}

fn execute(command: &str) -> Outcome {
    let mut words = command.split(' ');
    let mut step = Command::new(words.next().unwrap_or_default());
    run::run(step.args(words).stdin(Stdio::null()))
}

/// The commands that install the tool, or what the user has to do.
fn plan(tool: &Tool, installer: Option<&Installer>, rights: Rights) -> Result<Vec<String>, Failure> {
    let installer = installer.ok_or_else(|| missing(tool, tool.by_hand))?;
    let package = tool.packages.iter().find(|(name, _)| *name == installer.name);
    let (_, package) = package.ok_or_else(|| missing(tool, tool.by_hand))?;
    let install = format!("{} {package}", installer.install);
    let prefix = match rights {
        _ if !installer.wants_root => "",
        Rights::None => return Err(missing(tool, &format!("sudo {install}"))),
        rights => rights.prefix(),
    };
    let update = installer.update.map(str::to_owned);
    Ok(update.into_iter().chain([install]).map(|command| format!("{prefix}{command}")).collect())
}

fn missing(tool: &Tool, what_to_do: &str) -> Failure {
    let Tool { name, needed_for, .. } = tool;
    Failure::new(format!("`{name}` is missing; it is needed for {needed_for}. Run: {what_to_do}"))
}

struct Installer {
    name: &'static str,
    update: Option<&'static str>,
    install: &'static str,
    wants_root: bool,
}

const INSTALLERS: [Installer; 4] = [
    Installer {
        name: "apt-get",
        update: Some("apt-get update"),
        install: "env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends",
        wants_root: true,
    },
    Installer { name: "dnf", update: None, install: "dnf install --assumeyes", wants_root: true },
    Installer { name: "apk", update: None, install: "apk add --no-cache", wants_root: true },
    Installer { name: "brew", update: None, install: "brew install", wants_root: false },
];

/// What we may do to the machine.
#[derive(Clone, Copy)]
enum Rights {
    Root,
    Sudo,
    None,
}

impl Rights {
    fn of_this_user() -> Self {
        let id = Command::new("id").arg("-u").output();
        if id.is_ok_and(|output| output.stdout.trim_ascii() == b"0") {
            Self::Root
        } else if answers("sudo", &["-n", "true"]) {
            Self::Sudo
        } else {
            Self::None
        }
    }

    /// What a command that wants root begins with.
    fn prefix(self) -> &'static str {
        if matches!(self, Self::Sudo) { "sudo -n " } else { "" }
    }
}

/// Whether the program starts and ends well.
fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether `cc` compiles a program that includes a header: a compiler without its headers is not enough.
fn compiles_c() -> bool {
    let mut command = Command::new("cc");
    command.args(["-x", "c", "-fsyntax-only", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let written = child.stdin.take().map(|mut input| input.write_all(b"#include <stdlib.h>\n"));
    matches!(written, Some(Ok(()))) && child.wait().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installer(name: &str) -> Option<&'static Installer> {
        const { &INSTALLERS }.iter().find(|installer| installer.name == name)
    }

    #[track_caller]
    fn check(tool: &Tool, by: &str, rights: Rights, expected: &Result<&str, &str>) {
        let planned = plan(tool, installer(by), rights).map(|commands| commands.join(" && "));
        match (planned, expected) {
            (Ok(commands), Ok(text)) => assert_eq!(commands, *text),
            (Err(failure), Err(text)) => assert!(format!("{failure:?}").contains(text), "{failure:?}"),
            (planned, _) => panic!("{planned:?} is not {expected:?}"),
        }
    }

    #[test]
    fn a_missing_tool_is_installed_only_where_we_may() {
        check(&C_COMPILER, "apk", Rights::Root, &Ok("apk add --no-cache build-base"));
        check(&C_COMPILER, "dnf", Rights::Sudo, &Ok("sudo -n dnf install --assumeyes gcc"));
        check(&C_COMPILER, "dnf", Rights::None, &Err("Run: sudo dnf install --assumeyes gcc"));
        check(&C_COMPILER, "brew", Rights::None, &Ok("brew install gcc"));
        check(&CURL, "apk", Rights::Root, &Ok("apk add --no-cache curl"));
        check(&REDIS, "dnf", Rights::Sudo, &Ok("sudo -n dnf install --assumeyes redis"));
        check(
            &VALGRIND,
            "dnf",
            Rights::None,
            &Err("needed for counting instructions. Run: sudo dnf install"),
        );
        check(&C_COMPILER, "unheard-of", Rights::Root, &Err("install a C compiler"));
        check(&CLIPPY, "dnf", Rights::Root, &Err("Run: rustup component add clippy"));
    }

    #[test]
    fn apt_learns_of_its_packages_first() {
        let commands = plan(&C_COMPILER, installer("apt-get"), Rights::Root).expect("root may install");
        assert_eq!(commands[0], "apt-get update");
        assert!(commands[1].ends_with("build-essential"), "{commands:?}");
    }
}
