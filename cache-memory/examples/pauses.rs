//! How long a thread at work is held up while the rest of a large cache changes hands.
//!
//! ```text
//! expiry    10 million entries end at the same moment: the pauses of a thread that reads and writes meanwhile, and
//!           the memory before, at the most and after
//! resize    a live cache of 1 million is limited to a tenth, and to the whole again
//! policies  the same cache goes over from each policy to each other one
//! ```
//! `cargo run --release -p cache-memory --example pauses [expiry | resize | policies]`
//!
//! The longest operation is told by the clock on the wall and by the thread's own: what a busy machine takes away shows
//! in the first alone, and so does waiting for a lock. The control is the same operation on a cache that nobody else
//! touches, in turn with the others by the same thread: its pauses are the machine's.

#![expect(clippy::print_stdout, reason = "it talks to its terminal")]
#![expect(clippy::expect_used, reason = "a tool fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use cache_core::{Clock, Time, Ttl};
use cache_memory::{Memory, Policy, Put};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let part = std::env::args().nth(1).unwrap_or_default();
    let [wall, own, control, act] = ["longest, wall", "longest, own", "control, wall", "all of it, own"];
    println!("{:<24} {wall:>16} {own:>16} {control:>16} {act:>16} {:>10}", "", "operations");
    let all = part.is_empty();
    let known = ["expiry", "resize", "policies"];
    assert!(all || known.contains(&part.as_str()), "{part:?} is no part; use one of {}", known.join(", "));
    if all || part == "expiry" {
        expiry();
    }
    if all || part == "resize" {
        resize();
    }
    if all || part == "policies" {
        policies();
    }
}

fn expiry() {
    const ENTRIES: u64 = 10_000_000;
    // Those that are written meanwhile stay: few, so that it shows when the others have gone.
    const WRITTEN: u64 = ENTRIES / 100;
    let clock = Arc::new(ByHand::default());
    let before = resident_mib();
    let memory = Memory::new().with_max_entries(ENTRIES).with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    measured("fill 10 million", &memory, WRITTEN, || {
        for key in 0..ENTRIES {
            memory.insert_with(key, key, Put::new().with_ttl(Ttl::from_secs(60)));
        }
    });
    let most = resident_mib();
    measured("expire 10 million", &memory, WRITTEN, || {
        clock.0.store(Time::ZERO.after(Duration::from_mins(1)).as_nanos(), Relaxed);
        while memory.len() > WRITTEN {
            thread::sleep(Duration::from_millis(10));
        }
        // One more round of the sweeper, to return what is empty now.
        thread::sleep(Duration::from_secs(2));
    });
    println!("resident: {before} MiB before, {most} MiB with 10 million, {} MiB after", resident_mib());
}

fn resize() {
    let memory = live(Policy::Lru);
    measured("limit to a tenth", &memory, LIVE * 2, || memory.set_limits(Some(LIVE / 10), None));
    measured("limit to the whole", &memory, LIVE * 2, || memory.set_limits(Some(LIVE), None));
    measured("fill again", &memory, LIVE * 2, || fill(&memory));
}

fn policies() {
    for from in Policy::ALL {
        let memory = live(from);
        for to in Policy::ALL.into_iter().filter(|to| *to != from) {
            memory.set_policy(from);
            fill(&memory);
            measured(&format!("{from} to {to}"), &memory, LIVE * 2, || memory.set_policy(to));
        }
    }
}

const LIVE: u64 = 1_000_000;

fn live(policy: Policy) -> Memory<u64, u64> {
    let memory = Memory::new().with_max_entries(LIVE).with_policy(policy);
    fill(&memory);
    memory
}

fn fill(memory: &Memory<u64, u64>) {
    for key in 0..LIVE {
        memory.insert(key, key);
    }
}

/// Does `act` while a thread works on the memory and in turn on one of its own, and prints the longest operations on each.
fn measured(what: &str, memory: &Memory<u64, u64>, written: u64, act: impl FnOnce()) {
    let (started, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (worked, act) = thread::scope(|scope| {
        let worker = scope.spawn(|| work(memory, written, &started, &done));
        while !worker.is_finished() && !started.load(Relaxed) {
            thread::yield_now();
        }
        let begun = processor_time();
        act();
        let act = processor_time().saturating_sub(begun);
        done.store(true, Relaxed);
        (worker.join().expect("no panic"), act)
    });
    let Work { ours: Longest { wall, own }, control, operations } = worked;
    println!("{what:<24} {wall:>16.3?} {own:>16.3?} {:>16.3?} {act:>16.3?} {operations:>10}", control.wall);
}

#[derive(Debug, Default)]
struct Work {
    ours: Longest,
    control: Longest,
    operations: u64,
}

#[derive(Debug, Default)]
struct Longest {
    wall: Duration,
    own: Duration,
}

/// Reads, and writes every eighth time, among so many keys, until it is done.
fn work(memory: &Memory<u64, u64>, keys: u64, started: &AtomicBool, done: &AtomicBool) -> Work {
    const OTHERS: u64 = 100_000;
    let other = Memory::new().with_max_entries(OTHERS);
    let mut random = StdRng::seed_from_u64(keys);
    let mut work = Work::default();
    started.store(true, Relaxed);
    while !done.load(Relaxed) {
        work.ours.meet(memory, keys, &mut random);
        work.control.meet(&other, OTHERS, &mut random);
        work.operations += 1;
    }
    work
}

impl Longest {
    fn meet(&mut self, memory: &Memory<u64, u64>, keys: u64, random: &mut StdRng) {
        let (key, write) = (random.random_range(0..keys), random.random_ratio(1, 8));
        let (begun, own) = (Instant::now(), processor_time());
        if write {
            memory.insert(key, key);
        } else {
            std::hint::black_box(memory.get(&key));
        }
        let (own, wall) = (processor_time().saturating_sub(own), begun.elapsed());
        self.wall = self.wall.max(wall);
        self.own = self.own.max(own);
    }
}

/// What this thread has had of a processor so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What this process holds of the machine's memory; 0 where the system does not say so the way Linux does.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[derive(Debug, Default)]
struct ByHand(AtomicU64);

impl Clock for ByHand {
    fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Relaxed))
    }
}
