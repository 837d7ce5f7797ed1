//! Sync functions: no runtime, no sharing of what is being computed, and the same fence.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use strata::{Cache, Options, Tags, cached};

use super::{Fault, State};

type Numbers = State<u64>;

#[cached(cache = state.cache, ttl = "1m", tags = ["number:{id}"])]
fn number(state: &Numbers, id: u64) -> Result<u64, Fault> {
    let asked = state.ask();
    if id == 0 { Err(Fault::Down) } else { Ok(id * 100 + asked) }
}

#[cached(cache = state.cache, negative_ttl = "10s")]
fn find(state: &State<Option<u64>>, id: u64) -> Option<u64> {
    let asked = state.ask();
    (id != asked).then_some(asked)
}

#[test]
fn a_second_call_is_answered_from_the_cache_without_a_runtime() {
    let state = Numbers::new();
    assert_eq!(number(&state, 7), Ok(700));
    assert_eq!(number(&state, 7), Ok(700));
    assert_eq!(number::refresh(&state, 7), Ok(701));
    assert_eq!(number::uncached(&state, 7), Ok(702));
    assert_eq!(number(&state, 7), Ok(701));
    assert!(number::invalidate(&state, 7));
    assert!(!number::invalidate(&state, 7));
    assert_eq!(number(&state, 7), Ok(703));
    state.clock.advance(Duration::from_mins(1));
    assert_eq!(number(&state, 7), Ok(704));
}

#[test]
fn an_error_is_not_cached_and_needs_no_conversion() {
    let state = Numbers::new();
    assert_eq!(number(&state, 0), Err(Fault::Down));
    assert_eq!(number(&state, 0), Err(Fault::Down));
    let counts = state.cache.stats();
    assert_eq!((counts.loads_begun, counts.loads_failed, counts.running), (2, 2, 0));
}

#[test]
fn none_lives_for_the_negative_ttl() {
    let state = State::new();
    assert_eq!(find(&state, 0), None);
    state.clock.advance(Duration::from_secs(9));
    assert_eq!(find(&state, 0), None);
    assert_eq!(state.asked(), 1);
    state.clock.advance(Duration::from_secs(1));
    assert_eq!(find(&state, 0), Some(1));
}

/// Whatever invalidates while a value is computed: it is answered, and not kept.
fn overtaken_by(invalidate: impl FnOnce(&Cache<u32, u32>)) -> bool {
    let cache: Cache<u32, u32> = Cache::builder("computed").build().expect("legal");
    let options = Options::new().with_tags(Tags::new(["t"]).expect("legal"));
    let computed = cache.get_or_compute(&7, options, || {
        invalidate(&cache);
        Ok::<_, Fault>(1)
    });
    assert_eq!(computed.map(|hit| *hit), Ok(1));
    cache.get_local(&7).is_some_and(|hit| *hit == 1)
}

#[test]
fn a_value_that_was_invalidated_while_it_was_computed_is_not_kept() {
    assert!(overtaken_by(|_| {}), "nothing happened, so it is kept");
    assert!(!overtaken_by(|cache| {
        cache.remove_local(&7);
    }));
    for kind in ["insert", "tag", "prefix", "clear", "expire", "other tag"] {
        let kept = overtaken_by(|cache| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                match kind {
                    "insert" => drop(cache.insert(7, 2).await),
                    "tag" => drop(cache.remove_tag("t").await),
                    "prefix" => drop(cache.remove_prefix("").await),
                    "clear" => drop(cache.clear().await),
                    "expire" => drop(cache.expire(&7).await),
                    _ => drop(cache.remove_tag("u").await),
                }
            });
        });
        assert_eq!(kept, kind == "other tag", "{kind}");
    }
}

#[test]
fn a_forced_computation_keeps_out_what_began_before_it() {
    let cache: Cache<u32, u32> = Cache::builder("computed").build().expect("legal");
    let older = cache.get_or_compute(&7, Options::new(), || {
        let forced = Options::new().with_force_refresh(true);
        cache.get_or_compute(&7, forced, || Ok::<_, Fault>(2)).map(|_| 1)
    });
    assert_eq!(older.map(|hit| *hit), Ok(1));
    assert_eq!(cache.get_local(&7).map(|hit| *hit), Some(2));
}

#[test]
fn a_computation_that_panics_is_lost_and_leaves_nothing() {
    let cache: Cache<u32, u32> = Cache::builder("computed").build().expect("legal");
    let panics = std::panic::AssertUnwindSafe(|| {
        cache.get_or_compute(&7, Options::new(), || -> Result<u32, Fault> { panic!("planted") })
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    let stats = cache.stats();
    assert_eq!((stats.loads_begun, stats.loads_lost, stats.running), (1, 1, 0));
    assert_eq!(cache.get_or_compute(&7, Options::new(), || Ok::<_, Fault>(1)).map(|hit| *hit), Ok(1));
}

/// For what does not come if something is wrong.
const HANG: Duration = Duration::from_secs(30);

#[test]
fn who_computes_waits_for_nobody() {
    let cache: Cache<u32, u64> = Cache::builder("computed").build().expect("legal");
    let (began, computing) = mpsc::channel();
    let (release, go_on) = mpsc::channel();
    let cache = &cache;
    thread::scope(|scope| {
        let first = scope.spawn(move || {
            computed(cache, || {
                began.send(()).expect("the test waits");
                go_on.recv_timeout(HANG).expect("the second caller ends while the first computes");
                1
            })
        });
        computing.recv_timeout(HANG).expect("the first caller computes");
        assert_eq!(computed(cache, || 2), 2, "the second caller has its own answer");
        release.send(()).expect("the first caller waits");
        assert_eq!(first.join().expect("no panic"), 1);
    });
    let stats = cache.stats();
    assert_eq!((stats.loads_begun, stats.coalesced, stats.running), (2, 0, 0));
}

/// Computes the answer for one key, if there is none.
fn computed(cache: &Cache<u32, u64>, compute: impl FnOnce() -> u64) -> u64 {
    let Ok(hit) = cache.get_or_compute(&7, Options::new(), || Ok::<_, Infallible>(compute()));
    *hit
}

#[test]
fn a_value_read_before_an_invalidation_on_another_thread_is_not_kept() {
    let cache: Cache<u32, u64> = Cache::builder("computed").build().expect("legal");
    let source = AtomicU64::new(1);
    let (began, computing) = mpsc::channel();
    let (release, go_on) = mpsc::channel();
    let (cache, source) = (&cache, &source);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            computed(cache, || {
                let read = source.load(SeqCst);
                began.send(()).expect("the test waits");
                go_on.recv_timeout(HANG).expect("the writer has written");
                read
            })
        });
        computing.recv_timeout(HANG).expect("the reader has read");
        source.store(2, SeqCst);
        assert!(!cache.remove_local(&7), "nothing is kept yet");
        release.send(()).expect("the reader waits");
        assert_eq!(
            reader.join().expect("no panic"),
            1,
            "who asked before the write may see what was before it"
        );
    });
    assert_eq!(cache.stats().fenced, 1);
    assert_eq!(computed(cache, || source.load(SeqCst)), 2, "the old value was not kept");
}

#[test]
fn whoever_invalidates_sees_what_he_has_written_whoever_computes_meanwhile() {
    #[cached(cache = state.cache, skip(source))]
    fn written(state: &Numbers, source: &AtomicU64) -> u64 {
        let read = source.load(SeqCst);
        // The scheduler may let others go on between the read and the store.
        thread::yield_now();
        state.ask();
        read
    }
    let state = Numbers::new();
    let source = AtomicU64::new(0);
    let start = Barrier::new(4);
    let wrong = thread::scope(|scope| {
        let (state, source, start) = (&state, &source, &start);
        for _ in 0..3 {
            scope.spawn(move || {
                start.wait();
                while source.load(SeqCst) < WRITES {
                    written(state, source);
                }
            });
        }
        start.wait();
        let is_wrong = |version: &u64| {
            source.store(*version, SeqCst);
            written::invalidate(state);
            written(state, source) != *version
        };
        (1..=WRITES).filter(is_wrong).count()
    });
    assert_eq!(wrong, 0, "what was read before a write was kept after it");
    assert!(state.asked() > WRITES, "the readers computed as well");
}

const WRITES: u64 = 2_000;
