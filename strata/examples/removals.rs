//! What it costs to remove many values at once, and how long a thread that reads meanwhile is held up.
//!
//! ```text
//! remove_tag              10, 10,000 and 1,000,000 members of one tag, in a cache that holds as many others
//! entries_with_tag        the same members
//! …, each with its own    every member has a second tag that no other one has, so that there are as many sets
//! clear                   10, 10,000 and 1,000,000 values
//! remove_prefix, …        1,000,000 values, of which every tenth is meant
//! ```
//! `cargo run --release -p strata --example removals`
//!
//! "Call" is the time until it returns, "freed" until nothing of what was removed is held any more; the longest read is that of
//! a thread that reads all the while. Times are told by the clock on the wall or by a thread's own: what a busy machine takes
//! away shows in the first alone. A control thread does the same on a cache that nobody else touches.

#![expect(clippy::print_stdout, reason = "it talks to its terminal")]
#![expect(clippy::expect_used, reason = "a tool fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use strata::{Cache, Memory, Options, Pattern, Tags};
use tokio::runtime::{Builder, Runtime};

const MOST: u64 = 1_000_000;
const CONTROLS: u64 = 100_000;

fn main() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let [call, own_call, freed] = ["call", "call, own", "freed"];
    let [wall, own, control] = ["longest, wall", "longest, own", "control, wall"];
    println!(
        "{:<32} {:>9} {call:>11} {own_call:>11} {freed:>11} {wall:>14} {own:>13} {control:>14}",
        "", "removed"
    );
    let half = |members: u64| {
        World::new(&runtime, members * 2, |key| tags(if key < members { "t" } else { "other" }))
    };
    for members in [10, 10_000, MOST] {
        half(members).measure("remove_tag", |cache| runtime.block_on(cache.remove_tag("t")).expect("memory"));
    }
    for members in [10, 10_000, MOST] {
        half(members).measure("entries_with_tag", |cache| {
            runtime.block_on(cache.entries_with_tag("t")).expect("memory").len() as u64
        });
    }
    for members in [10_000, MOST] {
        let own = |key| Tags::new(["t".to_owned(), format!("own:{key}")]).expect("legal");
        let world = World::new(&runtime, members, own);
        world.measure("remove_tag, each with its own", |cache| {
            runtime.block_on(cache.remove_tag("t")).expect("memory")
        });
        let world = World::new(&runtime, members, |_| tags("t"));
        world.measure("expire_tag", |cache| runtime.block_on(cache.expire_tag("t")).expect("memory"));
    }
    for values in [10, 10_000, MOST] {
        let world = World::new(&runtime, values, |_| Tags::NONE);
        world.measure("clear", |cache| runtime.block_on(cache.clear()).expect("memory"));
    }
    let world = World::new(&runtime, MOST, |_| Tags::NONE);
    world
        .measure("remove_prefix", |cache| runtime.block_on(cache.remove_prefix("group:0:")).expect("memory"));
    for text in ["group:1:*", "*:2:*", "group:[3-3]:*a?c*"] {
        let pattern = Pattern::new(text).expect("legal");
        world.measure(&format!("remove_pattern {text}"), |cache| {
            runtime.block_on(cache.remove_pattern(&pattern)).expect("memory")
        });
    }
}

fn tags(name: &str) -> Tags {
    Tags::new([name]).expect("legal")
}

struct World {
    cache: Cache<String, u64>,
    control: Cache<String, u64>,
    values: u64,
}

impl World {
    fn new(runtime: &Runtime, values: u64, tags: impl Fn(u64) -> Tags) -> Self {
        let build = || Cache::builder("removals").memory(Memory::new()).build().expect("legal");
        let world = Self { cache: build(), control: build(), values };
        runtime.block_on(async {
            for key in 0..values {
                let options = Options::new().with_tags(tags(key));
                world.cache.insert_with(name(key), key, options).await.expect("memory");
            }
            for key in 0..CONTROLS {
                world.control.insert(name(key), key).await.expect("memory");
            }
        });
        world
    }

    /// Does `act` while a thread reads the same cache and another one the control's, and prints what came of it.
    fn measure(&self, what: &str, act: impl FnOnce(&Cache<String, u64>) -> u64) {
        let (done, started) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            let ours = scope.spawn(|| read(&self.cache, self.values, (&started, &done)));
            let control = scope.spawn(|| read(&self.control, CONTROLS, (&started, &done)));
            while started.load(Relaxed) < 2 {
                thread::yield_now();
            }
            let (begun, own_begun) = (Instant::now(), processor_time());
            let removed = act(&self.cache);
            let (own_call, call) = (processor_time().saturating_sub(own_begun), begun.elapsed());
            let mut freed = call;
            while self.cache.stats().memory.unfreed > 0 {
                thread::sleep(Duration::from_millis(1));
                freed = begun.elapsed();
            }
            done.store(true, Relaxed);
            let Longest { wall, own } = ours.join().expect("no panic");
            let control = control.join().expect("no panic").wall;
            println!(
                "{what:<32} {removed:>9} {call:>11.1?} {own_call:>11.1?} {freed:>11.1?} {wall:>14.1?} {own:>13.1?} \
                 {control:>14.1?}"
            );
        });
    }
}

#[derive(Debug, Default)]
struct Longest {
    wall: Duration,
    own: Duration,
}

/// Reads one key after another until it is done.
fn read(cache: &Cache<String, u64>, keys: u64, (started, done): (&AtomicU32, &AtomicBool)) -> Longest {
    let mut longest = Longest::default();
    let mut key = 0;
    started.fetch_add(1, Relaxed);
    while !done.load(Relaxed) {
        key = (key + 7919) % keys;
        let name = name(key);
        let (begun, own) = (Instant::now(), processor_time());
        std::hint::black_box(cache.get_local(&name));
        let (own, wall) = (processor_time().saturating_sub(own), begun.elapsed());
        longest.wall = longest.wall.max(wall);
        longest.own = longest.own.max(own);
    }
    longest
}

/// What this thread has had of a processor so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn name(key: u64) -> String {
    format!("group:{}:abc:{key}", key % 10)
}
