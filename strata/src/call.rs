//! What the attribute macros write calls of: keys made of a function and its arguments, and what its answers are worth.
//!
//! The macros decide nothing; whatever happens at run time is here or in the verbs of the cache.

use std::fmt;

use cache_core::{CacheKey, KeyWriter, Params, Tags, Ttl};

use crate::cache::Cache;
use crate::hit::Hit;
use crate::loaded::{About, Loaded};
use crate::options::Options;

/// A cached function: its name, and where it stands.
///
/// Both tell it from others in memory. Its text is the name alone, so it survives edits above the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    name: &'static str,
    file: &'static str,
    line: u32,
    column: u32,
}

impl Function {
    #[doc(hidden)]
    pub const fn new(name: &'static str, file: &'static str, (line, column): (u32, u32)) -> Self {
        Self { name, file, line, column }
    }

    /// The name: its path, unless [`cached`](macro@crate::cached) was given another.
    pub fn name(&self) -> &'static str {
        self.name
    }

    #[doc(hidden)]
    pub fn key(&'static self, arguments: &Params) -> CallKey {
        CallKey { function: self, arguments: arguments.digest() }
    }
}

/// A call of a cached function: the key of a cache that functions share.
///
/// Rendered, it is the function's name and the hash of the named arguments, so the order in which a function declares
/// its arguments does not matter, nor the width of its integers. Two functions never share one in memory, not even by the
/// same name.
///
/// ```
/// use strata::{CallKey, Cache};
/// let answers: Cache<CallKey, u64> = Cache::builder("answers").build()?;
/// # let _ = answers;
/// # Ok::<(), strata::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallKey {
    function: &'static Function,
    arguments: u128,
}

impl CallKey {
    /// Which function is called.
    pub fn function(&self) -> &'static Function {
        self.function
    }
}

impl CacheKey for CallKey {
    fn write(&self, out: &mut KeyWriter) {
        out.push(self.function.name);
        out.push(format_args!("{:032x}", self.arguments));
    }
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:032x})", self.function.name, self.arguments)
    }
}

/// What the macros write, and nobody else.
#[doc(hidden)]
pub mod macros {
    use super::{About, Cache, CacheKey, CallKey, Hit, Loaded, Options, Tags, Ttl};
    use crate::Memory;

    /// A value with what it is worth.
    #[derive(Debug)]
    pub struct Answer<V> {
        value: V,
        about: About,
    }

    impl<V> Answer<V> {
        /// The answer of a loader.
        pub fn loaded(self) -> Loaded<V> {
            Loaded { value: Some(self.value), about: self.about }
        }
    }

    /// A value that is kept, whatever it is.
    pub fn any<V>(value: V) -> Answer<V> {
        Answer { value, about: About::default() }
    }

    /// A value of which only `Some` is kept.
    pub fn only_some<T>(value: Option<T>) -> Answer<Option<T>> {
        let about = About { ttl: value.is_none().then_some(Ttl::ZERO), ..About::default() };
        Answer { value, about }
    }

    /// A value of which `None` says that there is nothing, and lives for the negative time-to-live.
    pub fn negative_none<T>(value: Option<T>) -> Answer<Option<T>> {
        let about = About { is_negative: value.is_none(), ..About::default() };
        Answer { value, about }
    }

    /// Adds tags. What cannot be tagged could not be invalidated by its tags, so it is not kept at all.
    pub fn tagged<const N: usize>(options: Options, tags: [String; N]) -> Options {
        match Tags::new(tags) {
            Ok(tags) => options.with_tags(tags),
            Err(_) => options.with_ttl(Ttl::ZERO).with_negative_ttl(Ttl::ZERO),
        }
    }

    /// Answers a sync function.
    pub fn compute<K, V, E>(
        cache: &Cache<K, V>,
        key: &K,
        options: Options,
        compute: impl FnOnce() -> Result<Answer<V>, E>,
    ) -> Result<Hit<V>, E>
    where
        K: CacheKey + Clone,
        V: Send + Sync + 'static,
    {
        cache.compute(key, options, || compute().map(|answer| (answer.value, answer.about)))
    }

    /// The cache of a function that names none.
    #[expect(clippy::expect_used, reason = "nothing given here can be wrong")]
    pub fn own_cache<V: Send + Sync + 'static>(max_entries: u64) -> Cache<CallKey, V> {
        let builder = Cache::builder("cached").memory(Memory::new().with_max_entries(max_entries));
        builder.build().expect("the name is a legal one, and no option is set")
    }
}
