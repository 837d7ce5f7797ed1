//! Eviction: who goes when there is no room. One algorithm per file behind one trait.
//!
//! The owner tells what happens to each slot; the policy answers one question: who next? Ghosts and frequency
//! sketches know an entry by its fingerprint, because its slot will soon be someone else's.

mod lru;
mod sieve;

use std::fmt;
use std::str::FromStr;

use crate::Slot;
use lru::Lru;
use sieve::Sieve;

/// A rule that chooses victims among slots.
///
/// The owner keeps the contract: a slot is inserted before anything else is said of it, not twice, and not spoken of
/// after it was removed or evicted. Every method costs O(1), amortised.
pub trait Evict: fmt::Debug + Send {
    /// A new entry has taken this slot.
    fn insert(&mut self, slot: Slot, facts: &Facts);

    /// The entry was read.
    fn touch(&mut self, slot: Slot);

    /// The entry was replaced in place. Counts as a use.
    fn update(&mut self, slot: Slot, facts: &Facts);

    /// The entry has left for another reason than eviction: expired or removed.
    fn remove(&mut self, slot: Slot);

    /// Chooses the next victim and forgets it. `None` if there are no entries.
    fn evict(&mut self) -> Option<Slot>;
}

/// What a policy may know about an entry. Each uses what it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// The hash of the key: the same whenever the same entry returns.
    pub fingerprint: u64,
    /// What it takes of the owner's limit; 1 where entries are counted.
    pub weight: u64,
    /// Seconds it takes to make again; 0 where unknown.
    pub cost: f32,
    /// Its priority class: of two, the lower goes first.
    pub class: u8,
    /// The tick at which it expires; `u64::MAX` if time does not end it.
    pub deadline: u64,
}

/// The eviction policies by name.
///
/// ```
/// use cache_policy::Policy;
/// assert_eq!("sieve".parse(), Ok(Policy::Sieve));
/// assert!("fifo".parse::<Policy>().unwrap_err().to_string().contains("lru, sieve"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Least recently used first. Good where recent use predicts use; a scan empties it.
    #[default]
    Lru,
    /// First in first out with a second chance by a moving hand. Good on skewed popularity, poor on loops and blocks.
    Sieve,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 2] = [Self::Lru, Self::Sieve];

    /// The name in configuration, on the command line and in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Sieve => "sieve",
        }
    }

    /// A fresh instance of the algorithm, for one shard.
    pub fn build(self) -> Box<dyn Evict> {
        match self {
            Self::Lru => Box::new(Lru::default()),
            Self::Sieve => Box::new(Sieve::default()),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let named = |policy: &Self| policy.as_str().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// A name that is not one of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPolicy(String);

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<_> = Policy::ALL.iter().map(|policy| policy.as_str()).collect();
        write!(f, "{:?} is not an eviction policy; use one of {}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownPolicy {}
