//! The stores, each as its authors recommend, behind three verbs.

use std::error::Error;
use std::path::Path;

use cache_core::{Entry, Key, Store};
use cache_disk::{Disk, Durability};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase, TableDefinition};

pub type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What all of them can do. A batch is one step for each.
pub trait Engine {
    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Outcome;

    /// How many of these there are; their values are read.
    fn get(&self, keys: &[String]) -> Outcome<usize>;

    fn remove(&self, keys: &[String]) -> Outcome;
}

/// A store, by name. Those that end in `sync` acknowledge nothing that a power cut would take.
pub const NAMES: [&str; 6] = ["strata", "strata-sync", "redb", "redb-sync", "fjall", "fjall-sync"];

/// Opens the store of this name, which may take so many bytes if it knows a limit.
pub fn open(name: &str, folder: &Path, max_bytes: u64) -> Outcome<Box<dyn Engine>> {
    let sync = name.ends_with("-sync");
    Ok(match name {
        "strata" | "strata-sync" => {
            let durability = if sync { Durability::Power } else { Durability::Process };
            let builder = Disk::builder(folder).with_max_bytes(max_bytes).with_durability(durability);
            Box::new(Ours(builder.build()?))
        }
        "redb" | "redb-sync" => {
            std::fs::create_dir_all(folder)?;
            Box::new(Redb { database: redb::Database::create(folder.join("redb"))?, sync })
        }
        "fjall" | "fjall-sync" => {
            let database = Database::builder(folder).open()?;
            let items = database.keyspace("cache", KeyspaceCreateOptions::default)?;
            Box::new(Fjall { database, items, sync })
        }
        _ => return Err(format!("no engine {name}; there are {}", NAMES.join(", ")).into()),
    })
}

struct Ours(Disk);

impl Engine for Ours {
    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Outcome {
        let entry = |(key, value): &(String, Vec<u8>)| Ok((Key::new(key)?, Entry::new(value.clone())));
        let entries = pairs.iter().map(entry).collect::<Outcome<_>>()?;
        Ok(pollster::block_on(self.0.put_many(entries))?)
    }

    fn get(&self, names: &[String]) -> Outcome<usize> {
        Ok(pollster::block_on(self.0.get_many(&keys(names)?))?.into_iter().flatten().count())
    }

    fn remove(&self, names: &[String]) -> Outcome {
        pollster::block_on(self.0.remove_many(&keys(names)?))?;
        Ok(())
    }
}

fn keys(names: &[String]) -> Outcome<Vec<Key>> {
    names.iter().map(|name| Ok(Key::new(name)?)).collect()
}

const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("cache");

struct Redb {
    database: redb::Database,
    sync: bool,
}

impl Redb {
    fn write(&self, act: impl FnOnce(&mut redb::Table<&str, &[u8]>) -> Outcome) -> Outcome {
        let mut transaction = self.database.begin_write()?;
        if !self.sync {
            transaction.set_durability(redb::Durability::None)?;
        }
        act(&mut transaction.open_table(TABLE)?)?;
        Ok(transaction.commit()?)
    }
}

impl Engine for Redb {
    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Outcome {
        self.write(|table| {
            for (key, value) in pairs {
                table.insert(key.as_str(), value.as_slice())?;
            }
            Ok(())
        })
    }

    fn get(&self, keys: &[String]) -> Outcome<usize> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let mut found = 0;
        for key in keys {
            // A value is handed on, so it is copied out of the page that it is in.
            let value = table.get(key.as_str())?.map(|value| value.value().to_vec());
            found += usize::from(std::hint::black_box(value).is_some());
        }
        Ok(found)
    }

    fn remove(&self, keys: &[String]) -> Outcome {
        self.write(|table| {
            for key in keys {
                table.remove(key.as_str())?;
            }
            Ok(())
        })
    }
}

struct Fjall {
    database: Database,
    items: Keyspace,
    sync: bool,
}

impl Fjall {
    fn synced(&self) -> Outcome {
        if self.sync {
            self.database.persist(PersistMode::SyncAll)?;
        }
        Ok(())
    }
}

impl Engine for Fjall {
    fn put(&self, pairs: &[(String, Vec<u8>)]) -> Outcome {
        let mut batch = self.database.batch();
        for (key, value) in pairs {
            batch.insert(&self.items, key.as_str(), value.as_slice());
        }
        batch.commit()?;
        self.synced()
    }

    fn get(&self, keys: &[String]) -> Outcome<usize> {
        let mut found = 0;
        for key in keys {
            found += usize::from(std::hint::black_box(self.items.get(key)?).is_some());
        }
        Ok(found)
    }

    fn remove(&self, keys: &[String]) -> Outcome {
        let mut batch = self.database.batch();
        for key in keys {
            batch.remove(&self.items, key.as_str());
        }
        batch.commit()?;
        self.synced()
    }
}
