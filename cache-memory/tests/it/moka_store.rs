//! The store over moka: the suite, and what its own tag index and its waiting for moka add.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cache_core::{Entry, Key, Removed, Result, Store, StoreExt, Tag, Tags, Ttl};
use cache_memory::{Cause, MokaStore};
use cache_testkit::clock::ManualClock;
use cache_testkit::{race, suite};

use crate::HANG;

fn key(name: &str) -> Key {
    Key::new(name).expect("a legal key")
}

fn tagged(value: &'static str) -> Entry {
    Entry::new(value).with_tags(Tags::new(["t"]).expect("a legal tag"))
}

fn tag() -> Tag {
    Tag::new("t").expect("a legal tag")
}

// conformance: Store for MokaStore
#[pollster::test]
async fn moka_store_keeps_every_promise() {
    let clock = ManualClock::new();
    let moka_store = MokaStore::new(64 << 20).with_clock(Arc::new(clock.clone()));
    suite::store::all(&moka_store, &clock).await;
}

#[pollster::test]
async fn moka_frees_by_itself_what_has_expired_on_the_systems_clock() -> Result<()> {
    let (tell, heard) = mpsc::channel();
    let store = MokaStore::new(1 << 20).with_listener(move |key: &Key, _: &Entry, cause| {
        tell.send((key.clone(), cause)).expect("heard");
    });
    store.put(key("long"), Entry::new("x").with_ttl(Ttl::from_secs(3600))).await?;
    store.put(key("short"), Entry::new("x").with_ttl(Ttl::from_millis(1))).await?;
    let rounds = std::iter::repeat_with(|| {
        assert!(store.bytes() > 0, "the other entry stays");
        heard.recv_timeout(Duration::from_millis(10))
    });
    let most = usize::try_from(HANG.as_millis() / 10).expect("small");
    assert_eq!(rounds.take(most).find_map(std::result::Result::ok), Some((key("short"), Cause::Expired)));
    Ok(())
}

#[pollster::test]
async fn the_limit_holds_as_soon_as_moka_has_caught_up() -> Result<()> {
    let (tell, heard) = mpsc::channel();
    let store = MokaStore::new(100_000)
        .with_listener(move |key: &Key, _: &Entry, cause| tell.send((key.clone(), cause)).expect("heard"));
    for number in 0..1000 {
        store.put(key(&number.to_string()), tagged("x")).await?;
    }
    assert!(store.bytes() <= 100_000);
    let evicted: Vec<_> = heard.try_iter().collect();
    assert!(!evicted.is_empty() && evicted.iter().all(|(_, cause)| *cause == Cause::Evicted));
    let left = 1000 - evicted.len() as u64;
    assert_eq!(store.remove_tag(&tag()).await?, Removed::Exactly(left), "the index forgot who was evicted");
    Ok(())
}

#[pollster::test]
async fn an_entry_that_is_too_large_for_moka_takes_the_older_one_with_it() -> Result<()> {
    let store = MokaStore::new(10_000);
    store.put(key("k"), Entry::new("small")).await?;
    store.put(key("k"), Entry::new(vec![0; 10_000])).await?;
    assert_eq!(store.get(&key("k")).await?, None, "the older value is no longer true");
    Ok(())
}

#[pollster::test]
async fn a_touch_and_a_write_at_once_never_bring_an_older_value_back() -> Result<()> {
    let store = Arc::new(MokaStore::new(1 << 20));
    store.put(key("k"), Entry::new(vec![0; 8])).await?;
    let touched = Arc::clone(&store);
    let touching = thread::spawn(move || {
        pollster::block_on(async {
            for _ in 0..20_000 {
                touched.touch(&key("k"), Ttl::from_secs(3600)).await?;
            }
            Result::Ok(())
        })
    });
    for number in 1..20_000_u64 {
        store.put(key("k"), Entry::new(number.to_be_bytes().to_vec())).await?;
        let found = store.get(&key("k")).await?.expect("nothing ends it");
        assert_eq!(found.value, number.to_be_bytes()[..]);
    }
    touching.join().expect("no panic")
}

#[pollster::test]
async fn a_tag_is_removed_while_others_write_it_to_moka() -> Result<()> {
    let store = Arc::new(MokaStore::new(64 << 20));
    for number in 0..2000 {
        store.put(key(&format!("old:{number}")), tagged("x")).await?;
    }
    let written = Arc::clone(&store);
    let writing = thread::spawn(move || {
        pollster::block_on(async {
            for number in 0..2000 {
                written.put(key(&format!("new:{number}")), tagged("y")).await?;
            }
            Result::Ok(())
        })
    });
    let Removed::Exactly(first) = store.remove_tag(&tag()).await? else { panic!("it counts") };
    assert!(first >= 2000, "{first}");
    assert_eq!(store.remove_prefix("old:").await?, Removed::Exactly(0));
    writing.join().expect("no panic")?;
    assert_eq!(store.remove_tag(&tag()).await?, Removed::Exactly(4000 - first));
    assert_eq!(store.clear().await?, Removed::Exactly(0));
    Ok(())
}

#[test]
fn no_load_that_was_overtaken_leaves_its_value() {
    race::of_threads(&MokaStore::new(64 << 20), 2000);
}
