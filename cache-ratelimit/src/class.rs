//! Who calls, and how much that is allowed.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::metric::{self, Metric};
use cache_core::{Clock, Counters, Key, KeyError, Namespace, Params, Quota, QuotaError};

use crate::audit::{Audit, Record};
use crate::decision::{By, Decision};
use crate::fallback::Fallback;
use crate::local::LocalLimiter;
use crate::rule::Rule;
use crate::shared::{COMMON, SharedLimiter, common};

/// A class of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody knows who it is.
    Anonymous,
    /// Whoever has said who he is.
    Authenticated,
    /// Whoever pays.
    Premium,
    /// Whoever runs the place. What he does is written down.
    Admin,
}

impl Class {
    /// From the least to the most.
    pub const ALL: [Self; 4] = [Self::Anonymous, Self::Authenticated, Self::Premium, Self::Admin];

    /// The name in headers, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Authenticated => "authenticated",
            Self::Premium => "premium",
            Self::Admin => "admin",
        }
    }
}

/// How much each class is allowed, as data.
///
/// ```
/// use cache_ratelimit::{Class, Classes};
/// let classes = Classes::default();
/// assert_eq!(Class::ALL.map(|class| classes.limit(class)), [60, 120, 300, 1000]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classes {
    /// The limits, in the order of [`Class::ALL`].
    pub limits: [u64; 4],
    /// The length of the window of all of them.
    pub per: Duration,
}

impl Classes {
    /// The limit of a class.
    pub fn limit(&self, class: Class) -> u64 {
        self.limits[class as usize]
    }
}

impl Default for Classes {
    /// 60, 120, 300 and 1000 a minute.
    fn default() -> Self {
        Self { limits: [60, 120, 300, 1000], per: Duration::from_mins(1) }
    }
}

/// A caller: by what it is counted, and what is written of it.
///
/// ```
/// use cache_ratelimit::Subject;
/// let alice = Subject::named("alice")?;
/// let token = Subject::secret("sk_live_51H")?;
/// assert_eq!(alice.shown(), "alice");
/// assert!(token.shown().starts_with('#') && !format!("{token:?}").contains("sk_live"));
/// # Ok::<(), cache_core::KeyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    key: Key,
    shown: String,
}

impl Subject {
    /// A caller with a name that may be read by everybody, such as an account.
    ///
    /// # Errors
    /// None that a name could be to blame for: what is too long is counted by its hash.
    pub fn named(name: &str) -> Result<Self, KeyError> {
        let namespace = Namespace::new("limit")?;
        let plain = namespace.key().part("name").part(name).build();
        let key = plain.or_else(|_| namespace.key().part("hash").params(&hashed(name)).build())?;
        Ok(Self { key, shown: name.to_owned() })
    }

    /// A caller of whom nothing but an address is known. Of IPv6 it is the network of 64 bits, which is what one customer
    /// has: who could choose among its addresses would never be limited. An IPv4 address inside IPv6 is what it is outside.
    ///
    /// ```
    /// use cache_ratelimit::Subject;
    /// let of = |address: &str| Subject::address(address.parse().expect("an address"));
    /// assert_eq!(of("2001:db8::1")?, of("2001:db8::2:3:4:5")?);
    /// assert_eq!(of("2001:db8::1")?.shown(), "2001:db8::/64");
    /// assert_eq!(of("::ffff:192.0.2.7")?, of("192.0.2.7")?);
    /// # Ok::<(), cache_core::KeyError>(())
    /// ```
    ///
    /// # Errors
    /// None that an address could be to blame for.
    pub fn address(address: IpAddr) -> Result<Self, KeyError> {
        let shown = match network(address) {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(network) => format!("{network}/64"),
        };
        let key = Namespace::new("limit")?.key().part("address").part(&shown).build()?;
        Ok(Self { key, shown })
    }

    /// A caller who is known by a secret alone. It is counted and written by its hash, and is nowhere kept.
    ///
    /// # Errors
    /// None that a secret could be to blame for.
    pub fn secret(secret: &str) -> Result<Self, KeyError> {
        let key = Namespace::new("limit")?.key().part("secret").params(&hashed(secret)).build()?;
        let hash = hashed(secret).hash();
        Ok(Self { key, shown: format!("#{}", hash.get(..12).unwrap_or_default()) })
    }

    /// What is written of it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// By what it is counted.
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// What one customer has, of whom nothing but an address is known: an IPv4 address, also if it was written inside IPv6, or the network of 64
/// bits of an IPv6 address, by its first one.
///
/// ```
/// let of = |address: &str| cache_ratelimit::network(address.parse().expect("an address")).to_string();
/// assert_eq!(of("2001:db8::2:3:4:5"), "2001:db8::");
/// assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
/// ```
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

/// The first 64 bits of an IPv6 address.
const NETWORK: u128 = !0 << 64;

fn hashed(text: &str) -> Params {
    Params::new().with("subject", text)
}

fn most(classes: Classes) -> u64 {
    classes.limits.into_iter().max().unwrap_or(0)
}

/// Limits callers by their class, and writes down what administrators do.
///
/// All classes of a caller count in one window, so that who is promoted goes on with what is used, and who is degraded waits.
///
/// ```
/// use cache_ratelimit::{Class, ClassLimiter, Classes, Subject};
/// # pollster::block_on(async {
/// let limiter = ClassLimiter::local(Classes::default())?;
/// let alice = Subject::named("alice")?;
/// for _ in 0..60 {
///     assert!(limiter.take(Class::Anonymous, &alice, "/v1/entries").await.is_admitted());
/// }
/// assert!(!limiter.take(Class::Anonymous, &alice, "/v1/entries").await.is_admitted());
/// assert_eq!(limiter.take(Class::Premium, &alice, "/v1/entries").await.remaining, 239);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct ClassLimiter {
    /// In the order of [`Class::ALL`].
    limits: [AtomicU64; 4],
    per: Duration,
    /// The largest limit that it can count by.
    most: u64,
    place: Place,
    audit: Option<Audit>,
    counts: [Counts; 4],
}

/// What has been decided about a class so far, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Calls that were admitted, by whomever.
    pub admitted: u64,
    /// Calls that were not.
    pub denied: u64,
    /// Of all of them, those that a fallback has decided.
    pub away: u64,
}

#[derive(Debug, Default)]
struct Counts {
    admitted: AtomicU64,
    denied: AtomicU64,
    away: AtomicU64,
}

impl Counts {
    fn count(&self, decision: &Decision) {
        let count = if decision.is_admitted() { &self.admitted } else { &self.denied };
        count.fetch_add(1, Relaxed);
        if matches!(decision.by, By::Open | By::Closed | By::Share) {
            self.away.fetch_add(1, Relaxed);
        }
    }
}

#[derive(Debug)]
enum Place {
    Local(Box<LocalLimiter>),
    Shared(Box<SharedLimiter>),
}

impl ClassLimiter {
    /// Counts within this process, up to 100,000 callers at a time. Each takes 64 bytes and as much again at most for places that are free,
    /// and 256 more while it calls more than 15 times in a sixtieth of the window.
    ///
    /// # Errors
    /// A window of less than 60 ms or more than 366 days.
    pub fn local(classes: Classes) -> Result<Self, QuotaError> {
        let rule = Rule::from(Quota::new(most(classes), classes.per)?).with_most(COMMON);
        Ok(Self::new(classes, rule.most(), Place::Local(Box::new(LocalLimiter::new(rule)))))
    }

    /// Counts in these counters, of all processes that share them, with this instead while they are away. All whose window is as long count
    /// a caller together, each by its own limits, so that those may change in one process after another.
    ///
    /// # Errors
    /// A window of less than 60 ms or more than 366 days.
    pub fn shared(
        classes: Classes,
        counters: &Arc<dyn Counters>,
        fallback: &Fallback,
    ) -> Result<Self, QuotaError> {
        let quota = common(Quota::new(most(classes), classes.per)?);
        let limiter = SharedLimiter::new("classes", quota, Arc::clone(counters));
        let place = Place::Shared(Box::new(limiter.with_fallback(fallback.clone())));
        Ok(Self::new(classes, quota.limit(), place))
    }

    fn new(Classes { limits, per }: Classes, most: u64, place: Place) -> Self {
        Self { limits: limits.map(AtomicU64::new), per, most, place, audit: None, counts: Default::default() }
    }

    /// Changes how much each class is allowed, from the next call on, and says whether it does. What is charged stays charged.
    ///
    /// Not another window, nor a limit above both 4,294,967,295 and the largest that it was made with: those count anew, in a limiter of their
    /// own.
    pub fn set_classes(&self, classes: Classes) -> bool {
        let is_possible = classes.per == self.per && most(classes) <= self.most;
        if is_possible {
            for (limit, new) in self.limits.iter().zip(classes.limits) {
                limit.store(new, Relaxed);
            }
        }
        is_possible
    }

    /// Lives by this clock instead.
    #[must_use]
    pub fn with_clock(mut self, clock: &Arc<dyn Clock>) -> Self {
        self.place = match self.place {
            Place::Local(limiter) => Place::Local(Box::new(limiter.with_clock(Arc::clone(clock)))),
            Place::Shared(limiter) => Place::Shared(Box::new(limiter.with_clock(Arc::clone(clock)))),
        };
        self
    }

    /// Writes each decision about an administrator here.
    #[must_use]
    pub fn with_audit(mut self, audit: Audit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Asks for one call of this route, and charges it if it is admitted.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the call may have been charged, and nothing is written.
    pub async fn take(&self, class: Class, subject: &Subject, route: &str) -> Decision {
        let limit = self.limits[class as usize].load(Relaxed);
        let mut decision = match &self.place {
            Place::Local(limiter) => limiter.take_within(subject.key(), 1, limit),
            Place::Shared(limiter) => limiter.take_within(subject.key(), 1, limit).await,
        };
        decision.policy = class.name();
        self.counts[class as usize].count(&decision);
        if let Some(audit) = self.audit.as_ref().filter(|_| class == Class::Admin) {
            audit.record(&Record::of(subject.shown(), route, class, &decision));
        }
        decision
    }

    /// Forgets everything charged to a caller, as whatever class.
    ///
    /// # Errors
    /// The counters are away.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it may have happened.
    pub async fn reset(&self, subject: &Subject) -> cache_core::Result<()> {
        match &self.place {
            Place::Local(limiter) => {
                limiter.reset(subject.key());
                Ok(())
            }
            Place::Shared(limiter) => limiter.reset(subject.key()).await,
        }
    }

    /// What has been decided about each class so far, in this process, in the order of [`Class::ALL`].
    pub fn stats(&self) -> [ClassStats; 4] {
        self.counts.each_ref().map(|counts| ClassStats {
            admitted: counts.admitted.load(Relaxed),
            denied: counts.denied.load(Relaxed),
            away: counts.away.load(Relaxed),
        })
    }

    /// Tells its figures under the names of [`metric`], for whoever exports them: each with the values of its labels, in their order.
    ///
    /// ```
    /// use cache_ratelimit::{ClassLimiter, Classes};
    /// let limiter = ClassLimiter::local(Classes::default())?;
    /// let mut lines = Vec::new();
    /// limiter.figures(|metric, labels, value| lines.push(format!("{} {labels:?} {value}", metric.name)));
    /// assert_eq!(lines[0], r#"cache_limit_decisions_total ["anonymous", "admitted"] 0"#);
    /// # Ok::<(), cache_core::QuotaError>(())
    /// ```
    pub fn figures(&self, mut put: impl FnMut(&Metric, &[&str], u64)) {
        for (class, stats) in Class::ALL.into_iter().zip(self.stats()) {
            put(&metric::LIMIT_DECISIONS, &[class.name(), "admitted"], stats.admitted);
            put(&metric::LIMIT_DECISIONS, &[class.name(), "denied"], stats.denied);
            put(&metric::LIMIT_AWAY, &[class.name()], stats.away);
        }
    }

    /// How much each class is allowed.
    pub fn classes(&self) -> Classes {
        Classes { limits: self.limits.each_ref().map(|limit| limit.load(Relaxed)), per: self.per }
    }

    /// Where administrators' calls are written, if anywhere.
    pub fn audit(&self) -> Option<&Audit> {
        self.audit.as_ref()
    }
}
