//! HYBRID: what is worth least goes first: how often it was used, times what it is worth, over what it weighs; and
//! worth ages.
//!
//! ```text
//! priority = age when it was looked at + uses x worth / weight         age = priority of the last victim
//! ```
//! Worth is 1 for the most hits, the weight for the most bytes, the cost for the most cost saved.
//!
//! A use only counts, up to 15 between two looks. Whoever is about to be the victim and was used since the last look is
//! given a new priority instead.
//!
//! Of a lower class all go before any of the next. But while four times as many victims go as there are entries, each
//! class that is spared is looked through, least priority first, and whoever was not used goes to the end of the class
//! below, until it is used there. So what is precious and forgotten leaves, too.
//!
//! Sources: Cao and Irani, "Cost-aware WWW proxy caching algorithms", USITS 1997 (ageing); Cherkasova, "Improving WWW
//! proxies performance with Greedy-Dual-Size-Frequency caching policy", HP Labs 1998 (frequency); Li and Cox, "CAMP: a
//! cost adaptive multi-queue eviction policy for key-value stores", Middleware 2014 (queues of rounded ratios).

use super::Evict;
use super::aged::{Aged, Standing, step_of};
use super::policy::Objective;
use crate::column::Column;
use crate::node::{Slab, Slot};

#[derive(Debug)]
pub(super) struct Hybrid {
    objective: Objective,
    classes: [Aged; CLASSES],
    /// For each class, how much of the next look at it is due: see [`Hybrid::demote`].
    due: [u64; CLASSES],
    standings: Column<Standing>,
    typical_cost: Typical,
}

const CLASSES: usize = 4;
/// Turnovers of the cache in which a spared class is looked through. With fewer, it is little better off than the one
/// below; with more, the forgotten stay for longer.
const TURNOVERS: u64 = 4;

impl Evict for Hybrid {
    const MOST_USES: u8 = 15;

    #[inline(never)]
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        self.typical_cost.learn(slab.cost(slot));
        self.put(slab, slot, slab.node(slot).class(), 1);
    }

    fn update(&mut self, slab: &mut impl Slab, slot: Slot) {
        let held = self.standings.get(slot);
        let class = slab.node(slot).class();
        // A demoted entry comes back as a new one.
        let uses = held.uses().max(1);
        if class != held.class() || step_of(self.worth(slab, slot, uses)) != slab.node(slot).queue {
            self.remove(slab, slot);
            self.put(slab, slot, class, uses);
        }
    }

    fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        let class = self.standings.get(slot).class();
        self.classes[usize::from(class)].remove(slab, &self.standings, slot);
    }

    #[inline(never)]
    fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        self.demote(slab);
        loop {
            let slot = self.classes[self.lowest()?].pop(slab, &mut self.standings)?;
            if !self.renew(slab, slot) {
                return Some(slot);
            }
        }
    }
}

impl Hybrid {
    pub(super) fn new(objective: Objective) -> Self {
        Self {
            objective,
            classes: <[Aged; CLASSES]>::default(),
            due: [0; CLASSES],
            standings: Column::default(),
            typical_cost: Typical::default(),
        }
    }

    /// The lowest class that has entries: the one that victims are taken from.
    fn lowest(&self) -> Option<usize> {
        self.classes.iter().position(|class| class.len() > 0)
    }

    fn put(&mut self, slab: &mut impl Slab, slot: Slot, class: u8, uses: u8) {
        let step = step_of(self.worth(slab, slot, uses));
        let since = self.classes[usize::from(class)].push(slab, slot, step);
        self.standings.set(slot, Standing::new(since, class, uses));
    }

    /// Puts an entry that was taken out to look at it back into its own class, if it was used.
    fn renew(&mut self, slab: &mut impl Slab, slot: Slot) -> bool {
        let node = slab.node_mut(slot);
        let (new, class) = (std::mem::take(&mut node.uses), node.class());
        if new > 0 {
            let uses = (self.standings.get(slot).uses() + new).min(Standing::MOST_USES);
            self.put(slab, slot, class, uses);
        }
        new > 0
    }

    /// With each victim, each class that is spared comes nearer to its next look, by its share of the entries: so in
    /// [`TURNOVERS`] times as many victims as there are entries it has been looked at as often as it has entries.
    ///
    /// Who goes down brings nothing along: what is worth a thousand times as much as the entries there would be
    /// spared for a thousand turnovers more.
    fn demote(&mut self, slab: &mut impl Slab) {
        let Some(lowest) = self.lowest() else { return };
        let held: u64 = self.classes.iter().map(|class| u64::from(class.len())).sum();
        for class in lowest + 1..CLASSES {
            self.due[class] += u64::from(self.classes[class].len());
            if self.due[class] < TURNOVERS * held {
                continue;
            }
            self.due[class] -= TURNOVERS * held;
            if let Some(slot) = self.classes[class].pop(slab, &mut self.standings)
                && !self.renew(slab, slot)
            {
                #[expect(clippy::cast_possible_truncation, reason = "there are four classes")]
                let below = class as u8 - 1;
                self.put(slab, slot, below, 0);
            }
        }
    }

    /// What a byte of an entry is worth that was used so often.
    #[expect(clippy::cast_precision_loss, reason = "rounded to a quarter anyway")]
    fn worth(&self, slab: &impl Slab, slot: Slot, uses: u8) -> f32 {
        let weight = slab.weight(slot).max(1) as f32;
        let value = match self.objective {
            Objective::Hits => 1.0,
            Objective::Bytes => weight,
            Objective::Cost => known(slab.cost(slot)).unwrap_or(self.typical_cost.get()),
        };
        f32::from(uses) * (value / weight)
    }
}

/// A cost that says something. Of an infinite one, the most that can be counted with.
fn known(cost: f32) -> Option<f32> {
    (cost > 0.0).then_some(cost.min(f32::MAX))
}

/// The geometric mean of the known costs of late: what an unknown cost is taken for. Of costs that are spread over
/// magnitudes, another mean would be that of the few highest.
#[derive(Debug, Default)]
struct Typical {
    log2: Option<f32>,
}

/// In known costs: about how many the mean is over.
const MEMORY: f32 = 64.0;

impl Typical {
    fn learn(&mut self, cost: f32) {
        if let Some(cost) = known(cost) {
            let mean = self.log2.unwrap_or(cost.log2());
            self.log2 = Some(mean + (cost.log2() - mean) / MEMORY);
        }
    }

    /// One second while none is known: then it does not matter.
    fn get(&self) -> f32 {
        self.log2.map_or(1.0, f32::exp2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_cost_is_taken_for_what_costs_were_of_late() {
        check(&[0.0, -1.0, f32::NAN], 1.0);
        check(&[0.25, 0.0, 0.25], 0.25);
        check(&[[0.25; 1000], [4.0; 1000]].concat(), 4.0);
    }

    #[track_caller]
    fn check(costs: &[f32], expected: f32) {
        let mut typical = Typical::default();
        for cost in costs {
            typical.learn(*cost);
        }
        assert!((typical.get() - expected).abs() < expected / 1000.0, "{}", typical.get());
    }
}
