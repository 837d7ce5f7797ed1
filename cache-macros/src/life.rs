//! Durations as text, read while compiling: the same words as `cache_core::Ttl` reads while running.
//!
//! A crate of this rank cannot ask that type; a test holds the two together.

/// How long: `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life(pub(crate) Option<u64>);

/// Reads a duration, in milliseconds; the error says what would be right.
pub(crate) fn parse(text: &str) -> Result<Life, String> {
    let right = "write seconds (300), units (250ms, 90s, 5m, 1h30m, 2d) or forever";
    let malformed = || format!("{text:?} is not a duration; {right}");
    let overflow = || format!("{text:?} is too long; use forever for what does not expire");
    let trimmed = text.trim();
    if trimmed.eq_ignore_ascii_case("forever") {
        return Ok(Life(None));
    }
    if trimmed.is_empty() {
        return Err(malformed());
    }
    let (mut total, mut rest) = (0_u64, trimmed);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() {
            return Err(malformed());
        }
        let millis = match unit {
            "" if rest == trimmed && tail.is_empty() => 1000,
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(malformed()),
        };
        let count: u64 = number.parse().map_err(|_| overflow())?;
        let part = count.checked_mul(millis).ok_or_else(overflow)?;
        total = total.checked_add(part).ok_or_else(overflow)?;
        rest = tail;
    }
    Ok(Life(Some(total)))
}

#[cfg(test)]
mod tests {
    use cache_core::Ttl;

    use super::*;

    #[test]
    fn compiling_and_running_read_the_same_words() {
        let texts = [
            "0",
            "300",
            "250ms",
            " 90s ",
            "1h30m",
            "2d",
            "forever",
            "Forever",
            "",
            "abc",
            "5x",
            "1h30",
            "1.5",
            "h",
            "5 m",
            "٣s",
            "-5",
            "99999999999999999999",
            "1m1m",
            "1d2h3m4s5ms",
            "007",
            "+5",
            "18446744073709551615d",
        ];
        for text in texts {
            let running = text.parse::<Ttl>().ok();
            let compiling =
                parse(text).ok().map(|Life(millis)| millis.map_or(Ttl::FOREVER, Ttl::from_millis));
            assert_eq!(compiling, running, "{text:?}");
        }
    }
}
