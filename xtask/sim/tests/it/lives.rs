//! Lives of a fleet, one for each seed.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sim::life;

/// The seeds of one run of the tests; `STRATA_SIM_SEEDS` says how many otherwise, `STRATA_SIM_FROM` from where on, and `STRATA_SIM_SEED`
/// replays one.
const SEEDS: u64 = 20_000;

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().expect("a number"))
}

#[test]
fn a_fleet_keeps_its_promises_whatever_happens_to_it() {
    let (from, seeds) = number("STRATA_SIM_SEED").map_or_else(
        || (number("STRATA_SIM_FROM").unwrap_or(0), number("STRATA_SIM_SEEDS").unwrap_or(SEEDS)),
        |only| (only, 1),
    );
    let seeds = from..from + seeds;
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get() as u64);
    let (first, step) = (seeds.start, threads);
    let is_over = AtomicBool::new(false);
    let reads: u64 = std::thread::scope(|scope| {
        let (seeds, is_over) = (&seeds, &is_over);
        let lives = |thread: u64| {
            move || {
                let mut reads = 0;
                for seed in (first + thread..seeds.end).step_by(usize::try_from(step).expect("few")) {
                    if is_over.load(Relaxed) {
                        break;
                    }
                    let life = life(seed);
                    is_over.fetch_or(!life.wrong.is_empty(), Relaxed);
                    assert!(life.wrong.is_empty(), "STRATA_SIM_SEED={seed} replays it: {:#?}", life.wrong);
                    reads += life.reads;
                }
                reads
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(lives(thread))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .sum()
    });
    assert!(reads >= (seeds.end - seeds.start) * 20, "{reads} reads are too few to say anything");
}

/// What has found something once, beyond those seeds.
const FOUND: [u64; 1] = [76_717];

#[test]
fn so_it_does_where_it_did_not_once() {
    for seed in FOUND {
        assert_eq!(life(seed).wrong, [""; 0], "STRATA_SIM_SEED={seed}");
    }
}

#[test]
fn a_seed_replays() {
    // In one life of a hundred two keys share a stripe of a fence, whose hasher nobody seeds, and a value more is fenced off.
    let [first, second, third] = [life(3), life(3), life(3)];
    assert!(first == second || second == third || first == third, "{first:?}\n{second:?}\n{third:?}");
}
