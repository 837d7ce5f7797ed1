//! The commands, a file for each kind.

mod bench;
mod entry;
mod export;
mod figures;
mod groups;
mod health;
mod import;
mod jobs;
mod lines;
mod regions;
mod top;
mod watch;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use clap::CommandFactory;

use crate::args::{Args, Command};
use crate::error::Error;
use crate::http::Client;
use crate::output::Out;
use crate::target::Target;

pub(crate) fn run(args: &Args, variables: &BTreeMap<String, String>, out: &mut Out) -> Result<(), Error> {
    if let Command::Completions { shell } = &args.command {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Args::command(), "strata", &mut script);
        return out.bytes(&script);
    }
    let client = &Client::new(Target::new(&args.options, variables)?)?;
    match &args.command {
        Command::Get { keys } => entry::get(client, out, keys),
        Command::Set(set) => entry::set(client, out, set),
        Command::Del(del) => groups::del(client, out, del),
        Command::Ttl { key, ttl: None } => entry::ttl(client, out, key),
        Command::Ttl { key, ttl: Some(ttl) } => entry::touch(client, out, (key, ttl)),
        Command::Meta { key } => entry::meta(client, out, key),
        Command::Tags { tag } => groups::tags(client, out, tag),
        Command::Keys { prefix, limit, long } => groups::keys(client, out, (prefix, *limit, *long)),
        Command::Regions { what } => regions::run(client, out, what.as_ref()),
        Command::Clear { all, yes } => groups::clear(client, out, (*all, *yes)),
        Command::Health { ready } => health::run(client, out, *ready),
        Command::Stats => figures::stats(client, out),
        Command::Top { once, keys } => top::run(client, out, (*once, *keys)),
        Command::Watch { changes: false, count } => watch::figures(client, out, *count),
        Command::Watch { changes: true, count } => watch::changes(client, out, *count),
        Command::Jobs { what } => jobs::run(client, out, what.as_ref()),
        Command::Export { file, force } => export::run(client, out, (file.as_deref(), *force)),
        Command::Import { file } => import::run(client, out, file.as_deref()),
        Command::Bench(bench) => bench::run(client, out, bench),
        Command::Completions { .. } => Ok(()),
    }
}

/// Goes on only if it was said that it should, on the command line or now.
fn confirm(out: &Out, is_said: bool, what: &str) -> Result<(), Error> {
    if is_said {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!("{what}? If so, say --yes; nothing was done")));
    }
    out.note(&format!("{what}? Type yes to go on:"));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(Error::Output)?;
    let is_yes = ["yes", "y"].contains(&answer.trim().to_ascii_lowercase().as_str());
    is_yes.then_some(()).ok_or_else(|| Error::Usage("not confirmed; nothing was done".to_owned()))
}
