//! Connections by the address that they come from: so many at once, and no more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use cache_ratelimit::network;

/// How many connections each address holds. As large as there are connections: who holds none is not in it.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    at_most: NonZeroUsize,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Addresses {
    pub(crate) fn new(at_most: NonZeroUsize) -> Self {
        Self { at_most, held: Arc::default() }
    }

    /// A place for one more connection from there, until it is dropped. Of IPv6 it is the network of 64 bits that counts.
    pub(crate) fn place(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(address).or_insert(0);
        if *count >= self.at_most.get() {
            return None;
        }
        *count += 1;
        Some(Place { address, held: Arc::clone(&self.held) })
    }
}

#[derive(Debug)]
pub(crate) struct Place {
    address: IpAddr,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_when_its_connection_is_gone_and_nothing_of_it_stays() {
        let addresses = Addresses::new(NonZeroUsize::new(2).expect("two"));
        let place = |text: &str| addresses.place(text.parse().expect("an address"));
        let held =
            [place("192.0.2.7"), place("::ffff:192.0.2.7"), place("2001:db8::1"), place("2001:db8::2:1")];
        assert!(held.iter().all(Option::is_some));
        assert!(place("192.0.2.7").is_none() && place("2001:db8::3").is_none());
        assert!(place("192.0.2.8").is_some() && place("2001:db8:0:1::1").is_some());
        drop(held);
        assert!(place("192.0.2.7").is_some());
        assert!(addresses.held.lock().expect("not poisoned").is_empty());
    }
}
