//! Every piece of the user's code panics in every operation, under every policy: the cache stays usable, its books and
//! its bounds hold, whoever left was announced, and nothing is dropped twice or never.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use cache_core::{Tags, Ttl};
use cache_memory::{Memory, Policy, Put};
use cache_testkit::clock::ManualClock;
use cache_testkit::fuse::{Act, Fuse, Key, Value};

use crate::model::books_balance;

const WEIGH: Act = Act::Call("weigher");
const PERMIT: Act = Act::Call("insert_if");
const SELECT: Act = Act::Call("remove_if");
const VISIT: Act = Act::Call("for_each");
const CHOOSE: Act = Act::Call("touch_with");
const READ: Act = Act::Call("get_with");
const LISTEN: Act = Act::Call("listener");

const ACTS: [Act; 12] = [
    Act::Hash,
    Act::Compare,
    Act::CloneValue,
    Act::DropKey,
    Act::DropValue,
    WEIGH,
    PERMIT,
    SELECT,
    VISIT,
    CHOOSE,
    READ,
    LISTEN,
];

struct Subject {
    fuse: Arc<Fuse>,
    heard: Arc<AtomicU64>,
    is_plain: bool,
    clock: ManualClock,
    memory: Memory<Key, Value>,
}

const CAPACITY: u8 = 8;

impl Subject {
    /// A plain one weighs nothing and tells nobody, and half of its entries have nothing of their own: most inserts take a way that is for
    /// such only.
    fn new(policy: Policy, is_plain: bool) -> Self {
        let (fuse, heard, clock) = (Fuse::new(), Arc::new(AtomicU64::new(0)), ManualClock::new());
        let (weighs, listens, counts) = (Arc::clone(&fuse), Arc::clone(&fuse), Arc::clone(&heard));
        let memory = Memory::new()
            .with_policy(policy)
            .with_shards(2)
            .with_max_entries(CAPACITY.into())
            .with_clock(Arc::new(clock.clone()))
            .with_sweep_every(None);
        if is_plain {
            return Self { fuse, heard, is_plain, clock, memory };
        }
        let memory = memory
            .with_max_bytes(CAPACITY.into())
            .with_weigher(move |_: &Key, _: &Value| {
                weighs.pass(WEIGH);
                1
            })
            .with_listener(move |_: &Key, _: &Value, _| {
                counts.fetch_add(1, SeqCst);
                listens.pass(LISTEN);
            });
        Self { fuse, heard, is_plain, clock, memory }
    }

    fn weight(&self) -> u64 {
        if self.is_plain { size_of::<(Key, Value)>() as u64 } else { 1 }
    }

    fn key(&self, number: u8) -> Key {
        Key::new(number, &self.fuse)
    }

    fn insert(&self, number: u8, put: Put) {
        let (key, value) = (self.key(number), Value::new(number, &self.fuse));
        self.memory.insert_if(key, value, put, || {
            self.fuse.pass(PERMIT);
            true
        });
    }

    fn fill(&self) {
        let put = Put::new().with_ttl(Ttl::from_secs(1)).with_tags(Tags::new(["t"]).expect("legal"));
        for number in 0..CAPACITY {
            let has_nothing = self.is_plain && number % 2 == 0;
            self.insert(number, if has_nothing { Put::new() } else { put.clone() });
        }
    }

    /// Lets one operation run into the panic, and looks at what is left.
    fn survive(&self, operation: Operation, armed: (Act, u32)) {
        self.fill();
        self.fuse.arm(Some(armed));
        let _outcome = catch_unwind(AssertUnwindSafe(|| operation(self)));
        self.fuse.arm(None);
        let stats = self.memory.stats();
        books_balance(&stats);
        assert!(
            stats.entries <= u64::from(CAPACITY) && stats.bytes == stats.entries * self.weight(),
            "{stats:?}"
        );
        let announced = if self.is_plain { 0 } else { stats.inserts - stats.entries };
        assert_eq!(self.heard.load(SeqCst), announced, "announced: {stats:?}");
        let held = i64::try_from(stats.entries).expect("small");
        assert_eq!(self.fuse.alive(), [held; 2], "alive");
        self.memory.remove_expired();
        for number in 100..100 + CAPACITY {
            self.insert(number, Put::new());
            let found = self.memory.get(&self.key(number)).map(|value| value.number());
            assert_eq!(found, Some(number), "it is still of use");
        }
        assert_eq!(self.memory.len(), u64::from(CAPACITY), "no room was lost");
        assert_eq!(self.memory.clear(), u64::from(CAPACITY));
    }
}

type Operation = fn(&Subject);

const OPERATIONS: [(&str, Operation); 21] = [
    ("get", |it| drop(it.memory.get(&it.key(1)))),
    ("get_many", |it| {
        let keys = [1, 99, 2].map(|number| it.key(number));
        drop(it.memory.get_many(&keys));
    }),
    ("get_with", |it| _ = it.memory.get_with(&it.key(1), |_| it.fuse.pass(READ))),
    ("get_if", |it| {
        it.memory.get_if(&it.key(1), |_| {
            it.fuse.pass(READ);
            Some(())
        });
    }),
    ("peek_with", |it| _ = it.memory.peek_with(&it.key(1), |_| it.fuse.pass(READ))),
    ("ttl", |it| _ = it.memory.ttl(&it.key(1))),
    ("replace", |it| it.insert(1, Put::new())),
    ("insert", |it| (50..54).for_each(|number| it.insert(number, Put::new()))),
    ("insert what cannot live", |it| it.insert(1, Put::new().with_ttl(Ttl::ZERO))),
    ("touch", |it| {
        it.memory.touch_with(&it.key(1), |_| {
            it.fuse.pass(CHOOSE);
            Ttl::FOREVER
        });
    }),
    ("touch to nothing", |it| _ = it.memory.touch(&it.key(1), Ttl::ZERO)),
    ("get_and_touch_with", |it| {
        _ = it.memory.get_and_touch_with(&it.key(1), Ttl::FOREVER, |_| it.fuse.pass(READ));
    }),
    ("remove", |it| drop(it.memory.remove(&it.key(1)))),
    ("remove_tag", |it| _ = it.memory.remove_tag("t")),
    ("remove_if", |it| {
        it.memory.remove_if(|_, _| {
            it.fuse.pass(SELECT);
            true
        });
    }),
    ("clear", |it| _ = it.memory.clear()),
    ("remove_expired", |it| {
        it.clock.advance(Duration::from_secs(1));
        it.memory.remove_expired();
    }),
    ("insert in place of what has expired", |it| {
        it.clock.advance(Duration::from_secs(1));
        it.insert(50, Put::new());
    }),
    ("for_each", |it| it.memory.for_each(|_| it.fuse.pass(VISIT))),
    ("set_limits", |it| {
        it.memory.set_limits(Some(2), None);
        it.memory.set_limits(Some(CAPACITY.into()), Some(u64::from(CAPACITY) * it.weight()));
    }),
    ("set_policy", |it| Policy::ALL.into_iter().for_each(|policy| it.memory.set_policy(policy))),
];

#[test]
fn code_of_the_user_may_panic_anywhere() {
    for act in ACTS {
        let mut blown = 0;
        for policy in Policy::ALL {
            for (name, operation) in OPERATIONS {
                // At once, and when some of the work is done.
                for (after, is_plain) in
                    [0, 1, 3].into_iter().flat_map(|after| [(after, false), (after, true)])
                {
                    let subject = Subject::new(policy, is_plain);
                    let attempt = catch_unwind(AssertUnwindSafe(|| subject.survive(operation, (act, after))));
                    assert!(
                        attempt.is_ok(),
                        "{act:?} after {after} in {name} by {policy}, plain: {is_plain}"
                    );
                    blown += u32::from(subject.fuse.has_blown());
                }
            }
        }
        assert!(blown > 0, "{act:?} never went off");
    }
}
