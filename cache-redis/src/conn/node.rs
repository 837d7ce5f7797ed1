//! A node: a server in its role, and the links to it.

use std::sync::{Arc, OnceLock};

use super::dial::Dialer;
use super::link::Link;
use super::live::Live;
use super::sentinel::Sentinels;
use crate::clock::ServerClock;
use crate::config::Address;
use crate::fault::Fault;

/// Links to one server, which are made when they are first needed.
#[derive(Debug)]
pub(crate) struct Node {
    dialer: Arc<Dialer>,
    target: Target,
    links: Box<[OnceLock<Link>]>,
    clock: Arc<ServerClock>,
}

/// Which server is meant.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The one at this address.
    Fixed(Address),
    /// The one that Sentinels name.
    Named(Sentinels),
}

impl Node {
    pub(crate) fn new(dialer: Arc<Dialer>, target: Target) -> Self {
        let links = (0..dialer.config().pool_size).map(|_| OnceLock::new()).collect();
        Self { dialer, target, links, clock: Arc::new(ServerClock::new()) }
    }

    /// The connection of a slot: the same one for whatever is asked about a key, also where others are up and it is not. On
    /// two of them a write that nobody waits for any more could land behind a removal that came after it.
    pub(crate) async fn live(&self, slot: u16) -> Result<Arc<Live>, Fault> {
        self.link(self.lane(slot)).live().await
    }

    /// The same if it is up and nobody has to wait for it.
    pub(crate) fn live_now(&self, slot: u16) -> Option<Arc<Live>> {
        self.links[self.lane(slot)].get()?.live_now()
    }

    /// Which of the connections that is.
    pub(crate) fn lane(&self, slot: u16) -> usize {
        usize::from(slot) % self.links.len()
    }

    /// Those connections that have been used.
    pub(crate) fn used(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter_map(OnceLock::get)
    }

    /// This connection, if there still is one.
    pub(crate) fn live_if(&self, id: u64) -> Option<Arc<Live>> {
        self.used().find_map(|link| link.live_if(id))
    }

    /// What time it is there.
    pub(crate) fn clock(&self) -> &ServerClock {
        &self.clock
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    fn link(&self, at: usize) -> &Link {
        self.links[at].get_or_init(|| {
            Link::begin(Arc::clone(&self.dialer), self.target.clone(), Arc::clone(&self.clock))
        })
    }
}

impl Target {
    /// Where it is.
    pub(crate) async fn address(&self) -> Result<Address, Fault> {
        match self {
            Self::Fixed(address) => Ok(address.clone()),
            Self::Named(sentinels) => sentinels.primary().await,
        }
    }

    pub(crate) async fn connect(&self, dialer: &Dialer, clock: &ServerClock) -> Result<Live, Fault> {
        match self {
            Self::Fixed(address) => dialer.to_server(address, clock).await,
            Self::Named(sentinels) => sentinels.connect(clock).await,
        }
    }

    /// Whether another server has taken the place of the one at this address.
    pub(crate) async fn has_moved_from(&self, address: &Address) -> bool {
        match self {
            Self::Fixed(_) => false,
            // Who cannot be asked says nothing.
            Self::Named(sentinels) => sentinels.primary().await.is_ok_and(|primary| primary != *address),
        }
    }
}
