//! Who can be asked for by `--policy`: our policies, other caches, and the optimum.

use std::fmt;
use std::str::FromStr;

use cache_memory::Policy;
use foyer_memory::{LfuConfig, LruConfig, S3FifoConfig, SieveConfig};
use moka::policy::EvictionPolicy;

use super::course::Course;
use super::ours::Ours;
use super::replay::{Contender, Score, replay};
use super::{optimum, others};
use crate::Outcome;

/// One line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrant {
    /// A policy of ours, in the real memory tier.
    Ours(Policy),
    /// Another cache.
    Peer(Peer),
    /// What is possible at all.
    Optimum,
}

/// A cache that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Moka,
    MokaLru,
    QuickCache,
    FoyerS3Fifo,
    FoyerLfu,
    FoyerLru,
    FoyerSieve,
    TinyUfo,
}

/// A word of `--policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    One(Entrant),
    All,
}

impl Entrant {
    /// Everyone, ours first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let ours = Policy::ALL.into_iter().map(Self::Ours);
        ours.chain(Peer::ALL.into_iter().map(Self::Peer)).chain([Self::Optimum])
    }

    /// The name on the command line and in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours(policy) => policy.as_str(),
            Self::Peer(peer) => peer.name(),
            Self::Optimum => "opt",
        }
    }

    /// Runs the course with this capacity.
    pub(super) fn run(self, course: &Course<'_>, capacity: u64, shards: u16) -> Outcome<Score> {
        Ok(match self {
            Self::Ours(policy) => replay(course, &mut Ours::new(policy, course, capacity, shards)),
            Self::Peer(peer) => replay(course, peer.build(course, capacity)?.as_mut()),
            Self::Optimum => optimum::score(course, capacity),
        })
    }
}

impl Peer {
    const ALL: [Self; 8] = [
        Self::Moka,
        Self::MokaLru,
        Self::QuickCache,
        Self::FoyerS3Fifo,
        Self::FoyerLfu,
        Self::FoyerLru,
        Self::FoyerSieve,
        Self::TinyUfo,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Moka => "moka",
            Self::MokaLru => "moka-lru",
            Self::QuickCache => "quick_cache",
            Self::FoyerS3Fifo => "foyer-s3fifo",
            Self::FoyerLfu => "foyer-lfu",
            Self::FoyerLru => "foyer-lru",
            Self::FoyerSieve => "foyer-sieve",
            Self::TinyUfo => "tinyufo",
        }
    }

    fn build(self, course: &Course<'_>, capacity: u64) -> Outcome<Box<dyn Contender>> {
        Ok(match self {
            Self::Moka => others::moka(EvictionPolicy::tiny_lfu(), course, capacity),
            Self::MokaLru => others::moka(EvictionPolicy::lru(), course, capacity),
            Self::QuickCache => others::quick_cache(course, capacity)?,
            Self::FoyerS3Fifo => others::foyer(S3FifoConfig::default().into(), course, capacity),
            Self::FoyerLfu => others::foyer(LfuConfig::default().into(), course, capacity),
            Self::FoyerLru => others::foyer(LruConfig::default().into(), course, capacity),
            Self::FoyerSieve => others::foyer(SieveConfig.into(), course, capacity),
            Self::TinyUfo => others::tiny_ufo(course, capacity),
        })
    }
}

impl FromStr for Choice {
    type Err = UnknownEntrant;

    fn from_str(text: &str) -> Result<Self, UnknownEntrant> {
        if text == ALL {
            return Ok(Self::All);
        }
        let named = |entrant: &Entrant| entrant.name().eq_ignore_ascii_case(text);
        Entrant::all().find(named).map(Self::One).ok_or_else(|| UnknownEntrant(text.to_owned()))
    }
}

/// A word that is none of `--policy`.
#[derive(Debug)]
pub(super) struct UnknownEntrant(String);

impl fmt::Display for UnknownEntrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = Entrant::all().map(Entrant::name).collect();
        write!(f, "{:?} is neither a policy nor a cache; use one of {}, or {ALL}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownEntrant {}

const ALL: &str = "all";

#[cfg(test)]
mod tests {
    use cache_testkit::load::{Shape, Workload};
    use cache_testkit::trace::Trace;

    use super::super::course::By;
    use super::*;

    #[test]
    fn every_name_parses_back_and_is_unique() {
        let names: Vec<_> = Entrant::all().map(Entrant::name).collect();
        for entrant in Entrant::all() {
            assert_eq!(entrant.name().parse::<Choice>().unwrap(), Choice::One(entrant));
            assert_eq!(names.iter().filter(|name| **name == entrant.name()).count(), 1);
        }
        assert_eq!("all".parse::<Choice>().unwrap(), Choice::All);
        assert!("fifo".parse::<Choice>().unwrap_err().to_string().contains("lru, lfu"));
    }

    #[test]
    fn nobody_beats_the_optimum_and_everybody_hits() {
        let workload = Workload::new(Shape::Zipf, 2_000.try_into().unwrap());
        let trace = Trace::new("t", workload.ids().take(40_000).map(u64::from))
            .with_sizes(|at| if at % 2 == 0 { 50 } else { 149 });
        for (by, capacity) in [(By::Requests, 200), (By::Bytes, 20_000), (By::Cost, 20_000)] {
            let course = Course { trace: &trace, by, lifetimes: false };
            let best = optimum::score(&course, capacity);
            for entrant in Entrant::all() {
                let score = entrant.run(&course, capacity, 1).unwrap();
                let name = entrant.name();
                assert!(score.hits <= best.hits, "{name} by {by:?}: {} > {}", score.hits, best.hits);
                assert!(score.hits > 12_000, "{name} by {by:?}: only {} hits", score.hits);
            }
        }
    }

    #[test]
    fn the_smallest_cache_is_no_trap() {
        let trace = Trace::new("t", (0..500).map(|at| at % 7));
        for by in [By::Requests, By::Bytes] {
            let course = Course { trace: &trace, by, lifetimes: false };
            for entrant in Entrant::all() {
                assert!(entrant.run(&course, 1, 1).unwrap().hits < 250, "{}", entrant.name());
            }
        }
    }
}
