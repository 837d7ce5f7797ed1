//! What is timed: an operation, over so many keys, drawn by a shape, on so many threads.
//!
//! Workloads that can share filled caches stand in one [`Group`], so that a million entries are inserted once.

use std::num::NonZeroU32;

use cache_testkit::load::{Shape, Workload as Drawing};

use super::kind::Kind;
use super::lane::Operation;
use crate::Outcome;

/// Workloads over the same full caches.
pub(super) struct Group {
    pub(super) capacity: u64,
    /// How many keys are inserted before anything is timed.
    pub(super) filled: u64,
    /// How many operations pass before the first is timed: where the workload itself fills the cache, until that has
    /// settled.
    pub(super) warm_up: u64,
    /// Whether caches that never evict can take part.
    pub(super) without_eviction: bool,
    pub(super) workloads: Vec<Workload>,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) operation: Operation,
    pub(super) threads: usize,
    keys: NonZeroU32,
    /// `None`: keys that were never there.
    shape: Option<Shape>,
}

/// The groups over so many keys: all of them, or those that say most.
pub(super) fn groups(keys: NonZeroU32, main_only: bool) -> Vec<Group> {
    let count = u64::from(keys.get());
    let shapes: &[Shape] = if main_only { &[Shape::Zipf] } else { &[Shape::Zipf, Shape::Uniform] };
    let over = |operations: &[(&str, Operation)], shapes: &[Option<Shape>]| {
        let mut workloads = Vec::new();
        for (name, operation) in operations {
            for &shape in shapes {
                let shown = shape.map_or(String::new(), |shape| format!("-{shape}"));
                let name = format!("{name}{shown}-{}", short(keys.get()));
                let of =
                    |threads| Workload { name: name.clone(), operation: *operation, threads, keys, shape };
                workloads.extend([1, 2].map(of));
            }
        }
        workloads
    };
    let drawn: Vec<Option<Shape>> = shapes.iter().copied().map(Some).collect();
    let mut existing = vec![("read", Operation::Read), ("write5", Operation::Write { one_in: 20 })];
    if !main_only {
        existing.push(("write25", Operation::Write { one_in: 4 }));
        if count >= MANY_FROM {
            existing.push(("read16", Operation::ReadMany));
        }
    }
    vec![
        Group {
            // A quarter more than is needed, since some caches divide their limit into parts that fill unevenly.
            capacity: count + count / 4,
            filled: count,
            warm_up: 0,
            without_eviction: true,
            workloads: over(&existing, &drawn),
        },
        Group {
            capacity: count / 10,
            filled: 0,
            // A policy that learns has to have had the time: some ten thousand requests are over in a millisecond.
            warm_up: (count * 2).max((count * 64).min(1 << 20)),
            without_eviction: false,
            workloads: over(&[("get-or-insert", Operation::GetOrInsert)], &drawn),
        },
        Group {
            capacity: count,
            filled: count,
            warm_up: 0,
            without_eviction: false,
            workloads: over(&[("insert", Operation::Insert)], &[None]),
        },
    ]
}

impl Workload {
    /// Whether the user means this one: by its whole name, or by its beginning up to a dash.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// The source of each thread's keys.
    pub(super) fn draw(&self) -> Outcome<Vec<Draw>> {
        let one = |thread: usize| {
            let Some(shape) = self.shape else { return Ok(Draw::New { thread: thread as u64, drawn: 0 }) };
            let drawing = Drawing::new(shape, self.keys).with_skew(SKEW)?.with_seed(thread as u64);
            Ok(Draw::Old(Box::new(drawing.ids().map(u64::from))))
        };
        (0..self.threads).map(one).collect()
    }
}

/// Key ids of one thread, without end.
pub(super) enum Draw {
    Old(Box<dyn Iterator<Item = u64>>),
    New { thread: u64, drawn: u64 },
}

impl Draw {
    /// The next so many keys.
    pub(super) fn batch<K: Kind>(&mut self, length: usize) -> K::Batch {
        match self {
            Self::Old(ids) => K::batch(ids.take(length)),
            Self::New { thread, drawn } => {
                // Beyond all keys of 32 bits, and apart from those of the other thread.
                let first = ((*thread + 1) << 40) + *drawn;
                *drawn += length as u64;
                K::batch(first..first + length as u64)
            }
        }
    }
}

/// 16384 as `16k`, 1000000 as `1m`.
fn short(keys: u32) -> String {
    match keys {
        0..1_024 => keys.to_string(),
        1_024..1_000_000 => format!("{}k", keys / if keys.is_multiple_of(1_024) { 1_024 } else { 1_000 }),
        _ => format!("{}m", keys / 1_000_000),
    }
}

/// The exponent of YCSB's Zipf.
const SKEW: f64 = 0.99;
/// Below so many keys everything lies in the processor's caches, and asking for several at once gains nothing.
const MANY_FROM: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::super::kind::Integers;
    use super::*;

    #[test]
    fn names_are_unique_and_found_by_their_beginning() {
        let keys = NonZeroU32::new(1_000_000).unwrap();
        let all: Vec<Workload> = groups(keys, false).into_iter().flat_map(|group| group.workloads).collect();
        for workload in &all {
            let same = all.iter().filter(|it| (&it.name, it.threads) == (&workload.name, workload.threads));
            assert_eq!(same.count(), 1, "{}", workload.name);
        }
        let called = |name: &str| all.iter().filter(|workload| workload.is_called(name)).count();
        assert_eq!(
            [called("read"), called("read-zipf-1m"), called("read16"), called("insert"), called("rea")],
            [4, 2, 4, 2, 0]
        );
    }

    #[test]
    fn new_keys_are_new() {
        let workload = groups(NonZeroU32::new(64).unwrap(), true).pop().unwrap().workloads.pop().unwrap();
        let mut draws = workload.draw().unwrap();
        let mut keys: Vec<u64> = Vec::new();
        for _ in 0..3 {
            keys.extend(draws.iter_mut().flat_map(|draw| draw.batch::<Integers>(100)));
        }
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!((all, keys.len()), (600, 600));
    }
}
