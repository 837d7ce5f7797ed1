//! The parameters hash: any number of named arguments as one short, stable part of a key.
//!
//! Arguments are sorted by name, each is written with its name, kind and length, and the whole is hashed with
//! SHA-256, of which 128 bits are kept: no two lists share an encoding, and finding two that share a hash takes about
//! 2^64 attempts, also for someone who chooses the arguments. Changing any of this would orphan every stored entry;
//! golden values in this crate's tests forbid it.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::Encoding;

const ENCODING: &[u8] = b"strata.params.1";

/// Named arguments of a call, in any order.
///
/// ```
/// use cache_core::Params;
/// let one = Params::new().with("limit", 10).with("symbol", "BTC");
/// let other = Params::new().with("symbol", "BTC").with("limit", 10_u64);
/// assert_eq!(one.hash(), other.hash());
/// assert_ne!(one.hash(), Params::new().with("limit", "10").with("symbol", "BTC").hash());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    encoded: BTreeMap<String, Encoding>,
}

impl Params {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an argument, or replaces the one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Param) -> Self {
        self.encoded.insert(name.to_owned(), Encoding::of(&value));
        self
    }

    /// The hash: 32 hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new_with_prefix(ENCODING);
        for (name, value) in &self.encoded {
            for part in [name.as_bytes(), value.as_slice()] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part);
            }
        }
        let kept = hasher.finalize().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        format!("{kept:032x}")
    }
}

/// A value that can be an argument: written with its kind, so that `1`, `"1"`, `true` and `Some(1)` differ.
///
/// Integers of all widths are one kind, so widening a parameter's type keeps its keys.
///
/// ```
/// use cache_core::{Encoding, Param};
/// enum Side { Bid, Ask }
///
/// impl Param for Side {
///     fn encode(&self, out: &mut Encoding) {
///         match self {
///             Self::Bid => "bid",
///             Self::Ask => "ask",
///         }
///         .encode(out);
///     }
/// }
///
/// assert_eq!(Encoding::of(&Side::Bid), Encoding::of("bid"));
/// assert_ne!(Encoding::of(&Side::Bid), Encoding::of(&Side::Ask));
/// ```
pub trait Param {
    /// Appends the canonical encoding: one byte of kind, then the value.
    fn encode(&self, out: &mut Encoding);
}

macro_rules! integer_params {
    ($($type:ty),*) => {$(
        impl Param for $type {
            #[inline]
            fn encode(&self, out: &mut Encoding) {
                out.push(b'i');
                // Without the formatter, which costs more than all the rest of a call that is answered from memory.
                if let Some(number) = as_word::<_, u64>(*self) {
                    out.push_decimal(number);
                } else if let Some(negative) = as_word::<_, i64>(*self) {
                    out.push(b'-');
                    out.push_decimal(negative.unsigned_abs());
                } else {
                    out.extend_from_slice(self.to_string().as_bytes());
                }
            }
        }
    )*};
}

integer_params!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

#[inline]
fn as_word<T: TryInto<W>, W>(number: T) -> Option<W> {
    number.try_into().ok()
}

impl Param for bool {
    fn encode(&self, out: &mut Encoding) {
        out.extend_from_slice(&[b'b', u8::from(*self)]);
    }
}

impl Param for f64 {
    /// All zeros are one value, and so are all NaNs.
    fn encode(&self, out: &mut Encoding) {
        let canonical = if self.is_nan() { Self::NAN } else { self + 0.0 };
        out.push(b'f');
        out.extend_from_slice(&canonical.to_bits().to_be_bytes());
    }
}

impl Param for str {
    fn encode(&self, out: &mut Encoding) {
        out.push(b's');
        out.extend_from_slice(self.as_bytes());
    }
}

impl Param for String {
    fn encode(&self, out: &mut Encoding) {
        self.as_str().encode(out);
    }
}

impl<P: Param + ?Sized> Param for &P {
    fn encode(&self, out: &mut Encoding) {
        (**self).encode(out);
    }
}

impl<P: Param> Param for Option<P> {
    fn encode(&self, out: &mut Encoding) {
        match self {
            None => out.push(b'n'),
            Some(value) => {
                out.push(b'o');
                value.encode(out);
            }
        }
    }
}

impl<P: Param> Param for [P] {
    fn encode(&self, out: &mut Encoding) {
        out.push(b'l');
        for item in self {
            let item = Encoding::of(item);
            out.extend_from_slice(&(item.as_slice().len() as u64).to_be_bytes());
            out.extend_from_slice(item.as_slice());
        }
    }
}

impl<P: Param> Param for Vec<P> {
    fn encode(&self, out: &mut Encoding) {
        self.as_slice().encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_integer_width_do_not_matter() {
        let one = Params::new().with("a", 1_u8).with("b", "x");
        let other = Params::new().with("b", String::from("x")).with("a", 1_i64);
        assert_eq!(one.hash(), other.hash());
    }

    #[test]
    fn values_of_different_kinds_differ() {
        let of = |value: &dyn Param| Encoding::of(value);
        let values: [&dyn Param; 9] =
            [&1, &"1", &true, &Some(1), &None::<i32>, &vec![1], &vec![1, 1], &vec![11], &1.0];
        for (i, a) in values.iter().enumerate() {
            for b in &values[i + 1..] {
                assert_ne!(of(*a), of(*b));
            }
        }
    }

    #[test]
    fn names_and_values_cannot_trade_places() {
        let one = Params::new().with("ab", "c").hash();
        assert_ne!(one, Params::new().with("a", "bc").hash());
        assert_ne!(one, Params::new().with("ab", "").with("c", "").hash());
    }

    #[test]
    fn zeros_are_one_value_and_nans_are_one_value() {
        assert_eq!(Encoding::of(&0.0), Encoding::of(&-0.0));
        assert_eq!(Encoding::of(&f64::NAN), Encoding::of(&-f64::NAN));
    }

    #[test]
    fn integers_are_written_as_they_are_displayed() {
        for number in [0, 7, 10, 99, 12_345, u64::MAX - 1, u64::MAX] {
            assert_eq!(Encoding::of(&number).as_slice(), format!("i{number}").as_bytes());
        }
        for number in [-1, i64::MIN, i64::MAX] {
            assert_eq!(Encoding::of(&number).as_slice(), format!("i{number}").as_bytes());
        }
        for number in [u128::from(u64::MAX) + 1, u128::MAX] {
            assert_eq!(Encoding::of(&number).as_slice(), format!("i{number}").as_bytes());
        }
        assert_eq!(Encoding::of(&i128::MIN).as_slice(), format!("i{}", i128::MIN).as_bytes());
    }
}
