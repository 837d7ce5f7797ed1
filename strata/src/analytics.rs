//! What the counts mean: how much a cache saves, who is read most, and what kind of traffic it sees.
//!
//! Everything is worked out when it is asked for, from [`Stats`] and a sample of the hits, so that a read pays nothing for it
//! beyond its counts.

use std::time::Duration;

use cache_core::CacheKey;
use cache_memory::Sampled;

use crate::cache::{Cache, Shared};
use crate::stats::Stats;

/// How many of the keys that are read most make up [`Analytics::concentration`].
const TOP: usize = 10;

/// What a cache is good for, and what is asked of it.
///
/// Keys are named only if hits are sampled: [`Memory::with_sampling`](crate::Memory::with_sampling) or
/// [`Change::with_sampling`](crate::Change::with_sampling).
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// use strata::{Cache, Memory};
/// let users: Cache<u64, String> = Cache::builder("users").memory(Memory::new().with_sampling(1)).build()?;
/// for _ in 0..10 {
///     users.get_or_load(&7, || async { Ok::<_, std::io::Error>("Ada".to_owned()) }).await?;
/// }
/// let analytics = users.analytics(3);
/// assert_eq!((analytics.requests, analytics.calls_saved, analytics.efficiency), (10, 9, Some(90.0)));
/// assert_eq!(analytics.top.top[0].key, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Analytics<K> {
    /// Reads: hits and misses.
    pub requests: u64,
    /// Hits per read, in [0, 1]; `None` before the first read.
    pub hit_ratio: Option<f64>,
    /// Calls of the source that the cache has spared: hits, and calls that waited for a load of another, less the refreshes
    /// behind answers.
    pub calls_saved: u64,
    /// What those calls would have taken: their number times what a load takes on average.
    pub time_saved: Duration,
    /// How much of the source's work the cache spares, in percent: 100 x `calls_saved` / `requests`. `None` before the first
    /// read.
    pub efficiency: Option<f64>,
    /// How long a load takes on average; `None` before the first has ended.
    pub average_load: Option<Duration>,
    /// How much time of loads there is for each read: all loads together / `requests`. A hit takes well below a microsecond
    /// and counts as none. `None` before the first read.
    pub average_access: Option<Duration>,
    /// How full the memory tier is, in [0, 1]: its bytes or its entries by their limit, whichever is nearer. `None` without a
    /// limit.
    pub utilization: Option<f64>,
    /// The keys that are read most, and how many hits the sample of them stands for.
    pub top: Sampled<K>,
    /// The share of sampled hits that went, for certain, to the ten keys that are read most, in [0, 1]; `None` without a
    /// sample.
    pub concentration: Option<f64>,
    /// What kind of traffic that is.
    pub access_pattern: AccessPattern,
}

/// The kind of traffic that a cache sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessPattern {
    /// Fewer than 100 reads so far: too few to tell.
    Idle,
    /// Less than one read in ten is a hit: keys do not come back, or not before they are gone. A larger cache or a longer
    /// life may help; a cache may also be of no use here.
    PassingThrough,
    /// At least half of the hits go to ten keys: eager refresh keeps those from ending all at once.
    Concentrated,
    /// At least a tenth of the hits go to ten keys, as in most traffic of the web.
    Skewed,
    /// Many keys are read alike.
    Even,
    /// Most reads are hits, and no sample tells of which keys.
    Unsampled,
}

impl AccessPattern {
    /// The name in metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::PassingThrough => "passing_through",
            Self::Concentrated => "concentrated",
            Self::Skewed => "skewed",
            Self::Even => "even",
            Self::Unsampled => "unsampled",
        }
    }

    fn of(requests: u64, hit_ratio: Option<f64>, concentration: Option<f64>) -> Self {
        match (hit_ratio, concentration) {
            _ if requests < 100 => Self::Idle,
            (Some(ratio), _) if ratio < 0.1 => Self::PassingThrough,
            (_, Some(share)) if share >= 0.5 => Self::Concentrated,
            (_, Some(share)) if share >= 0.1 => Self::Skewed,
            (_, Some(_)) => Self::Even,
            (_, None) => Self::Unsampled,
        }
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    /// What the counts mean, with the `most` keys that are read most. Locks each shard of the memory tier for two moments.
    pub fn analytics(&self, most: usize) -> Analytics<K> {
        let sampled = self.memory().sampled(most.max(TOP));
        let mut analytics = self.shared.analyse(&self.stats(), sampled);
        analytics.top.top.truncate(most);
        analytics
    }

    /// As [`analytics`](Self::analytics), with keys as text: as they are rendered, the cache's name included.
    pub(crate) fn analytics_as_text(&self, most: usize) -> Analytics<String> {
        let rendered = |key: &K| {
            let mut text = self.shared.namespace.key();
            key.write(&mut text);
            text.as_str().to_owned()
        };
        self.analytics(most).map_keys(rendered)
    }
}

impl<K, V> Shared<K, V>
where
    K: CacheKey + Clone,
    V: Send + Sync + 'static,
{
    fn analyse(&self, stats: &Stats, top: Sampled<K>) -> Analytics<K> {
        let requests = stats.memory.hits + stats.memory.misses;
        let calls_saved = (stats.memory.hits + stats.coalesced).saturating_sub(stats.refreshes).min(requests);
        let average_load = stats.average_load();
        let hit_ratio = stats.memory.hit_ratio();
        let first = top.top.iter().take(TOP);
        let certain: u64 = first.map(|key| key.hits.saturating_sub(key.error)).sum();
        let concentration = share(certain, top.hits);
        let of_entries = self.memory.max_entries().and_then(|max| share(stats.memory.entries, max));
        let of_bytes = self.memory.max_bytes().and_then(|max| share(stats.memory.bytes, max));
        Analytics {
            requests,
            hit_ratio,
            calls_saved,
            time_saved: average_load.map_or(Duration::ZERO, |each| times(each, calls_saved)),
            efficiency: share(calls_saved, requests).map(|share| 100.0 * share),
            average_load,
            average_access: (requests > 0).then(|| divided(stats.load_time, requests)),
            utilization: [of_entries, of_bytes].into_iter().flatten().reduce(f64::max),
            top,
            concentration,
            access_pattern: AccessPattern::of(requests, hit_ratio, concentration),
        }
    }
}

impl<K> Analytics<K> {
    fn map_keys<T>(self, text: impl Fn(&K) -> T) -> Analytics<T> {
        let Self { requests, hit_ratio, calls_saved, time_saved, efficiency, average_load, .. } = self;
        let Self { average_access, utilization, top, concentration, access_pattern, .. } = self;
        let top = top.map_keys(text);
        Analytics {
            requests,
            hit_ratio,
            calls_saved,
            time_saved,
            efficiency,
            average_load,
            average_access,
            utilization,
            top,
            concentration,
            access_pattern,
        }
    }
}

/// `None` where there is nothing to have a share of.
fn share(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts up to 2^53 is exact enough")]
    let share = part as f64 / whole as f64;
    (whole > 0).then_some(share)
}

fn times(each: Duration, count: u64) -> Duration {
    nanos(each.as_nanos().saturating_mul(count.into()))
}

fn divided(total: Duration, among: u64) -> Duration {
    nanos(total.as_nanos() / u128::from(among.max(1)))
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
