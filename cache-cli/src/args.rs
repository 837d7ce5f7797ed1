//! The command line: what can be said. Nothing here does anything.

#![expect(clippy::doc_markdown, reason = "what stands above a field is its help on a terminal")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as Group, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

#[derive(Debug, Parser)]
#[command(name = "strata", version, about = "Asks and feeds a cache-server.", after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Group)]
pub(crate) struct Options {
    /// The server's address [env: STRATA_URL] [default: http://127.0.0.1:7400]
    #[arg(short, long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The region [env: STRATA_REGION] [default: default]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// File that holds the token [env: STRATA_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The token itself [env: STRATA_TOKEN]. Warning: everyone on this machine can read what stands on a command line;
    /// use the variable or the file
    #[arg(long, global = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Certificates in PEM to trust for https, in place of the system's [env: STRATA_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// How long the server may take to accept a connection, and may then say nothing: 500ms, 10s, 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Writes JSON, of the shapes that docs/cli.md names
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colours: auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes the value of a key, as it is; of several keys with --json
    Get {
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Stores a value: the argument, a file, or standard input
    Set(Set),
    /// Removes keys, or all with a tag, a prefix or a pattern
    Del(Del),
    /// Tells what is left of a key's life, or gives it a new one
    Ttl {
        key: String,
        /// The new one: 300, 90s, 5m, 1h30m, forever or a preset's name
        ttl: Option<String>,
    },
    /// Tells what is known of a key besides its value
    Meta { key: String },
    /// Lists the keys that have a tag
    Tags { tag: String },
    /// Lists keys in their order
    Keys {
        /// Those that begin so
        #[arg(long, default_value = "")]
        prefix: String,
        /// At most so many; 0 for all
        #[arg(long, value_name = "N", default_value_t = 0)]
        limit: u64,
        /// With size, life, type and tags
        #[arg(short, long)]
        long: bool,
    },
    /// Lists regions, makes and removes them
    Regions {
        #[command(subcommand)]
        what: Option<Regions>,
    },
    /// Removes everything in the region
    Clear {
        /// In all regions
        #[arg(long)]
        all: bool,
        /// Does not ask first
        #[arg(short, long)]
        yes: bool,
    },
    /// Tells whether the server is well
    Health {
        /// Asks only whether it takes requests, and says nothing but by the exit code
        #[arg(long)]
        ready: bool,
    },
    /// Tells the server's figures and what they mean
    Stats,
    /// Shows regions and the keys that are read most, again every second on a terminal
    Top {
        /// Once
        #[arg(long)]
        once: bool,
        /// The most keys of a region
        #[arg(long, value_name = "N", default_value_t = 5)]
        keys: usize,
    },
    /// Follows the server's figures, a line every second, or what changes in the region
    Watch {
        /// Follows what changes in the region, a line for each change
        #[arg(long)]
        changes: bool,
        /// Ends after so many lines; 0 for never
        #[arg(long, value_name = "N", default_value_t = 0)]
        count: u64,
    },
    /// Lists long work and how far it is, or ends it
    Jobs {
        #[command(subcommand)]
        what: Option<Jobs>,
    },
    /// Writes all entries of the region as lines of JSON, to a file or standard output
    Export {
        file: Option<PathBuf>,
        /// Replaces the file if there is one
        #[arg(short, long)]
        force: bool,
    },
    /// Stores entries from lines of JSON, from a file or standard input
    Import { file: Option<PathBuf> },
    /// Measures the server in a region of its own, which it makes and removes
    Bench(Bench),
    /// Writes the script that completes this program's commands in a shell
    Completions { shell: Shell },
}

#[derive(Debug, Group)]
pub(crate) struct Set {
    pub(crate) key: String,
    /// The value; without it, or for -, standard input to its end
    #[arg(conflicts_with = "file")]
    pub(crate) value: Option<String>,
    /// The file whose content is the value
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// How long it lives: 300, 90s, 5m, 1h30m, forever or a preset's name
    #[arg(short, long)]
    pub(crate) ttl: Option<String>,
    /// For how long after that it still answers as stale, while somebody makes it again: as --ttl
    #[arg(long, value_name = "TTL")]
    pub(crate) stale: Option<String>,
    /// A tag; may be said again
    #[arg(long = "tag", value_name = "TAG", action = ArgAction::Append)]
    pub(crate) tags: Vec<String>,
    /// low, normal, high or critical
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// What it is [default: text/plain for an argument, else application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Only if there is no such key; else ends with code 4
    #[arg(long)]
    pub(crate) if_absent: bool,
}

#[derive(Debug, Group)]
#[group(required = true, multiple = false)]
pub(crate) struct Del {
    pub(crate) keys: Vec<String>,
    /// All that have this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// All that begin so
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// All that are like this: * any characters, ? one, [a-z] one of these
    #[arg(long, value_name = "GLOB")]
    pub(crate) pattern: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Jobs {
    /// Ends one where it stands, or forgets one that has ended
    End { id: u64 },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Regions {
    /// Makes one
    Add {
        name: String,
        #[arg(long, value_name = "N")]
        max_entries: Option<u64>,
        #[arg(long, value_name = "N")]
        max_bytes: Option<u64>,
        #[arg(long)]
        ttl: Option<String>,
        /// adaptive, lru, lfu, s3-fifo, sieve, ttl, size, hybrid, hybrid-hits or hybrid-bytes
        #[arg(long)]
        policy: Option<String>,
    },
    /// Removes one with all that is in it
    Remove {
        name: String,
        /// Does not ask first
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Group)]
pub(crate) struct Bench {
    /// Requests in all
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) requests: u64,
    /// Connections, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub(crate) connections: u16,
    /// Different keys
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) keys: u64,
    /// Bytes of each value
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) value_bytes: u64,
    /// Of a hundred requests, those that read
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) reads: u8,
    /// Ends then, whatever is left to do; at most ten minutes
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = short_duration)]
    pub(crate) time_limit: Duration,
}

const LONGEST_BENCH: Duration = Duration::from_mins(10);

fn short_duration(text: &str) -> Result<Duration, String> {
    duration(text)
        .and_then(|time| if time <= LONGEST_BENCH { Ok(time) } else { Err("at most 10m".to_owned()) })
}

/// Reads a time of more than nothing.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a number with ms, s or m, such as 500ms, 10s or 2m".to_owned();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let time = match unit {
        "ms" => Duration::from_millis(number.into()),
        "" | "s" => Duration::from_secs(number.into()),
        "m" => Duration::from_mins(u64::from(number.min(24 * 60))),
        _ => return Err(wrong()),
    };
    if time.is_zero() { Err(wrong()) } else { Ok(time) }
}

const AFTER_HELP: &str = "\
Environment: STRATA_URL, STRATA_REGION, STRATA_TOKEN, STRATA_TOKEN_FILE, STRATA_CA_FILE, NO_COLOR. Flags win.

Exit codes: 0 done, 1 not there, 2 the command line is wrong, 3 the server cannot be reached or has failed,
            4 the server refuses the request, 5 a file or a standard stream cannot be read or written.

  printf %s \"$REPORT\" | strata set report:7 --ttl 1h --tag reports
  strata get report:7 > report
  strata export | ssh other strata import";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "0s", "s", "1.5s", "5 s", "-1s", "99999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(short_duration("11m").is_err());
    }
}
