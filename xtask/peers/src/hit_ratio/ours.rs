//! The real memory tier as a contender.

use std::sync::Arc;
use std::time::Duration;

use cache_memory::{Memory, Policy, Put};
use cache_testkit::clock::ManualClock;

use super::course::{By, Course, Item};
use super::replay::Contender;

/// A memory tier, and the clock that it goes by.
pub(super) struct Ours {
    memory: Memory<u32, u32>,
    clock: ManualClock,
    now: Duration,
    by: By,
}

impl Ours {
    pub(super) fn new(policy: Policy, course: &Course<'_>, capacity: u64, shards: u16) -> Self {
        let clock = ManualClock::new();
        let memory = Memory::new().with_policy(policy).with_shards(shards.into());
        let memory = memory.with_clock(Arc::new(clock.clone())).with_sweep_every(None);
        let memory = match course.by {
            By::Requests => memory.with_max_entries(capacity),
            By::Bytes | By::Cost => {
                memory.with_max_bytes(capacity).with_weigher(|_, &bytes: &u32| bytes.into())
            }
        };
        Self { memory, clock, now: Duration::ZERO, by: course.by }
    }
}

impl Contender for Ours {
    fn get(&mut self, key: u32) -> bool {
        self.memory.get(&key).is_some()
    }

    fn insert(&mut self, key: u32, item: Item) {
        let mut put = Put::new();
        if self.by != By::Requests {
            put = put.with_cost(Duration::from_micros(item.cost.into()));
        }
        if let Some(ttl) = item.ttl {
            put = put.with_ttl(ttl);
        }
        self.memory.insert_with(key, item.bytes, put);
    }

    fn arrive(&mut self, at: Duration) {
        let passed = at.saturating_sub(self.now);
        if !passed.is_zero() {
            self.now = at;
            self.clock.advance(passed);
            // By hand, because the sweeping thread goes by the time of day.
            self.memory.remove_expired();
        }
    }
}
