//! Many at once: by tag, by prefix, by pattern, all.

use std::sync::Arc;

use cache_testkit::clock::ManualClock;
use strata::{Cache, Memory, Options, Pattern, Region, Tags};

/// More than what dies one by one, in each of two shards.
const MANY: u32 = 400;

fn cache() -> Cache<u32, u32> {
    let memory = Memory::new().with_shards(2).with_clock(Arc::new(ManualClock::new()));
    Cache::builder("groups").memory(memory).build().expect("legal")
}

fn tagged(tags: &[&str]) -> Options {
    Options::new().with_tags(Tags::new(tags).expect("legal"))
}

async fn fill(cache: &Cache<u32, u32>, tags: &[&str]) {
    for key in 0..MANY {
        assert!(cache.insert_with(key, key, tagged(tags)).await.expect("memory").is_stored());
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).expect("legal")
}

#[tokio::test]
async fn the_tags_of_a_value_are_those_it_was_stored_with_last() {
    // C20
    let cache = cache();
    fill(&cache, &["t1", "t2"]).await;
    fill(&cache, &["t1"]).await;
    assert_eq!(cache.remove_tag("t2").await.expect("memory"), 0);
    assert_eq!(cache.entries_with_tag("t1").await.expect("memory").len(), MANY as usize);
    fill(&cache, &["t1", "t2", "t3", "t4"]).await;
    let mut removed = 0;
    for tag in ["t4", "t3", "t2", "t1"] {
        removed += cache.remove_tag(tag).await.expect("memory");
        assert!(cache.get(&7).await.expect("memory").is_none());
    }
    assert_eq!(removed, u64::from(MANY), "each is removed once");
    fill(&cache, &[]).await;
    for tag in ["t1", "t2", "t3", "t4"] {
        assert_eq!(cache.remove_tag(tag).await.expect("memory"), 0);
    }
    assert!(cache.get(&7).await.expect("memory").is_some(), "what has no tag any more stays");
}

#[tokio::test]
async fn a_removal_is_seen_at_the_same_instant_and_a_later_write_is_not_undone() {
    // C22, B14: the clock does not move
    for many in [1, MANY] {
        let cache = cache();
        for by_tag in [true, false] {
            for key in 0..many {
                cache.insert_with(key, key, tagged(&["t"])).await.expect("memory");
            }
            let removed = if by_tag { cache.remove_tag("t").await } else { cache.clear().await };
            assert_eq!(removed.expect("memory"), u64::from(many));
            for key in 0..many {
                assert!(cache.get(&key).await.expect("memory").is_none(), "{key} of {many}");
                assert!(!cache.contains(&key).await.expect("memory"));
            }
            assert_eq!(cache.entries_with_tag("t").await.expect("memory").len(), 0);
            cache.insert_with(0, 10, tagged(&["t"])).await.expect("memory");
            assert_eq!(cache.get(&0).await.expect("memory").as_deref(), Some(&10));
            assert_eq!(cache.keys_with_tag("t").await.expect("memory"), [0]);
            assert_eq!(cache.remove_tag("t").await.expect("memory"), 1);
        }
    }
}

#[tokio::test]
async fn an_unknown_tag_changes_nothing() {
    // C23
    let cache = cache();
    fill(&cache, &["t"]).await;
    assert_eq!(cache.remove_tag("unknown").await.expect("memory"), 0);
    assert_eq!(cache.remove_tag("t").await.expect("memory"), u64::from(MANY));
    assert_eq!(cache.remove_tag("t").await.expect("memory"), 0);
    assert_eq!(cache.remove_tag("unknown").await.expect("memory"), 0);
    assert!(cache.get(&7).await.expect("memory").is_none(), "the mark of another tag is still there");
}

#[tokio::test]
async fn a_pattern_is_compared_with_a_key_as_people_write_it() {
    let texts: Cache<String, u32> = Cache::builder("texts").build().expect("legal");
    for key in ["user:1:name", "user:2:name", "user:2:mail", "a*b", "100%"] {
        texts.insert(key.to_owned(), 1).await.expect("memory");
    }
    for (text, removed) in [
        ("texts*", 0),
        ("user", 0),
        ("user:?:n*", 2),
        ("user:2:mail", 1),
        (r"a\*b", 1),
        ("*[%]", 1),
        ("*", 0),
    ] {
        assert_eq!(texts.remove_pattern(&pattern(text)).await.expect("memory"), removed, "{text}");
    }
    let pairs: Cache<(String, u32), u32> = Cache::builder("pairs").build().expect("legal");
    pairs.insert(("a:b".into(), 1), 1).await.expect("memory");
    pairs.insert(("a".into(), 11), 1).await.expect("memory");
    assert_eq!(pairs.remove_pattern(&pattern("a:?:1")).await.expect("memory"), 1);
    assert_eq!(pairs.expire_pattern(&pattern("a:*")).await.expect("memory"), 1);
}

#[tokio::test]
async fn a_region_offers_every_removal_whatever_its_types() {
    let cache = cache();
    let region: &dyn Region = &cache;
    for how in 0..8 {
        fill(&cache, &["t"]).await;
        let all = pattern("*");
        let gone = match how {
            0 => region.remove_tag("t").await,
            1 => region.remove_prefix("").await,
            2 => region.remove_pattern(&all).await,
            3 => region.clear().await,
            4 => region.expire_tag("t").await,
            5 => region.expire_prefix("").await,
            6 => region.expire_pattern(&all).await,
            _ => region.expire_all().await,
        };
        assert_eq!(gone.expect("memory"), u64::from(MANY), "{how}");
        let stats = region.stats().memory;
        assert_eq!((stats.entries, stats.removed), (0, u64::from(MANY) * (how + 1)));
    }
}
