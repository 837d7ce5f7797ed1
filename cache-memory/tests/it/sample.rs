//! The sample of hits names who is read most.

use std::collections::{BTreeMap, BTreeSet};

use cache_memory::Memory;
use cache_testkit::load::Workload;

const READS: usize = 1_000_000;

fn filled(keys: u64) -> Memory<u64, u64> {
    let memory = Memory::new();
    for key in 0..keys {
        memory.insert(key, key);
    }
    memory
}

#[test]
fn one_hit_in_64_names_nine_of_the_ten_most_read_keys() {
    let memory = filled(10_000);
    memory.set_sampling(64);
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    let zipf: Workload = "zipf,keys=10000,skew=0.99,seed=7".parse().expect("legal");
    for key in zipf.ids().map(u64::from).take(READS) {
        assert_eq!(memory.get(&key), Some(key));
        *counts.entry(key).or_default() += 1;
    }
    let mut by_count: Vec<u64> = counts.keys().copied().collect();
    by_count.sort_by_key(|key| std::cmp::Reverse(counts[key]));
    let most_read: BTreeSet<u64> = by_count[..10].iter().copied().collect();

    let sampled = memory.sampled(10);
    let named = sampled.top.iter().filter(|top| most_read.contains(&top.key)).count();
    assert!(named >= 9, "{named} of {most_read:?}: {sampled:?}");
    let first = &sampled.top[0];
    let truly = counts[&first.key];
    assert!(first.hits.abs_diff(truly) < truly / 5, "{first:?}, truly {truly}");
    assert!(sampled.hits.abs_diff(READS as u64) < READS as u64 / 20, "{}", sampled.hits);
}

#[test]
fn keys_that_are_read_in_turn_are_noted_alike() {
    let memory = Memory::new().with_shards(1).with_sampling(64);
    for key in 0..64_u64 {
        memory.insert(key, ());
    }
    for read in 0..640_000_u64 {
        assert!(memory.get(&(read % 64)).is_some());
    }
    let sampled = memory.sampled(64);
    assert_eq!(sampled.top.len(), 64);
    let (most, least) = (sampled.top[0].hits, sampled.top[63].hits);
    assert!(most < 3 * least, "{most} {least}");
}

#[test]
fn nothing_is_noted_unless_asked_and_what_was_is_forgotten_when_asked_again() {
    let memory = filled(3);
    let read = || (0..100).for_each(|read| assert!(memory.get(&(read % 3)).is_some()));
    let nobody = memory.sampled(10);
    read();
    assert_eq!((memory.sampled(10), nobody.hits, nobody.top.len()), (nobody.clone(), 0, 0));
    memory.set_sampling(1);
    read();
    assert_eq!((memory.sampled(10).hits, memory.sampled(2).top.len()), (100, 2));
    memory.set_sampling(1);
    assert_eq!(memory.sampled(10).hits, 0);
    read();
    memory.set_sampling(0);
    assert_eq!(memory.sampled(10).hits, 0);
}

#[test]
fn who_has_left_is_not_named_until_it_is_back_and_other_reads_do_not_end_the_sampling() {
    let memory = filled(2);
    memory.set_sampling(1);
    let read = || (0..10).for_each(|_| assert!(memory.get(&0).is_some()));
    read();
    memory.get_and_touch_with(&0, cache_core::Ttl::from_secs(60), |_| ());
    read();
    let hits = |memory: &Memory<u64, u64>| memory.sampled(10).top.first().map(|top| top.hits);
    assert_eq!(hits(&memory), Some(20));
    memory.clear();
    assert_eq!(hits(&memory), None);
    memory.insert(0, 0);
    read();
    assert_eq!(hits(&memory), Some(30));
}

#[test]
fn the_sample_and_the_books_outlive_a_move_to_smaller_tables() {
    let memory = Memory::new().with_shards(1).with_sweep_every(None).with_sampling(1);
    for key in 0..10_000_u64 {
        memory.insert(key, key);
    }
    let read = || (0..5).for_each(|_| assert!(memory.get(&0).is_some()));
    read();
    assert_eq!(memory.remove_if(|key, _| *key > 9), 9990);
    assert_eq!(memory.remove_expired(), 0);
    read();
    let sampled = memory.sampled(1);
    assert_eq!((sampled.hits, sampled.top[0].key, memory.stats().hits), (10, 0, 10));
}
