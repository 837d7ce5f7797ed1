//! Encodings: values as bytes that say what they are, short ones without an allocation.
//!
//! A call that is answered from memory encodes its arguments to find the answer, so what most arguments need has to cost
//! next to nothing. How values are written is [`Param`]'s affair.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::Param;

/// How many bytes need no allocation: with them an encoding is as large as a vector and a half.
const INLINE: usize = 30;

/// The encoding of one value, or of several in a row. Compares as its bytes do.
///
/// Up to 30 bytes it holds itself; longer ones are on the heap.
#[derive(Clone)]
pub struct Encoding(Bytes);

#[derive(Clone)]
enum Bytes {
    Inline { length: u8, bytes: [u8; INLINE] },
    Heap(Vec<u8>),
}

impl Encoding {
    /// Nothing yet.
    #[inline]
    pub const fn new() -> Self {
        Self(Bytes::Inline { length: 0, bytes: [0; INLINE] })
    }

    /// The encoding of one value.
    #[inline]
    pub fn of<P: Param + ?Sized>(value: &P) -> Self {
        let mut out = Self::new();
        value.encode(&mut out);
        out
    }

    /// Appends a value behind its length, so that [`values`](Self::values) tells it from those beside it.
    #[inline]
    #[must_use]
    pub fn with(mut self, value: &(impl Param + ?Sized)) -> Self {
        let at = self.as_slice().len();
        self.push(0);
        value.encode(&mut self);
        match u8::try_from(self.as_slice().len() - at - 1) {
            Ok(length) if length < LONG => self.as_mut_slice()[at] = length,
            _ => self.mark_long(at),
        }
        self
    }

    /// The values that [`with`](Self::with) has appended, each encoded for itself.
    ///
    /// ```
    /// use cache_core::Encoding;
    /// let call = Encoding::new().with(&7).with("BTC");
    /// assert!(call.values().eq([&b"i7"[..], b"sBTC"]));
    /// ```
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.as_slice();
        std::iter::from_fn(move || {
            let (mark, tail) = rest.split_first()?;
            let (length, tail) = if *mark == LONG {
                let (length, tail) = tail.split_first_chunk()?;
                (usize::try_from(u64::from_be_bytes(*length)).ok()?, tail)
            } else {
                (usize::from(*mark), tail)
            };
            let (value, tail) = tail.split_at_checked(length)?;
            rest = tail;
            Some(value)
        })
    }

    /// Appends a byte.
    #[inline]
    pub fn push(&mut self, byte: u8) {
        self.extend_from_slice(&[byte]);
    }

    /// Appends bytes.
    #[inline]
    pub fn extend_from_slice(&mut self, more: &[u8]) {
        match &mut self.0 {
            Bytes::Inline { length, bytes } => {
                let begin = usize::from(*length);
                match bytes.get_mut(begin..begin + more.len()) {
                    Some(room) => {
                        room.copy_from_slice(more);
                        #[expect(clippy::cast_possible_truncation, reason = "at most the room there is")]
                        let added = more.len() as u8;
                        *length += added;
                    }
                    None => self.spill(more),
                }
            }
            Bytes::Heap(bytes) => bytes.extend_from_slice(more),
        }
    }

    /// What has been written so far.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Bytes::Heap(bytes) => bytes,
        }
    }

    /// Appends a number as it is displayed.
    #[inline]
    pub(crate) fn push_decimal(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.extend_from_slice(&digits[at..]);
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Bytes::Inline { length, bytes } => &mut bytes[..usize::from(*length)],
            Bytes::Heap(bytes) => bytes,
        }
    }

    #[cold]
    fn spill(&mut self, more: &[u8]) {
        let mut bytes = Vec::with_capacity((self.as_slice().len() + more.len()).max(2 * INLINE));
        bytes.extend_from_slice(self.as_slice());
        bytes.extend_from_slice(more);
        self.0 = Bytes::Heap(bytes);
    }

    /// Puts its length before the long value that begins after `at`.
    #[cold]
    fn mark_long(&mut self, at: usize) {
        let (before, value) = (self.as_slice()[..at].to_vec(), self.as_slice()[at + 1..].to_vec());
        let length = (value.len() as u64).to_be_bytes();
        self.0 = Bytes::Heap([before, vec![LONG], length.to_vec(), value].concat());
    }
}

/// Stands before the length of a value that has this many bytes or more.
const LONG: u8 = u8::MAX;

impl Default for Encoding {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Encoding {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Encoding {}

impl Hash for Encoding {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

/// Shows how long it is, and no value: they may be secret.
impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoding({} bytes)", self.as_slice().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went_in_whatever_their_length() {
        let lengths = [0, 1, 27, 28, 29, 30, 31, 252, 253, 254, 255, 256, 70_000];
        for first in lengths {
            for second in lengths {
                let (a, b) = ("a".repeat(first), "b".repeat(second));
                let both = Encoding::new().with(&a).with(&b).with(&true);
                let expected = [Encoding::of(&a), Encoding::of(&b), Encoding::of(&true)];
                assert!(both.values().eq(expected.iter().map(Encoding::as_slice)), "{first} {second}");
            }
        }
    }

    #[test]
    fn values_cannot_trade_places_or_bytes() {
        let of = |values: &[&str]| values.iter().fold(Encoding::new(), Encoding::with);
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a"]), of(&["a", ""]));
        assert_ne!(of(&[""]), of(&[]));
    }

    #[test]
    fn what_is_short_is_not_on_the_heap() {
        assert!(matches!(Encoding::new().with(&u64::MAX).with(&12_345).0, Bytes::Inline { .. }));
        assert!(matches!(Encoding::of(&"x".repeat(INLINE)).0, Bytes::Heap(_)));
        assert_eq!(size_of::<Encoding>(), 32);
    }
}
