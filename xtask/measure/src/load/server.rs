//! Load on a server: so many connections, each with one request after another on its way.
//!
//! A request is a GET, and a PUT if the server had nothing; both are timed. Half of the machine's processors drive
//! the connections: a local server needs the others.

use std::sync::{Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use cache_core::Clock;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::{self, Runtime};

use super::http::{Connection, Region, Url};
use super::report::{MemoryUse, Recorded, Report, Setup};
use super::tally::{Failure, Tally};
use super::{Args, Run, joined};
use crate::source::{Access, Source};
use crate::{Outcome, proc};

/// Puts the source to a region of the server: one made for the purpose, or the named one, whatever is in it already.
pub(super) fn run(args: &Args, url: &Url, source: &Source) -> Outcome<Report> {
    let name = args.region.clone().unwrap_or_else(|| OWN_REGION.to_owned());
    let region = Region { url: url.clone(), name, token: args.token.clone() };
    let runtime = runtime()?;
    let mut visitor = Connection::new(region.clone());
    // A wrong address, token or region is told once, here, and not by every request.
    let ready = async {
        match args.region {
            Some(_) => visitor.find_region().await,
            None => visitor.make_region(&settings(args, source)).await,
        }
    };
    runtime.block_on(ready).map_err(|failure| failure.detail)?;
    let report = put_to(args, &region, source);
    if args.region.is_none() {
        // The server may be gone by now, which the report tells better.
        let _ = runtime.block_on(visitor.remove_region());
    }
    report
}

/// The settings of a region made for the purpose: what is not given is up to the server.
fn settings(args: &Args, source: &Source) -> serde_json::Value {
    let mut settings = serde_json::Map::new();
    if let Some(capacity) = args.capacity.given(source.unique()) {
        settings.insert("max_entries".into(), capacity.into());
    }
    if let Some(policy) = args.policy {
        settings.insert("policy".into(), policy.as_str().into());
    }
    settings.into()
}

fn put_to(args: &Args, region: &Region, source: &Source) -> Outcome<Report> {
    let connections = args.concurrency.map_or(16, Into::into);
    let threads = thread::available_parallelism().map_or(1, |all| all.get().div_ceil(2)).min(connections);
    let share = |thread: usize| (connections - thread).div_ceil(threads);
    let crowd = Crowd { run: Run::start(args, source), feed: Mutex::new(source.accesses()), region };
    let start = crowd.run.clock.now();
    let tallies: Vec<Outcome<Tally>> = thread::scope(|scope| {
        let drive = |connections| crowd.drive(connections).map_err(|error| error.to_string());
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || drive(share(thread)))).collect();
        threads.into_iter().map(joined).collect()
    });
    let took = crowd.run.clock.now().since(start);
    crowd.run.bar.finish_and_clear();

    let mut tally = Tally::new()?;
    for thread in tallies {
        tally.add(thread?)?;
    }
    let memory = runtime()?.block_on(memory(args, region));
    let target = format!("server {}, region {}", region.url, region.name);
    let setup = Setup { target, concurrency: connections, recorded: Recorded::Every };
    Ok(Report::new(setup, source, tally, took, memory))
}

/// All connections of a run, and the requests that they take from.
struct Crowd<'a> {
    run: Run,
    feed: Mutex<Box<dyn Iterator<Item = Access> + Send + 'a>>,
    region: &'a Region,
}

impl Crowd<'_> {
    /// Drives so many connections on this thread until the requests end or the time is up.
    fn drive(&self, connections: usize) -> Outcome<Tally> {
        let mut tally = Tally::new()?;
        runtime()?.block_on(async {
            let mut running: FuturesUnordered<_> = (0..connections).map(|_| self.client()).collect();
            while let Some(client) = running.next().await {
                tally.add(client?)?;
            }
            Ok(tally)
        })
    }

    async fn client(&self) -> Outcome<Tally> {
        let mut client = Client {
            connection: Connection::new(self.region.clone()),
            tally: Tally::new()?,
            clock: &self.run.clock,
        };
        let mut failed_in_a_row = 0;
        while !self.run.is_over() && failed_in_a_row < PATIENCE {
            let Some(access) = self.next() else { break };
            failed_in_a_row = match client.request(access).await {
                Ok(()) => 0,
                Err(failure) => {
                    client.tally.fail(failure);
                    failed_in_a_row + 1
                }
            };
            client.tally.requests += 1;
            self.run.bar.inc(1);
        }
        Ok(client.tally)
    }

    fn next(&self) -> Option<Access> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// One connection and what it has counted.
struct Client<'a, C> {
    connection: Connection,
    tally: Tally,
    clock: &'a C,
}

impl<C: Clock> Client<'_, C> {
    async fn request(&mut self, access: Access) -> Result<(), Failure> {
        let start = self.clock.now();
        let found = self.connection.get(access.key).await;
        self.count(start);
        match found? {
            Some(value) if is_of(access.key, &value) => self.tally.hits += 1,
            Some(value) => return Err(wrong(access.key, &value)),
            None => {
                let start = self.clock.now();
                let stored = self.connection.put(access.key, value(access)).await;
                self.count(start);
                stored?;
            }
        }
        Ok(())
    }

    fn count(&mut self, start: cache_core::Time) {
        self.tally.operations += 1;
        self.tally.record(self.clock.now().since(start));
    }
}

/// The key, again and again: an answer that belongs to another key is noticed.
fn value(access: Access) -> Bytes {
    access.key.to_le_bytes().into_iter().cycle().take(access.value_bytes as usize).collect()
}

fn is_of(key: u64, value: &[u8]) -> bool {
    value.iter().zip(key.to_le_bytes()).all(|(found, expected)| *found == expected)
}

fn wrong(key: u64, value: &[u8]) -> Failure {
    let start = &value[..value.len().min(8)];
    Failure { kind: "wrong value", detail: format!("key {key} answered with {start:?} ... of another key") }
}

/// By the kernel if the process is known, else by the server's own word, which does not tell the peak.
async fn memory(args: &Args, region: &Region) -> MemoryUse {
    let peak = args.server_pid.and_then(proc::peak_of);
    let after = Connection::new(region.clone()).memory().await;
    MemoryUse { peak, before: None, after }
}

fn runtime() -> Outcome<Runtime> {
    Ok(runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The region that is made for a run and removed after it.
const OWN_REGION: &str = "load";
/// A connection that failed so often in a row stops asking.
const PATIENCE: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_knows_its_key() {
        let value = value(Access { key: 258, value_bytes: 20 });
        assert_eq!(value.len(), 20);
        assert!(is_of(258, &value));
        assert!(!is_of(259, &value));
        assert!(is_of(1, b""), "nothing to compare");
    }
}
