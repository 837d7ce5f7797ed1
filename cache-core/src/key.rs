//! Keys: how what a caller asks for becomes text, and never two different askings the same text.
//!
//! ```text
//! namespace [@version] {: part}     users:42   users@2:42   app:api:quotes:#6d0f...
//! ```
//!
//! Parts are escaped, so `["a", "b"]` (`ns:a:b`) and `["a:b"]` (`ns:a%3Ab`) stay apart: rendering is injective.
//! The text is the same in every process, on every machine and in every release; golden values in this crate's
//! tests pin it.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use thiserror::Error;

use crate::Params;

/// The longest key, in bytes of its rendered text.
pub const MAX_KEY_BYTES: usize = 1024;

const MAX_NAMESPACE_BYTES: usize = 64;

/// The name of an entry, rendered: 1 to [`MAX_KEY_BYTES`] bytes of UTF-8 without control characters.
///
/// ```
/// use cache_core::{Key, Namespace, Params};
/// let app = Namespace::new("app")?;
/// assert_eq!(app.key().part("user").part(42).build()?.as_str(), "app:user:42");
/// assert_eq!(app.with_version(2).key().part("a:b").build()?.as_str(), "app@2:a%3Ab");
///
/// let params = Params::new().with("symbol", "BTC").with("limit", 10);
/// let key = app.key().part("api").part("quotes").params(&params).build()?;
/// assert!(key.as_str().starts_with("app:api:quotes:#"));
/// # Ok::<(), cache_core::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Takes a key that is already rendered, such as one that came in over the network.
    ///
    /// # Errors
    /// Empty, longer than [`MAX_KEY_BYTES`], or with a control character.
    pub fn new(text: impl AsRef<str>) -> Result<Self, KeyError> {
        let text = text.as_ref();
        check_key(text)?;
        Ok(Self(text.into()))
    }

    /// Takes a key as bytes.
    ///
    /// # Errors
    /// As [`Key::new`], and when the bytes are not UTF-8.
    pub fn from_utf8(bytes: &[u8]) -> Result<Self, KeyError> {
        let text = str::from_utf8(bytes).map_err(|error| KeyError::NotUtf8 { at: error.valid_up_to() })?;
        Self::new(text)
    }

    /// The rendered text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// Why something is not a key or a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No text.
    #[error("the key is empty; it needs 1 to {MAX_KEY_BYTES} bytes")]
    Empty,
    /// Too much text.
    #[error(
        "the key has {bytes} bytes; at most {MAX_KEY_BYTES} are allowed: \
         put long arguments into the parameters hash"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A control character, which would break logs and line protocols.
    #[error("the key has a control character at byte {at}; use printable text")]
    Control {
        /// Where it stands.
        at: usize,
    },
    /// Not UTF-8.
    #[error("the key is not UTF-8 from byte {at} on; encode binary keys as hexadecimal or base64")]
    NotUtf8 {
        /// The first byte that does not belong.
        at: usize,
    },
    /// A namespace that could be mistaken for something else inside a key.
    #[error(
        "the namespace {name:?} is not valid; it needs 1 to {MAX_NAMESPACE_BYTES} letters, digits, dots, \
         underscores or hyphens"
    )]
    Namespace {
        /// What was given.
        name: String,
    },
}

fn check_key(text: &str) -> Result<(), KeyError> {
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    if text.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong { bytes: text.len() });
    }
    text.find(char::is_control).map_or(Ok(()), |at| Err(KeyError::Control { at }))
}

/// What all keys of one cache begin with: a name, and the version of what is stored under it.
///
/// Raising the version makes every older entry unreachable at once, in every tier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace {
    name: Arc<str>,
    version: Option<u32>,
}

impl Namespace {
    /// A namespace without a version.
    ///
    /// # Errors
    /// Anything but 1 to 64 ASCII letters, digits, `.`, `_` and `-`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, KeyError> {
        let name = name.as_ref();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAMESPACE_BYTES || !name.bytes().all(legal) {
            return Err(KeyError::Namespace { name: name.chars().take(MAX_NAMESPACE_BYTES).collect() });
        }
        Ok(Self { name: name.into(), version: None })
    }

    /// The same namespace at this version.
    #[must_use]
    pub fn with_version(&self, version: u32) -> Self {
        Self { name: self.name.clone(), version: Some(version) }
    }

    /// The name, without the version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Begins a key of this namespace.
    pub fn key(&self) -> KeyWriter {
        let mut text = String::with_capacity(48);
        text.push_str(&self.name);
        if let Some(version) = self.version {
            push_fmt(&mut text, format_args!("@{version}"));
        }
        KeyWriter { text, is_plain: false }
    }

    /// Renders the key of a typed value.
    ///
    /// # Errors
    /// When the text exceeds [`MAX_KEY_BYTES`].
    pub fn render<K: CacheKey + ?Sized>(&self, key: &K) -> Result<Key, KeyError> {
        let mut writer = self.key();
        key.write(&mut writer);
        writer.build()
    }

    /// The typed value whose key, rendered, is this text; `None` if it is of another namespace or type, or the type cannot be
    /// [read](CacheKey::read) back.
    pub fn read<K: CacheKey>(&self, text: &str) -> Option<K> {
        let begin = self.key();
        let rest = text.strip_prefix(begin.as_str())?;
        let rest = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        let key = K::read(&mut KeyReader { rest })?;
        // What reads as this key need not be written like it: `+7`, or more parts than it has.
        let mut again = begin;
        key.write(&mut again);
        (again.as_str() == text).then_some(key)
    }
}

/// Writes the parts of a key, escaping each.
#[derive(Clone, Debug)]
pub struct KeyWriter {
    text: String,
    /// Whether parts are written as they are.
    is_plain: bool,
}

impl KeyWriter {
    /// The text of a key as people write it, for a [`Pattern`](crate::Pattern) to match: its parts as they are, with a colon between
    /// each two, without a namespace. Keys that differ can have the same text: `("a:b", "c")` and `("a", "b:c")` do.
    ///
    /// ```
    /// use cache_core::KeyWriter;
    /// assert_eq!(KeyWriter::plain("user:7"), "user:7");
    /// assert_eq!(KeyWriter::plain(&("BTC/USD", 5)), "BTC/USD:5");
    /// ```
    pub fn plain<K: CacheKey + ?Sized>(key: &K) -> String {
        let mut writer = Self { text: String::with_capacity(48), is_plain: true };
        key.write(&mut writer);
        if writer.text.starts_with(':') {
            writer.text.remove(0);
        }
        writer.text
    }

    /// Appends one part. An empty part counts: `ns:` is not `ns`.
    #[must_use]
    pub fn part(mut self, part: impl fmt::Display) -> Self {
        self.push(part);
        self
    }

    /// Appends the hash of a list of parameters, marked with `#` so that no part can imitate it.
    #[must_use]
    pub fn params(mut self, params: &Params) -> Self {
        self.text.push_str(":#");
        self.text.push_str(&params.hash());
        self
    }

    /// Appends one part, in place.
    pub fn push(&mut self, part: impl fmt::Display) {
        self.text.push(':');
        if self.is_plain {
            push_fmt(&mut self.text, format_args!("{part}"));
        } else {
            push_fmt(&mut Escaped(&mut self.text), format_args!("{part}"));
        }
    }

    /// What has been written so far.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Ends the key.
    ///
    /// # Errors
    /// When the text exceeds [`MAX_KEY_BYTES`].
    pub fn build(self) -> Result<Key, KeyError> {
        Key::new(&self.text)
    }
}

fn push_fmt(out: &mut impl fmt::Write, args: fmt::Arguments<'_>) {
    // Writing to a string fails only if the part's own Display does; then its text ends there, as in `format!`'s
    // contract a Display that fails without its writer failing is a bug of that type.
    let _ = out.write_fmt(args);
}

/// Percent-encodes what has a meaning in a key, in a glob, in a Redis cluster slot or in a log line.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars() {
            if c.is_control() || "%:#@*?[]\\{}".contains(c) {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    push_fmt(self.0, format_args!("%{byte:02X}"));
                }
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

/// A typed key: what a cache compares and hashes in memory, and how it is written where only text will do.
///
/// Memory is probed with the value itself; the text is rendered only below it.
///
/// ```
/// use cache_core::{CacheKey, KeyWriter, Namespace};
/// #[derive(PartialEq, Eq, Hash)]
/// struct Candle { symbol: String, minutes: u32 }
///
/// impl CacheKey for Candle {
///     fn write(&self, out: &mut KeyWriter) {
///         out.push(&self.symbol);
///         out.push(self.minutes);
///     }
/// }
///
/// let key = Namespace::new("ohlcv")?.render(&Candle { symbol: "BTC/USD".into(), minutes: 5 })?;
/// assert_eq!(key.as_str(), "ohlcv:BTC/USD:5");
/// # Ok::<(), cache_core::KeyError>(())
/// ```
pub trait CacheKey: Eq + Hash + Send + Sync + 'static {
    /// Appends this key's parts: always the same number of them, or numbers of them that differ visibly.
    fn write(&self, out: &mut KeyWriter);

    /// Takes back the parts that [`write`](Self::write) has appended, where a key is known as text only: another process says so
    /// that its value has changed. `None` if they are not those of such a key, or if it cannot be told, which is the default.
    ///
    /// Whoever is told of a key that it cannot read has to look through everything that it holds.
    fn read(parts: &mut KeyReader<'_>) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = parts;
        None
    }
}

/// The parts of a rendered key, from the first to the last.
///
/// ```
/// use cache_core::{CacheKey, KeyReader, KeyWriter, Namespace};
/// #[derive(Debug, PartialEq, Eq, Hash)]
/// struct Candle { symbol: String, minutes: u32 }
///
/// impl CacheKey for Candle {
///     fn write(&self, out: &mut KeyWriter) {
///         out.push(&self.symbol);
///         out.push(self.minutes);
///     }
///     fn read(parts: &mut KeyReader<'_>) -> Option<Self> {
///         Some(Self { symbol: parts.next()?, minutes: parts.next()?.parse().ok()? })
///     }
/// }
///
/// let candles = Namespace::new("ohlcv")?;
/// let candle = Candle { symbol: "BTC:USD".into(), minutes: 5 };
/// let text = candles.render(&candle)?;
/// assert_eq!(candles.read(text.as_str()), Some(candle));
/// # Ok::<(), cache_core::KeyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyReader<'a> {
    rest: Option<&'a str>,
}

impl Iterator for KeyReader<'_> {
    type Item = String;

    /// The next part, as it was before it was written.
    fn next(&mut self) -> Option<String> {
        let (part, rest) = match self.rest?.split_once(':') {
            Some((part, rest)) => (part, Some(rest)),
            None => (self.rest?, None),
        };
        self.rest = rest;
        unescaped(part)
    }
}

/// Undoes what [`Escaped`] does; `None` for what it does not write.
fn unescaped(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((plain, escaped)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::from_str_radix(escaped.get(..2)?, 16).ok()?);
        rest = escaped.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

macro_rules! displayed_keys {
    ($($type:ty),*) => {$(
        impl CacheKey for $type {
            fn write(&self, out: &mut KeyWriter) {
                out.push(self);
            }

            fn read(parts: &mut KeyReader<'_>) -> Option<Self> {
                parts.next()?.parse().ok()
            }
        }
    )*};
}

macro_rules! text_keys {
    ($($type:ty),*) => {$(
        impl CacheKey for $type {
            fn write(&self, out: &mut KeyWriter) {
                out.push(self);
            }

            fn read(parts: &mut KeyReader<'_>) -> Option<Self> {
                parts.next().map(Into::into)
            }
        }
    )*};
}

displayed_keys!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, bool, char);

text_keys!(String, Box<str>, Arc<str>);

macro_rules! borrowed_keys {
    ($($type:ty),*) => {$(
        impl CacheKey for $type {
            fn write(&self, out: &mut KeyWriter) {
                out.push(self);
            }
        }
    )*};
}

borrowed_keys!(str, &'static str);

macro_rules! tuple_keys {
    ($($name:ident)+) => {
        impl<$($name: CacheKey),+> CacheKey for ($($name,)+) {
            fn write(&self, out: &mut KeyWriter) {
                #[expect(non_snake_case, reason = "each type parameter names its own field")]
                let ($($name,)+) = self;
                $($name.write(out);)+
            }

            fn read(parts: &mut KeyReader<'_>) -> Option<Self> {
                Some(($($name::read(parts)?,)+))
            }
        }
    };
}

tuple_keys!(A);
tuple_keys!(A B);
tuple_keys!(A B C);
tuple_keys!(A B C D);
tuple_keys!(A B C D E);
tuple_keys!(A B C D E F);

impl CacheKey for Key {
    /// A key that is already rendered is one part.
    fn write(&self, out: &mut KeyWriter) {
        out.push(self);
    }

    fn read(parts: &mut KeyReader<'_>) -> Option<Self> {
        Self::new(parts.next()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn rendered(parts: &[&str]) -> String {
        let mut writer = Namespace::new("ns").expect("legal").key();
        for part in parts {
            writer.push(part);
        }
        writer.as_str().to_owned()
    }

    #[test]
    fn parts_that_contain_separators_stay_apart() {
        assert_eq!(rendered(&["a", "b"]), "ns:a:b");
        assert_eq!(rendered(&["a:b"]), "ns:a%3Ab");
        assert_eq!(rendered(&["a%3Ab"]), "ns:a%253Ab");
        assert_eq!(rendered(&[""]), "ns:");
        assert_eq!(rendered(&[]), "ns");
        assert_eq!(rendered(&["#x", "@1"]), "ns:%23x:%401");
        assert_eq!(rendered(&["{slot}*?[]\\\n"]), "ns:%7Bslot%7D%2A%3F%5B%5D%5C%0A");
        assert_eq!(rendered(&["größe 東京"]), "ns:größe 東京");
    }

    #[test]
    fn typed_keys_render_their_parts() -> Result<(), KeyError> {
        let ns = Namespace::new("n")?.with_version(7);
        assert_eq!(ns.render(&-5_i64)?.as_str(), "n@7:-5");
        assert_eq!(ns.render("x")?.as_str(), "n@7:x");
        assert_eq!(ns.render(&("a".to_owned(), 1_u8, true, 'c'))?.as_str(), "n@7:a:1:true:c");
        Ok(())
    }

    #[test]
    fn what_is_rendered_reads_as_it_was_and_nothing_else_does() {
        #[track_caller]
        fn check<K: CacheKey + fmt::Debug>(key: K) {
            let ns = Namespace::new("n").expect("legal").with_version(7);
            let text = ns.render(&key).expect("short");
            assert_eq!(ns.read(text.as_str()), Some(key));
        }
        check(-5_i64);
        check(String::from("%a:b#ü\n"));
        check(String::new());
        check(("a".to_owned(), 1_u8, true, ':'));
        check(Key::new("a:b").expect("legal"));
        let read = |text: &str| Namespace::new("n").expect("legal").read::<(String, u8)>(text);
        assert_eq!(read("n:a:7"), Some(("a".to_owned(), 7)));
        for text in [
            "", "n", "n:", "n:a", "n:a:7:", "n:a:007", "n:a:+7", "n:a:256", "m:a:7", "n@1:a:7", "n:%3:7",
            "n:%zz:7", "n:%61:7", "n:%ff:7", "nn:a:7",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_key_and_says_where() {
        assert_eq!(Key::new(""), Err(KeyError::Empty));
        assert_eq!(Key::new("a\0"), Err(KeyError::Control { at: 1 }));
        assert_eq!(Key::new("x".repeat(1025)), Err(KeyError::TooLong { bytes: 1025 }));
        assert!(Key::new("x".repeat(1024)).is_ok());
        assert_eq!(Key::from_utf8(b"ab\xff\xfe"), Err(KeyError::NotUtf8 { at: 2 }));
        for name in ["", "a:b", "a@1", "ü", &"n".repeat(65)] {
            assert!(matches!(Namespace::new(name), Err(KeyError::Namespace { .. })), "{name:?}");
        }
    }
}
