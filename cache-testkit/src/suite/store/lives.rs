//! What every [`Store`] promises about time: an entry is there until its end, says how near that is, and then is gone.

use std::time::Duration;

use cache_core::{Entry, Key, Meta, Result, Store, StoreExt, Time, Ttl};

use super::{full_meta, put_plain};
use crate::clock::Passage;
use crate::suite::{GRAIN, key, pass_until};

/// Short, because some backends let it pass for real, and long enough to be asked something before it ends.
const LIFE: Duration = Duration::from_millis(200);

/// Asks everything about time.
pub async fn all(store: &dyn Store, time: &dyn Passage) {
    run! {
        a_life_without_end_stays_so(store, time);
        a_long_life_does_not_overflow(store, time);
        an_entry_is_gone_when_its_life_ends(store, time);
        the_remaining_life_comes_back(store, time);
        a_stale_entry_is_kept_through_its_stale_life(store, time);
        an_entry_that_comes_as_stale_is_kept_as_stale(store, time);
        a_zero_life_removes(store);
        a_zero_life_later_in_a_batch_removes(store);
        an_expired_entry_is_not_there_to_remove(store, time);
        touch_gives_a_new_life(store, time);
        touch_can_take_the_end_away(store, time);
        touch_keeps_everything_else(store);
        touch_of_a_missing_key_is_false(store);
        touch_of_an_expired_entry_is_false(store, time);
        touch_with_a_zero_life_removes(store);
    }
}

/// What lives for ever still does after a while.
pub async fn a_life_without_end_stays_so(store: &dyn Store, time: &dyn Passage) -> Result<()> {
    put_plain(store, &key("forever"), "x").await?;
    time.pass(LIFE).await;
    assert_eq!(store.get(&key("forever")).await?, Some(Entry::new("x")));
    Ok(())
}

/// The longest life that can be written is not a short one by mistake.
pub async fn a_long_life_does_not_overflow(store: &dyn Store, time: &dyn Passage) -> Result<()> {
    let longest = Ttl::from(Duration::MAX.saturating_sub(Duration::from_nanos(1)));
    let lives =
        [longest, Ttl::from_secs(u64::MAX), Ttl::from_millis(u64::MAX), Ttl::from_secs(100 * 366 * 86_400)];
    for (number, life) in lives.into_iter().enumerate() {
        let key = key(&format!("long:{number}"));
        let mut entry = Entry::new("x").with_ttl(life);
        entry.meta.stale_for = Duration::MAX;
        store.put(key.clone(), entry).await?;
        time.pass(GRAIN).await;
        let found = store.get(&key).await?;
        let century = Ttl::from_secs(99 * 366 * 86_400);
        assert!(found.is_some_and(|entry| entry.meta.ttl > century), "{life:?} was cut short");
    }
    Ok(())
}

/// There until the end, gone from then on.
pub async fn an_entry_is_gone_when_its_life_ends(store: &dyn Store, time: &dyn Passage) -> Result<()> {
    let key = key("ends");
    let begun = time.now();
    store.put(key.clone(), Entry::new("x").with_ttl(LIFE.into())).await?;
    let written = time.now();
    pass_until(time, begun.after(LIFE.saturating_sub(GRAIN))).await;
    let found = store.get(&key).await?;
    // Time that cannot be stopped may have run past the end meanwhile.
    assert!(found.is_some() || time.now() >= begun.after(LIFE), "it was gone before its end");
    pass_until(time, written.after(LIFE + GRAIN)).await;
    assert_eq!(store.get(&key).await?, None, "it outlived its end");
    Ok(())
}

/// An entry comes with what is left, not with what it was given.
pub async fn the_remaining_life_comes_back(store: &dyn Store, time: &dyn Passage) -> Result<()> {
    let key = key("remaining");
    let life = Duration::from_mins(1);
    let begun = [time.now(), {
        store.put(key.clone(), Entry::new("x").with_ttl(life.into())).await?;
        time.now()
    }];
    for _ in 0..2 {
        time.pass(LIFE).await;
        let (rest, read) = read_life(store, time, &key).await?;
        assert_rest(rest.ttl.as_duration(), life, begun, read);
        assert_eq!(rest.stale_for, Duration::ZERO);
    }
    Ok(())
}

/// The fresh life runs out first, then the stale one; after both it is gone.
pub async fn a_stale_entry_is_kept_through_its_stale_life(
    store: &dyn Store,
    time: &dyn Passage,
) -> Result<()> {
    let key = key("stale");
    let stale_for = Duration::from_secs(2);
    let mut entry = Entry::new("x").with_ttl(LIFE.into());
    entry.meta.stale_for = stale_for;
    let before = time.now();
    store.put(key.clone(), entry).await?;
    let begun = [before, time.now()];
    let (rest, read) = read_life(store, time, &key).await?;
    assert!(rest.stale_for == stale_for || read[1] >= before.after(LIFE), "the stale life began too early");
    pass_until(time, begun[1].after(LIFE * 2)).await;
    let (rest, read) = read_life(store, time, &key).await?;
    assert_eq!(rest.ttl, Ttl::ZERO, "it is no longer fresh");
    assert_rest(rest.stale_for, LIFE + stale_for, begun, read);
    pass_until(time, begun[1].after(LIFE + stale_for + GRAIN)).await;
    assert_eq!(store.get(&key).await?, None, "it outlived its stale life");
    Ok(())
}

/// A fresh life of zero is an end only where there is no stale one: so tiers hand on what they hold.
pub async fn an_entry_that_comes_as_stale_is_kept_as_stale(
    store: &dyn Store,
    time: &dyn Passage,
) -> Result<()> {
    let key = key("stale from the start");
    let mut entry = Entry::new("x").with_ttl(Ttl::ZERO);
    entry.meta.stale_for = Duration::from_mins(1);
    let before = time.now();
    store.put(key.clone(), entry).await?;
    let begun = [before, time.now()];
    time.pass(LIFE).await;
    let (rest, read) = read_life(store, time, &key).await?;
    assert_eq!(rest.ttl, Ttl::ZERO, "it was never fresh");
    assert_rest(rest.stale_for, Duration::from_mins(1), begun, read);
    Ok(())
}

/// Zero means "do not keep", also where something was kept before.
pub async fn a_zero_life_removes(store: &dyn Store) -> Result<()> {
    let key = key("zero");
    put_plain(store, &key, "old").await?;
    store.put(key.clone(), Entry::new("new").with_ttl(Ttl::ZERO)).await?;
    assert_eq!(store.get(&key).await?, None);
    Ok(())
}

/// The later entry of a batch wins also when it says "do not keep", and when only the earlier one says so.
pub async fn a_zero_life_later_in_a_batch_removes(store: &dyn Store) -> Result<()> {
    let [gone, kept] = ["zero:gone", "zero:kept"].map(key);
    let zero = Entry::new("x").with_ttl(Ttl::ZERO);
    let batch = [(&gone, Entry::new("x")), (&kept, zero.clone()), (&gone, zero), (&kept, Entry::new("y"))];
    store.put_many(batch.map(|(key, entry)| (key.clone(), entry)).to_vec()).await?;
    assert_eq!(store.get_many(&[gone, kept]).await?, [None, Some(Entry::new("y"))]);
    Ok(())
}

/// An entry past its end is not counted, even if its bytes still lie somewhere.
pub async fn an_expired_entry_is_not_there_to_remove(store: &dyn Store, time: &dyn Passage) -> Result<()> {
    let key = key("expired");
    store.put(key.clone(), Entry::new("x").with_ttl(LIFE.into())).await?;
    time.pass(LIFE + GRAIN).await;
    assert!(!store.remove(&key).await?, "an expired entry was removed as if it had been there");
    Ok(())
}

/// The new life counts from the touch, be it longer or shorter than the old one.
pub async fn touch_gives_a_new_life(store: &dyn Store, time: &dyn Passage) -> Result<()> {
    let [longer, shorter] = ["touch:longer", "touch:shorter"].map(key);
    let life = Duration::from_mins(1);
    for (key, life) in [(&longer, LIFE * 5), (&shorter, life)] {
        store.put(key.clone(), Entry::new("x").with_ttl(life.into())).await?;
    }
    assert!(store.touch(&shorter, LIFE.into()).await?, "it was there");
    let before = time.now();
    assert!(store.touch(&longer, life.into()).await?, "it was there");
    let begun = [before, time.now()];
    pass_until(time, begun[1].after(LIFE * 6)).await;
    let (rest, read) = read_life(store, time, &longer).await?;
    assert_rest(rest.ttl.as_duration(), life, begun, read);
    assert_eq!(store.get(&shorter).await?, None, "it outlived its new end");
    Ok(())
}

/// For ever is a new life too.
pub async fn touch_can_take_the_end_away(store: &dyn Store, time: &dyn Passage) -> Result<()> {
    let key = key("touch:forever");
    store.put(key.clone(), Entry::new("x").with_ttl((LIFE * 5).into())).await?;
    assert!(store.touch(&key, Ttl::FOREVER).await?, "it was there");
    time.pass(LIFE * 6).await;
    assert_eq!(store.get(&key).await?, Some(Entry::new("x")));
    Ok(())
}

/// Only the life is new.
pub async fn touch_keeps_everything_else(store: &dyn Store) -> Result<()> {
    let key = key("touch:rest");
    let entry = Entry { value: "value".into(), meta: full_meta() };
    store.put(key.clone(), entry.clone().with_ttl(Ttl::from_secs(600))).await?;
    assert!(store.touch(&key, Ttl::FOREVER).await?, "it was there");
    assert_eq!(store.get(&key).await?, Some(entry));
    Ok(())
}

/// Nothing comes into being by a touch.
pub async fn touch_of_a_missing_key_is_false(store: &dyn Store) -> Result<()> {
    let key = key("touch:missing");
    assert!(!store.touch(&key, Ttl::FOREVER).await?, "it was never there");
    assert_eq!(store.get(&key).await?, None);
    Ok(())
}

/// What has ended does not rise again.
pub async fn touch_of_an_expired_entry_is_false(store: &dyn Store, time: &dyn Passage) -> Result<()> {
    let key = key("touch:expired");
    store.put(key.clone(), Entry::new("x").with_ttl(LIFE.into())).await?;
    time.pass(LIFE + GRAIN).await;
    assert!(!store.touch(&key, Ttl::FOREVER).await?, "it had expired");
    assert_eq!(store.get(&key).await?, None);
    Ok(())
}

/// A life of zero is an end, and the answer is about before.
pub async fn touch_with_a_zero_life_removes(store: &dyn Store) -> Result<()> {
    let key = key("touch:zero");
    put_plain(store, &key, "x").await?;
    assert!(store.touch(&key, Ttl::ZERO).await?, "it was there");
    assert_eq!(store.get(&key).await?, None);
    Ok(())
}

/// What the store says is left, and between which two moments it said so.
async fn read_life(store: &dyn Store, time: &dyn Passage, key: &Key) -> Result<(Meta, [Time; 2])> {
    let before = time.now();
    let found = store.get(key).await?;
    let Some(entry) = found else { panic!("{key} is gone before its end") };
    Ok((entry.meta, [before, time.now()]))
}

/// Checks what is left of a life that began between two moments and was looked at between two others.
#[track_caller]
fn assert_rest(rest: Duration, life: Duration, begun: [Time; 2], read: [Time; 2]) {
    let most = life.saturating_sub(read[0].since(begun[1])) + GRAIN;
    let least = life.saturating_sub(read[1].since(begun[0]) + GRAIN);
    assert!(
        (least..=most).contains(&rest),
        "{rest:?} is left of {life:?}; it should be {least:?} to {most:?}"
    );
}
