//! The names of the files of a folder.

/// Says what the segments are worth.
pub(crate) const STATE: &str = "STATE";

/// The next state, until it takes that name.
pub(crate) const NEXT_STATE: &str = "STATE.new";

const SEGMENT: &str = ".segment";

/// The name of a segment.
pub(crate) fn segment(number: u64) -> String {
    format!("{number:016x}{SEGMENT}")
}

/// The number of the segment of this name; `None` if no segment has it.
pub(crate) fn number(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_suffix(SEGMENT)?, 16).ok()?;
    (segment(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_numbers() {
        for number_ in [0, 1, 0xabc, u64::MAX] {
            assert_eq!(number(&segment(number_)), Some(number_));
        }
        let others = [
            "STATE",
            "LOCK",
            ".segment",
            "1.segment",
            "+000000000000001.segment",
            "000000000000000A.segment",
        ];
        for name in others {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
