//! Eviction: who goes when there is no room. One algorithm per file behind one trait.
//!
//! The owner tells what happens to each slot; the policy answers one question: who next? What a policy remembers of an
//! entry stands in its [`Node`]. Ghosts and frequency sketches know an entry by its fingerprint, because
//! its slot will soon be someone else's.
//!
//! A use costs what the policy needs and no more: a counter in the node that most of them let grow to 1, and a mask
//! that says which uses the policy wants to hear of at once: every one (LRU), a sample (ADAPTIVE), none.

mod adaptive;
mod aged;
mod change;
mod climber;
mod ghost;
mod hybrid;
mod judge;
mod lfu;
mod lru;
mod policy;
mod ranked;
mod returns;
mod s3_fifo;
mod sieve;
mod size;
mod sketch;
mod staged;
mod ttl;
#[cfg(test)]
mod watched;

use std::fmt;

use crate::node::{Node, Slab, Slot};
use adaptive::Adaptive;
use change::Change;
use hybrid::Hybrid;
use lfu::TinyLfu;
use lru::Lru;
pub use policy::{Objective, Policy, UnknownPolicy};
use s3_fifo::S3Fifo;
use sieve::Sieve;
use size::LargestFirst;
use ttl::SoonestFirst;

/// A rule that chooses victims among the slots of a slab. Every method costs O(1), amortised, unless the rule says
/// otherwise.
///
/// The owner keeps the contract: a slot is inserted before anything else is said of it, not twice, and not spoken of
/// after it was removed or evicted.
trait Evict: fmt::Debug {
    /// How many uses of an entry between two looks at it are distinguished.
    const MOST_USES: u8 = 1;

    /// Uses of entries in whose fingerprint none of these bits is set are observed at once.
    fn watch(&self) -> u32 {
        NO_USE
    }

    /// A new entry has taken this slot.
    fn insert(&mut self, slab: &mut impl Slab, slot: Slot);

    /// An entry that is watched was used. Its node knows already.
    fn observe(&mut self, _slab: &mut impl Slab, _slot: Slot) {}

    /// The weight, cost, class or deadline of the entry has changed. That is not a use.
    fn update(&mut self, _slab: &mut impl Slab, _slot: Slot) {}

    /// The entry is about to leave for another reason than eviction: expired or removed.
    fn remove(&mut self, slab: &mut impl Slab, slot: Slot);

    /// Chooses the next victim and forgets it. `None` if there are no entries.
    fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot>;

    /// Fetches what an insert of this fingerprint will look at, and what the evictions after it will; says who is likely to be the second
    /// victim from now.
    fn prepare(&self, _slab: &impl Slab, _fingerprint: u32) -> Option<Slot> {
        None
    }

    /// What it has learned, for others that [`follow`](Self::follow).
    fn advice(&self) -> Advice {
        Advice::default()
    }

    /// Goes by what another one has learned.
    fn follow(&mut self, _advice: Advice) {}
}

/// What the one policy of a cache that tries out rules has learned, for the others: see [`Evictor::following`].
pub type Advice = u8;

/// A [`watch`](Evict::watch) that hears of every use.
const EVERY_USE: u32 = 0;
/// One that hears of no use, save of the one fingerprint in four milliards that is zero.
const NO_USE: u32 = u32::MAX;

/// What a policy wants to know of the uses of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    watch: u32,
    most_uses: u8,
}

impl Attention {
    /// Of one who wants to hear of every use, whatever was noted before.
    pub const ALL: Self = Self { watch: EVERY_USE, most_uses: u8::MAX };

    /// Notes a use in the node of an entry, and says whether the policy wants to [`observe`](Evictor::observe) it.
    #[inline]
    pub fn note_use(self, node: &mut Node) -> bool {
        // A store that changes nothing is left out: it would make the line dirty, and the next lock wait for it.
        if node.uses < self.most_uses {
            node.uses += 1;
        }
        node.fingerprint() & self.watch == 0
    }

    /// Tells whether one more use of this entry makes no difference to the policy, so that it need not be noted.
    #[inline]
    pub fn has_noted(self, node: &Node) -> bool {
        node.uses >= self.most_uses && node.fingerprint() & self.watch != 0
    }
}

/// A policy at work on one slab.
#[derive(Debug)]
pub struct Evictor {
    attention: Attention,
    policy: Policy,
    leads: bool,
    advice: Advice,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    Lru(Lru),
    Lfu(TinyLfu),
    S3Fifo(S3Fifo),
    Sieve(Sieve),
    Ttl(SoonestFirst),
    Size(LargestFirst),
    Adaptive(Adaptive),
    /// Several times as large as the others, which every shard would have to be.
    Hybrid(Box<Hybrid>),
    /// On the way from one to another.
    Change(Box<Change>),
}

/// Calls the rule at work, whichever it is: a `match` costs less than a call through a pointer, and inlines.
macro_rules! with_rule {
    ($evictor:expr, $rule:ident => $call:expr) => {
        match &mut $evictor.rule {
            Rule::Lru($rule) => $call,
            Rule::Lfu($rule) => $call,
            Rule::S3Fifo($rule) => $call,
            Rule::Sieve($rule) => $call,
            Rule::Ttl($rule) => $call,
            Rule::Size($rule) => $call,
            Rule::Adaptive($rule) => $call,
            Rule::Hybrid($rule) => $call,
            Rule::Change($rule) => $call,
        }
    };
}

impl Evictor {
    /// The policy at its start, over no entries.
    pub fn new(policy: Policy) -> Self {
        Self::start(policy, true)
    }

    /// The same for one of several parts of a cache, of which another one leads: what rules have to be tried out is tried
    /// out there, and this one goes by its [`advice`](Self::advice).
    pub fn following(policy: Policy) -> Self {
        Self::start(policy, false)
    }

    fn start(policy: Policy, leads: bool) -> Self {
        match policy {
            Policy::Adaptive => Self::of(policy, leads, Adaptive::new(leads), Rule::Adaptive),
            Policy::Lru => Self::of(policy, leads, Lru::default(), Rule::Lru),
            Policy::Lfu => Self::of(policy, leads, TinyLfu::default(), Rule::Lfu),
            Policy::S3Fifo => Self::of(policy, leads, S3Fifo::default(), Rule::S3Fifo),
            Policy::Sieve => Self::of(policy, leads, Sieve::default(), Rule::Sieve),
            Policy::Ttl => Self::of(policy, leads, SoonestFirst::default(), Rule::Ttl),
            Policy::Size => Self::of(policy, leads, LargestFirst::default(), Rule::Size),
            Policy::Hybrid(objective) => {
                Self::of(policy, leads, Hybrid::new(objective), |rule| Rule::Hybrid(Box::new(rule)))
            }
        }
    }

    fn of<R: Evict>(policy: Policy, leads: bool, rule: R, wrap: fn(R) -> Rule) -> Self {
        let attention = Attention { watch: rule.watch(), most_uses: R::MOST_USES };
        Self { attention, policy, leads, advice: 0, rule: wrap(rule) }
    }

    /// Tells whether it tries out rules itself.
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// What it has learned. Changes seldom, and only when it evicts.
    #[inline]
    pub fn advice(&self) -> Advice {
        self.advice
    }

    /// Goes by what another one of the same policy has learned.
    pub fn follow(&mut self, advice: Advice) {
        self.advice = advice;
        with_rule!(self, rule => rule.follow(advice));
    }

    /// Which policy is at work.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// A new entry has taken this slot.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert into a full cache is one piece of code: a call in it costs a twentieth of the whole"
    )]
    pub fn insert(&mut self, slab: &mut impl Slab, slot: Slot) {
        match &mut self.rule {
            Rule::Adaptive(rule) => rule.insert(slab, slot),
            _ => self.insert_by_rule(slab, slot),
        }
    }

    /// By any rule but the usual one, which has its code where it is called.
    #[inline(never)]
    fn insert_by_rule(&mut self, slab: &mut impl Slab, slot: Slot) {
        with_rule!(self, rule => rule.insert(slab, slot));
    }

    /// The entry was used: read, or given a new value.
    #[inline]
    pub fn touch(&mut self, slab: &mut impl Slab, slot: Slot) {
        if self.note_use(slab.node_mut(slot)) {
            self.observe(slab, slot);
        }
    }

    /// The first half of [`touch`](Self::touch), for whoever has the node at hand: says whether the policy wants to
    /// [`observe`](Self::observe) this use.
    #[inline]
    pub fn note_use(&self, node: &mut Node) -> bool {
        self.attention.note_use(node)
    }

    /// What it wants to know of uses. Changes only where it evicts, if it [learns](Self::learns) by that, or [changes](Self::change).
    #[inline]
    pub fn attention(&self) -> Attention {
        self.attention
    }

    /// The second half of [`touch`](Self::touch).
    #[inline(never)]
    pub fn observe(&mut self, slab: &mut impl Slab, slot: Slot) {
        with_rule!(self, rule => rule.observe(slab, slot));
    }

    /// The weight, cost, class or deadline of the entry has changed. That alone is not a use.
    pub fn update(&mut self, slab: &mut impl Slab, slot: Slot) {
        with_rule!(self, rule => rule.update(slab, slot));
    }

    /// The entry is about to leave for another reason than eviction: expired or removed.
    pub fn remove(&mut self, slab: &mut impl Slab, slot: Slot) {
        with_rule!(self, rule => rule.remove(slab, slot));
    }

    /// Has the processor [fetch](Slab::fetch) what an insert of this fingerprint will look at, and what the evictions after it will.
    /// Says who is likely to be the second victim from now: his node is near by now, what else the owner will look at of him may not be.
    #[inline]
    pub fn prepare(&mut self, slab: &impl Slab, fingerprint: u32) -> Option<Slot> {
        match &self.rule {
            Rule::Adaptive(rule) => rule.prepare(slab, fingerprint),
            _ => self.prepare_by_rule(slab, fingerprint),
        }
    }

    /// By any rule but the usual one.
    #[inline(never)]
    fn prepare_by_rule(&mut self, slab: &impl Slab, fingerprint: u32) -> Option<Slot> {
        with_rule!(self, rule => rule.prepare(slab, fingerprint))
    }

    /// Chooses the next victim and forgets it; its slot is still taken. `None` if there are no entries.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "an insert into a full cache is one piece of code: a call in it costs a twentieth of the whole"
    )]
    pub fn evict(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        match &mut self.rule {
            Rule::Adaptive(rule) if !self.leads => rule.evict_by_advice(slab),
            _ => self.evict_and_learn(slab),
        }
    }

    /// Tells whether its [`attention`](Self::attention) may change by an eviction: not that of the usual rule where it goes by what
    /// another one has learned.
    #[inline]
    pub fn learns(&self) -> bool {
        self.leads || !matches!(self.rule, Rule::Adaptive(_))
    }

    /// By any rule but the usual one, or by one that leads.
    #[inline(never)]
    fn evict_and_learn(&mut self, slab: &mut impl Slab) -> Option<Slot> {
        with_rule!(self, rule => {
            let victim = rule.evict(slab);
            self.attention.watch = rule.watch();
            if self.leads {
                self.advice = rule.advice();
            }
            victim
        })
    }

    /// Goes on by another policy, with the same entries. Costs O(n): whoever would have gone first is told first, as if
    /// it were the oldest.
    pub fn change(&mut self, policy: Policy, slab: &mut impl Slab) {
        self.begin_change(policy);
        while self.advance_change(slab, usize::MAX) {}
    }

    /// Goes on by another policy, to which the entries still have to go over: see [`advance_change`](Self::advance_change).
    /// Until they have, victims are the old policy's.
    pub fn begin_change(&mut self, policy: Policy) {
        let leads = self.leads;
        let from = std::mem::replace(self, Self::start(policy, leads));
        let to = std::mem::replace(self, Self::start(policy, leads));
        *self = Self::of(policy, leads, Change::new(from, to), |change| Rule::Change(Box::new(change)));
    }

    /// Lets so many entries go over to the policy that was chosen last, those first that would have gone first, and says
    /// whether there are more.
    pub fn advance_change(&mut self, slab: &mut impl Slab, steps: usize) -> bool {
        let Rule::Change(change) = &mut self.rule else { return false };
        if change.advance(slab, steps) {
            return true;
        }
        let Rule::Change(change) = std::mem::replace(&mut self.rule, Rule::Lru(Lru::default())) else {
            return false;
        };
        *self = change.into_new();
        false
    }
}
