//! What can be timed, by name, and one of them at work.

use std::hint::black_box;

use clap::ValueEnum;

use super::keys::Keys;
use super::subject::{Subject, User};

/// The name of what is timed, on the command line and in results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Name {
    Strata,
    StrataTtl,
    StrataAges,
    StrataTags,
    StrataTagsAsked,
    StrataLocal,
    Memory,
    Moka,
    MokaTtl,
    MokaWith,
    Foyer,
    FoyerFetch,
    #[cfg(feature = "cache")]
    Cached,
    #[cfg(feature = "cache")]
    Amalgam,
    #[cfg(feature = "cache")]
    AmalgamAges,
    #[cfg(feature = "cache")]
    AmalgamTags,
    #[cfg(feature = "cache")]
    AmalgamGet,
    #[cfg(feature = "cache")]
    Cachet,
    #[cfg(feature = "cache")]
    CachetFlight,
    #[cfg(feature = "cache")]
    MultiTier,
    #[cfg(feature = "cache")]
    Hitbox,
}

impl Name {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Strata => "strata",
            Self::StrataTtl => "strata-ttl",
            Self::StrataAges => "strata-ages",
            Self::StrataTags => "strata-tags",
            Self::StrataTagsAsked => "strata-tags-asked",
            Self::StrataLocal => "strata-local",
            Self::Memory => "memory",
            Self::Moka => "moka",
            Self::MokaTtl => "moka-ttl",
            Self::MokaWith => "moka-with",
            Self::Foyer => "foyer",
            Self::FoyerFetch => "foyer-fetch",
            #[cfg(feature = "cache")]
            Self::Cached => "cached",
            #[cfg(feature = "cache")]
            Self::Amalgam => "amalgam",
            #[cfg(feature = "cache")]
            Self::AmalgamAges => "amalgam-ages",
            #[cfg(feature = "cache")]
            Self::AmalgamTags => "amalgam-tags",
            #[cfg(feature = "cache")]
            Self::AmalgamGet => "amalgam-get",
            #[cfg(feature = "cache")]
            Self::Cachet => "cachet",
            #[cfg(feature = "cache")]
            Self::CachetFlight => "cachet-flight",
            #[cfg(feature = "cache")]
            Self::MultiTier => "multi-tier",
            #[cfg(feature = "cache")]
            Self::Hitbox => "hitbox",
        }
    }

    /// What is called, and what the entries have.
    pub(super) const fn does(self) -> &'static str {
        match self {
            Self::Strata => "get_or_load",
            Self::StrataTtl => "get_or_load, entries with a lifetime",
            Self::StrataAges => "get_or_load, entries that may be stale and stand in",
            Self::StrataTags => "get_or_load, entries with two tags",
            Self::StrataTagsAsked => "get_or_load, two tags on entry and call",
            Self::StrataLocal => "get_local",
            Self::Memory => "our memory tier alone: get",
            Self::Moka => "future get",
            Self::MokaTtl => "future get, entries with a lifetime",
            Self::MokaWith => "future try_get_with_by_ref",
            Self::Foyer => "get",
            Self::FoyerFetch => "get_or_fetch",
            #[cfg(feature = "cache")]
            Self::Cached => "#[concurrent_cached] async fn",
            #[cfg(feature = "cache")]
            Self::Amalgam => "get_or_set",
            #[cfg(feature = "cache")]
            Self::AmalgamAges => "get_or_set, with fail-safe",
            #[cfg(feature = "cache")]
            Self::AmalgamTags => "get_or_set, two tags on entry and call",
            #[cfg(feature = "cache")]
            Self::AmalgamGet => "try_get",
            #[cfg(feature = "cache")]
            Self::Cachet => "try_get_or_insert, stampedes not prevented",
            #[cfg(feature = "cache")]
            Self::CachetFlight => "try_get_or_insert, stampedes prevented",
            #[cfg(feature = "cache")]
            Self::MultiTier => "get_or_compute_typed, decodes JSON",
            #[cfg(feature = "cache")]
            Self::Hitbox => "#[cached] async fn, decodes JSON",
        }
    }

    /// The package that it comes from.
    pub(super) const fn package(self) -> &'static str {
        match self {
            Self::Strata
            | Self::StrataTtl
            | Self::StrataAges
            | Self::StrataTags
            | Self::StrataTagsAsked
            | Self::StrataLocal => "strata",
            Self::Memory => "cache-memory",
            Self::Moka | Self::MokaTtl | Self::MokaWith => "moka",
            Self::Foyer | Self::FoyerFetch => "foyer-memory",
            #[cfg(feature = "cache")]
            Self::Cached => "cached",
            #[cfg(feature = "cache")]
            Self::Amalgam | Self::AmalgamAges | Self::AmalgamTags | Self::AmalgamGet => "amalgam-cache",
            #[cfg(feature = "cache")]
            Self::Cachet | Self::CachetFlight => "cachet",
            #[cfg(feature = "cache")]
            Self::MultiTier => "multi-tier-cache",
            #[cfg(feature = "cache")]
            Self::Hitbox => "hitbox",
        }
    }

    /// Whether it has no other keys.
    pub(super) const fn takes_text_alone(self) -> bool {
        match self {
            #[cfg(feature = "cache")]
            Self::Amalgam | Self::AmalgamAges | Self::AmalgamTags | Self::AmalgamGet | Self::MultiTier => {
                true
            }
            _ => false,
        }
    }
}

/// A cache of any make on its lane.
pub(super) trait Lane<K: Keys> {
    fn name(&self) -> Name;

    /// Stores a value for each key.
    fn fill(&mut self, batch: &K::Batch);

    /// Asks for each key and says how many were there.
    fn hit_all(&mut self, batch: &K::Batch) -> usize;
}

/// Puts a cache on a lane.
pub(super) fn on_lane<K: Keys, S: Subject<K> + 'static>(name: Name, subject: S) -> Box<dyn Lane<K>> {
    Box::new(One { name, subject })
}

struct One<S> {
    name: Name,
    subject: S,
}

impl<K: Keys, S: Subject<K>> Lane<K> for One<S> {
    fn name(&self) -> Name {
        self.name
    }

    fn fill(&mut self, batch: &K::Batch) {
        for (key, id) in K::asked(batch).zip(0..) {
            self.subject.store(key, User::new(id));
        }
    }

    fn hit_all(&mut self, batch: &K::Batch) -> usize {
        K::asked(batch).filter(|key| black_box(self.subject.hit(key)).is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_and_the_results_use_the_same_names() {
        for name in Name::value_variants() {
            let on_command_line = name.to_possible_value().unwrap();
            assert_eq!(on_command_line.get_name(), name.as_str());
        }
    }
}
