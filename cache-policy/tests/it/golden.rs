//! Miss counts of published policies, as the authors' own simulator counts them.
//!
//! The numbers are those of libCacheSim 0.1.0, commit aa0fc409, with its default parameters and
//! `--ignore-obj-size 1`. Each trace was given to it as text, one key a line.

use std::error::Error;
use std::fs::File;

use cache_policy::{Evictor, Policy, Slots};
use cache_testkit::trace::Trace;

/// How many requests miss a cache of so many entries: one that makes room first and inserts then.
fn misses(policy: Policy, trace: &Trace, capacity: u32) -> u32 {
    let mut slots = Slots::default();
    let mut evictor = Evictor::new(policy);
    let mut slot_of = vec![None; trace.unique() as usize];
    let mut key_in = Vec::new();
    let mut misses = 0;
    for &key in trace.keys() {
        if let Some(slot) = slot_of[key as usize] {
            evictor.touch(&mut slots, slot);
            continue;
        }
        misses += 1;
        let full = misses > capacity;
        let slot =
            if full { evictor.evict(&mut slots).expect("a full cache is not empty") } else { misses - 1 };
        if full {
            slot_of[key_in[slot as usize] as usize] = None;
        } else {
            key_in.push(key);
        }
        key_in[slot as usize] = key;
        slot_of[key as usize] = Some(slot);
        slots.put(slot, key, 1);
        evictor.insert(&mut slots, slot);
    }
    misses
}

#[track_caller]
fn check(name: &str, policy: Policy, expected: [(u32, u32); 5]) -> Result<(), Box<dyn Error>> {
    let path = format!("{}/../traces/{name}.ctr.zst", env!("CARGO_MANIFEST_DIR"));
    let trace = Trace::read(name, File::open(path)?)?;
    let counted = expected.map(|(capacity, _)| (capacity, misses(policy, &trace, capacity)));
    assert_eq!(counted, expected, "{policy} on {name}: (entries, misses)");
    Ok(())
}

#[test]
fn s3_fifo_misses_what_its_authors_miss() -> Result<(), Box<dyn Error>> {
    let web07 = [(20, 59_069), (75, 49_120), (205, 42_775), (745, 36_215), (2_048, 31_879)];
    check("web07", Policy::S3Fifo, web07)?;
    let sprite = [(20, 122_571), (75, 103_686), (205, 70_302), (745, 17_792), (2_048, 9_322)];
    check("sprite", Policy::S3Fifo, sprite)?;
    let multi3 = [(20, 28_277), (75, 25_690), (205, 21_275), (745, 16_548), (2_048, 13_579)];
    check("multi3", Policy::S3Fifo, multi3)
}

#[test]
fn sieve_misses_what_its_authors_miss() -> Result<(), Box<dyn Error>> {
    let web07 = [(20, 59_273), (75, 49_951), (205, 43_995), (745, 37_140), (2_048, 32_025)];
    check("web07", Policy::Sieve, web07)?;
    let sprite = [(20, 123_435), (75, 106_347), (205, 78_386), (745, 23_890), (2_048, 11_213)];
    check("sprite", Policy::Sieve, sprite)?;
    let multi3 = [(20, 29_266), (75, 27_942), (205, 23_539), (745, 18_947), (2_048, 16_114)];
    check("multi3", Policy::Sieve, multi3)
}
