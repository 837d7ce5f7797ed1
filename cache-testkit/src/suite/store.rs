//! What every [`Store`] promises: the right bytes or none, for as long as they live, and removals that remove exactly
//! what they name.
//!
//! Here are bytes and keys; [`lives`] is about time, [`groups`] about tags, prefixes and everything, and [`notes`] about writes
//! that something else may have overtaken.
//! A store may lose entries. One that is asked here must be large enough not to: 10,000 small ones and a few mebibytes.

pub mod groups;
pub mod lives;
pub mod notes;

use std::collections::BTreeMap;
use std::time::Duration;

use cache_core::{Entry, Key, Meta, Priority, Result, Store, StoreExt, Tags, Ttl};
use futures_util::future;

use super::key;
use crate::clock::Passage;

/// Asks everything.
pub async fn all(store: &dyn Store, time: &dyn Passage) {
    run! {
        a_missing_key_is_none(store);
        an_answer_per_key_in_order(store);
        no_keys_are_no_work(store);
        a_written_entry_comes_back_whole(store);
        a_write_replaces(store);
        the_last_write_of_a_batch_wins(store);
        an_empty_value_is_a_value(store);
        any_bytes_come_back(store);
        a_large_value_comes_back(store);
        many_keys_fit_in_one_call(store);
        keys_that_look_alike_stay_apart(store);
        concurrent_writers_leave_one_whole_entry(store);
        a_removed_key_is_missing(store);
        a_removal_counts_what_was_there(store);
    }
    lives::all(store, time).await;
    groups::all(store).await;
    notes::all(store).await;
}

/// What was never written is not there, and that is no error.
pub async fn a_missing_key_is_none(store: &dyn Store) -> Result<()> {
    assert_eq!(store.get(&key("missing")).await?, None);
    assert!(!store.remove(&key("missing")).await?, "removed what was never there");
    Ok(())
}

/// Found or not, asked once or twice: the answers stand where the questions stood.
pub async fn an_answer_per_key_in_order(store: &dyn Store) -> Result<()> {
    let [one, two, missing] = ["order:1", "order:2", "order:missing"].map(key);
    store.put_many(vec![(one.clone(), Entry::new("1")), (two.clone(), Entry::new("2"))]).await?;
    let found = store.get_many(&[two.clone(), missing, one, two]).await?;
    let values: Vec<_> = found.into_iter().map(|entry| entry.map(|entry| entry.value)).collect();
    assert_eq!(values, [Some("2".into()), None, Some("1".into()), Some("2".into())]);
    Ok(())
}

/// Empty batches are legal.
pub async fn no_keys_are_no_work(store: &dyn Store) -> Result<()> {
    assert_eq!(store.get_many(&[]).await?, []);
    store.put_many(Vec::new()).await?;
    assert_eq!(store.remove_many(&[]).await?, 0);
    Ok(())
}

/// The value and everything that is known about it.
pub async fn a_written_entry_comes_back_whole(store: &dyn Store) -> Result<()> {
    let key = key("whole");
    let entry = Entry { value: "value".into(), meta: full_meta() };
    store.put(key.clone(), entry.clone()).await?;
    assert_eq!(store.get(&key).await?, Some(entry));
    Ok(())
}

/// Nothing of what a key held before shows through.
pub async fn a_write_replaces(store: &dyn Store) -> Result<()> {
    let key = key("replace");
    store.put(key.clone(), Entry { value: "old and long".into(), meta: full_meta() }).await?;
    store.put(key.clone(), Entry::new("new")).await?;
    assert_eq!(store.get(&key).await?, Some(Entry::new("new")));
    Ok(())
}

/// A batch is worked off in its order.
pub async fn the_last_write_of_a_batch_wins(store: &dyn Store) -> Result<()> {
    let [twice, once] = ["batch:twice", "batch:once"].map(key);
    let batch = [(&twice, "first"), (&once, "only"), (&twice, "last")];
    store.put_many(batch.map(|(key, value)| (key.clone(), Entry::new(value))).to_vec()).await?;
    assert_eq!(store.get_many(&[twice, once]).await?, [Some(Entry::new("last")), Some(Entry::new("only"))]);
    Ok(())
}

/// Nothing stored is not the same as an empty value stored.
pub async fn an_empty_value_is_a_value(store: &dyn Store) -> Result<()> {
    put_plain(store, &key("empty"), "").await?;
    assert_eq!(store.get(&key("empty")).await?, Some(Entry::new("")));
    Ok(())
}

/// Values are bytes, not text: zeros, line ends and broken UTF-8 included.
pub async fn any_bytes_come_back(store: &dyn Store) -> Result<()> {
    let bytes: Vec<u8> = (0..=u8::MAX).rev().chain(*b"\r\n\0\xff\xfe$-1\r\n").collect();
    store.put(key("bytes"), Entry::new(bytes.clone())).await?;
    assert_eq!(store.get(&key("bytes")).await?.map(|entry| entry.value), Some(bytes.into()));
    Ok(())
}

/// A mebibyte is nothing unusual.
pub async fn a_large_value_comes_back(store: &dyn Store) -> Result<()> {
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 20).collect();
    store.put(key("large"), Entry::new(bytes.clone())).await?;
    let found = store.get(&key("large")).await?;
    assert!(found.is_some_and(|entry| entry.value == bytes), "1 MiB came back otherwise, or not at all");
    Ok(())
}

/// 10,000 keys in a call are written, read in order and removed.
pub async fn many_keys_fit_in_one_call(store: &dyn Store) -> Result<()> {
    let keys: Vec<Key> = (0..10_000).map(|number| key(&format!("many:{number}"))).collect();
    let named = |key: &Key| Entry::new(key.as_str().to_owned());
    store.put_many(keys.iter().map(|key| (key.clone(), named(key))).collect()).await?;
    let found = store.get_many(&keys).await?;
    assert_eq!(found.len(), keys.len());
    for (key, entry) in keys.iter().zip(found) {
        assert_eq!(entry, Some(named(key)), "{key}");
    }
    assert_eq!(store.remove_many(&keys).await?, 10_000);
    Ok(())
}

/// Keys differ by case, by a blank, by length and by their last byte, up to the longest.
pub async fn keys_that_look_alike_stay_apart(store: &dyn Store) -> Result<()> {
    let alike = ["k", "K", "k ", " k", "kk", "k*", "k?", "größe", "gro\u{308}ße", "東京"];
    let longest = ["a", "b"].map(|last| "k".repeat(1017) + last);
    let keys: Vec<Key> = alike.into_iter().chain(longest.iter().map(String::as_str)).map(key).collect();
    let named = |key: &Key| Entry::new(key.as_str().to_owned());
    store.put_many(keys.iter().map(|key| (key.clone(), named(key))).collect()).await?;
    for key in &keys {
        assert_eq!(store.get(key).await?, Some(named(key)));
    }
    Ok(())
}

/// Of 64 writers of one key one wins, with its value and its version together.
pub async fn concurrent_writers_leave_one_whole_entry(store: &dyn Store) -> Result<()> {
    let key = key("writers");
    let by = |writer: u8| Entry {
        value: vec![writer; 1000].into(),
        meta: Meta { version: writer.into(), ..Meta::default() },
    };
    future::try_join_all((0..64).map(|writer| store.put(key.clone(), by(writer)))).await?;
    let found = store.get(&key).await?;
    assert!((0..64).any(|writer| found == Some(by(writer))), "a mixture of two writes: {found:?}");
    Ok(())
}

/// A removed key is as missing as one that never was, and can be written again.
pub async fn a_removed_key_is_missing(store: &dyn Store) -> Result<()> {
    let key = key("removed");
    put_plain(store, &key, "1").await?;
    assert!(store.remove(&key).await?, "it was there");
    assert_eq!(store.get(&key).await?, None);
    assert!(!store.remove(&key).await?, "it was removed already");
    put_plain(store, &key, "2").await?;
    assert_eq!(store.get(&key).await?, Some(Entry::new("2")));
    Ok(())
}

/// Neither a missing key nor one that is named twice is counted.
pub async fn a_removal_counts_what_was_there(store: &dyn Store) -> Result<()> {
    let [one, two, missing] = ["count:1", "count:2", "count:missing"].map(key);
    put_plain(store, &one, "1").await?;
    put_plain(store, &two, "2").await?;
    assert_eq!(store.remove_many(&[one.clone(), missing, two, one]).await?, 2);
    Ok(())
}

/// Every field differs from its default, except the life, which changes while it is looked at.
fn full_meta() -> Meta {
    let labels =
        BTreeMap::from([("who", "größe\0\n"), ("", "")].map(|(name, text)| (name.into(), text.into())));
    Meta {
        ttl: Ttl::FOREVER,
        stale_for: Duration::from_secs(90),
        version: u64::MAX,
        tags: tags(&["whole:a", "whole:ü"]),
        priority: Priority::Critical,
        cost: Duration::from_millis(1500),
        labels: labels.into(),
    }
}

#[expect(clippy::expect_used, reason = "the suites' tags are legal")]
fn tags(names: &[&str]) -> Tags {
    Tags::new(names).expect("short texts without control characters")
}

async fn put_plain(store: &dyn Store, key: &Key, value: &'static str) -> Result<()> {
    store.put(key.clone(), Entry::new(value)).await
}
