//! The places below memory, which all regions share: a Redis, the news that go over it, and a folder of this machine.
//!
//! A server starts and serves whether or not they can be reached. What a region keeps there begins with its name.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Counters, Key};
use strata::codec::{Compression, Framer};
use strata::disk::{Disk, Start};
use strata::layer::Guards;
use strata::redis::{Connection, ConnectionStats, RedisCounters, RedisLease, RedisStore, RedisTransport};
use strata::{Builder, Bus, BusBuilder, BusStats, Options, Tier, Ttl};

use crate::app::StartError;
use crate::blob::{Blob, BlobCodec};
use crate::config::PlaceSettings;

/// What the values are called below. Another name makes all that are there unreadable.
const TYPE: &str = "blob";

/// How long a try of a call to Redis may take where its own limit is shorter: long enough for a reconnection.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a lease goes on while its value is written.
const LEASE_HOLD: Duration = Duration::from_secs(10);

/// Redis, and what goes over it.
#[derive(Clone, Debug)]
struct Shared {
    connection: Connection,
    store: Arc<RedisStore>,
    bus: Bus,
    guards: Guards,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Places {
    shared: Option<Shared>,
    disk: Option<Arc<Disk>>,
    /// How long a value stands in at most where Redis does not answer.
    fail_safe_for: Duration,
    compression: Compression,
    max_value_bytes: u32,
}

impl Places {
    /// Opens what the settings name. Blocks while it reads the heads of what lies in the folder.
    pub(crate) fn open(settings: &PlaceSettings, max_value_bytes: usize) -> Result<Self, StartError> {
        let shared = settings.redis.as_ref().map(|config| {
            let connection = Connection::open(config.clone()).map_err(StartError::new)?;
            let transport = Arc::new(RedisTransport::new(connection.clone()));
            let bus =
                settings.bus_secret.iter().cloned().fold(Bus::builder(transport), BusBuilder::with_secret);
            let bus = bus.open().map_err(StartError::new)?;
            let store = Arc::new(RedisStore::new(connection.clone()));
            // A limit below that of the connection would take each of its timeouts for its own.
            let timeout = settings.redis_timeout.map_or(LEAST_TIMEOUT, |timeout| timeout.max(LEAST_TIMEOUT));
            let guards = Guards::new().with_timeout(timeout);
            Ok::<_, StartError>(Shared { connection, store, bus, guards })
        });
        let disk = settings.disk.as_ref().map(|disk| {
            let store = Disk::builder(&disk.folder).with_max_bytes(disk.max_bytes.get()).build();
            let store = store.map(Arc::new).map_err(StartError::new)?;
            if store.start() == Start::Waiting {
                let folder = disk.folder.display();
                // What is in its way can be told by trying once more.
                let error = std::fs::create_dir_all(&disk.folder).err().map(|error| error.to_string());
                tracing::error!(%folder, error, "the folder cannot be used; until it can, nothing that is written survives a restart");
            }
            Ok::<_, StartError>(store)
        });
        Ok(Self {
            shared: shared.transpose()?,
            disk: disk.transpose()?,
            fail_safe_for: if settings.redis.is_some() { settings.fail_safe_for } else { Duration::ZERO },
            compression: if settings.is_compressed { Compression::Fast } else { Compression::None },
            max_value_bytes: u32::try_from(max_value_bytes)
                .unwrap_or(u32::MAX)
                .saturating_add(OVERHEAD_BYTES),
        })
    }

    /// Puts a region over them.
    pub(crate) fn below(&self, mut region: Builder<Key, Blob>) -> Builder<Key, Blob> {
        if let Some(Shared { connection, store, bus, guards }) = &self.shared {
            let tier = Tier::from(Arc::clone(store)).with_guards(guards.clone());
            let lease = Arc::new(RedisLease::new(connection.clone()));
            region = region.tier(tier).bus(bus.clone()).lease(lease, LEASE_HOLD);
        }
        if let Some(disk) = &self.disk {
            region = region.tier(Tier::from(Arc::clone(disk)).local());
        }
        if self.is_memory_alone() {
            return region;
        }
        let framer = Framer::new(TYPE, BlobCodec).with_max_bytes(self.max_value_bytes);
        let options = Options::new().with_fail_safe_for(self.fail_safe_for);
        region.framer(framer.with_compression(self.compression)).options(options)
    }

    /// How long a value of this life stands in: no longer than it lived, so that what lives for seconds does not lie about for an hour.
    pub(crate) fn window(&self, ttl: Ttl) -> Duration {
        ttl.finite().map_or(self.fail_safe_for, |ttl| ttl.min(self.fail_safe_for))
    }

    /// What counts for all servers over one Redis, if there is one. What is counted in one group is nothing to another.
    pub(crate) fn counters(&self, group: &str) -> Option<Arc<dyn Counters>> {
        let shared = self.shared.as_ref()?;
        Some(Arc::new(RedisCounters::new(shared.connection.clone()).with_group(group)))
    }

    /// What has happened on the connections to Redis and on the bus, and whether no news may be missing, if there is a Redis.
    pub(crate) fn shared(&self) -> Option<(ConnectionStats, BusStats, bool)> {
        let Shared { connection, bus, .. } = self.shared.as_ref()?;
        Some((connection.stats(), bus.stats(), bus.is_whole()))
    }

    /// Where servers tell each other what has changed, if there is a Redis.
    pub(crate) fn bus(&self) -> Option<&Bus> {
        self.shared.as_ref().map(|shared| &shared.bus)
    }

    /// What has happened on the disk, and what its files may take, if there is one.
    pub(crate) fn disk(&self) -> Option<(strata::disk::Stats, u64)> {
        self.disk.as_ref().map(|disk| (disk.stats(), disk.max_bytes()))
    }

    /// Whether there should be a folder, and it has never been of use.
    pub(crate) fn waits_for_folder(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.start() == Start::Waiting)
    }

    /// Whether there are none.
    pub(crate) fn is_memory_alone(&self) -> bool {
        self.shared.is_none() && self.disk.is_none()
    }

    /// Ends all use of them: what was acknowledged is on the disk.
    pub(crate) async fn close(&self) {
        if let Some(disk) = &self.disk
            && let Err(error) = disk.close().await
        {
            tracing::error!(%error, "what was written last may not survive a power cut");
        }
    }
}

/// What the codec adds to a value: its head, and the longest header that names a type.
const OVERHEAD_BYTES: u32 = 64 << 10;
