//! The regions of this server: named caches of blobs, each with its own limits, lifetime and policy.
//!
//! A key is the text that came in over the network, as it is. A blob is bytes and what they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderValue;
use bytes::Bytes;
use cache_core::{Clock, Key, Tags};
use strata::{BuildError, Cache, Memory, NameTaken, Registry};
use thiserror::Error;

use crate::config::RegionSettings;

/// The most regions of a server. Each costs memory even when it is empty, and labels in every scrape.
pub(crate) const MAX_REGIONS: usize = 256;

/// What an entry costs besides its texts and bytes: its place in the index, the policy, the wheel, and the headers of
/// its allocations. Measured: 250 to 320 bytes of resident memory, at different fills of the tables.
const ENTRY_OVERHEAD_BYTES: u64 = 288;

/// What a tag that nothing else carries costs besides its text: its place in the tag index and a set of its own.
const TAG_OVERHEAD_BYTES: u64 = 200;

/// One hit in so many is noted, to name the keys that are read most. It costs a hit nothing that can be measured.
const SAMPLED_ONE_IN: u32 = 64;

/// A cache of blobs.
pub(crate) type BlobCache = Cache<Key, Blob>;

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// As they came in. They own their allocation: a slice of a read buffer would keep all of it alive.
    pub(crate) bytes: Bytes,
    pub(crate) content_type: HeaderValue,
    /// What its tags take, so that they count against the limit as well.
    pub(crate) tag_bytes: u64,
}

/// What these tags take at most, if no other entry carries them.
pub(crate) fn tag_bytes(tags: Option<&Tags>) -> u64 {
    tags.into_iter().flatten().map(|tag| tag.as_str().len() as u64 + TAG_OVERHEAD_BYTES).sum()
}

/// What an entry weighs against its region's limit in bytes.
pub(crate) fn weight(key: &Key, blob: &Blob) -> u64 {
    let lengths = key.as_str().len() + blob.bytes.len() + blob.content_type.len();
    lengths as u64 + blob.tag_bytes + ENTRY_OVERHEAD_BYTES
}

/// The regions, by name.
#[derive(Debug)]
pub(crate) struct Regions {
    registry: Registry,
    clock: Arc<dyn Clock>,
    /// Held while a region is added, so that two requests cannot both take the last place.
    adding: Mutex<()>,
    /// How many values were too large, by region: they are refused before their region's own count sees them.
    too_large: Mutex<BTreeMap<String, u64>>,
}

/// Why a region cannot be made.
#[derive(Debug, Error)]
pub(crate) enum CreateError {
    #[error(transparent)]
    Name(#[from] BuildError),
    #[error(transparent)]
    Taken(#[from] NameTaken),
    #[error("there are {MAX_REGIONS} regions already; remove one first")]
    Full,
}

impl Regions {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { registry: Registry::new(), clock, adding: Mutex::new(()), too_large: Mutex::default() }
    }

    pub(crate) fn create(&self, name: &str, settings: &RegionSettings) -> Result<BlobCache, CreateError> {
        let memory = Memory::new()
            .with_max_entries(settings.max_entries.get())
            .with_max_bytes(settings.max_bytes.get())
            .with_weigher(|key, blob: &Arc<Blob>| weight(key, blob))
            .with_ttl(settings.ttl)
            .with_policy(settings.policy)
            .with_sampling(SAMPLED_ONE_IN)
            .with_clock(Arc::clone(&self.clock));
        let cache = Cache::builder(name).memory(memory).build()?;
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        if self.registry.all().len() >= MAX_REGIONS && self.find(name).is_none() {
            return Err(CreateError::Full);
        }
        self.registry.add(&cache)?;
        Ok(cache)
    }

    pub(crate) fn find(&self, name: &str) -> Option<BlobCache> {
        self.registry.cache(name)
    }

    /// Takes a region off the list. Requests that already found it finish with it.
    pub(crate) fn remove(&self, name: &str) -> Option<BlobCache> {
        let cache = self.find(name)?;
        self.too_large.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.registry.remove(name).then_some(cache)
    }

    /// All regions, by name.
    pub(crate) fn all(&self) -> Vec<BlobCache> {
        self.registry.all().iter().filter_map(|region| self.find(region.name())).collect()
    }

    /// Tells whether a region can hold this value at all, and counts it if not.
    ///
    /// A value that is refused here leaves what is stored under its key as it is.
    pub(crate) fn has_room(&self, cache: &BlobCache, key: &Key, blob: &Blob) -> bool {
        let fits = cache.memory().max_bytes().is_none_or(|limit| weight(key, blob) <= limit);
        if !fits {
            let mut counts = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(cache.name().to_owned()).or_default() += 1;
        }
        fits
    }

    /// How many values were too large for a region.
    pub(crate) fn too_large(&self, name: &str) -> u64 {
        self.too_large.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied().unwrap_or_default()
    }
}
