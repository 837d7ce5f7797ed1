//! The tier against the obvious one, a map and a clock, through closes, kills, power cuts and faults of the disk.
//!
//! Where nothing has an excuse to be lost, the answers have to be the same. Where there are faults, an answer has to be
//! the last value that was acknowledged, or none; and only what was never acknowledged as gone may show again after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cache_core::{Clock, Entry, Removed, Store, StoreExt, Tag, Tags, Ttl};
use cache_disk::{Disk, Durability};
use cache_testkit::clock::ManualClock;
use proptest::prelude::*;

use crate::key;
use crate::sim::Sim;

#[derive(Clone, Debug)]
enum Op {
    Put { key: u8, bytes: usize, ttl: Option<u64>, tag: Option<u8> },
    Get(u8),
    Touch { key: u8, ttl: u64 },
    Remove(Vec<u8>),
    RemoveTag(u8),
    RemovePrefix(u8),
    Clear,
    Advance(u64),
    Close,
    Kill,
    CutPower(u64),
    Fault(Fault),
}

#[derive(Clone, Debug)]
enum Fault {
    None,
    Full(usize),
    ReadOnly,
    Fuse(u64),
}

fn op() -> BoxedStrategy<Op> {
    let key = 0_u8..12;
    let ttl = prop_oneof![1_u64..50, 1000_u64..5000];
    let bytes = prop_oneof![0_usize..40, 0_usize..1200];
    prop_oneof![
        30 => (key.clone(), bytes, prop::option::of(ttl.clone()), prop::option::of(0_u8..3))
            .prop_map(|(key, bytes, ttl, tag)| Op::Put { key, bytes, ttl, tag }),
        24 => key.clone().prop_map(Op::Get),
        6 => (key.clone(), prop_oneof![Just(0), ttl]).prop_map(|(key, ttl)| Op::Touch { key, ttl }),
        9 => prop::collection::vec(key, 1..4).prop_map(Op::Remove),
        3 => (0_u8..3).prop_map(Op::RemoveTag),
        3 => (0_u8..3).prop_map(Op::RemovePrefix),
        1 => Just(Op::Clear),
        9 => prop_oneof![1_u64..20, 1000_u64..3000].prop_map(Op::Advance),
        6 => Just(Op::Close),
        6 => Just(Op::Kill),
        6 => any::<u64>().prop_map(Op::CutPower),
    ]
    .boxed()
}

fn op_with_faults() -> BoxedStrategy<Op> {
    let fault = prop_oneof![
        3 => Just(Fault::None),
        1 => (0_usize..20_000).prop_map(Fault::Full),
        1 => Just(Fault::ReadOnly),
        2 => (0_u64..6).prop_map(Fault::Fuse),
    ];
    prop_oneof![6 => op(), 1 => fault.prop_map(Op::Fault)].boxed()
}

fn name(key: u8) -> String {
    format!("{}:{key}", key % 3)
}

/// What an acknowledged write has stored.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    value: Vec<u8>,
    gone: u64,
    tag: Option<u8>,
}

#[derive(Default)]
struct Model {
    held: BTreeMap<u8, Held>,
    /// What ended without being acknowledged as ended, and so may show again after a crash.
    ghosts: BTreeMap<u8, Vec<Held>>,
}

impl Model {
    fn alive(&self, key: u8, now: u64) -> Option<&Held> {
        self.held.get(&key).filter(|held| now < held.gone)
    }

    fn acknowledged(&mut self, key: u8, held: Option<Held>) {
        self.ghosts.remove(&key);
        match held {
            Some(held) => drop(self.held.insert(key, held)),
            None => drop(self.held.remove(&key)),
        }
    }

    /// Nobody said whether it has happened.
    fn failed(&mut self, key: u8, new: Option<Held>) {
        let ghosts = self.held.remove(&key).into_iter().chain(new);
        self.ghosts.entry(key).or_default().extend(ghosts);
    }
}

struct Pair {
    clock: ManualClock,
    sim: Sim,
    durability: Durability,
    max_bytes: u64,
    /// Whether nothing has an excuse to be lost.
    exact: bool,
    disk: Option<Disk>,
    model: Model,
    puts: u8,
}

impl Pair {
    fn new(durability: Durability, max_bytes: u64, exact: bool) -> Self {
        let clock = ManualClock::new();
        let sim = Sim::new(&clock);
        let mut pair =
            Self { clock, sim, durability, max_bytes, exact, disk: None, model: Model::default(), puts: 0 };
        pair.start();
        pair
    }

    fn start(&mut self) {
        let builder = Disk::builder("unused").with_medium(Arc::new(self.sim.clone()));
        let builder = builder.with_clock(Arc::new(self.clock.clone())).with_durability(self.durability);
        let builder = builder.with_max_bytes(self.max_bytes).with_segment_bytes(4096).with_readers(1);
        self.disk = Some(builder.build().expect("every start succeeds"));
    }

    fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("it is started anew after each end")
    }

    fn now(&self) -> u64 {
        self.clock.now().as_nanos() / 1_000_000
    }

    fn restart(&mut self, sim: Sim) {
        self.sim = sim;
        self.disk = None;
        self.start();
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Put { key, bytes, ttl, tag } => self.put(*key, *bytes, *ttl, *tag),
            Op::Get(key) => self.look(*key),
            Op::Touch { key, ttl } => self.touch(*key, *ttl),
            Op::Remove(keys) => self.remove(keys),
            Op::RemoveTag(tag) => self.remove_if(
                |_, held| held.tag == Some(*tag),
                |disk| pollster::block_on(disk.remove_tag(&Tag::new(tag.to_string()).expect("legal"))),
            ),
            Op::RemovePrefix(prefix) => self.remove_if(
                |key, _| key % 3 == *prefix,
                |disk| pollster::block_on(disk.remove_prefix(&format!("{prefix}:"))),
            ),
            Op::Clear => self.remove_if(|_, _| true, |disk| pollster::block_on(disk.clear())),
            Op::Advance(millis) => self.clock.advance(Duration::from_millis(*millis)),
            Op::Close => {
                let closed = pollster::block_on(self.disk().close());
                assert!(closed.is_ok() || !self.exact, "{closed:?}");
                self.restart(self.sim.clone());
            }
            Op::Kill => {
                let sim = self.sim.kill();
                self.restart(sim);
            }
            Op::CutPower(seed) => {
                let sim = self.sim.cut_power(*seed);
                self.restart(sim);
                // What was closed in order is there even then; where faults keep it from being opened again, it stays so.
                if self.durability == Durability::Process && self.exact {
                    self.model = Model::default();
                }
            }
            Op::Fault(fault) => self.break_by(fault),
        }
        self.check();
    }

    fn break_by(&self, fault: &Fault) {
        self.sim.set_room(None);
        self.sim.set_read_only(false);
        self.sim.set_fuse(None);
        match fault {
            Fault::None => {}
            Fault::Full(room) => self.sim.set_room(Some(*room)),
            Fault::ReadOnly => self.sim.set_read_only(true),
            Fault::Fuse(changes) => self.sim.set_fuse(Some(*changes)),
        }
    }

    fn put(&mut self, key_: u8, bytes: usize, ttl: Option<u64>, tag: Option<u8>) {
        self.puts = self.puts.wrapping_add(1);
        let value = vec![self.puts; bytes];
        let gone = ttl.map_or(u64::MAX, |ttl| self.now() + ttl);
        let tags = tag.map_or(Tags::NONE, |tag| Tag::new(tag.to_string()).expect("legal").into());
        let ttl = ttl.map_or(Ttl::FOREVER, Ttl::from_millis);
        let entry = Entry::new(value.clone()).with_ttl(ttl).with_tags(tags);
        let held = Held { value, gone, tag };
        match pollster::block_on(self.disk().put(key(name(key_)), entry)) {
            Ok(()) => self.model.acknowledged(key_, Some(held)),
            Err(error) => {
                assert!(!self.exact, "{error:?}");
                let found = pollster::block_on(self.disk().get(&key(name(key_)))).expect("reads do not fail");
                // What was written and could not be synced is there, and may be lost.
                let unsynced = self.durability == Durability::Power;
                let left = found.is_none_or(|found| unsynced && found.value == held.value);
                assert!(left, "a write that failed left what was there before");
                self.model.failed(key_, Some(held));
            }
        }
    }

    /// Reads and compares. Ghosts are what a start has brought back; from then on the one that was seen is what is there.
    fn look(&mut self, key_: u8) {
        let found = pollster::block_on(self.disk().get(&key(name(key_)))).expect("reads do not fail");
        let now = self.now();
        let alive = self.model.alive(key_, now);
        let Some(entry) = found else {
            assert!(alive.is_none() || !self.exact, "{key_} is lost: {alive:?}");
            return;
        };
        let fits = |held: &&Held| {
            let left = if held.gone == u64::MAX {
                Ttl::FOREVER
            } else {
                Ttl::from_millis(held.gone.saturating_sub(now))
            };
            held.value == entry.value && entry.meta.ttl == left && now < held.gone
        };
        let ghosts = self.model.ghosts.get(&key_).into_iter().flatten();
        let possible: Vec<&Held> = alive.into_iter().chain(ghosts).collect();
        assert!(possible.iter().any(fits), "{key_} is {entry:?} at {now}, and should be one of {possible:?}");
    }

    fn touch(&mut self, key_: u8, ttl: u64) {
        let now = self.now();
        let before = self.model.alive(key_, now).cloned();
        let after = before.clone().filter(|_| ttl > 0).map(|held| Held { gone: now + ttl, ..held });
        match pollster::block_on(self.disk().touch(&key(name(key_)), Ttl::from_millis(ttl))) {
            Ok(touched) => {
                assert!(touched == before.is_some() || !self.exact, "{touched}, and it was {before:?}");
                if touched && before.is_some() {
                    self.model.acknowledged(key_, after);
                } else if touched {
                    // A ghost, of which the model does not know which: it may be any, with the new life.
                    let ghosts = self.model.ghosts.remove(&key_).unwrap_or_default();
                    let touched = ghosts.into_iter().map(|held| Held { gone: now + ttl, ..held });
                    self.model.ghosts.insert(key_, touched.filter(|_| ttl > 0).collect());
                }
            }
            Err(error) => {
                assert!(!self.exact, "{error:?}");
                let ghosts = self.model.ghosts.entry(key_).or_default();
                let touched: Vec<Held> =
                    ghosts.iter().map(|held| Held { gone: now + ttl, ..held.clone() }).collect();
                ghosts.extend(after.into_iter().chain(touched));
            }
        }
    }

    fn remove(&mut self, keys: &[u8]) {
        let now = self.now();
        let mut distinct = keys.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let expected = distinct.iter().filter(|key| self.model.alive(**key, now).is_some()).count() as u64;
        let names: Vec<_> = keys.iter().map(|it| key(name(*it))).collect();
        match pollster::block_on(self.disk().remove_many(&names)) {
            Ok(removed) => {
                assert!(removed == expected || !self.exact, "removed {removed} of {expected}");
                for key in distinct {
                    self.model.acknowledged(key, None);
                }
            }
            Err(error) => {
                assert!(!self.exact, "{error:?}");
                for key in distinct {
                    self.model.failed(key, None);
                }
            }
        }
    }

    fn remove_if(
        &mut self,
        doomed: impl Fn(u8, &Held) -> bool,
        remove: impl Fn(&Disk) -> cache_core::Result<Removed>,
    ) {
        let now = self.now();
        let gone: Vec<u8> =
            self.model.held.iter().filter(|(key, held)| doomed(**key, held)).map(|(key, _)| *key).collect();
        let expected = gone.iter().filter(|key| self.model.alive(**key, now).is_some()).count() as u64;
        match remove(self.disk()) {
            Ok(removed) => {
                assert!(removed == Removed::Exactly(expected) || !self.exact, "{removed:?} of {expected}");
                for key in gone {
                    self.model.held.remove(&key);
                }
                self.model.ghosts.iter_mut().for_each(|(key, held)| held.retain(|held| !doomed(*key, held)));
            }
            Err(error) => {
                assert!(!self.exact, "{error:?}");
                for key in gone {
                    self.model.failed(key, None);
                }
            }
        }
    }

    /// What holds after every operation.
    fn check(&self) {
        let stats = self.disk().stats();
        assert!(stats.bytes <= self.max_bytes, "{stats:?}");
        assert!(self.sim.bytes() as u64 <= self.max_bytes, "the files take {}", self.sim.bytes());
        let ended = stats.expired + stats.evicted + stats.replaced + stats.removed + stats.corrupt;
        assert_eq!(stats.loaded + stats.inserts, ended + stats.entries, "{stats:?}");
        if self.exact {
            assert_eq!((stats.io_errors, stats.corrupt, stats.evicted), (0, 0, 0), "{stats:?}");
        }
    }
}

fn run(mut pair: Pair, ops: &[Op]) {
    for op in ops {
        pair.run(op);
    }
    pair.break_by(&Fault::None);
    (0..12).for_each(|key| pair.look(key));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_map_and_a_clock_through_closes_and_kills(ops in prop::collection::vec(op(), 1..60)) {
        run(Pair::new(Durability::Process, 1 << 20, true), &ops);
    }

    #[test]
    fn what_is_synced_agrees_with_a_map_through_power_cuts_too(ops in prop::collection::vec(op(), 1..60)) {
        run(Pair::new(Durability::Power, 1 << 20, true), &ops);
    }

    #[test]
    fn no_fault_makes_an_answer_wrong(
        ops in prop::collection::vec(op_with_faults(), 1..80),
        power in any::<bool>(),
        segments in 3_u64..6,
    ) {
        let durability = if power { Durability::Power } else { Durability::Process };
        run(Pair::new(durability, segments * 4096 + 128, false), &ops);
    }
}
