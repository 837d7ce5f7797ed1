//! Every piece of the user's code panics in every verb: whoever waits hears of it, the books balance, nothing is left
//! alive that should not be, and the key can be loaded as before.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cache_testkit::clock::ManualClock;
use strata::{Cache, CacheKey, KeyWriter, LoadError, Loaded, Memory, Options, Tags};

use crate::settle;

/// Code of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Hash,
    Compare,
    CloneKey,
    DropKey,
    DropValue,
    WriteKey,
    Weigh,
    Listen,
    Admit,
    IsNegative,
    BeginLoad,
    Load,
    SayError,
    DropError,
}

const ACTS: [Act; 14] = [
    Act::Hash,
    Act::Compare,
    Act::CloneKey,
    Act::DropKey,
    Act::DropValue,
    Act::WriteKey,
    Act::Weigh,
    Act::Listen,
    Act::Admit,
    Act::IsNegative,
    Act::BeginLoad,
    Act::Load,
    Act::SayError,
    Act::DropError,
];

/// Panics in one act, after it was done so many times, and counts what is alive.
#[derive(Debug, Default)]
struct Fuse {
    armed: Mutex<Option<(Act, u32)>>,
    has_blown: AtomicBool,
    /// Goes off for ever, or only once.
    is_lasting: AtomicBool,
    keys: AtomicI64,
    values: AtomicI64,
}

impl Fuse {
    fn arm(&self, armed: Option<(Act, u32)>) {
        *self.armed.lock().expect("released before each panic") = armed;
    }

    /// Not while another panic is on its way: that would abort.
    fn pass(&self, act: Act) {
        let mut armed = self.armed.lock().expect("released before each panic");
        let Some((_, left)) = armed.as_mut().filter(|(which, _)| *which == act) else { return };
        if *left > 0 {
            *left -= 1;
        } else if !thread::panicking() {
            if !self.is_lasting.load(SeqCst) {
                *armed = None;
            }
            drop(armed);
            self.has_blown.store(true, SeqCst);
            // As a panic, without its words in the output.
            resume_unwind(Box::new("code of the user"));
        }
    }
}

struct Key(u8, Arc<Fuse>);

impl Key {
    fn new(number: u8, fuse: &Arc<Fuse>) -> Self {
        fuse.keys.fetch_add(1, SeqCst);
        Self(number, Arc::clone(fuse))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.1.pass(Act::Compare);
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.pass(Act::Hash);
        self.0.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        self.1.pass(Act::CloneKey);
        Self::new(self.0, &self.1)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.1.keys.fetch_sub(1, SeqCst);
        self.1.pass(Act::DropKey);
    }
}

impl CacheKey for Key {
    fn write(&self, out: &mut KeyWriter) {
        self.1.pass(Act::WriteKey);
        out.push(self.0);
    }
}

struct Value(u8, Arc<Fuse>);

impl Value {
    fn new(number: u8, fuse: &Arc<Fuse>) -> Self {
        fuse.values.fetch_add(1, SeqCst);
        Self(number, Arc::clone(fuse))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.1.values.fetch_sub(1, SeqCst);
        self.1.pass(Act::DropValue);
    }
}

struct Broken(Arc<Fuse>);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.pass(Act::SayError);
        f.write_str("broken")
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.0.pass(Act::DropError);
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
        let (fuse, clock) = (Arc::new(Fuse::default()), ManualClock::new());
        let (weighs, listens, admits) = (Arc::clone(&fuse), Arc::clone(&fuse), Arc::clone(&fuse));
        let memory = Memory::new()
            .with_shards(1)
            .with_max_entries(4)
            .with_max_bytes(4)
            .with_clock(Arc::new(clock.clone()))
            .with_sweep_every(None)
            .with_weigher(move |_: &Key, _: &Arc<Value>| {
                weighs.pass(Act::Weigh);
                1
            })
            .with_listener(move |_: &Key, _: &Arc<Value>, _| listens.pass(Act::Listen));
        let cache = Cache::builder("panics")
            .memory(memory)
            .options(options.with_ttl(SECOND).with_cache_errors_for(SECOND))
            .budget(move || {
                admits.pass(Act::Admit);
                true
            })
            .negative_if(|value: &Value| {
                value.1.pass(Act::IsNegative);
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
            fuse.pass(Act::BeginLoad);
            async move {
                tokio::task::yield_now().await;
                fuse.pass(Act::Load);
                let tags = Tags::new(["t"]).expect("legal");
                if fails {
                    Err(Broken(Arc::clone(&fuse)))
                } else {
                    Ok(Loaded::new(Value::new(number, &fuse)).with_tags(tags))
                }
            }
        };
        let key = self.key(number);
        self.cache.get_or_load(&key, load).await.map(|hit| hit.0)
    }

    async fn load_many(&self) {
        let fuse = Arc::clone(&self.fuse);
        let load = move |wanted: Vec<Key>| {
            fuse.pass(Act::BeginLoad);
            async move {
                tokio::task::yield_now().await;
                fuse.pass(Act::Load);
                let entry = |key: Key| {
                    let value = Value::new(key.0, &fuse);
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
        let alive = [&self.fuse.keys, &self.fuse.values].map(|alive| alive.load(SeqCst));
        // What a function returns is leaked by the language if one of its locals panics in its drop (rust-lang/rust#47949).
        let leaks = if matches!(armed.0, Act::DropKey | Act::DropValue | Act::DropError) { 2 } else { 0 };
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
                    subject.fuse.is_lasting.store(is_lasting, SeqCst);
                    let run = subject.clone();
                    let outcome = tokio::spawn(async move { run.survive(verb, (act, after)).await }).await;
                    assert!(outcome.is_ok(), "{act:?} after {after}, lasting: {is_lasting}, in {name}");
                    blown += u32::from(subject.fuse.has_blown.load(SeqCst));
                }
            }
        }
        assert!(blown > 0, "{act:?} never went off");
    }
}
