//! What a bus has counted: plain numbers, read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Doubt;

/// Counts of a bus since it was opened, and what waits in it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BusStats {
    /// Events that were given to [`publish`](crate::Bus::publish), those after the close aside.
    pub published: u64,
    /// Messages that the transport has taken, heartbeats included.
    pub sent: u64,
    /// Attempts to publish a message that the transport has refused, or not answered in time.
    pub unsent: u64,
    /// Messages of others that were received.
    pub received: u64,
    /// Events in them.
    pub events: u64,
    /// Messages of our own that came back.
    pub echoes: u64,
    /// Messages that came twice, or after later ones.
    pub late: u64,
    /// Holes in the numbers of a publisher, also where another doubt was on already.
    pub gaps: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Where there is a secret, messages of whoever does not know it, and what is no message: ignored.
    pub forged: u64,
    /// Where there is a secret, messages that were sent once more by whoever has heard them, and, where what is not signed is accepted, such
    /// messages in the name of one that signs: ignored.
    pub replayed: u64,
    /// Subscriptions after the first.
    pub resubscribes: u64,
    /// Calls of a listener that panicked.
    pub panics: u64,
    /// Events that wait to be published.
    pub outbox_len: usize,
    /// Events that were dropped, because the transport was away and the outbox full.
    pub outbox_dropped: u64,
    doubts: [u64; Doubt::ALL.len()],
}

impl BusStats {
    /// How often this doubt has begun. One that comes while another one lasts is not counted.
    pub fn doubts(&self, why: Doubt) -> u64 {
        self.doubts[why as usize]
    }
}

/// Where it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) published: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) unsent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) echoes: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) forged: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) subscribes: AtomicU64,
    pub(crate) panics: AtomicU64,
    doubts: [AtomicU64; Doubt::ALL.len()],
}

impl Counts {
    pub(crate) fn doubt(&self, why: Doubt) {
        add(&self.doubts[why as usize], 1);
    }

    pub(crate) fn read(&self, outbox: (usize, u64)) -> BusStats {
        let of = |count: &AtomicU64| count.load(Relaxed);
        BusStats {
            published: of(&self.published),
            sent: of(&self.sent),
            unsent: of(&self.unsent),
            received: of(&self.received),
            events: of(&self.events),
            echoes: of(&self.echoes),
            late: of(&self.late),
            gaps: of(&self.gaps),
            malformed: of(&self.malformed),
            forged: of(&self.forged),
            replayed: of(&self.replayed),
            resubscribes: of(&self.subscribes).saturating_sub(1),
            panics: of(&self.panics),
            outbox_len: outbox.0,
            outbox_dropped: outbox.1,
            doubts: std::array::from_fn(|at| of(&self.doubts[at])),
        }
    }
}

pub(crate) fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_doubt_is_counted_in_its_own_place() {
        let counts = Counts::default();
        for (at, why) in Doubt::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
            (0..=at).for_each(|_| counts.doubt(why));
        }
        let stats = counts.read((0, 0));
        assert_eq!(Doubt::ALL.map(|why| stats.doubts(why)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }
}
