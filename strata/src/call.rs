//! Keys that functions share: which function is called, and with what.
//!
//! ```text
//! in memory    which function (its address), whose (the type of a method), the arguments as bytes     compared as they are
//! as text      the function's path or name : 32 digits, the hash of the arguments by name             made only where it is asked for
//! ```
//!
//! A call that is answered from memory makes one, so that has to cost little: no text, no hash but the memory tier's own.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ptr;

use cache_core::{CacheKey, Encoding, KeyWriter, Param, Params};

/// A call of a cached function: the key of a cache that functions share.
///
/// In memory no two functions have one key, whatever they are called. Rendered, it is the [name](Self::name) of the function and
/// the hash of its arguments by name, so the order in which it declares them does not matter, nor the width of its integers.
///
/// It takes 56 bytes, and an allocation if the arguments do not fit into 30: each takes two bytes and its digits or bytes. Making
/// one hashes nothing.
///
/// ```
/// use strata::{CallKey, Cache};
/// let answers: Cache<CallKey, u64> = Cache::builder("answers").build()?;
/// # let _ = answers;
/// # Ok::<(), strata::BuildError>(())
/// ```
#[derive(Clone)]
pub struct CallKey {
    function: &'static Function,
    /// The type that the function stands beside or in, as the compiler writes it.
    of: &'static str,
    arguments: Encoding,
}

/// A cached function. There is one for each, so its address tells it from all others.
#[doc(hidden)]
#[derive(Debug)]
pub struct Function {
    kind: Kind,
    name: &'static str,
    /// What of the arguments is in the key, in order.
    arguments: &'static [&'static str],
    /// Line and column.
    place: (u32, u32),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// By its path.
    Free,
    /// By its name within its type.
    Method,
    /// By the name that the user has given it.
    Named,
}

impl Function {
    /// A function, by the path that it has if it stands in a module.
    pub const fn free(path: &'static str, arguments: &'static [&'static str], place: (u32, u32)) -> Self {
        Self { kind: Kind::Free, name: path, arguments, place }
    }

    /// A function of a type, by its own name.
    pub const fn method(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { kind: Kind::Method, name, arguments, place: (0, 0) }
    }

    /// A function of which the user has said how it is called in keys.
    pub const fn named(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { kind: Kind::Named, name, arguments, place: (0, 0) }
    }

    /// The key of a call: of the function that stands beside or in this type, with these arguments.
    #[inline]
    pub fn key(&'static self, of: &'static str, arguments: Encoding) -> CallKey {
        CallKey { function: self, of, arguments }
    }
}

impl CallKey {
    /// What tells the function from others in the text of keys.
    ///
    /// - The name that it was given, with the parameters of its type if that has any: `Page<app::User>::load` for a `load` of
    ///   `Page<T>` that is named `Page::load` is `Page::load<app::User>`.
    /// - A function in a module: its path. The language makes it unique, and it is the same in every release.
    /// - A method: the path of its type, as the compiler writes it, and its own name. In every compiler so far that is the same;
    ///   Rust does not promise it.
    /// - A function inside another one, which has no path of its own: that of the outer one, and where it stands in its file. Unique,
    ///   but edits above it begin new keys.
    ///
    /// So a given name is for what has to survive a move. Two functions that were given the same one share no entry in memory, but
    /// would share one wherever text is the key.
    pub fn name(&self) -> Cow<'static, str> {
        let Function { kind, name, place: (line, column), .. } = *self.function;
        match kind {
            Kind::Free if self.of == name => Cow::Borrowed(name),
            Kind::Free => Cow::Owned(format!("{}@{line}.{column}", self.of)),
            Kind::Method => Cow::Owned(format!("{}::{name}", self.of)),
            Kind::Named => match self.of.find('<') {
                Some(at) => Cow::Owned(format!("{name}{}", &self.of[at..])),
                None => Cow::Borrowed(name),
            },
        }
    }

    /// The hash of the arguments: 32 hexadecimal digits.
    fn hash_of_arguments(&self) -> String {
        let arguments = self.function.arguments.iter().zip(self.arguments.values());
        arguments.fold(Params::new(), |params, (name, value)| params.with(name, Encoded(value))).hash()
    }
}

/// A value that is encoded already.
struct Encoded<'a>(&'a [u8]);

impl Param for Encoded<'_> {
    fn encode(&self, out: &mut Encoding) {
        out.extend_from_slice(self.0);
    }
}

impl PartialEq for CallKey {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.function, other.function) && self.arguments == other.arguments && self.of == other.of
    }
}

impl Eq for CallKey {}

impl Hash for CallKey {
    /// Without the type: the same call of two types is rare, and comparing tells them apart.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::hash(self.function, state);
        self.arguments.hash(state);
    }
}

impl CacheKey for CallKey {
    fn write(&self, out: &mut KeyWriter) {
        out.push(self.name());
        out.push(self.hash_of_arguments());
    }
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.hash_of_arguments())
    }
}
