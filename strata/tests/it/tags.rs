//! Tags that change, tags that nobody has, and removals in the very instant of a write.

use std::sync::Arc;

use cache_testkit::clock::ManualClock;
use strata::{Cache, Loaded, Memory, Options, Tags};

use crate::{Down, settle};

/// A cache whose clock stands still, so that everything happens in the same instant.
fn cache() -> Cache<u32, u32> {
    let memory = Memory::new().with_clock(Arc::new(ManualClock::new())).with_sweep_every(None);
    Cache::builder("tags").memory(memory).build().expect("legal")
}

fn tags(names: &[&str]) -> Tags {
    Tags::new(names).expect("legal")
}

fn tagged(names: &[&str]) -> Options {
    Options::new().with_tags(tags(names))
}

/// Stores the value of key 1 anew with these tags: by hand, by a load, by a load whose caller says others.
async fn store(cache: &Cache<u32, u32>, how: u8, names: &'static [&'static str]) {
    let forced = || Options::new().with_force_refresh(true);
    match how {
        0 => drop(cache.insert_with(1, 1, tagged(names)).await.expect("memory")),
        1 => {
            let load = || async { Ok::<_, Down>(1) };
            let options = tagged(names).with_force_refresh(true);
            assert!(cache.get_or_load(&1, load).with(options).await.is_ok());
        }
        _ => {
            let load = move || async move { Ok::<_, Down>(Loaded::new(1).with_tags(tags(names))) };
            let options = forced().with_tags(tags(&["t9"]));
            assert!(cache.get_or_load(&1, load).with(options).await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_value_is_removed_by_the_tags_it_has_now_and_by_no_former_one() {
    // C20
    for how in 0..3 {
        let cache = cache();
        store(&cache, how, &["t1", "t2"]).await;
        store(&cache, how, &["t1"]).await;
        assert_eq!(cache.remove_tag("t2").await.expect("memory"), 0, "{how}: it has that tag no more");
        assert!(cache.get_local(&1).is_some());
        let mut removed = 0;
        for tag in ["t1", "t2", "t3", "t4"] {
            removed += cache.remove_tag(tag).await.expect("memory");
        }
        assert_eq!((removed, cache.get_local(&1).is_some()), (1, false), "{how}");
        store(&cache, how, &["t1", "t2"]).await;
        store(&cache, how, &[]).await;
        for tag in ["t1", "t2", "t3", "t4", "t9"] {
            assert_eq!(cache.remove_tag(tag).await.expect("memory"), 0, "{how}: {tag}");
            assert_eq!(cache.expire_tag(tag).await.expect("memory"), 0, "{how}: {tag}");
        }
        assert!(cache.get_local(&1).is_some(), "{how}: without tags, no tag removes it");
    }
}

#[tokio::test]
async fn a_removal_in_the_instant_of_a_write_wins_over_it_and_not_over_the_next() {
    // C22
    for expires in [false, true] {
        let cache = cache();
        for how in 0..3 {
            store(&cache, how, &["t"]).await;
            let gone = if expires { cache.expire_tag("t").await } else { cache.remove_tag("t").await };
            assert_eq!(gone.expect("memory"), 1);
            assert!(cache.get_local(&1).is_none(), "{how}: written before it, at the same time");
            store(&cache, how, &["t"]).await;
            assert!(cache.get_local(&1).is_some(), "{how}: written after it, at the same time");
        }
    }
}

#[tokio::test]
async fn a_tag_that_nobody_has_changes_nothing() {
    // C23
    let cache = cache();
    for key in 0..100 {
        cache.insert_with(key, key, tagged(&[["a", "b"][key as usize % 2]])).await.expect("memory");
    }
    let before = cache.stats();
    for unknown in ["", "c", "A", "a ", "ab", "\u{0}", &"x".repeat(10_000)] {
        assert_eq!(cache.remove_tag(unknown).await.expect("memory"), 0, "{unknown:?}");
        assert_eq!(cache.expire_tag(unknown).await.expect("memory"), 0, "{unknown:?}");
    }
    assert_eq!(cache.stats(), before);
    assert_eq!(cache.keys_with_tag("a").await.expect("memory").len(), 50);
    assert_eq!(cache.remove_tag("a").await.expect("memory"), 50, "those of others are as they were");
    settle().await;
    assert_eq!((0..100).filter(|key| cache.get_local(key).is_some()).count(), 50);
}
