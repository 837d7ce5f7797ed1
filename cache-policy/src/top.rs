//! Who is read most, in bounded memory.
//!
//! Source: Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data streams", ICDT
//! 2005 (Space-Saving). Of `n` uses, whoever has more than `n / counters` is among the counters, and no count is too high by
//! more than its error.

/// Counts uses, and keeps those who are used most. It knows them by fingerprint.
///
/// ```
/// use cache_policy::Top;
/// let mut top = Top::new(2);
/// [7, 7, 7, 8, 9].into_iter().for_each(|who| top.note(who));
/// let first = top.most_used().next().expect("noted above");
/// assert_eq!((first.fingerprint, first.uses, first.error), (7, 3, 0));
/// ```
#[derive(Clone, Debug)]
pub struct Top {
    /// Apart from the counts, because every use looks through all of them.
    fingerprints: Vec<u32>,
    counts: Vec<Count>,
    capacity: usize,
    noted: u64,
}

/// How often somebody was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Who.
    pub fingerprint: u32,
    /// How often, at most.
    pub uses: u64,
    /// By how much that may be too high.
    pub error: u64,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    uses: u64,
    error: u64,
}

/// After so many uses all counts are halved, so that who was used most long ago makes way.
const HALVED_AT: u64 = 1 << 16;

impl Top {
    /// No uses yet, and room to count this many, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { fingerprints: Vec::new(), counts: Vec::new(), capacity: capacity.max(1), noted: 0 }
    }

    /// Counts a use. Costs a look at each counter.
    pub fn note(&mut self, fingerprint: u32) {
        self.noted += 1;
        if let Some(place) = self.fingerprints.iter().position(|held| *held == fingerprint) {
            self.counts[place].uses += 1;
        } else if self.counts.len() < self.capacity {
            self.fingerprints.push(fingerprint);
            self.counts.push(Count { uses: 1, error: 0 });
        } else if let Some(least) = (0..self.counts.len()).min_by_key(|place| self.counts[*place].uses) {
            let uses = self.counts[least].uses;
            self.fingerprints[least] = fingerprint;
            self.counts[least] = Count { uses: uses + 1, error: uses };
        }
        if self.noted == HALVED_AT {
            self.halve();
        }
    }

    /// How many uses are remembered. It is halved together with the counts.
    pub fn noted(&self) -> u64 {
        self.noted
    }

    /// Those who are counted, the most used first.
    pub fn most_used(&self) -> impl Iterator<Item = Counted> {
        let counted = self.fingerprints.iter().zip(&self.counts);
        let mut all: Vec<Counted> = counted
            .map(|(fingerprint, count)| Counted {
                fingerprint: *fingerprint,
                uses: count.uses,
                error: count.error,
            })
            .collect();
        all.sort_by_key(|counted| std::cmp::Reverse(counted.uses));
        all.into_iter()
    }

    fn halve(&mut self) {
        self.noted /= 2;
        for count in &mut self.counts {
            // What the use is too high by at most must not shrink below what it really is.
            *count = Count { uses: count.uses / 2, error: count.error.div_ceil(2) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_was_used_most_long_ago_makes_way() {
        let mut top = Top::new(4);
        (0..HALVED_AT - 1).for_each(|_| top.note(1));
        let before = top.most_used().next().map(|first| first.uses);
        (0..4 * HALVED_AT).for_each(|_| top.note(2));
        let after: Vec<_> = top.most_used().map(|counted| counted.fingerprint).collect();
        assert_eq!((before, after), (Some(HALVED_AT - 1), vec![2, 1]));
        assert!(top.noted() < HALVED_AT);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// The twin counts everybody.
        #[test]
        fn keeps_its_promises(
            capacity in 1_usize..20,
            uses in prop::collection::vec(prop_oneof![0_u32..4, 0_u32..100], 0..2000),
        ) {
            let mut top = Top::new(capacity);
            let mut twin: BTreeMap<u32, u64> = BTreeMap::new();
            for who in &uses {
                top.note(*who);
                *twin.entry(*who).or_default() += 1;
            }
            let found: Vec<Counted> = top.most_used().collect();
            prop_assert_eq!(top.noted(), uses.len() as u64);
            prop_assert_eq!(found.len(), capacity.min(twin.len()));
            prop_assert_eq!(found.iter().map(|counted| counted.uses).sum::<u64>(), uses.len() as u64);
            prop_assert!(found.is_sorted_by(|one, next| one.uses >= next.uses));
            for Counted { fingerprint, uses, error } in &found {
                let truly = twin[fingerprint];
                prop_assert!(*uses >= truly && uses - error <= truly, "{uses} - {error} {truly}");
            }
            for (who, truly) in twin {
                let must = truly > uses.len() as u64 / capacity as u64;
                prop_assert!(!must || found.iter().any(|counted| counted.fingerprint == who), "{who}");
            }
        }
    }
}
