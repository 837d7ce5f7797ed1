//! Single calls of many callers, and many keys in one call.

use cache_core::{Clock, Store, StoreExt, SystemClock, Time};
use cache_redis::RedisStore;
use rustix::time::{ClockId, clock_gettime};

use super::report::{Asked, Report};
use super::side::{Name, Side, Sides, key};
use super::{Act, KEYS, Scale, median};
use crate::Outcome;

/// What a round has done: calls a second, and microseconds of this process for each.
#[derive(Clone, Copy, Default)]
struct Pace {
    per_second: f64,
    cpu_us: f64,
}

/// Lets all sides take turns at this act, and compares each with the bare client.
pub(super) async fn compare(
    sides: &Sides,
    (act, callers): (Act, usize),
    scale: &Scale,
    report: &mut Report,
) -> Outcome {
    let all = sides.all();
    let mut rounds = Vec::new();
    for turn in 0..scale.rounds {
        let mut paces = vec![Pace::default(); all.len()];
        // Who goes first changes, so that nobody always has the warmer machine.
        for step in 0..all.len() {
            let at = (turn + step) % all.len();
            paces[at] = round(&all[at].1, act, callers, scale).await?;
        }
        rounds.push(paces);
    }
    let bare = all.iter().position(|(name, _)| *name == Name::Bare).ok_or("there is no bare client")?;
    for (at, (name, _)) in all.iter().enumerate() {
        let what = |figure: &str| format!("{}, {callers} callers: {figure}", act.as_str());
        let median = |of: &dyn Fn(&Vec<Pace>) -> f64| median(rounds.iter().map(of).collect());
        let who = name.as_str();
        report.told(what(&format!("{who}, calls")), median(&|it| it[at].per_second), "a second");
        report.told(what(&format!("{who}, processor")), median(&|it| it[at].cpu_us), "us");
        if at == bare {
            continue;
        }
        let asked = |asked: Asked| (*name == Name::Ours).then_some(asked);
        let ratio = median(&|it| it[at].per_second / it[bare].per_second);
        let row = what(&format!("{who} of bare"));
        report.measured(row, ratio, "times", asked(Asked::AtLeast(THROUGHPUT)));
        let more = median(&|it| it[at].cpu_us - it[bare].cpu_us);
        report.measured(
            what(&format!("{who} beyond bare, processor")),
            more,
            "us",
            asked(Asked::AtMost(MORE_US)),
        );
    }
    Ok(())
}

/// So many callers, each asking again as soon as it is answered, until the time is over.
async fn round(side: &Side, act: Act, callers: usize, scale: &Scale) -> Outcome<Pace> {
    let clock = SystemClock::new();
    let (begun, cpu) = (clock.now(), processor());
    let end = begun.after(scale.round);
    let callers = (0..callers).map(|caller| {
        let mut side = side.clone();
        tokio::spawn(async move {
            let mut done = 0_u32;
            while clock.now() < end {
                let number = (caller * 7919 + done as usize) % KEYS;
                side.make(act, number).await.map_err(|error| error.to_string())?;
                done += 1;
            }
            Ok::<u32, String>(done)
        })
    });
    let mut done = 0.0;
    for caller in callers.collect::<Vec<_>>() {
        done += f64::from(caller.await??);
    }
    let (took, cpu) = (clock.now().since(begun), processor().since(cpu));
    Ok(Pace { per_second: done / took.as_secs_f64(), cpu_us: cpu.as_secs_f64() * 1e6 / done })
}

/// A hundred keys at once and one after another.
pub(super) async fn many(store: &RedisStore, scale: &Scale, report: &mut Report) -> Outcome {
    let keys = (0..BATCH).map(key).collect::<Outcome<Vec<_>>>()?;
    let clock = SystemClock::new();
    let (mut at_once, mut singly, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds * 20 {
        let begun = clock.now();
        let found = store.get_many(&keys).await?;
        let once = micros(&clock, begun);
        if found.iter().flatten().count() != BATCH {
            return Err("an entry was lost".into());
        }
        let begun = clock.now();
        for key in &keys {
            store.get(key).await?;
        }
        let one_by_one = micros(&clock, begun);
        at_once.push(once);
        singly.push(one_by_one);
        times.push(one_by_one / once);
    }
    report.told(format!("{BATCH} keys in one call"), median(at_once), "us");
    report.told(format!("{BATCH} keys, one call each"), median(singly), "us");
    let row = format!("{BATCH} keys in one call, faster");
    report.measured(row, median(times), "times", Some(Asked::AtLeast(AT_ONCE)));
    Ok(())
}

pub(super) fn micros(clock: &SystemClock, since: Time) -> f64 {
    clock.now().since(since).as_secs_f64() * 1e6
}

/// The processor time of this process so far.
fn processor() -> Time {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or_default());
    Time::from_nanos(seconds * 1_000_000_000 + nanos)
}

const BATCH: usize = 100;
const THROUGHPUT: f64 = 0.85;
const MORE_US: f64 = 2.0;
const AT_ONCE: f64 = 10.0;
