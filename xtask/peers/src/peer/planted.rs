//! Caches with known faults, to see that the races find them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{Act, Built, Entrant, Hold, Lacks, Loader, Offered, Pair, Peer, Setting};
use crate::Outcome;

/// Joins every load that runs, and stores whatever it brings.
pub(crate) const JOINING: Entrant = Entrant {
    name: "joining",
    package: "",
    build: |setting| Ok(Ok(Arc::new(Naive::new(setting, Manner::Joins)) as Arc<dyn Peer>)),
    pair: || Ok(Err(Lacks("one node"))),
};

/// Lets everybody load who misses.
pub(crate) const CARELESS: Entrant = Entrant {
    name: "careless",
    build: |setting| Ok(Ok(Arc::new(Naive::new(setting, Manner::LoadsAlone)) as Arc<dyn Peer>)),
    ..JOINING
};

/// Leaves its key locked if a loader panics.
pub(crate) const POISONED: Entrant = Entrant {
    name: "poisoned",
    build: |setting| Ok(Ok(Arc::new(Naive::new(setting, Manner::LocksForGood)) as Arc<dyn Peer>)),
    ..JOINING
};

/// Two nodes, the second of which keeps what it has read.
pub(crate) const TWO_NODES: Entrant = Entrant { name: "two nodes", build: never, pair, ..JOINING };

struct Naive {
    entries: Mutex<HashMap<u64, u64>>,
    tags: Mutex<HashMap<u64, &'static str>>,
    flights: Mutex<HashMap<u64, Arc<OnceCell<u64>>>>,
    locked: Mutex<Vec<u64>>,
    manner: Manner,
    hard_timeout: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Joins,
    LoadsAlone,
    LocksForGood,
}

impl Naive {
    fn new(setting: Setting, manner: Manner) -> Self {
        Self {
            entries: Mutex::default(),
            tags: Mutex::default(),
            flights: Mutex::default(),
            locked: Mutex::default(),
            manner,
            hard_timeout: setting.hard_timeout,
        }
    }

    async fn fetch(&self, key: u64, loader: Loader) -> u64 {
        match self.manner {
            Manner::LoadsAlone => loader().await,
            Manner::Joins => {
                let flight = Arc::clone(self.flights.lock().entry(key).or_default());
                let value = *flight.get_or_init(loader).await;
                self.flights.lock().remove(&key);
                value
            }
            Manner::LocksForGood => {
                let is_first = !self.locked.lock().contains(&key);
                if !is_first {
                    std::future::pending::<()>().await;
                }
                self.locked.lock().push(key);
                let value = loader().await;
                self.locked.lock().retain(|locked| *locked != key);
                value
            }
        }
    }
}

impl Peer for Naive {
    fn load(&self, key: u64, tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move {
            if let Some(value) = self.get(key).await {
                return Ok(value);
            }
            // The loader goes on as a task when its caller no longer waits, and nobody frees its key.
            let loader: Loader = match self.hard_timeout {
                None => loader,
                Some(_) => Box::new(move || {
                    let task = tokio::spawn(loader());
                    Box::pin(async move { task.await.unwrap_or_default() })
                }),
            };
            let fetch = self.fetch(key, loader);
            let value = match self.hard_timeout {
                None => fetch.await,
                Some(most) => tokio::time::timeout(most, fetch).await.map_err(|error| error.to_string())?,
            };
            self.entries.lock().insert(key, value);
            self.tags.lock().extend(tag.map(|tag| (key, tag)));
            Ok(value)
        })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        Box::pin(async move { self.entries.lock().get(&key).copied() })
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        self.entries.lock().insert(key, value);
        Ok(Box::pin(async {}))
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        self.entries.lock().remove(&key);
        Ok(Box::pin(async {}))
    }

    fn clear(&self) -> Offered<'_> {
        self.entries.lock().clear();
        Ok(Box::pin(async {}))
    }

    fn remove_tag(&self, tag: &'static str) -> Offered<'_> {
        let tags = self.tags.lock();
        self.entries.lock().retain(|key, _| tags.get(key) != Some(&tag));
        Ok(Box::pin(async {}))
    }
}

fn never(_setting: Setting) -> Outcome<Built> {
    Ok(Err(Lacks("two nodes alone")))
}

fn pair() -> Outcome<Result<Pair, Lacks>> {
    let setting = Setting::default();
    let (first, hold) = (Arc::new(Naive::new(setting, Manner::Joins)), Hold::new());
    let second =
        Above { own: Naive::new(setting, Manner::Joins), below: Arc::clone(&first), hold: hold.clone() };
    Ok(Ok(Pair { first, second: Arc::new(second), hold }))
}

/// A node that reads another's entries and fills its own with them.
struct Above {
    own: Naive,
    below: Arc<Naive>,
    hold: Hold,
}

impl Peer for Above {
    fn load(&self, key: u64, tag: Option<&'static str>, loader: Loader) -> Act<'_, Result<u64, String>> {
        Box::pin(async move {
            let found = self.below.get(key).await;
            self.hold.stop().await;
            match found {
                Some(value) => {
                    self.own.entries.lock().insert(key, value);
                    Ok(value)
                }
                None => self.own.load(key, tag, loader).await,
            }
        })
    }

    fn get(&self, key: u64) -> Act<'_, Option<u64>> {
        self.own.get(key)
    }

    fn insert(&self, key: u64, value: u64) -> Offered<'_> {
        self.own.insert(key, value)
    }

    fn remove(&self, key: u64) -> Offered<'_> {
        self.own.remove(key)
    }

    fn clear(&self) -> Offered<'_> {
        self.own.clear()
    }

    fn remove_tag(&self, tag: &'static str) -> Offered<'_> {
        self.own.remove_tag(tag)
    }
}
