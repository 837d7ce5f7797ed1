//! What every [`Store`] promises to those who note a key, read its source and write what they found: it is stored if
//! nothing has happened to the key since, and refused otherwise.
//!
//! Loads of several processes are played one after another here, in the orders that matter; [`race`](crate::race) has them
//! run at the same time. A store that leaves notes to their defaults is not one that several caches may share, and fails.

use cache_core::{Entry, Key, Note, Removed, Result, Store, StoreExt, Tags, Ttl};
use futures_util::future;

use super::groups::tag;
use super::{full_meta, put_plain, tags};
use crate::suite::key;

/// Asks everything about notes.
pub async fn all(store: &dyn Store) {
    run! {
        what_nothing_has_happened_to_is_stored(store);
        a_noted_entry_comes_back_whole(store);
        a_note_changes_nothing_that_others_see(store);
        whatever_happens_to_the_key_refuses(store);
        a_refusal_leaves_what_is_there(store);
        what_happens_to_others_refuses_nothing(store);
        a_removed_tag_that_was_named_takes_the_result_along(store);
        a_tag_that_was_not_named_counts_from_the_write_on(store);
        the_first_of_two_writers_wins(store);
        a_note_serves_one_write(store);
        a_later_note_starts_anew(store);
        the_same_value_written_again_is_another_one(store);
        a_noted_write_without_a_life_removes(store);
        no_condition_refuses_nothing(store);
        a_note_of_another_key_is_refused(store);
        many_keys_are_noted_at_a_time(store);
    }
}

/// Whether there was an entry before or not.
pub async fn what_nothing_has_happened_to_is_stored(store: &dyn Store) -> Result<()> {
    let key = key("noted");
    for value in ["1", "2", "3"] {
        let note = store.note(&key, &Tags::NONE).await?;
        assert!(!note.is_none(), "a store that can be shared makes conditions");
        assert!(store.put_noted(key.clone(), Entry::new(value), &note).await?, "nothing has happened");
        assert_eq!(store.get(&key).await?, Some(Entry::new(value)));
    }
    assert!(store.remove(&key).await?, "it is an entry as any other");
    Ok(())
}

/// The value and everything that is known about it, tags that the note named and others.
pub async fn a_noted_entry_comes_back_whole(store: &dyn Store) -> Result<()> {
    let key = key("noted whole");
    for named in [Tags::NONE, tags(&["whole:a"]), tags(&["whole:a", "whole:ü", "whole:else"])] {
        let entry = Entry { value: "value".into(), meta: full_meta() };
        let note = store.note(&key, &named).await?;
        assert!(store.put_noted(key.clone(), entry.clone(), &note).await?, "nothing has happened");
        assert_eq!(store.get(&key).await?, Some(entry));
    }
    Ok(())
}

/// A noted key is as missing as before: to reads, to touches, and to removals that count.
pub async fn a_note_changes_nothing_that_others_see(store: &dyn Store) -> Result<()> {
    let [one, two, there] = ["unseen:1", "unseen:2", "unseen:there"].map(key);
    let note = async |key| store.note(key, &tags(&["unseen"])).await;
    put_plain(store, &there, "x").await?;
    for key in [&one, &two, &there] {
        note(key).await?;
    }
    assert_eq!(store.get(&one).await?, None);
    assert_eq!(
        store.get_many(&[one.clone(), there.clone(), two.clone()]).await?,
        [None, Some(Entry::new("x")), None]
    );
    assert!(!store.touch(&one, Ttl::FOREVER).await?, "touched what is not there");
    assert!(!store.remove(&one).await?, "removed what is not there");
    assert_eq!(store.remove_many(&[one.clone(), two.clone(), there.clone()]).await?, 1);
    for key in [&one, &two] {
        note(key).await?;
    }
    put_plain(store, &there, "x").await?;
    let removed = store.remove_prefix(key("unseen:").as_str()).await?;
    assert!(matches!(removed, Removed::Exactly(1) | Removed::Unknown), "{removed:?} of one entry");
    Ok(())
}

/// Each way to change a key, with an entry under it or without, between the note and the write.
pub async fn whatever_happens_to_the_key_refuses(store: &dyn Store) -> Result<()> {
    let key = key("overtaken");
    for is_there in [false, true] {
        for happening in [
            Happening::Put,
            Happening::PutWithoutLife,
            Happening::Remove,
            Happening::RemoveTwice,
            Happening::TouchWithoutLife,
            Happening::RemovePrefix,
            Happening::RemoveEmptyPrefix,
            Happening::Clear,
        ] {
            if !is_there && happening == Happening::TouchWithoutLife {
                continue;
            }
            store.remove(&key).await?;
            if is_there {
                put_plain(store, &key, "there").await?;
            }
            let note = store.note(&key, &Tags::NONE).await?;
            happening.to(store, &key).await?;
            let stored = store.put_noted(key.clone(), Entry::new("old"), &note).await?;
            assert!(!stored, "stored after {happening:?}, with an entry before: {is_there}");
            let found = store.get(&key).await?.map(|entry| entry.value);
            let expected = (happening == Happening::Put).then(|| "new".into());
            assert_eq!(found, expected, "after {happening:?}, with an entry before: {is_there}");
        }
    }
    Ok(())
}

/// What somebody else has written stays, with its tags.
pub async fn a_refusal_leaves_what_is_there(store: &dyn Store) -> Result<()> {
    let key = key("refused");
    let note = store.note(&key, &tags(&["refused:old"])).await?;
    let newer = Entry { value: "newer".into(), meta: full_meta() };
    store.put(key.clone(), newer.clone()).await?;
    let older = Entry::new("older").with_tags(tags(&["refused:old"]));
    assert!(!store.put_noted(key.clone(), older, &note).await?, "it was written since");
    store.remove_tag(&tag("refused:old")).await?;
    assert_eq!(store.get(&key).await?, Some(newer));
    Ok(())
}

/// Other keys, prefixes that are none of this one, other tags, reads, and notes of others.
pub async fn what_happens_to_others_refuses_nothing(store: &dyn Store) -> Result<()> {
    let [mine, other] = ["mine:1", "other:1"].map(key);
    let named = tags(&["mine"]);
    for is_there in [false, true] {
        if is_there {
            put_plain(store, &mine, "there").await?;
        }
        let note = store.note(&mine, &named).await?;
        put_plain(store, &other, "x").await?;
        store.remove(&other).await?;
        store.remove_prefix(key("other").as_str()).await?;
        store.remove_prefix(key("mine:12").as_str()).await?;
        store.remove_tag(&tag("other")).await?;
        store.get(&mine).await?;
        store.note(&mine, &Tags::NONE).await?;
        let theirs = store.note(&other, &named).await?;
        assert!(store.put_noted(other.clone(), Entry::new("theirs"), &theirs).await?, "nothing has happened");
        let entry = Entry::new("mine").with_tags(named.clone());
        assert!(store.put_noted(mine.clone(), entry.clone(), &note).await?, "nothing has happened to it");
        assert_eq!(store.get(&mine).await?, Some(entry));
    }
    Ok(())
}

/// One of the named tags is enough, whether an entry carried it before or nobody had ever heard of it.
pub async fn a_removed_tag_that_was_named_takes_the_result_along(store: &dyn Store) -> Result<()> {
    let names = ["named:1", "named:2", "named:3"];
    let key = key("named");
    let entry = || Entry::new("old").with_tags(tags(&names));
    for is_there in [false, true] {
        for last in names {
            if is_there {
                store.put(key.clone(), entry()).await?;
            }
            let note = store.note(&key, &tags(&names)).await?;
            store.remove_tag(&tag(last)).await?;
            assert!(!store.put_noted(key.clone(), entry(), &note).await?, "stored after {last} was removed");
            assert_eq!(store.get(&key).await?, None, "after {last} was removed");
        }
    }
    let note = store.note(&key, &tags(&names)).await?;
    assert!(store.put_noted(key.clone(), entry(), &note).await?, "the next load is not concerned");
    assert_eq!(store.get(&key).await?, Some(entry()));
    Ok(())
}

/// As with any write.
pub async fn a_tag_that_was_not_named_counts_from_the_write_on(store: &dyn Store) -> Result<()> {
    let key = key("unnamed");
    let tag = tag("unnamed");
    let note = store.note(&key, &tags(&["named"])).await?;
    store.remove_tag(&tag).await?;
    let entry = Entry::new("x").with_tags(tags(&["named", "unnamed"]));
    assert!(store.put_noted(key.clone(), entry.clone(), &note).await?, "nobody named it");
    assert_eq!(store.get(&key).await?, Some(entry));
    store.remove_tag(&tag).await?;
    assert_eq!(store.get(&key).await?, None);
    Ok(())
}

/// Of two loads at a time, whichever noted first.
pub async fn the_first_of_two_writers_wins(store: &dyn Store) -> Result<()> {
    const VALUES: [&str; 2] = ["of the one", "of the other"];
    for (number, order) in [[0, 1], [1, 0]].into_iter().enumerate() {
        let key = key(&format!("two:{number}"));
        let notes = [store.note(&key, &Tags::NONE).await?, store.note(&key, &Tags::NONE).await?];
        let write = async |writer: usize| {
            store.put_noted(key.clone(), Entry::new(VALUES[writer]), &notes[writer]).await
        };
        assert!(write(order[0]).await?, "nobody was faster");
        assert!(!write(order[1]).await?, "the other was faster");
        let found = store.get(&key).await?.map(|entry| entry.value);
        assert_eq!(found, Some(VALUES[order[0]].into()));
    }
    Ok(())
}

/// What was written under it has happened to the key since.
pub async fn a_note_serves_one_write(store: &dyn Store) -> Result<()> {
    let key = key("once");
    let note = store.note(&key, &Tags::NONE).await?;
    assert!(store.put_noted(key.clone(), Entry::new("1"), &note.clone()).await?, "a clone is the same note");
    assert!(!store.put_noted(key.clone(), Entry::new("2"), &note).await?, "it was used");
    store.remove(&key).await?;
    assert!(!store.put_noted(key.clone(), Entry::new("3"), &note).await?, "it was used, and more");
    assert_eq!(store.get(&key).await?, None);
    Ok(())
}

/// A refusal is no state of the key.
pub async fn a_later_note_starts_anew(store: &dyn Store) -> Result<()> {
    let key = key("anew");
    let early = store.note(&key, &Tags::NONE).await?;
    store.remove(&key).await?;
    let late = store.note(&key, &Tags::NONE).await?;
    assert!(!store.put_noted(key.clone(), Entry::new("early"), &early).await?, "removed since");
    assert!(store.put_noted(key.clone(), Entry::new("late"), &late).await?, "nothing has happened since");
    assert_eq!(store.get(&key).await?, Some(Entry::new("late")));
    Ok(())
}

/// A source that goes back and forth does not make an old load a new one.
pub async fn the_same_value_written_again_is_another_one(store: &dyn Store) -> Result<()> {
    let key = key("back and forth");
    for between in [Happening::Remove, Happening::Put] {
        put_plain(store, &key, "same").await?;
        let note = store.note(&key, &Tags::NONE).await?;
        between.to(store, &key).await?;
        put_plain(store, &key, "same").await?;
        assert!(!store.put_noted(key.clone(), Entry::new("old"), &note).await?, "it was written since");
        assert_eq!(store.get(&key).await?, Some(Entry::new("same")));
    }
    Ok(())
}

/// It is a write like any other, and refused like any other.
pub async fn a_noted_write_without_a_life_removes(store: &dyn Store) -> Result<()> {
    let key = key("noted without life");
    let over = || Entry::new("x").with_ttl(Ttl::ZERO);
    for is_there in [false, true] {
        if is_there {
            put_plain(store, &key, "there").await?;
        }
        let note = store.note(&key, &Tags::NONE).await?;
        assert!(store.put_noted(key.clone(), over(), &note).await?, "nothing has happened");
        assert_eq!(store.get(&key).await?, None);
        assert!(!store.remove(&key).await?, "there is nothing to remove");
    }
    let note = store.note(&key, &Tags::NONE).await?;
    put_plain(store, &key, "newer").await?;
    assert!(!store.put_noted(key.clone(), over(), &note).await?, "it was written since");
    assert_eq!(store.get(&key).await?, Some(Entry::new("newer")));
    Ok(())
}

/// Without a note it is a write as any other, and overtakes those who have one.
pub async fn no_condition_refuses_nothing(store: &dyn Store) -> Result<()> {
    let key = key("no condition");
    let note = store.note(&key, &Tags::NONE).await?;
    for value in ["1", "2"] {
        let entry = Entry::new(value).with_tags(tags(&["no condition"]));
        assert!(store.put_noted(key.clone(), entry.clone(), &Note::NONE).await?, "there is no condition");
        assert_eq!(store.get(&key).await?, Some(entry));
    }
    assert!(!store.put_noted(key.clone(), Entry::new("3"), &note).await?, "it was written since");
    Ok(())
}

/// As are bytes that nobody has given out.
pub async fn a_note_of_another_key_is_refused(store: &dyn Store) -> Result<()> {
    let [mine, other] = ["own", "foreign"].map(key);
    let own = store.note(&mine, &Tags::NONE).await?;
    let foreign = store.note(&other, &Tags::NONE).await?;
    let cut = Note::new(own.as_bytes()[..own.as_bytes().len() - 1].to_vec());
    for note in [foreign, cut, Note::new("?"), Note::new(vec![0xFF; 1000])] {
        assert!(!store.put_noted(mine.clone(), Entry::new("x"), &note).await?, "stored under {note:?}");
        assert_eq!(store.get(&mine).await?, None);
    }
    assert!(store.put_noted(mine, Entry::new("x"), &own).await?, "nothing has happened");
    Ok(())
}

/// A batch of a thousand loads loses none of its results.
pub async fn many_keys_are_noted_at_a_time(store: &dyn Store) -> Result<()> {
    let keys: Vec<Key> = (0..1000).map(|number| key(&format!("many noted:{number}"))).collect();
    let notes = future::try_join_all(keys.iter().map(|key| store.note(key, &Tags::NONE))).await?;
    let written = keys.iter().zip(&notes).map(|(key, note)| {
        let entry = Entry::new(key.as_str().to_owned());
        store.put_noted(key.clone(), entry, note)
    });
    let stored = future::try_join_all(written).await?;
    assert_eq!(stored.into_iter().filter(|stored| *stored).count(), 1000, "of 1000 results");
    assert_eq!(store.remove_many(&keys).await?, 1000);
    Ok(())
}

/// What somebody else does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Put,
    PutWithoutLife,
    Remove,
    RemoveTwice,
    TouchWithoutLife,
    RemovePrefix,
    RemoveEmptyPrefix,
    Clear,
}

impl Happening {
    async fn to(self, store: &dyn Store, key: &Key) -> Result<()> {
        let twice = [key.clone(), key.clone()];
        match self {
            Self::Put => put_plain(store, key, "new").await?,
            Self::PutWithoutLife => store.put(key.clone(), Entry::new("x").with_ttl(Ttl::ZERO)).await?,
            Self::Remove => drop(store.remove(key).await?),
            Self::RemoveTwice => drop(store.remove_many(&twice).await?),
            Self::TouchWithoutLife => drop(store.touch(key, Ttl::ZERO).await?),
            Self::RemovePrefix => drop(store.remove_prefix(&key.as_str()[..key.as_str().len() - 2]).await?),
            Self::RemoveEmptyPrefix => drop(store.remove_prefix("").await?),
            Self::Clear => drop(store.clear().await?),
        }
        Ok(())
    }
}
