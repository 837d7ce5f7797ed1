//! What things cost: the memory of entries, the time until a removal is known everywhere, and what a batch spares.

use std::time::Duration;

use cache_core::{Clock, SystemClock, Time};

use super::subject::{Subject, value};
use super::transfer::mebibytes;
use super::{Scale, ms};
use crate::Outcome;
use crate::figures::{Asked, Figures, median};

/// What entries of a kilobyte take.
pub(super) async fn memory(subject: &Subject, scale: &Scale, figures: &mut Figures) -> Outcome {
    let mut caller = subject.caller();
    let text = "v".repeat(1_000);
    // So that what the first calls take for good is not counted.
    caller.put_many(&[0], &text).await?;
    let before = subject.resident()?;
    let keys: Vec<u64> = (MEMORY..MEMORY + scale.entries).collect();
    for keys in keys.chunks(1_000) {
        caller.put_many(keys, &text).await?;
    }
    let grown = subject.resident()?.saturating_sub(before);
    caller.remove(0).await?;
    let what = format!("{}: 8 memory of {} entries of 1,000 bytes", subject.name(), scale.entries);
    figures.add(what, (mebibytes(grown), "MiB"), Some(Asked::AtMost(100.0)), Some("100"));
    Ok(())
}

/// How long a removal takes, and how long until another process does not answer any more what it had in memory.
pub(super) async fn removals(
    (subject, other): (&Subject, &Subject),
    scale: &Scale,
    figures: &mut Figures,
) -> Outcome {
    let (clock, mut caller, mut elsewhere) = (SystemClock::new(), subject.caller(), other.caller());
    let (mut here, mut everywhere) = (Vec::new(), Vec::new());
    for key in (REMOVED..).take(usize::try_from(scale.times)?) {
        caller.put(key, value(key, 100), TTL).await?;
        if elsewhere.get(key).await?.is_none() {
            return Err("what one has stored, the other does not find".into());
        }
        let begun = clock.now();
        caller.remove(key).await?;
        here.push(ms(clock.now().since(begun)));
        let patience = begun.after(Duration::from_secs(10));
        while elsewhere.get(key).await?.is_some() {
            if clock.now() > patience {
                return Err("a removal was not heard of in ten seconds".into());
            }
        }
        everywhere.push(ms(clock.now().since(begun)));
    }
    let mut add = |what: &str, found| {
        let what = format!("{}: 9 {what}, median", subject.name());
        figures.add(what, (median(found), "ms"), Some(Asked::AtMost(2.4)), Some("2.4"));
    };
    add("removal", here);
    add("until another process knows", everywhere);
    Ok(())
}

/// How many times faster a hundred keys are written, and read from Redis, by one call than by a hundred.
pub(super) async fn batches(
    (subject, other): (&Subject, &Subject),
    scale: &Scale,
    figures: &mut Figures,
) -> Outcome {
    let (clock, mut writer, mut reader) = (SystemClock::new(), subject.caller(), other.caller());
    let since = |begun: Time| clock.now().since(begun).as_secs_f64();
    let (mut writing, mut reading) = (Vec::new(), Vec::new());
    for round in 0..scale.times.div_ceil(10) {
        // Keys that the reader has never seen, so that Redis has to be asked.
        let apart: Vec<u64> = (0..BATCH).map(|key| BATCHES + 2 * round * BATCH + key).collect();
        let together: Vec<u64> = apart.iter().map(|key| key + BATCH).collect();
        let begun = clock.now();
        for key in &apart {
            writer.put(*key, value(*key, 100), TTL).await?;
        }
        let took = since(begun);
        let begun = clock.now();
        writer.put_many(&together, &"v".repeat(100)).await?;
        writing.push(took / since(begun));

        let begun = clock.now();
        for key in &apart {
            reader.get(*key).await?;
        }
        let took = since(begun);
        let begun = clock.now();
        let found = reader.get_many(&together).await?;
        reading.push(took / since(begun));
        if found != together.len() {
            return Err(format!("of {BATCH} keys that were stored, {found} were found").into());
        }
    }
    for (what, found) in [("written", writing), ("read from Redis", reading)] {
        let what = format!("{}: 10 speed-up of 100 keys {what} at once", subject.name());
        figures.add(what, (median(found), "times"), Some(Asked::AtLeast(5.0)), Some("8.5"));
    }
    Ok(())
}

const TTL: Duration = Duration::from_hours(1);
const BATCH: u64 = 100;
/// Where the keys of each begin.
const REMOVED: u64 = 3_000_000;
const BATCHES: u64 = 4_000_000;
const MEMORY: u64 = 5_000_000;
