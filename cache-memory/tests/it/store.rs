//! The store: the suite by hand-driven time, lives to the nanosecond, limits, and threads that touch and write.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use cache_core::{Entry, Key, Result, Store, StoreExt, Tags, Ttl};
use cache_memory::{Memory, MemoryStore};
use cache_testkit::clock::ManualClock;
use cache_testkit::{race, suite};

const SECOND: Duration = Duration::from_secs(1);

fn by_hand() -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new();
    (MemoryStore::new(64 << 20).with_clock(Arc::new(clock.clone())), clock)
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a legal key")
}

fn entry(ttl: Duration, stale_for: Duration) -> Entry {
    let mut entry = Entry::new("x").with_ttl(ttl.into());
    entry.meta.stale_for = stale_for;
    entry
}

async fn lives(store: &MemoryStore) -> Result<Option<(Ttl, Duration)>> {
    Ok(store.get(&key("k")).await?.map(|entry| (entry.meta.ttl, entry.meta.stale_for)))
}

// conformance: Store for MemoryStore
#[pollster::test]
async fn memory_store_keeps_every_promise() {
    let (memory_store, clock) = by_hand();
    suite::store::all(&memory_store, &clock).await;
}

#[pollster::test]
async fn the_fresh_life_runs_out_first_and_both_to_the_nanosecond() -> Result<()> {
    let (store, clock) = by_hand();
    store.put(key("k"), entry(SECOND * 2, SECOND * 3)).await?;
    let nano = Duration::from_nanos(1);
    let left = |secs| (SECOND * secs).saturating_sub(nano);
    clock.advance(nano);
    for (ttl, stale_for) in [(left(2), SECOND * 3), (left(1), SECOND * 3), (Duration::ZERO, left(3))] {
        assert_eq!(lives(&store).await?, Some((ttl.into(), stale_for)));
        clock.advance(SECOND);
    }
    clock.advance(left(2));
    assert_eq!(lives(&store).await?, None);
    Ok(())
}

#[pollster::test]
async fn a_touched_entry_gets_its_whole_stale_life_again() -> Result<()> {
    let (store, clock) = by_hand();
    store.put(key("k"), entry(SECOND, SECOND * 10)).await?;
    clock.advance(SECOND * 5);
    assert_eq!(lives(&store).await?, Some((Ttl::ZERO, SECOND * 6)));
    assert!(store.touch(&key("k"), Ttl::from_secs(3)).await?);
    assert_eq!(lives(&store).await?, Some((Ttl::from_secs(3), SECOND * 10)));
    assert!(store.touch(&key("k"), Ttl::FOREVER).await?);
    clock.advance(SECOND * 1000);
    assert_eq!(lives(&store).await?, Some((Ttl::FOREVER, SECOND * 10)));
    assert!(store.touch(&key("k"), Ttl::from_secs(1)).await?);
    clock.advance(SECOND);
    assert_eq!(lives(&store).await?, Some((Ttl::ZERO, SECOND * 10)));
    Ok(())
}

#[pollster::test]
async fn a_stale_life_without_end_does_not_make_the_fresh_one_endless() -> Result<()> {
    let (store, clock) = by_hand();
    store.put(key("k"), entry(SECOND, Duration::MAX)).await?;
    clock.advance(SECOND);
    let (ttl, stale_for) = lives(&store).await?.expect("kept as stale");
    assert!(ttl.is_zero() && stale_for >= SECOND * 3_000_000_000, "{ttl:?}, {stale_for:?}");
    Ok(())
}

#[pollster::test]
async fn an_entry_that_is_too_large_takes_the_older_one_with_it() -> Result<()> {
    let store = MemoryStore::new(10_000);
    store.put(key("k"), Entry::new("small")).await?;
    store.put(key("k"), Entry::new(vec![0; 10_000])).await?;
    assert_eq!(store.get(&key("k")).await?, None, "the older value is no longer true");
    for number in 0..1000 {
        store.put(key(&format!("many:{number}")), Entry::new(vec![0; 100])).await?;
    }
    assert!(store.memory().stats().bytes <= 10_000);
    assert!(store.memory().len() > 10);
    Ok(())
}

#[pollster::test]
async fn a_memory_can_be_shared_with_its_store() -> Result<()> {
    let memory = Memory::new().with_max_entries(2);
    let store = MemoryStore::over(memory.clone());
    for name in ["a", "b", "c"] {
        store.put(key(name), Entry::new(name)).await?;
    }
    assert_eq!(memory.len(), 2);
    assert_eq!(memory.get("c").map(|entry| entry.value), Some("c".into()));
    Ok(())
}

#[pollster::test]
async fn a_touch_and_a_write_at_once_never_mix_their_lives() -> Result<()> {
    let store = Arc::new(by_hand().0);
    store.put(key("k"), entry(SECOND, Duration::ZERO)).await?;
    let touched = Arc::clone(&store);
    let touching = thread::spawn(move || {
        pollster::block_on(async {
            for _ in 0..20_000 {
                touched.touch(&key("k"), Ttl::from_secs(2)).await?;
            }
            Result::Ok(())
        })
    });
    for round in 0..20_000 {
        let stale_for = if round % 2 == 0 { SECOND * 100 } else { Duration::ZERO };
        store.put(key("k"), entry(SECOND, stale_for)).await?;
        let (ttl, _) = lives(&store).await?.expect("nothing ends it");
        assert!([SECOND, SECOND * 2].contains(&ttl.as_duration()), "fresh for {ttl}");
    }
    touching.join().expect("no panic")
}

#[test]
fn no_load_that_was_overtaken_leaves_its_value() {
    race::of_threads(&by_hand().0, 2000);
    // Where all are in each other's way.
    let memory = Memory::new().with_shards(1).with_max_entries(2);
    race::of_threads(&MemoryStore::over(memory), 2000);
}

#[pollster::test]
async fn a_listener_may_use_the_store_that_it_hears_of() -> Result<()> {
    let this: Arc<OnceLock<MemoryStore>> = Arc::default();
    let store = Arc::clone(&this);
    let memory = Memory::new().with_listener(move |key: &Key, _: &Entry, _| {
        if let Some(store) = store.get() {
            pollster::block_on(store.note(key, &Tags::NONE)).expect("it never fails");
            pollster::block_on(store.remove(key)).expect("it never fails");
        }
    });
    let store = this.get_or_init(|| MemoryStore::over(memory));
    store.put(key("k"), Entry::new("1")).await?;
    let note = store.note(&key("k"), &Tags::NONE).await?;
    assert!(store.put_noted(key("k"), Entry::new("2"), &note).await?);
    assert_eq!(store.get(&key("k")).await?, None, "the listener has removed it");
    Ok(())
}
