//! Walks over the cache that others change between their slices.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cache_core::Tags;
use cache_memory::{Memory, Put};
use cache_testkit::clock::ManualClock;

/// A removal of many entries of one shard.
type Removal = fn(&Memory<u32, ()>) -> u64;

#[test]
fn a_removal_misses_no_entry_though_the_shard_is_swept_between_its_slices() {
    const MORTAL: u32 = 2000;
    const TAGGED: u32 = 600;
    let removals: [(&str, Removal); 2] = [
        ("remove_tag", |memory| memory.remove_tag("t")),
        ("remove_if", |memory| memory.remove_if(|_, ()| true)),
    ];
    for (name, remove) in removals {
        let clock = ManualClock::new();
        let (time, own): (_, Arc<OnceLock<Memory<u32, ()>>>) = (clock.clone(), Arc::default());
        let memory = own.get_or_init(|| {
            let own = Arc::clone(&own);
            Memory::new()
                .with_shards(1)
                .with_clock(Arc::new(clock.clone()))
                .with_sweep_every(None)
                // Called after the first slice: most of the shard expires, so that a sweep would shrink it.
                .with_listener(move |key: &u32, (): &(), _| {
                    if *key == MORTAL {
                        time.advance(Duration::from_secs(1));
                        own.get().expect("set before the first departure").remove_expired();
                    }
                })
        });
        let mortal = Put::new().with_ttl(Duration::from_secs(1));
        let tagged = Put::new().with_tags(Tags::new(["t"]).expect("legal"));
        for key in 0..MORTAL + TAGGED {
            // Those that are to be removed hold the highest slots, save the first, whose departure starts the sweep.
            let put = if key < MORTAL { &mortal } else { &tagged };
            memory.insert_with(key, (), put.clone());
        }
        remove(memory);
        assert_eq!(memory.len(), 0, "{name} left some behind");
    }
}
