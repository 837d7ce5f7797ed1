//! Bus: how many events several nodes tell each other in a second over one Redis, and whether any of them doubts meanwhile.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_invalidation::{Action, Bus, Delivery, Doubt, Event, Listener, Target};
use cache_redis::{Config, Connection, RedisTransport};
use cache_testkit::redis::Server;
use clap::value_parser;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::Outcome;

/// The command line of `bus`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many nodes, each with a connection and a bus of its own
    #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u16).range(2..=64))]
    nodes: u16,
    /// How many callers each node has, each of which waits until its event is taken
    #[arg(long, value_name = "N", default_value = "32", value_parser = value_parser!(u16).range(1..=4096))]
    callers: u16,
    /// For how long they publish
    #[arg(long, value_name = "N", default_value = "5", value_parser = value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

const NAMESPACE: &str = "load";
/// How long the last events may be on their way.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Ear(AtomicU64);

impl Listener for Ear {
    fn invalidated(&self, _: &Event) {
        self.0.fetch_add(1, Relaxed);
    }

    fn distrust(&self, _: Doubt) {}
}

/// What was found. Its fields are the names in `--json`.
#[derive(Debug, Serialize)]
struct Report {
    nodes: u16,
    callers: u16,
    seconds: f64,
    published: u64,
    published_per_second: f64,
    messages: u64,
    heard: u64,
    heard_expected: u64,
    doubts: u64,
}

/// Publishes for as long as asked, waits until all is heard, and prints.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let server = Server::start();
    let runtime = Runtime::new()?;
    let report = runtime.block_on(measure(args, &server.url()))?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    if report.heard == report.heard_expected {
        return Ok(());
    }
    Err(format!("{} of {} events were heard", report.heard, report.heard_expected).into())
}

async fn measure(args: &Args, url: &str) -> Outcome<Report> {
    let mut nodes = Vec::new();
    for _ in 0..args.nodes {
        let connection = Connection::open(Config::from_url(url)?)?;
        let bus = Bus::builder(Arc::new(RedisTransport::new(connection))).open()?;
        let ear = Arc::<Ear>::default();
        nodes.push((bus.attach(NAMESPACE, Arc::<Ear>::clone(&ear)), bus, ear));
    }
    let all_whole = || nodes.iter().all(|(_, bus, _)| bus.is_whole());
    wait_for(all_whole).await;
    let doubts = || -> u64 {
        let of = |bus: &Bus| Doubt::ALL.into_iter().map(|why| bus.stats().doubts(why)).sum::<u64>();
        nodes.iter().map(|(_, bus, _)| of(bus)).sum()
    };
    let sent = || -> u64 { nodes.iter().map(|(_, bus, _)| bus.stats().sent).sum() };
    let (clock, doubts_before, sent_before) = (SystemClock::new(), doubts(), sent());
    let (is_on, begun) = (Arc::new(AtomicBool::new(true)), clock.now());
    let mut callers = Vec::new();
    for (node, (_, bus, _)) in nodes.iter().enumerate() {
        for caller in 0..args.callers {
            let (bus, is_on) = (bus.clone(), Arc::clone(&is_on));
            callers.push(tokio::spawn(async move {
                let mut published = 0_u64;
                while is_on.load(Relaxed) {
                    // Each its own target, so that none stands for another.
                    let key = format!("{NAMESPACE}:{node}:{caller}:{published}");
                    let event = Event::new(NAMESPACE, Target::Key(key), Action::Remove)
                        .map_err(|error| error.to_string())?;
                    match bus.publish(event).await {
                        Delivery::Sent => published += 1,
                        other => return Err(format!("an event was not taken: {other:?}")),
                    }
                }
                Ok(published)
            }));
        }
    }
    rest(Duration::from_secs(args.seconds)).await;
    is_on.store(false, Relaxed);
    let mut published = 0;
    for caller in callers {
        published += caller.await??;
    }
    let took = clock.now().since(begun).as_secs_f64();
    let heard_expected = published * u64::from(args.nodes - 1);
    let heard = || -> u64 { nodes.iter().map(|(_, _, ear)| ear.0.load(Relaxed)).sum() };
    wait_for(|| heard() >= heard_expected).await;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let published_per_second = published as f64 / took;
    Ok(Report {
        nodes: args.nodes,
        callers: args.callers,
        seconds: took,
        published,
        published_per_second,
        messages: sent() - sent_before,
        heard: heard(),
        heard_expected,
        doubts: doubts() - doubts_before,
    })
}

async fn wait_for(is_so: impl Fn() -> bool) {
    let clock = SystemClock::new();
    let end = clock.now().after(PATIENCE);
    while !is_so() && clock.now() < end {
        rest(Duration::from_millis(5)).await;
    }
}

async fn rest(duration: Duration) {
    let _ = tokio::time::timeout(duration, std::future::pending::<()>()).await;
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, callers, seconds, published, published_per_second, .. } = self;
        writeln!(f, "{nodes} nodes, {callers} callers each, {seconds:.1} s")?;
        writeln!(
            f,
            "  published  {published} events, {published_per_second:.0} per second, in {} messages",
            self.messages
        )?;
        writeln!(f, "  heard      {} of {}", self.heard, self.heard_expected)?;
        writeln!(f, "  doubts     {}", self.doubts)
    }
}
