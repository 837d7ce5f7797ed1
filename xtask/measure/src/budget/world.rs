//! A simulated day: time passes when nobody has anything to do, and the same seed is the same day.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache_core::{Clock, Priority, Quota, Time};
use cache_memory::MemoryCounters;
use cache_refresh::{Job, Scheduler};
use hdrhistogram::Histogram;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use strata::ratelimit::{Budget, LocalLimiter, Plan, Rule};
use strata::{Cache, Loaded, Memory, Options, Source, Ttl};
use tokio::time::{Instant, timeout};

use super::scenario::{Endpoint, Scenario};
use crate::Outcome;

/// How values are kept fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Loaded when somebody asks and its time-to-live is over.
    Ttl,
    /// All refreshed in turn, at the one interval that uses up the budget.
    Interval,
    /// By the scheduler: each at its interval, most urgent first.
    Scheduler,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Ttl, Self::Interval, Self::Scheduler];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Interval => "interval",
            Self::Scheduler => "scheduler",
        }
    }
}

/// What came of a day.
#[derive(Debug)]
pub(super) struct Day {
    pub(super) requests: u64,
    /// Answered without waiting for the source.
    pub(super) hits: u64,
    pub(super) errors: u64,
    pub(super) calls: u64,
    pub(super) blocked: u64,
    pub(super) refused: u64,
    /// Of these, after the warm-up.
    pub(super) refused_warm: u64,
    /// The age of what was answered, in milliseconds, by class, lowest first.
    pub(super) ages: Vec<Histogram<u64>>,
}

/// When it was true.
type Value = Duration;
type Pair = (u16, u16);

#[derive(Debug)]
struct Simulated(Instant);

impl Clock for Simulated {
    fn now(&self) -> Time {
        Time::ZERO.after(Duration::from_secs(1) + self.0.elapsed())
    }
}

async fn passes(time: Duration) {
    drop(timeout(time, std::future::pending::<()>()).await);
}

/// The other side, which counts by itself what it answers.
struct Metered {
    start: Instant,
    all: LocalLimiter,
    each: LocalLimiter,
    scenario: Scenario,
    budget: Arc<Budget>,
    random: Mutex<StdRng>,
    calls: AtomicU64,
    refused: AtomicU64,
    refused_warm: AtomicU64,
}

impl Metered {
    fn new(scenario: &Scenario, budget: Arc<Budget>, clock: &Arc<Simulated>) -> Outcome<Self> {
        let exact = |calls: u64| -> Outcome<LocalLimiter> {
            let rule = Rule::exact(calls, Duration::from_mins(1))?;
            Ok(LocalLimiter::new(rule).with_clock(Arc::<Simulated>::clone(clock)))
        };
        Ok(Self {
            start: clock.0,
            all: exact(scenario.source.calls_per_minute)?,
            each: exact(scenario.source.endpoint_calls_per_minute)?,
            scenario: scenario.clone(),
            budget,
            random: Mutex::new(StdRng::seed_from_u64(scenario.seed ^ 1)),
            calls: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_warm: AtomicU64::new(0),
        })
    }

    async fn call(self: Arc<Self>, endpoint: u16) -> Result<Loaded<Value>, String> {
        let source = &self.scenario.source;
        let (there, back, fails) = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            let [least, most] = source.milliseconds;
            let mut half = || Duration::from_millis(random.random_range(least..=most)) / 2;
            (half(), half(), random.random_bool(source.fails))
        };
        passes(there).await;
        self.calls.fetch_add(1, Relaxed);
        let is_admitted = self.each.take(&endpoint).is_admitted() && self.all.take(&0).is_admitted();
        let now = self.start.elapsed();
        passes(back).await;
        if !is_admitted {
            self.refused.fetch_add(1, Relaxed);
            if now > self.scenario.warm_up() {
                self.refused_warm.fetch_add(1, Relaxed);
            }
            self.budget.refused(Some(Duration::from_secs(source.retry_after_seconds)));
            return Err("429".to_owned());
        }
        self.budget.succeeded();
        if fails { Err("500".to_owned()) } else { Ok(Loaded::new(now)) }
    }
}

/// Lives through a day.
pub(super) fn live(scenario: &Scenario, way: Way) -> Outcome<Day> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(day(scenario, way))
}

async fn day(scenario: &Scenario, way: Way) -> Outcome<Day> {
    let clock = Arc::new(Simulated(Instant::now()));
    let counters = Arc::new(MemoryCounters::new().with_clock(Arc::<Simulated>::clone(&clock)));
    let budget = Budget::new(plan(scenario)?, counters)?.with_clock(Arc::<Simulated>::clone(&clock));
    let budget = Arc::new(budget);
    let source = Arc::new(Metered::new(scenario, Arc::clone(&budget), &clock)?);
    let endpoints: Arc<[Endpoint]> = scenario.endpoints().into();
    let memory = Memory::new()
        .with_max_entries(1 << 20)
        .with_clock(Arc::<Simulated>::clone(&clock))
        .with_sweep_every(None);
    let cache: Cache<Pair, Value> = Cache::builder("market")
        .memory(memory)
        .options(
            Options::new()
                .with_fail_safe_for(Duration::from_hours(24))
                .with_fail_safe_throttle(Duration::from_secs(1)),
        )
        .budget(Arc::clone(&budget))
        .seed(scenario.seed)
        .build()?;
    let scheduler = schedule(scenario, way, (&cache, &source, &budget), &clock)?;

    let book = Arc::new(Mutex::new(Day::new()?));
    let mut random = StdRng::seed_from_u64(scenario.seed);
    let (symbols, kinds) = (zipf(scenario), cumulated(endpoints.iter().map(|endpoint| endpoint.weight)));
    let lasts = scenario.lasts();
    while clock.0.elapsed() < lasts {
        let is_volatile = scenario.is_volatile(clock.0.elapsed());
        if is_volatile && let Some(scheduler) = &scheduler {
            scheduler.signal_volatility(Duration::from_mins(1));
        }
        let rate = scenario.requests_per_second * if is_volatile { 2.0 } else { 1.0 };
        let gap = -(1.0 - random.random::<f64>()).ln() / rate;
        passes(Duration::from_secs_f64(gap)).await;
        let pair = (draw(&symbols, random.random()), draw(&kinds, random.random()));
        let (cache, source, book) = (cache.clone(), Arc::clone(&source), Arc::clone(&book));
        let (endpoints, start) = (Arc::clone(&endpoints), clock.0);
        // What is fresh is answered without a task.
        if let Some(hit) = cache.get_local(&pair) {
            lock(&book).answered(
                endpoints[usize::from(pair.1)].priority,
                start.elapsed().saturating_sub(*hit),
                true,
            );
            continue;
        }
        tokio::spawn(async move {
            let endpoint = &endpoints[usize::from(pair.1)];
            let answer =
                cache.get_or_load(&pair, move || source.call(pair.1)).with(options(endpoint, way)).await;
            let mut book = lock(&book);
            if let Ok(hit) = answer {
                let age = start.elapsed().saturating_sub(*hit);
                book.answered(endpoint.priority, age, hit.source() == Source::Memory);
            } else {
                book.requests += 1;
                book.errors += 1;
            }
        });
    }
    drop(scheduler);
    let mut day = std::mem::replace(&mut *lock(&book), Day::new()?);
    day.calls = source.calls.load(Relaxed);
    day.blocked = budget.stats().blocked;
    day.refused = source.refused.load(Relaxed);
    day.refused_warm = source.refused_warm.load(Relaxed);
    Ok(day)
}

impl Day {
    fn new() -> Outcome<Self> {
        let ages = Priority::ALL.iter().map(|_| Histogram::new(2)).collect::<Result<_, _>>()?;
        Ok(Self { requests: 0, hits: 0, errors: 0, calls: 0, blocked: 0, refused: 0, refused_warm: 0, ages })
    }

    fn answered(&mut self, class: Priority, age: Duration, is_hit: bool) {
        self.requests += 1;
        self.hits += u64::from(is_hit);
        let rank = Priority::ALL.iter().position(|other| *other == class).unwrap_or(0);
        let recorded = self.ages[rank].record(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        // It grows with what is recorded.
        debug_assert!(recorded.is_ok(), "no day is too long for it");
    }
}

fn lock(book: &Mutex<Day>) -> MutexGuard<'_, Day> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

fn options(endpoint: &Endpoint, way: Way) -> Options {
    let ttl = match way {
        Way::Ttl => endpoint.ttl,
        // What is refreshed by plan is as fresh as that makes it; only what is not there yet is loaded by who asks.
        Way::Interval | Way::Scheduler => Duration::from_hours(24),
    };
    Options::new().with_ttl(Ttl::from(ttl)).with_endpoint(endpoint.name.as_str())
}

/// What the source allows, in windows that are a second longer: calls do not all take equally long on their way.
fn plan(scenario: &Scenario) -> Outcome<Plan> {
    let window = Duration::from_secs(61);
    let quota = |calls| Quota::with_buckets(calls, window, 1000);
    let (global, endpoint) =
        (quota(scenario.source.calls_per_minute)?, quota(scenario.source.endpoint_calls_per_minute)?);
    Ok(Plan { global, endpoint, ..Plan::MARKET_DATA })
}

/// Plans the refreshes of all pairs.
fn schedule(
    scenario: &Scenario,
    way: Way,
    (cache, source, budget): (&Cache<Pair, Value>, &Arc<Metered>, &Arc<Budget>),
    clock: &Arc<Simulated>,
) -> Outcome<Option<Scheduler>> {
    let endpoints = scenario.endpoints();
    let builder = Scheduler::builder().clock(Arc::<Simulated>::clone(clock)).seed(scenario.seed);
    let pairs = u32::from(scenario.symbols) * u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
    let per_call =
        Duration::from_mins(1) / u32::try_from(scenario.source.calls_per_minute).unwrap_or(u32::MAX).max(1);
    let scheduler = match way {
        Way::Ttl => return Ok(None),
        Way::Interval => builder.open()?,
        Way::Scheduler => {
            let budget = Arc::clone(budget);
            let used = move || {
                let budget = Arc::clone(&budget);
                async move { budget.used().await }
            };
            builder.pacing(scenario.pacing()).budget_used(used).open()?
        }
    };
    for symbol in 0..scenario.symbols {
        for (number, endpoint) in (0_u16..).zip(&endpoints) {
            let source = Arc::clone(source);
            let load = move || Arc::clone(&source).call(number);
            let job = Job::refresh(cache, (symbol, number), options(endpoint, way), load);
            match way {
                Way::Scheduler => {
                    let interval = endpoint.interval.mul_f64(scenario.rarity(symbol));
                    scheduler.schedule(job.with_priority(endpoint.priority), interval)?;
                }
                Way::Interval | Way::Ttl => scheduler.schedule(job, per_call * pairs)?,
            }
        }
    }
    Ok(Some(scheduler))
}

/// How often each symbol is asked for, cumulated.
fn zipf(scenario: &Scenario) -> Vec<f64> {
    cumulated((1..=scenario.symbols).map(|rank| f64::from(rank).powf(-scenario.skew)))
}

fn cumulated(weights: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sum = 0.0;
    let mut all: Vec<f64> = weights
        .map(|weight| {
            sum += weight;
            sum
        })
        .collect();
    for share in &mut all {
        *share /= sum;
    }
    all
}

fn draw(shares: &[f64], random: f64) -> u16 {
    let at = shares.partition_point(|share| *share < random).min(shares.len() - 1);
    u16::try_from(at).unwrap_or(u16::MAX)
}
