//! What has to be exact: lives to their moment, and answers whoever else asks at the same time.

use std::time::Duration;

use cache_core::{Clock, SystemClock};
use tokio::task::JoinSet;

use super::super::tally::Failure;
use super::subject::{Caller, Subject, value};
use super::{Scale, ms, rest};
use crate::Outcome;
use crate::figures::{Asked, Figures};

/// How long after its life a value was still answered, and how long before its end it was missing, at most.
///
/// Nobody but the cache knows when a life began: after the value was sent, and before that was acknowledged. So late is what was asked for
/// after the latest end, and early what was answered before the earliest one.
pub(super) async fn lives(subject: &Subject, scale: &Scale, figures: &mut Figures) -> Outcome {
    let mut watchers = JoinSet::new();
    for number in 0..scale.lives {
        watchers.spawn(watch(subject.caller(), number));
    }
    let (mut late, mut early) = (Duration::ZERO, Duration::ZERO);
    while let Some(watched) = watchers.join_next().await {
        let (by_late, by_early) = watched??;
        (late, early) = (late.max(by_late), early.max(by_early));
    }
    let mut add = |what: &str, found| {
        let what = format!("{}: 6 {what}, of {}", subject.name(), scale.lives);
        figures.add(what, (ms(found), "ms"), Some(Asked::AtMost(0.0)), Some("-"));
    };
    add("answered after its life", late);
    add("gone before its end", early);
    Ok(())
}

async fn watch(mut caller: Caller, number: u64) -> Result<(Duration, Duration), Failure> {
    let clock = SystemClock::new();
    let (key, ttl) = (LIVES + number, Duration::from_millis(300 + 7 * number));
    let sent = clock.now();
    caller.put(key, value(key, 100), ttl).await?;
    let (earliest, latest) = (sent.after(ttl), clock.now().after(ttl));
    let (mut late, mut early) = (Duration::ZERO, Duration::ZERO);
    loop {
        let asked = clock.now();
        let found = caller.get(key).await?;
        let answered = clock.now();
        if found.is_some() {
            late = late.max(asked.since(latest));
        } else {
            early = early.max(earliest.since(answered));
        }
        if asked > latest.after(AFTERWARDS) {
            return Ok((late, early));
        }
        rest(Duration::from_millis(2)).await;
    }
}

/// Wrong answers and errors of many callers who read, write and remove the same few keys.
pub(super) async fn callers(subject: &Subject, scale: &Scale, figures: &mut Figures) -> Outcome {
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(use_all(subject.caller(), number, scale.operations));
    }
    let (mut wrong, mut errors) = (0_u32, 0_u32);
    while let Some(outcome) = callers.join_next().await {
        let (by_wrong, by_errors) = outcome?;
        wrong += by_wrong;
        errors += by_errors;
    }
    let mut add = |what: &str, found: u32| {
        let what = format!("{}: 7 {what} of {CALLERS} callers at once", subject.name());
        figures.add(what, (found.into(), ""), Some(Asked::AtMost(0.0)), Some("0"));
    };
    add("wrong answers", wrong);
    add("errors", errors);
    Ok(())
}

async fn use_all(mut caller: Caller, number: u64, operations: u64) -> (u32, u32) {
    let (mut wrong, mut errors) = (0, 0);
    for operation in 0..operations {
        let key = SHARED + (number * 31 + operation * 17) % 100;
        let expected = value(key, 200);
        let outcome = match (number + operation) % 10 {
            0 => caller.put(key, expected, Duration::from_mins(1)).await,
            1 => caller.remove(key).await,
            _ => caller.get(key).await.map(|found| {
                wrong += u32::from(found.is_some_and(|found| found != expected));
            }),
        };
        errors += u32::from(outcome.is_err());
    }
    (wrong, errors)
}

/// How long after its end a life is still watched.
const AFTERWARDS: Duration = Duration::from_millis(50);
const CALLERS: u64 = 64;
/// Where the keys begin whose lives are watched, and those that all callers share.
const LIVES: u64 = 1_000_000;
const SHARED: u64 = 2_000_000;
