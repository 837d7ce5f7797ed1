//! What a cache says of itself, beside what its test has counted.

/// The counters of a cache at rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Books {
    /// Reads that the test has made.
    pub reads: u64,
    /// Hits and misses, as counted.
    pub hits_and_misses: u64,
    /// Loads that the test has seen begin.
    pub loads: u64,
    /// Loads that have ended, in any way, as counted.
    pub loads_ended: u64,
    /// Inserts less removals of every kind, as counted.
    pub inserts_less_removals: u64,
    /// Entries held.
    pub entries: u64,
    /// Values that the test has made and not seen dropped. No fewer if one was dropped twice, and more if one was kept.
    pub alive: u64,
}

impl Books {
    /// Compares what has to be equal.
    ///
    /// # Errors
    /// A sentence for each pair that is not.
    pub fn check(&self) -> Result<(), Vec<String>> {
        let pairs = [
            ("reads, and hits and misses", self.reads, self.hits_and_misses),
            ("loads begun, and ended", self.loads, self.loads_ended),
            ("inserts less removals, and entries", self.inserts_less_removals, self.entries),
            ("values alive, and entries", self.alive, self.entries),
        ];
        let wrong: Vec<String> = pairs
            .into_iter()
            .filter(|(_, one, other)| one != other)
            .map(|(what, one, other)| format!("{what}: {one} and {other}"))
            .collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_that_do_not_balance_are_told() {
        assert!(Books::default().check().is_ok());
        let told = |books: Books| books.check().expect_err("one is lost");
        let right = Books::default();
        assert_eq!(
            told(Books { reads: 2, hits_and_misses: 1, ..right }),
            ["reads, and hits and misses: 2 and 1"]
        );
        assert_eq!(told(Books { loads: 1, ..right }), ["loads begun, and ended: 1 and 0"]);
        assert_eq!(told(Books { alive: 1, ..right }), ["values alive, and entries: 1 and 0"]);
        let wrong = told(Books { inserts_less_removals: 1, ..right });
        assert_eq!(wrong, ["inserts less removals, and entries: 1 and 0"]);
    }
}
