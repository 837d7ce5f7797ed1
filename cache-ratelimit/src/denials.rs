//! Who was denied until when, so that an attacker is answered here and not by the service that counts.
//!
//! Bounded: where there is no room, those whose time is over make some, else the one that ends soonest goes. Who is
//! forgotten is asked for once more, which is never wrong.

use std::collections::HashMap;

use cache_core::{Key, Time};
use foldhash::quality::RandomState;
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct Denials {
    most: usize,
    denied: Mutex<HashMap<Key, Denial, RandomState>>,
}

#[derive(Clone, Copy, Debug)]
struct Denial {
    until: Time,
    /// Whoever wants as much or more is denied as well.
    cost: u64,
}

/// How many of the others are looked at by one that finds no room.
const LOOKED_AT: usize = 32;

impl Denials {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, denied: Mutex::default() }
    }

    /// Until when a call of this cost is known to be denied.
    pub(crate) fn until(&self, key: &Key, cost: u64, now: Time) -> Option<Time> {
        let denied = self.denied.lock();
        let denial = denied.get(key).filter(|denial| now < denial.until && cost >= denial.cost);
        denial.map(|denial| denial.until)
    }

    pub(crate) fn insert(&self, key: &Key, cost: u64, until: Time, now: Time) {
        let mut denied = self.denied.lock();
        if denied.len() >= self.most && !denied.contains_key(key) {
            let soonest = denied.iter().take(LOOKED_AT).min_by_key(|(_, denial)| denial.until);
            let Some(soonest) = soonest.map(|(key, _)| key.clone()) else { return };
            denied.remove(&soonest);
        }
        let denial = denied.entry(key.clone()).or_insert(Denial { until, cost });
        // Of two denials that both still hold, the cheaper one answers more; one that is over answers nothing.
        if denial.until <= now || cost <= denial.cost {
            *denial = Denial { until, cost };
        }
    }

    pub(crate) fn remove(&self, key: &Key) {
        self.denied.lock().remove(key);
    }

    pub(crate) fn len(&self) -> usize {
        self.denied.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_holds_for_as_much_or_more_until_its_time() -> Result<(), cache_core::KeyError> {
        let (denials, key) = (Denials::new(10), Key::new("k")?);
        let at = Time::from_nanos;
        denials.insert(&key, 5, at(100), at(0));
        assert_eq!(
            [4, 5, 6].map(|cost| denials.until(&key, cost, at(99))),
            [None, Some(at(100)), Some(at(100))]
        );
        assert_eq!(denials.until(&key, 5, at(100)), None);
        denials.insert(&key, 7, at(200), at(50));
        assert_eq!(denials.until(&key, 5, at(99)), Some(at(100)), "the cheaper one is kept");
        denials.insert(&key, 7, at(300), at(150));
        assert_eq!([5, 7].map(|cost| denials.until(&key, cost, at(150))), [None, Some(at(300))]);
        denials.remove(&key);
        assert_eq!(denials.until(&key, 9, at(150)), None);
        Ok(())
    }

    #[test]
    fn there_are_never_more_than_allowed() -> Result<(), cache_core::KeyError> {
        let denials = Denials::new(100);
        for number in 0..10_000_u64 {
            denials.insert(&Key::new(number.to_string())?, 1, Time::from_nanos(number + 1), Time::ZERO);
            assert!(denials.len() <= 100);
        }
        Ok(())
    }
}
