//! The eviction policies by name: in configuration, on the command line and in results.

use std::fmt;
use std::str::FromStr;

/// The eviction policies by name.
///
/// Every one of them evicts what has expired before it evicts what is alive: that is the timing wheel's part.
///
/// ```
/// use cache_policy::Policy;
/// assert_eq!("sieve".parse(), Ok(Policy::Sieve));
/// assert!("fifo".parse::<Policy>().unwrap_err().to_string().contains("lru, lfu, s3-fifo"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Least recently used first. Good where recent use predicts use; a scan empties it.
    ///
    /// Every use moves the entry, so every use takes the lock for writing. O(1).
    Lru,
    /// W-TinyLFU: more often used stays, as a sketch remembers it, behind a window for bursts whose share is found by
    /// trying. Good where popularity lasts: databases, search, scans and loops between.
    ///
    /// Bad where popularity changes faster than its window learns, which takes a few tens of uses for each entry.
    /// A use sets one mark. O(1), 8 bytes an entry for the sketch. Source: Einziger et al., ACM Transactions on Storage
    /// 2017, and Caffeine.
    Lfu,
    /// Three first-in-first-out queues: new entries get a tenth of the room, and stay only if used twice. Good where
    /// most entries are read once, on web and object traces the best of the fixed rules; a scan costs it little.
    ///
    /// Bad on loops a little larger than the cache, and slow to admit what is used for the second time only after the
    /// small queue has passed. A use counts to 3. O(1), 13 bytes an entry for ghosts. Source: Yang et al., SOSP 2023.
    S3Fifo,
    /// First in first out with a second chance by a moving hand. Good on skewed popularity, poor on loops and blocks.
    ///
    /// A use sets one bit. O(1). Source: Zhang et al., NSDI 2024.
    Sieve,
    /// Soonest to expire first. Good where the deadline says all: leases, sessions, one-time codes.
    ///
    /// Poor as the only rule, because a long life is no promise of use: 44 % of reads hit instead of LRU's 56 % on a
    /// mix of lives between a minute and a day with room for a tenth of it. O(log n) for each insert and victim,
    /// 20 bytes an entry. A use costs nothing.
    Ttl,
    /// Largest first. Good at keeping many small entries, for most hits per byte where all are equally popular.
    ///
    /// Bad where large entries are popular, and small ones that nobody reads never leave. O(log n) for each insert and victim, 20 bytes an
    /// entry. A use costs nothing. Source: Williams et al., SIGCOMM 1996.
    Size,
    /// Whatever does best here: five rules over the same queues, like S3-FIFO's, W-TinyLFU's and SIEVE's, of which small copies of the
    /// cache find out the best for a sample of the keys. Good at loops, scans, recency and frequency, and when one follows
    /// the other.
    ///
    /// Takes some requests to notice a change: a few times as many as the cache has entries. A use sets one bit. O(1), 8 bytes
    /// an entry.
    #[default]
    Adaptive,
    /// How often it was used, times what it is worth, over its weight: the least goes first, and age takes worth away.
    /// Good where entries differ in weight or cost, and a hit on one is not worth one on another.
    ///
    /// It serves its [`Objective`] at the expense of the others: in the mean of three traces at four sizes each, that of
    /// cost saves 52 % of the cost and hits 36 % of reads, that of hits 42 % of both. For bytes,
    /// S3-FIFO did better there, with 30 % to 26.
    ///
    /// The only policy that knows priority classes: of a lower class all go before any of the next. But while four
    /// times as many victims go as there are entries, each class that is spared is looked through, and whoever was not
    /// used meanwhile goes to the end of the class below, until it is used there.
    ///
    /// A use counts to 15. O(1) but for a heap of at most 255 queues, 4 bytes an entry. Sources: Cao and Irani, USITS
    /// 1997; Cherkasova, HP Labs 1998; Li and Cox, Middleware 2014.
    Hybrid(Objective),
}

/// What [`Policy::Hybrid`] is to have the most of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Objective {
    /// The cost that hits save. An entry whose cost is unknown counts as one of the usual cost.
    #[default]
    Cost,
    /// Hits, whatever they save: many small entries rather than few large ones.
    Hits,
    /// The bytes of the hits, as their weights count them: large entries are as good as small ones.
    Bytes,
}

impl Policy {
    /// All policies.
    pub const ALL: [Self; 10] = [
        Self::Adaptive,
        Self::Lru,
        Self::Lfu,
        Self::S3Fifo,
        Self::Sieve,
        Self::Ttl,
        Self::Size,
        Self::Hybrid(Objective::Cost),
        Self::Hybrid(Objective::Hits),
        Self::Hybrid(Objective::Bytes),
    ];

    /// The name in configuration, on the command line and in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::Lfu => "lfu",
            Self::S3Fifo => "s3-fifo",
            Self::Sieve => "sieve",
            Self::Ttl => "ttl",
            Self::Size => "size",
            Self::Adaptive => "adaptive",
            Self::Hybrid(Objective::Cost) => "hybrid",
            Self::Hybrid(Objective::Hits) => "hybrid-hits",
            Self::Hybrid(Objective::Bytes) => "hybrid-bytes",
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
        // Whoever names the other objectives may name this one, too.
        let text = if text.eq_ignore_ascii_case("hybrid-cost") { "hybrid" } else { text };
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
