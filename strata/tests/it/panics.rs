//! Every piece of the user's code panics in every verb: whoever waits hears of it, the books balance, nothing is left
//! alive that should not be, and the key can be loaded as before.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cache_testkit::clock::ManualClock;
use cache_testkit::fuse::{Act, Fuse, Key, Value};
use strata::{Cache, LoadError, Loaded, Memory, Options, Tags};

use crate::settle;

const WEIGH: Act = Act::Call("weigher");
const LISTEN: Act = Act::Call("listener");
const ADMIT: Act = Act::Call("budget");
const IS_NEGATIVE: Act = Act::Call("negative_if");
const BEGIN_LOAD: Act = Act::Call("the loader, called");
const LOAD: Act = Act::Call("the loader, polled");
const SAY_ERROR: Act = Act::Call("the error's Display");
const DROP_ERROR: Act = Act::Call("the error's Drop");

const ACTS: [Act; 14] = [
    Act::Hash,
    Act::Compare,
    Act::CloneKey,
    Act::DropKey,
    Act::DropValue,
    Act::WriteKey,
    WEIGH,
    LISTEN,
    ADMIT,
    IS_NEGATIVE,
    BEGIN_LOAD,
    LOAD,
    SAY_ERROR,
    DROP_ERROR,
];

struct Broken(Arc<Fuse>);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.pass(SAY_ERROR);
        f.write_str("broken")
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.0.pass(DROP_ERROR);
    }
}

#[derive(Clone)]
struct Subject {
    fuse: Arc<Fuse>,
    clock: ManualClock,
    cache: Cache<Key, Value>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Subject {
    fn new(options: Options) -> Self {
        let (fuse, clock) = (Fuse::new(), ManualClock::new());
        let (weighs, listens, admits) = (Arc::clone(&fuse), Arc::clone(&fuse), Arc::clone(&fuse));
        let memory = Memory::new()
            .with_shards(1)
            .with_max_entries(4)
            .with_max_bytes(4)
            .with_clock(Arc::new(clock.clone()))
            .with_sweep_every(None)
            .with_weigher(move |_: &Key, _: &Arc<Value>| {
                weighs.pass(WEIGH);
                1
            })
            .with_listener(move |_: &Key, _: &Arc<Value>, _| listens.pass(LISTEN));
        let cache = Cache::builder("panics")
            .memory(memory)
            .options(options.with_ttl(SECOND).with_cache_errors_for(SECOND))
            .budget(move || {
                admits.pass(ADMIT);
                true
            })
            .negative_if(|value: &Value| {
                value.fuse().pass(IS_NEGATIVE);
                false
            })
            .seed(7)
            .build()
            .expect("legal");
        Self { fuse, clock, cache }
    }

    fn key(&self, number: u8) -> Key {
        Key::new(number, &self.fuse)
    }

    async fn insert(&self, number: u8) {
        let value = Value::new(number, &self.fuse);
        let tags = Options::new().with_tags(Tags::new(["t"]).expect("legal"));
        self.cache.insert_with(self.key(number), value, tags).await.expect("memory");
    }

    async fn load(&self, number: u8, fails: bool) -> Result<u8, LoadError<Broken>> {
        let fuse = Arc::clone(&self.fuse);
        let load = move || {
            fuse.pass(BEGIN_LOAD);
            async move {
                tokio::task::yield_now().await;
                fuse.pass(LOAD);
                let tags = Tags::new(["t"]).expect("legal");
                if fails {
                    Err(Broken(Arc::clone(&fuse)))
                } else {
                    Ok(Loaded::new(Value::new(number, &fuse)).with_tags(tags))
                }
            }
        };
        let key = self.key(number);
        self.cache.get_or_load(&key, load).await.map(|hit| hit.number())
    }

    async fn load_many(&self) {
        let fuse = Arc::clone(&self.fuse);
        let load = move |wanted: Vec<Key>| {
            fuse.pass(BEGIN_LOAD);
            async move {
                tokio::task::yield_now().await;
                fuse.pass(LOAD);
                let entry = |key: Key| {
                    let value = Value::new(key.number(), &fuse);
                    (key, value)
                };
                Ok::<_, Broken>(wanted.into_iter().map(entry).collect::<Vec<_>>())
            }
        };
        let keys = [1, 8, 9].map(|number| self.key(number));
        drop(self.cache.get_or_load_many(&keys, load).await);
    }

    /// Lets one verb run into the panic in two tasks at once, and looks at what is left.
    async fn survive(&self, verb: Verb, armed: (Act, u32)) {
        for number in 0..4 {
            self.insert(number).await;
        }
        self.fuse.arm(Some(armed));
        let calls: Vec<_> = (0..2).map(|_| tokio::spawn(verb(self.clone()))).collect();
        settle().await;
        assert!(calls.iter().all(tokio::task::JoinHandle::is_finished), "someone waits for ever");
        self.fuse.arm(None);
        for call in calls {
            drop(call.await);
        }
        settle().await;
        let stats = self.cache.stats();
        let ended = stats.loads_ok + stats.loads_failed + stats.loads_lost;
        assert_eq!((stats.running, stats.in_flight, stats.loads_begun), (0, 0, ended), "{stats:?}");
        let memory = stats.memory;
        let gone = memory.removed + memory.expired + memory.evicted + memory.replaced;
        assert_eq!(memory.inserts - gone, memory.entries, "{stats:?}");
        self.clock.advance(2 * SECOND);
        for number in [1, 9, 8] {
            let loaded = self.load(number, false).await;
            assert_eq!(loaded.ok(), Some(number), "the key can be loaded as before");
        }
        self.cache.clear().await.expect("memory");
        let alive = self.fuse.alive();
        // What a function returns is leaked by the language if one of its locals panics in its drop (rust-lang/rust#47949).
        let leaks = if matches!(armed.0, Act::DropKey | Act::DropValue | DROP_ERROR) { 2 } else { 0 };
        let in_bounds = alive.iter().all(|alive| (0..=leaks).contains(alive));
        assert!(in_bounds, "keys and values alive in an empty cache: {alive:?}");
    }
}

type Verb = fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>;

const VERBS: [(&str, Verb); 16] = [
    ("get", |it| Box::pin(async move { drop(it.cache.get(&it.key(1)).await) })),
    ("peek", |it| Box::pin(async move { drop(it.cache.peek(&it.key(1))) })),
    ("insert", |it| Box::pin(async move { it.insert(9).await })),
    ("replace", |it| Box::pin(async move { it.insert(1).await })),
    ("touch", |it| Box::pin(async move { drop(it.cache.touch(&it.key(1), SECOND).await) })),
    ("get_and_touch", |it| Box::pin(async move { drop(it.cache.get_and_touch(&it.key(1), SECOND).await) })),
    ("remove", |it| Box::pin(async move { drop(it.cache.remove(&it.key(1)).await) })),
    ("remove_tag", |it| Box::pin(async move { drop(it.cache.remove_tag("t").await) })),
    ("remove_prefix", |it| Box::pin(async move { drop(it.cache.remove_prefix(&it.key(1)).await) })),
    ("expire", |it| Box::pin(async move { drop(it.cache.expire(&it.key(1)).await) })),
    ("expire_tag", |it| Box::pin(async move { drop(it.cache.expire_tag("t").await) })),
    ("load", |it| Box::pin(async move { drop(it.load(9, false).await) })),
    ("load that fails", |it| Box::pin(async move { drop(it.load(9, true).await) })),
    ("load that fails, and remove", |it| {
        Box::pin(async move {
            drop(it.load(9, true).await);
            drop(it.cache.remove(&it.key(9)).await);
        })
    }),
    ("load of what is due", |it| {
        Box::pin(async move {
            it.clock.advance(SECOND * 9 / 10);
            drop(it.load(1, false).await);
        })
    }),
    ("load of many", |it| Box::pin(async move { it.load_many().await })),
];

#[tokio::test]
async fn code_of_the_user_may_panic_in_every_verb() {
    // I17; B12, B38
    let ages = || Options::new().with_fail_safe_for(SECOND).with_eager_at(0.5);
    for act in ACTS {
        let mut blown = 0;
        for (name, verb) in VERBS {
            for (options, after) in [(Options::new(), 0), (ages(), 0), (ages(), 1), (ages(), 3), (ages(), 8)]
            {
                for is_lasting in [false, true] {
                    let subject = Subject::new(options.clone());
                    subject.fuse.set_once(!is_lasting);
                    let run = subject.clone();
                    let outcome = tokio::spawn(async move { run.survive(verb, (act, after)).await }).await;
                    assert!(outcome.is_ok(), "{act:?} after {after}, lasting: {is_lasting}, in {name}");
                    blown += u32::from(subject.fuse.has_blown());
                }
            }
        }
        assert!(blown > 0, "{act:?} never went off");
    }
}
