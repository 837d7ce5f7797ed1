//! One region in figures: what it may hold, what it holds, what is asked of it.

use std::time::Duration;

use cache_core::Namespace;
use schemars::JsonSchema;
use serde::Serialize;
use strata::Analytics;

use super::{ratio, share};
use crate::prefixes::Prefix;
use crate::regions::{BlobCache, Regions};

/// How many of the keys that are read most are named.
const TOP_KEYS: usize = 10;

/// What a region counts, and what it holds now.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Nothing before the first read.
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) inserts: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) replaced: u64,
    pub(crate) removed: u64,
    pub(crate) too_large: u64,
}

/// What a region is, and how it does.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) max_entries: Option<u64>,
    pub(crate) max_bytes: Option<u64>,
    /// Nothing if entries live for ever unless they say otherwise.
    pub(crate) ttl_seconds: Option<f64>,
    pub(crate) policy: &'static str,
    pub(crate) stats: Counts,
    /// Of the last minute, or of the time since the start if that is shorter.
    pub(crate) recent: Recent,
    pub(crate) loads: Loads,
    /// How full it is, in [0, 1]: by bytes or by entries, whichever is nearer to its limit.
    pub(crate) utilization: Option<f64>,
    /// Reads that its source was spared, in percent.
    pub(crate) efficiency: Option<f64>,
    pub(crate) calls_saved: u64,
    pub(crate) access_pattern: &'static str,
    /// The share of hits that went to ten keys.
    pub(crate) concentration: Option<f64>,
    /// How many hits the sample stands for that names the keys.
    pub(crate) sampled_hits: u64,
    pub(crate) top_keys: Vec<TopKey>,
    /// Reads by what their keys begin with, the most first; together they are all reads.
    pub(crate) prefixes: Vec<OfPrefix>,
    pub(crate) tiers: Vec<Tier>,
    /// Whether no news of other processes may be missing; nothing without a bus.
    pub(crate) is_bus_whole: Option<bool>,
}

/// What happened lately.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Recent {
    pub(crate) reads: u64,
    pub(crate) hits: u64,
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) inserts: u64,
    pub(crate) evicted: u64,
    pub(crate) expired: u64,
    /// As if the stretch had been a minute.
    pub(crate) evicted_per_minute: f64,
}

/// Runs of loaders. Entries that came by request have none.
#[derive(Clone, Copy, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Loads {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    /// Calls that waited for a load of another.
    pub(crate) waited: u64,
}

/// A key that is read much.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct TopKey {
    pub(crate) key: String,
    /// About how many hits it had.
    pub(crate) hits: u64,
    /// Of the sampled hits, those that were certainly its own.
    pub(crate) share: f64,
}

/// Reads of keys that begin alike.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct OfPrefix {
    /// With the delimiter, and empty for keys without one; nothing for all that have no counts of their own.
    pub(crate) prefix: Option<String>,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) hit_ratio: Option<f64>,
}

/// A place below memory.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Tier {
    pub(crate) name: &'static str,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) writes: u64,
    pub(crate) errors: u64,
    /// Changes that it has not been told of yet.
    pub(crate) backlog: u64,
    /// For how long nobody has asked it because it failed; nothing while it is asked.
    pub(crate) away_seconds: Option<f64>,
}

impl Counts {
    pub(crate) fn of(regions: &Regions, cache: &BlobCache) -> Self {
        Self::new(&cache.stats().memory, regions.too_large(cache.name()))
    }

    /// What a region counts, and how many values were refused before it saw them.
    pub(super) fn new(memory: &cache_memory::Stats, too_large: u64) -> Self {
        Self {
            entries: memory.entries,
            bytes: memory.bytes,
            hits: memory.hits,
            misses: memory.misses,
            hit_ratio: memory.hit_ratio(),
            inserts: memory.inserts,
            expired: memory.expired,
            evicted: memory.evicted,
            replaced: memory.replaced,
            removed: memory.removed,
            too_large: memory.too_large + too_large,
        }
    }

    /// What came after an earlier moment. A region that was made anew since has counts of its own.
    pub(super) fn since(&self, earlier: &Self, stretch: Duration) -> Recent {
        let (hits, misses) =
            (self.hits.saturating_sub(earlier.hits), self.misses.saturating_sub(earlier.misses));
        let evicted = self.evicted.saturating_sub(earlier.evicted);
        Recent {
            reads: hits + misses,
            hits,
            hit_ratio: share(hits, hits + misses),
            inserts: self.inserts.saturating_sub(earlier.inserts),
            evicted,
            expired: self.expired.saturating_sub(earlier.expired),
            evicted_per_minute: per_second(evicted, stretch) * 60.0,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.entries += other.entries;
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.hits += other.hits;
        self.misses += other.misses;
        self.hit_ratio = share(self.hits, self.hits + self.misses);
        self.inserts += other.inserts;
        self.expired += other.expired;
        self.evicted += other.evicted;
        self.replaced += other.replaced;
        self.removed += other.removed;
        self.too_large += other.too_large;
    }
}

impl Region {
    pub(super) fn of(
        cache: &dyn strata::Region,
        (stats, recent): (Counts, Recent),
        prefixes: Vec<Prefix>,
    ) -> Self {
        let (health, analytics, loads) = (cache.health(), cache.analytics(TOP_KEYS), cache.stats());
        Self {
            name: cache.name().to_owned(),
            max_entries: cache.max_entries(),
            max_bytes: cache.max_bytes(),
            ttl_seconds: cache.ttl().finite().map(|ttl| ttl.as_secs_f64()),
            policy: cache.policy().as_str(),
            stats,
            recent,
            loads: Loads {
                ok: loads.loads_ok,
                failed: loads.loads_failed,
                lost: loads.loads_lost,
                waited: loads.coalesced,
            },
            utilization: analytics.utilization,
            efficiency: analytics.efficiency,
            calls_saved: analytics.calls_saved,
            access_pattern: analytics.access_pattern.as_str(),
            concentration: analytics.concentration,
            sampled_hits: analytics.top.hits,
            top_keys: top_keys(cache.name(), &analytics),
            prefixes: prefixes.into_iter().map(OfPrefix::of).collect(),
            tiers: health.tiers.iter().map(Tier::of).collect(),
            is_bus_whole: health.is_bus_whole,
        }
    }

    pub(crate) fn reads(&self) -> u64 {
        self.stats.hits + self.stats.misses
    }
}

impl OfPrefix {
    fn of(counted: Prefix) -> Self {
        let (hits, misses, hit_ratio) = (counted.hits, counted.misses, share(counted.hits, counted.reads()));
        Self { prefix: counted.text.map(String::from), hits, misses, hit_ratio }
    }
}

impl Tier {
    fn of(tier: &strata::TierStats) -> Self {
        Self {
            name: tier.name,
            hits: tier.hits,
            misses: tier.misses,
            writes: tier.writes,
            errors: tier.errors,
            backlog: tier.backlog,
            away_seconds: tier.away_for.map(|away| away.as_secs_f64()),
        }
    }
}

fn top_keys(region: &str, analytics: &Analytics<String>) -> Vec<TopKey> {
    let space = Namespace::new(region).ok();
    // A key of several parts stays as it is rendered.
    let own = |text: &str| {
        let key = space.as_ref().and_then(|space| space.read::<String>(text));
        key.unwrap_or_else(|| text.strip_prefix(&format!("{region}:")).unwrap_or(text).to_owned())
    };
    let of = |top: &cache_memory::TopKey<String>| TopKey {
        key: own(&top.key),
        hits: top.hits,
        share: ratio(top.hits.saturating_sub(top.error), analytics.top.hits),
    };
    analytics.top.top.iter().map(of).collect()
}

/// How many of something there were in a second of a stretch of time; zero of no time at all.
#[expect(clippy::cast_precision_loss, reason = "a rate of counts up to 2^53 is exact enough")]
pub(super) fn per_second(count: u64, stretch: Duration) -> f64 {
    if stretch.is_zero() { 0.0 } else { count as f64 / stretch.as_secs_f64() }
}
