//! How many entries the cache may hold: a number, or a share of the keys that occur.

use clap::value_parser;

use crate::Outcome;

/// Capacities to compare.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Capacities {
    /// The most entries that the cache holds; several are separated by commas
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = value_parser!(u64).range(1..))]
    capacity: Vec<u64>,
    /// The same as a share of the keys that occur: above 0, up to 1
    #[arg(long, value_name = "F,F", value_delimiter = ',', value_parser = fraction)]
    fraction: Vec<f64>,
}

/// The capacity of one cache.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Capacity {
    /// The most entries that the cache holds
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    capacity: Option<u64>,
    /// The same as a share of the keys that occur: above 0, up to 1
    #[arg(long, value_name = "F", value_parser = fraction)]
    fraction: Option<f64>,
}

impl Capacities {
    /// The numbers of entries where `unique` keys occur.
    pub(crate) fn of(&self, unique: u64) -> Vec<u64> {
        let shares = self.fraction.iter().map(|&fraction| share(fraction, unique));
        self.capacity.iter().copied().chain(shares).collect()
    }
}

impl Capacity {
    /// The number of entries where `unique` keys occur.
    pub(crate) fn of(&self, unique: u64) -> Outcome<u64> {
        let missing = "how many entries may the cache hold? Give --capacity or --fraction";
        Ok(self.given(unique).ok_or(missing)?)
    }

    /// The same, if it was said.
    pub(crate) fn given(&self, unique: u64) -> Option<u64> {
        self.capacity.or_else(|| self.fraction.map(|fraction| share(fraction, unique)))
    }
}

/// The share of `unique`, rounded, but at least 1.
fn share(fraction: f64, unique: u64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few billion keys at most, times at most 1"
    )]
    let rounded = (fraction * unique as f64).round() as u64;
    rounded.max(1)
}

fn fraction(text: &str) -> Result<f64, String> {
    let wrong = "expected a share above 0 and up to 1, for example 0.1";
    let value: f64 = text.parse().map_err(|_| wrong)?;
    if value > 0.0 && value <= 1.0 { Ok(value) } else { Err(wrong.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_and_never_nothing() {
        assert_eq!([share(0.1, 94), share(0.1, 95), share(0.001, 3), share(1.0, 7)], [9, 10, 1, 7]);
    }

    #[test]
    fn a_share_lies_above_0_and_up_to_1() {
        assert_eq!(fraction("1"), Ok(1.0));
        for text in ["0", "-0.1", "1.01", "NaN", "inf", "ten", ""] {
            assert!(fraction(text).is_err(), "{text}");
        }
    }
}
