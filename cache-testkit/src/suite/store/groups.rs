//! What every [`Store`] promises about groups: a removal by tag, by prefix or of everything ends exactly the entries
//! that it names, and counts them where the store can.

use cache_core::{Entry, Key, Removed, Rest, Result, Store, StoreExt, Tag, Ttl};

use super::{put_plain, tags};
use crate::suite::key;

/// Asks everything about groups.
pub async fn all(store: &dyn Store) {
    run! {
        removing_a_tag_removes_its_entries_only(store);
        an_entry_goes_with_each_of_its_tags(store);
        a_replaced_entry_leaves_its_old_tags(store);
        an_entry_written_after_its_tag_was_removed_stays(store);
        an_unknown_tag_removes_nothing(store);
        tags_are_text_not_patterns(store);
        a_touched_entry_keeps_its_tags(store);
        removing_a_prefix_removes_its_keys_only(store);
        prefixes_are_text_not_patterns(store);
        an_unknown_prefix_removes_nothing(store);
        the_empty_prefix_removes_everything(store);
        the_parts_of_a_removal_are_the_whole(store);
        clear_removes_everything(store);
        clear_counts(store);
    }
}

/// Neither untagged entries nor those of another tag go.
pub async fn removing_a_tag_removes_its_entries_only(store: &dyn Store) -> Result<()> {
    let [red, also_red, blue, plain] = ["tag:red", "tag:also red", "tag:blue", "tag:plain"].map(key);
    for (key, tags) in
        [(&red, vec!["red"]), (&also_red, vec!["red"]), (&blue, vec!["blue"]), (&plain, vec![])]
    {
        put_tagged(store, key, &tags).await?;
    }
    let removed = store.remove_tag(&tag("red")).await?;
    assert_removed(store, removed, 2);
    assert_there(store, &[(red, false), (also_red, false), (blue, true), (plain, true)]).await?;
    assert_removed(store, store.remove_tag(&tag("red")).await?, 0);
    Ok(())
}

/// One tag of many is enough, whichever.
pub async fn an_entry_goes_with_each_of_its_tags(store: &dyn Store) -> Result<()> {
    let tags = ["each:1", "each:2", "each:3"];
    for last in tags {
        put_tagged(store, &key("each"), &tags).await?;
        assert_removed(store, store.remove_tag(&tag(last)).await?, 1);
        assert_there(store, &[(key("each"), false)]).await?;
    }
    Ok(())
}

/// Only the tags of the present entry count.
pub async fn a_replaced_entry_leaves_its_old_tags(store: &dyn Store) -> Result<()> {
    let key = key("leave");
    put_tagged(store, &key, &["leave:old", "leave:both"]).await?;
    put_tagged(store, &key, &["leave:both", "leave:new"]).await?;
    assert_removed(store, store.remove_tag(&tag("leave:old")).await?, 0);
    assert_there(store, &[(key.clone(), true)]).await?;
    assert_removed(store, store.remove_tag(&tag("leave:both")).await?, 1);
    assert_there(store, &[(key, false)]).await?;
    Ok(())
}

/// A removal acts on what is there, not on what comes later.
pub async fn an_entry_written_after_its_tag_was_removed_stays(store: &dyn Store) -> Result<()> {
    let key = key("again");
    put_tagged(store, &key, &["again"]).await?;
    store.remove_tag(&tag("again")).await?;
    put_tagged(store, &key, &["again"]).await?;
    assert_there(store, &[(key.clone(), true)]).await?;
    assert_removed(store, store.remove_tag(&tag("again")).await?, 1);
    Ok(())
}

/// A tag nobody carries is no error.
pub async fn an_unknown_tag_removes_nothing(store: &dyn Store) -> Result<()> {
    put_tagged(store, &key("known"), &["known"]).await?;
    assert_removed(store, store.remove_tag(&tag("unknown")).await?, 0);
    assert_there(store, &[(key("known"), true)]).await
}

/// What means "any" elsewhere means itself here.
pub async fn tags_are_text_not_patterns(store: &dyn Store) -> Result<()> {
    let keys = ["glob tag:star", "glob tag:text"].map(key);
    put_tagged(store, &keys[0], &["glob*[a-z]?"]).await?;
    put_tagged(store, &keys[1], &["globular"]).await?;
    assert_removed(store, store.remove_tag(&tag("glob*")).await?, 0);
    assert_removed(store, store.remove_tag(&tag("glob*[a-z]?")).await?, 1);
    let [star, text] = keys;
    assert_there(store, &[(star, false), (text, true)]).await
}

/// A new life is not a new entry.
pub async fn a_touched_entry_keeps_its_tags(store: &dyn Store) -> Result<()> {
    put_tagged(store, &key("touched"), &["touched"]).await?;
    assert!(store.touch(&key("touched"), Ttl::from_secs(600)).await?, "it was there");
    assert_removed(store, store.remove_tag(&tag("touched")).await?, 1);
    assert_there(store, &[(key("touched"), false)]).await
}

/// A prefix is a beginning, not a part; a key begins with itself.
pub async fn removing_a_prefix_removes_its_keys_only(store: &dyn Store) -> Result<()> {
    let keys = ["prefix:a", "prefix:a:1", "prefix:ab", "prefix:b", "prefix:b:prefix:a"].map(key);
    for key in &keys {
        put_plain(store, key, "x").await?;
    }
    assert_removed(store, store.remove_prefix(key("prefix:a").as_str()).await?, 3);
    let left = [false, false, false, true, true];
    assert_there(store, &keys.into_iter().zip(left).collect::<Vec<_>>()).await
}

/// What means "any" elsewhere means itself here.
pub async fn prefixes_are_text_not_patterns(store: &dyn Store) -> Result<()> {
    for special in ["*", "?", "[a-z]", "[^x]", "\\*", "\\", "%", "_", "{a,b}", "."] {
        let [glob, text] = [format!("glob {special}:1"), "glob a:1".to_owned()].map(|name| key(&name));
        put_plain(store, &glob, "x").await?;
        put_plain(store, &text, "x").await?;
        assert_removed(store, store.remove_prefix(key(&format!("glob {special}")).as_str()).await?, 1);
        assert_there(store, &[(glob, false), (text, true)]).await?;
    }
    Ok(())
}

/// A prefix of no key is no error, and neither is one that no key could have.
pub async fn an_unknown_prefix_removes_nothing(store: &dyn Store) -> Result<()> {
    let key = key("left alone");
    put_plain(store, &key, "x").await?;
    for prefix in ["nobody begins like this", "left alone", "\0", &"suite:".repeat(500)] {
        assert_removed(store, store.remove_prefix(prefix).await?, 0);
    }
    assert_there(store, &[(key, true)]).await
}

/// Every key begins with nothing.
pub async fn the_empty_prefix_removes_everything(store: &dyn Store) -> Result<()> {
    let keys = ["empty prefix", "another"].map(key);
    for key in &keys {
        put_plain(store, key, "x").await?;
    }
    store.remove_prefix("").await?;
    assert_there(store, &keys.map(|key| (key, false))).await
}

/// Part by part goes what goes at once, and no more, also where a part is asked for twice. A rest of nobody is as good as none.
pub async fn the_parts_of_a_removal_are_the_whole(store: &dyn Store) -> Result<()> {
    let keys: Vec<Key> = (0..1000).map(|number| key(&format!("parts:{number}"))).collect();
    let others = [key("part"), key("other:parts:1")];
    let entries = keys.iter().chain(&others).map(|key| (key.clone(), Entry::new("x")));
    store.put_many(entries.collect()).await?;
    let prefix = key("parts:");
    let first = store.remove_prefix_part(prefix.as_str(), None).await?;
    let (mut removed, mut rest) = (vec![first.removed], Some(Rest::new("of nobody")));
    while rest.is_some() {
        let part = store.remove_prefix_part(prefix.as_str(), rest.as_ref()).await?;
        removed.push(part.removed);
        rest = part.rest;
        assert!(removed.len() < 2000, "it does not end");
    }
    let exact = |removed| if let Removed::Exactly(count) = removed { count } else { 0 };
    assert_removed(store, Removed::Exactly(removed.into_iter().map(exact).sum()), 1000);
    assert_eq!(store.get_many(&keys).await?, vec![None; keys.len()]);
    let [one, two] = others;
    assert_there(store, &[(one, true), (two, true)]).await
}

/// After a clear nothing is there, and the store works on.
pub async fn clear_removes_everything(store: &dyn Store) -> Result<()> {
    put_plain(store, &key("plain"), "x").await?;
    put_tagged(store, &key("tagged"), &["cleared"]).await?;
    store.clear().await?;
    assert_there(store, &[(key("plain"), false), (key("tagged"), false)]).await?;
    assert_removed(store, store.remove_tag(&tag("cleared")).await?, 0);
    put_tagged(store, &key("tagged"), &["cleared"]).await?;
    assert_there(store, &[(key("tagged"), true)]).await
}

/// A clear says how many entries it ended.
pub async fn clear_counts(store: &dyn Store) -> Result<()> {
    store.clear().await?;
    let keys = ["1", "2", "3"].map(key);
    for key in &keys {
        put_plain(store, key, "x").await?;
    }
    assert_removed(store, store.clear().await?, 3);
    assert_removed(store, store.clear().await?, 0);
    Ok(())
}

#[expect(clippy::expect_used, reason = "the suites' tags are legal")]
pub(super) fn tag(name: &str) -> Tag {
    Tag::new(name).expect("a short text without control characters")
}

async fn put_tagged(store: &dyn Store, key: &Key, names: &[&str]) -> Result<()> {
    store.put(key.clone(), Entry::new("x").with_tags(tags(names))).await
}

async fn assert_there(store: &dyn Store, expected: &[(Key, bool)]) -> Result<()> {
    for (key, there) in expected {
        assert_eq!(store.get(key).await?.is_some(), *there, "{key} is there");
    }
    Ok(())
}

#[track_caller]
fn assert_removed(store: &dyn Store, removed: Removed, expected: u64) {
    if store.info().counts_removals {
        assert_eq!(removed, Removed::Exactly(expected), "entries removed");
    }
}
