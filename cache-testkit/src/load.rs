//! Workloads: endless (or, for a scan, finite) sequences of key ids that are made up from a seed.
//!
//! A [`Workload`] is a few numbers; printed, it is a line that parses back to the same ids, so whatever a test or a
//! measurement did can be done again. Its generator is a few words: no table, whatever the number of keys.
//! Ids are also ranks where the shape has a popularity: 0 is the hottest key.

pub(crate) mod seed;
mod shapes;
mod zipf;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use thiserror::Error;

use seed::SplitMix64;
use shapes::{Burst, Mix, Uniform};
pub use zipf::{MAX_SKEW, Zipf};

/// What is asked for: a shape over so many keys, from a seed.
///
/// ```
/// use cache_testkit::load::{Shape, Workload};
/// use std::num::NonZeroU32;
///
/// let workload = Workload::new(Shape::Zipf, NonZeroU32::new(1_000).unwrap()).with_seed(7);
/// assert_eq!(workload.to_string(), "zipf,keys=1000,skew=1,seed=7");
///
/// let again: Workload = "zipf,keys=1000,skew=1,seed=7".parse()?;
/// assert!(workload.ids().take(100).eq(again.ids().take(100)));
/// # Ok::<(), cache_testkit::load::WorkloadError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    shape: Shape,
    keys: NonZeroU32,
    skew: f64,
    seed: u64,
}

/// The order in which the keys of a [`Workload`] come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Key *i* is drawn with a probability proportional to 1 / (*i* + 1)^skew.
    Zipf,
    /// Every key is equally likely.
    Uniform,
    /// Every key once, in order; then it ends.
    Scan,
    /// All keys in order, again and again: the worst case of LRU if the cache is smaller.
    Loop,
    /// Nine requests of ten go to a hundredth of the keys, and this hot set jumps once per as many requests as there
    /// are keys; the others are uniform.
    Burst,
    /// Of ten requests on average seven from a Zipf, and one each from a burst, a loop over a tenth of the keys, and
    /// a scan that starts over: traffic that no single policy likes.
    Mix,
}

impl Workload {
    /// A workload of this shape with skew 1 and seed 0.
    pub const fn new(shape: Shape, keys: NonZeroU32) -> Self {
        Self { shape, keys, skew: 1.0, seed: 0 }
    }

    /// Sets the exponent of [`Shape::Zipf`] and [`Shape::Mix`]; other shapes have no use for it.
    ///
    /// Default 1. Range 0 (uniform) to [`MAX_SKEW`]. Caches of the web see 0.6 to 1.4.
    ///
    /// # Errors
    /// [`WorkloadError::Skew`] beyond that range.
    pub fn with_skew(mut self, skew: f64) -> Result<Self, WorkloadError> {
        if !(0.0..=MAX_SKEW).contains(&skew) {
            return Err(WorkloadError::Skew(skew.to_string()));
        }
        self.skew = skew;
        Ok(self)
    }

    /// Sets the seed. Default 0; every value is as good as any other.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many different keys there are. Ids are less than this.
    pub const fn keys(&self) -> NonZeroU32 {
        self.keys
    }

    /// How many ids there are; `None` if they never end.
    pub fn length(&self) -> Option<u64> {
        (self.shape == Shape::Scan).then(|| self.keys.get().into())
    }

    /// The ids, from the first one.
    ///
    /// The same workload gives the same ids on every platform, but for the last bit of its logarithm and exponential
    /// function, which decides one id in some billions of a Zipf.
    pub fn ids(&self) -> Ids {
        let keys = self.keys.get();
        let random = SplitMix64::new(self.seed);
        Ids(match self.shape {
            Shape::Zipf => Kind::Zipf(Zipf::new(self.keys, self.skew), random),
            Shape::Uniform => Kind::Uniform(Uniform::new(self.keys), random),
            Shape::Scan => Kind::Scan(0..keys),
            Shape::Loop => Kind::Loop((0..keys).cycle()),
            Shape::Burst => Kind::Burst(Burst::new(self.keys), random),
            Shape::Mix => Kind::Mix(Mix::new(self.keys, self.skew), random),
        })
    }
}

/// Key ids, see [`Workload::ids`].
#[derive(Clone, Debug)]
pub struct Ids(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Zipf(Zipf, SplitMix64),
    Uniform(Uniform, SplitMix64),
    Scan(std::ops::Range<u32>),
    Loop(std::iter::Cycle<std::ops::Range<u32>>),
    Burst(Burst, SplitMix64),
    Mix(Mix, SplitMix64),
}

impl Iterator for Ids {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match &mut self.0 {
            Kind::Zipf(zipf, random) => Some(zipf.draw(random)),
            Kind::Uniform(uniform, random) => Some(uniform.draw(random)),
            Kind::Scan(ids) => ids.next(),
            Kind::Loop(ids) => ids.next(),
            Kind::Burst(burst, random) => Some(burst.draw(random)),
            Kind::Mix(mix, random) => Some(mix.draw(random)),
        }
    }
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 6] = [Self::Zipf, Self::Uniform, Self::Scan, Self::Loop, Self::Burst, Self::Mix];

    const fn name(self) -> &'static str {
        match self {
            Self::Zipf => "zipf",
            Self::Uniform => "uniform",
            Self::Scan => "scan",
            Self::Loop => "loop",
            Self::Burst => "burst",
            Self::Mix => "mix",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Shape {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        Self::ALL
            .into_iter()
            .find(|shape| shape.name() == text)
            .ok_or_else(|| WorkloadError::Shape(text.to_owned()))
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},keys={},skew={},seed={}", self.shape, self.keys, self.skew, self.seed)
    }
}

impl FromStr for Workload {
    type Err = WorkloadError;

    /// Reads what `Display` writes; every part but the shape and `keys` may be left out.
    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        let (shape, rest) = text.split_once(',').unwrap_or((text, ""));
        let shape = shape.parse()?;
        let mut keys = None;
        let mut workload = Self::new(shape, NonZeroU32::MIN);
        for part in rest.split(',').filter(|part| !part.is_empty()) {
            let wrong = || WorkloadError::Part(part.to_owned());
            match part.split_once('=').ok_or_else(wrong)? {
                ("keys", value) => keys = Some(value.parse().map_err(|_| wrong())?),
                ("skew", value) => workload = workload.with_skew(value.parse().map_err(|_| wrong())?)?,
                ("seed", value) => workload.seed = value.parse().map_err(|_| wrong())?,
                _ => return Err(wrong()),
            }
        }
        Ok(Self { keys: keys.ok_or(WorkloadError::NoKeys)?, ..workload })
    }
}

/// Text or numbers that are not a [`Workload`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WorkloadError {
    /// A shape that does not exist.
    #[error("workload {0:?} is unknown, expected one of zipf, uniform, scan, loop, burst, mix")]
    Shape(String),
    /// An exponent out of range.
    #[error("skew {0} is out of range, expected 0 to {MAX_SKEW}")]
    Skew(String),
    /// A part that cannot be read.
    #[error("workload part {0:?} is not valid, expected keys=1 or more, skew=number or seed=integer")]
    Part(String),
    /// The number of keys is missing.
    #[error("a workload without keys, expected for example zipf,keys=1000")]
    NoKeys,
}
