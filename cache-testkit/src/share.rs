//! A share of a whole, as capacities are given: above 0, up to 1.

use std::str::FromStr;

use thiserror::Error;

/// A share of a number of keys or bytes.
///
/// ```
/// use cache_testkit::share::Share;
///
/// let tenth: Share = "0.1".parse()?;
/// assert_eq!([tenth.of(94), tenth.of(95), tenth.of(1)], [9, 10, 1]);
/// assert!("1.01".parse::<Share>().is_err());
/// # Ok::<(), cache_testkit::share::NoShare>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    /// This share of `whole`, rounded, but at least 1.
    pub fn of(self, whole: u64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what a trace holds is far below 2^53, and it is multiplied by at most 1"
        )]
        let rounded = (self.0 * whole as f64).round() as u64;
        rounded.max(1)
    }
}

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Self, NoShare> {
        let value: f64 = text.parse().map_err(|_| NoShare)?;
        if value > 0.0 && value <= 1.0 { Ok(Self(value)) } else { Err(NoShare) }
    }
}

/// Text that is not a [`Share`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected a share above 0 and up to 1, for example 0.1")]
pub struct NoShare;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lies_above_0_and_up_to_1() {
        assert_eq!("1".parse(), Ok(Share(1.0)));
        for text in ["0", "-0.1", "1.01", "NaN", "inf", "ten", ""] {
            assert_eq!(text.parse::<Share>(), Err(NoShare), "{text}");
        }
    }

    #[test]
    fn it_is_rounded_and_never_nothing() {
        let of = |share: f64, whole| Share(share).of(whole);
        assert_eq!([of(0.1, 94), of(0.1, 95), of(0.001, 3), of(1.0, 7)], [9, 10, 1, 7]);
    }
}
