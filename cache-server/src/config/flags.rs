//! The command line. Its flags and its help come from the one table of settings.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::layers::{Layers, Source};
use super::names::{SPECS, Spec};

/// What was said on the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    matches: ArgMatches,
}

impl Flags {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// A flag that is not known or lacks its value; `--help` and `--version` too, which print and exit.
    pub fn parse(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        Ok(Self { matches: command().try_get_matches_from(line)? })
    }

    /// Tells whether the settings are only to be checked.
    pub fn check(&self) -> bool {
        matches!(self.matches.try_get_one::<bool>("check"), Ok(Some(true)))
    }

    /// Tells whether the settings are only to be printed.
    pub fn print(&self) -> bool {
        matches!(self.matches.try_get_one::<bool>("print-config"), Ok(Some(true)))
    }

    pub(super) fn config(&self) -> Option<&str> {
        self.text("config")
    }

    pub(super) fn env_prefix(&self) -> Option<&str> {
        self.text("env_prefix")
    }

    pub(super) fn layers(&self) -> Layers {
        let mut layers = Layers::new();
        for Spec { name, .. } in SPECS {
            if let Some(text) = self.text(name) {
                layers.set(*name, text, Source::Flag(format!("--{}", long(name))));
            }
        }
        layers
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(name).ok()?.map(String::as_str)
    }
}

fn command() -> Command {
    let settings = SPECS.iter().filter(|spec| !spec.secret).map(argument);
    Command::new("cache-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A cache over HTTP, in memory, over Redis and in files. Starts without any configuration.")
        .arg(option("config", "FILE", "Configuration file, in TOML [env: CACHE_CONFIG]"))
        .arg(option(
            "env_prefix",
            "PREFIX",
            "What the names of environment variables begin with [default: CACHE_]",
        ))
        .args(settings)
        .arg(
            Arg::new("check")
                .long("check")
                .alias("check-config")
                .action(ArgAction::SetTrue)
                .help("Check the settings and exit: 0 if they are right, 2 if not"),
        )
        .arg(
            Arg::new("print-config")
                .long("print-config")
                .action(ArgAction::SetTrue)
                .help("Print all settings that hold and where each was said, without secrets, and exit"),
        )
        .after_help(AFTER_HELP)
}

fn argument(spec: &Spec) -> Arg {
    let default = if spec.default.is_empty() { "none" } else { spec.default };
    let help = format!("{} [default: {default}] [env: CACHE_{}]", spec.help, spec.name.to_uppercase());
    option(spec.name, "VALUE", help)
}

fn option(name: &'static str, value: &'static str, help: impl Into<String>) -> Arg {
    Arg::new(name).long(long(name)).value_name(value).help(help.into())
}

fn long(name: &str) -> String {
    name.replace('_', "-")
}

const AFTER_HELP: &str = "\
Flags win over the environment, the environment over the file, the file over the profile.

Only in the environment or the file:
  CACHE_TOKEN=...            bearer token (a flag would be visible to everyone on the machine)
  CACHE_<REGION>_SIZE=N      most entries of a region, which is created if need be
  CACHE_<REGION>_TTL=5m      its time-to-live: 300, 250ms, 90s, 5m, 1h30m, 2d or forever
  REDIS_URL, REDIS_PASSWORD  Redis as a second tier
  CACHE_TTL_SHORT=5m ...     the standard time-to-live presets

Only in the file:
  [region.NAME]              max_entries, max_bytes, ttl, policy (adaptive, lru, lfu, s3-fifo, sieve, ttl, size,
                             hybrid, hybrid-hits, hybrid-bytes)
  [tokens.NAME]              role (read, write, admin), sha256 and class (anonymous, authenticated, premium, admin):
                             more tokens
  [ttl]                      presets of your own: tick = \"5s\"
  env_prefix                 as --env-prefix

SIGHUP reads the settings again: regions, presets, tokens, certificates and limits change at once, a wrong setting
changes nothing.

Exit codes: 0 after SIGTERM or SIGINT, 1 if the server cannot run, 2 if a setting is wrong.";
