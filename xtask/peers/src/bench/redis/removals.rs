//! Removals of much at once: what they take, and what others wait for meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cache_core::{Clock, Key, Removed, Store, StoreExt, SystemClock, Tag, Tags};
use cache_redis::RedisStore;
use cache_testkit::redis::Server;

use super::calls::micros;
use super::report::{Asked, Report};
use super::side::{entry, write};
use super::{Scale, median};
use crate::Outcome;

/// Removes tags that few entries carry, and many. Each entry carries several, so that one filling is enough for all rounds.
pub(super) async fn tags(store: &RedisStore, scale: &Scale, report: &mut Report) -> Outcome {
    let clock = SystemClock::new();
    let first = Key::new("tagged:0")?;
    for members in scale.members {
        let tags = (0..TAGS).map(|number| Tag::new(format!("{members}:{number}")));
        let tags = tags.collect::<Result<Vec<_>, _>>()?;
        let entry = entry().with_tags(Tags::new(tags.iter().map(Tag::as_str))?);
        write(store, "tagged:", members, &entry).await?;
        if store.get(&first).await?.is_none() {
            return Err("an entry was lost before its tag was removed".into());
        }
        let mut times = Vec::new();
        for tag in &tags {
            let begun = clock.now();
            store.remove_tag(tag).await?;
            times.push(micros(&clock, begun));
            if store.get(&first).await?.is_some() {
                return Err("an entry outlived its tag".into());
            }
        }
        let row = format!("removal of a tag of {members} entries");
        report.measured(row, median(times) / 1e3, "ms", Some(Asked::AtMost(TAG_MS)));
    }
    Ok(())
}

/// Removes many keys by what they begin with, again and again, and tells of each time how long another client waited for an answer
/// meanwhile, at worst. That is also the machine's doing; what the server's is, it tells itself: its longest command.
pub(super) async fn others(
    store: &RedisStore,
    server: &Server,
    scale: &Scale,
    report: &mut Report,
) -> Outcome {
    let clock = SystemClock::new();
    let (mut took, mut longest, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds.min(STALLS) {
        write(store, "removed:", scale.removed, &entry()).await?;
        server.call(&["CONFIG", "SET", "slowlog-log-slower-than", "20", "slowlog-max-len", "10000"]);
        server.call(&["SLOWLOG", "RESET"]);
        let is_over = Arc::new(AtomicBool::new(false));
        let other = Other { url: server.url(), is_over: Arc::clone(&is_over) };
        // A thread of its own, so that it waits for the server and for nobody here.
        let waiting = thread::spawn(move || other.longest_wait().map_err(|error| error.to_string()));
        let begun = clock.now();
        let removed = store.remove_prefix("removed:").await;
        took.push(micros(&clock, begun) / 1e3);
        is_over.store(true, Ordering::Relaxed);
        longest.push(waiting.join().map_err(|_| "the other client failed")?? / 1e3);
        commands.push(longest_command(server) / 1e3);
        if removed? != Removed::Exactly(scale.removed as u64) {
            return Err("not every key was removed".into());
        }
    }
    let what = format!("removal of {} keys by prefix", scale.removed);
    report.told(what.clone(), median(took), "ms");
    for (number, wait) in longest.iter().enumerate() {
        report.told(format!("{what}: longest wait, time {}", number + 1), *wait, "ms");
    }
    report.told(format!("{what}: longest command"), median(commands), "ms");
    let row = format!("{what}: longest wait of another client");
    report.measured(row, median(longest), "ms", Some(Asked::AtMost(STALL_MS)));
    Ok(())
}

/// For how long the server was held by a single command, in microseconds, by its own account: the start of the log is what was
/// said of each, a number, a time, and how long it took.
fn longest_command(server: &Server) -> f64 {
    let log = server.call(&["SLOWLOG", "GET", "-1"]);
    let micros = log.parts().iter().filter_map(|entry| entry.parts().get(2)?.integer());
    micros.max().and_then(|micros| u32::try_from(micros).ok()).map_or(0.0, f64::from)
}

/// Another client, with a connection of its own.
struct Other {
    url: String,
    is_over: Arc<AtomicBool>,
}

impl Other {
    fn longest_wait(&self) -> Outcome<f64> {
        let mut connection = redis::Client::open(self.url.as_str())?.get_connection()?;
        let clock = SystemClock::new();
        let mut longest = 0.0_f64;
        while !self.is_over.load(Ordering::Relaxed) {
            let asked = clock.now();
            redis::cmd("GET").arg("bare:0").query::<Option<Vec<u8>>>(&mut connection)?;
            longest = longest.max(micros(&clock, asked));
        }
        Ok(longest)
    }
}

/// How many tags each entry carries, and so how often a removal is timed.
const TAGS: usize = 5;
const STALLS: usize = 5;
const TAG_MS: f64 = 1.0;
const STALL_MS: f64 = 20.0;
