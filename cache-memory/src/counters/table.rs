//! All windows of all keys, bounded in number, in the order in which they become idle.
//!
//! Every key stands in both maps, and only while something is charged to it. The order's first group are keys that may
//! be given up for others; keys that were denied stand in the second, where only time frees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;

use cache_core::{Demand, Key, Quota, Time, Verdict};

use super::ledger::Ledger;

#[derive(Debug, Default)]
pub(super) struct Table {
    keys: HashMap<Key, Account>,
    order: BTreeMap<Place, Key>,
    last_id: u64,
}

/// The windows of one key, and where it stands in the order.
#[derive(Debug)]
struct Account {
    windows: Vec<Ledger>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    denied: bool,
    idle_at: Time,
    id: u64,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Forgets up to two idle keys of each group: more than most calls add, and no call pays for all.
    pub(super) fn forget_idle(&mut self, now: Time) {
        for denied in [false, false, true, true] {
            let first = self.order.range(first_of(denied)..).next();
            if let Some((place, _)) =
                first.filter(|(place, _)| place.denied == denied && place.idle_at <= now)
            {
                self.forget_at(*place);
            }
        }
    }

    /// Decides, and remembers which limits have denied. Charges nothing.
    pub(super) fn judge(&mut self, demands: &[Demand<'_>], now: Time) -> Verdict {
        let mut remaining = u64::MAX;
        let mut longest_wait = None;
        for demand @ Demand { key, quota, spare, .. } in demands {
            let room = demand.room();
            // Whoever only asks is told what would be left to spare.
            let spare = if room == 0 { *spare } else { 0 };
            match self.window(key, quota).map(|window| window.ask(room, now)) {
                None => remaining = remaining.min((quota.limit() - room).saturating_sub(spare)),
                Some(Ok(left)) => remaining = remaining.min(left.saturating_sub(spare)),
                Some(Err(wait)) => {
                    longest_wait = longest_wait.max(Some(wait));
                    self.put_in_place(key);
                }
            }
        }
        longest_wait.map_or(Verdict::Admitted { remaining }, |wait| Verdict::Denied { wait })
    }

    /// Gives up as many keys as the new ones of this call need. If there are too few of them, none is given up, and
    /// the answer is no.
    pub(super) fn make_room(&mut self, demands: &[Demand<'_>], max_keys: NonZeroUsize, now: Time) -> bool {
        let charged = demands.iter().filter(|demand| demand.cost > 0).map(|demand| demand.key);
        let new: BTreeSet<&Key> = charged.filter(|key| !self.keys.contains_key(*key)).collect();
        let lacking = (self.len() + new.len()).saturating_sub(max_keys.get());
        if lacking == 0 {
            return true;
        }
        let idle_though_denied =
            self.order.range(first_of(true)..).take_while(|(place, _)| place.idle_at <= now);
        let not_denied = self.order.range(..first_of(true));
        let in_this_call = |key: &Key| demands.iter().any(|demand| demand.key == key);
        let candidates = idle_though_denied.chain(not_denied).filter(|(_, key)| !in_this_call(key));
        let given_up: Vec<Place> = candidates.map(|(place, _)| *place).take(lacking).collect();
        if given_up.len() < lacking {
            return false;
        }
        for place in given_up {
            self.forget_at(place);
        }
        true
    }

    /// Charges what was judged to fit, and returns where it was.
    pub(super) fn take(&mut self, demand: &Demand<'_>, now: Time) -> u64 {
        let Demand { key, quota, cost, .. } = *demand;
        if cost == 0 {
            return 0;
        }
        let mark = self.open(key, quota, now).take(cost, now);
        self.put_in_place(key);
        mark
    }

    /// Takes a charge out of where it was.
    pub(super) fn give_back(&mut self, demand: &Demand<'_>, mark: u64) {
        if let Some(window) = self.window(demand.key, demand.quota) {
            window.give_back(demand.cost, mark);
            self.put_in_place(demand.key);
        }
    }

    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(account) = self.keys.remove(key) {
            self.order.remove(&account.place);
        }
    }

    fn forget_at(&mut self, place: Place) {
        if let Some(key) = self.order.remove(&place) {
            self.keys.remove(&key);
        }
    }

    fn window(&mut self, key: &Key, quota: &Quota) -> Option<&mut Ledger> {
        self.keys.get_mut(key)?.windows.iter_mut().find(|window| window.is_of(quota))
    }

    /// The window of this limit, made if need be. A key's windows of other quotas go once they are idle.
    fn open(&mut self, key: &Key, quota: &Quota, now: Time) -> &mut Ledger {
        let last_id = &mut self.last_id;
        let windows = &mut self.keys.entry(key.clone()).or_insert_with(|| Account::new(last_id)).windows;
        windows.retain(|window| window.is_of(quota) || window.idle_at().is_some_and(|at| at > now));
        let at = windows.iter().position(|window| window.is_of(quota)).unwrap_or(windows.len());
        if at == windows.len() {
            windows.push(Ledger::new(*quota));
        }
        &mut windows[at]
    }

    /// Moves a key to where it belongs now, or forgets it if nothing is charged to it any more.
    fn put_in_place(&mut self, key: &Key) {
        let Some(account) = self.keys.get_mut(key) else { return };
        let Some(idle_at) = account.windows.iter().filter_map(Ledger::idle_at).max() else {
            return self.forget(key);
        };
        let denied = account.windows.iter().any(Ledger::has_denied);
        let place = Place { denied, idle_at, id: account.place.id };
        if place != account.place {
            let key = self.order.remove(&account.place).unwrap_or_else(|| key.clone());
            self.order.insert(place, key);
            account.place = place;
        }
    }
}

impl Account {
    fn new(last_id: &mut u64) -> Self {
        *last_id += 1;
        Self { windows: Vec::new(), place: Place { denied: false, idle_at: Time::ZERO, id: *last_id } }
    }
}

fn first_of(denied: bool) -> Place {
    Place { denied, idle_at: Time::ZERO, id: 0 }
}
