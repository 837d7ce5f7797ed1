//! Keys that an attacker has chosen to collide: the hash of a memory tier has a secret, so he cannot.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cache_memory::{Memory, Policy};

/// A key of two words that counts how often it is compared with another one.
#[derive(Clone, Copy, Debug)]
struct Chosen(u64, u64);

static COMPARED: AtomicU64 = AtomicU64::new(0);

impl PartialEq for Chosen {
    fn eq(&self, other: &Self) -> bool {
        COMPARED.fetch_add(1, SeqCst);
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Chosen {}

impl Hash for Chosen {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0);
        hasher.write_u64(self.1);
    }
}

/// A hash without a secret: that of rustc, called Fx.
#[derive(Clone, Default)]
struct Fx(u64);

impl Fx {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;

    /// A second word with which all first ones have one hash.
    fn colliding(first: u64) -> Chosen {
        Chosen(first, first.wrapping_mul(Self::FACTOR).rotate_left(5) ^ 7)
    }
}

impl BuildHasher for Fx {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(Self::FACTOR);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[test]
fn keys_that_are_chosen_to_collide_are_compared_no_more_often_than_others() {
    fn compared<S: BuildHasher + Send + Sync + 'static>(memory: &Memory<Chosen, u64, S>, keys: u64) -> u64 {
        let before = COMPARED.load(SeqCst);
        for key in 0..keys {
            memory.insert(Fx::colliding(key), key);
        }
        assert!((0..keys).all(|key| memory.get(&Fx::colliding(key)) == Some(key)));
        COMPARED.load(SeqCst) - before
    }
    let memory = Memory::new().with_max_entries(200_000).with_policy(Policy::Lru).with_sweep_every(None);
    // Each is looked for twice, and now and then compared with one that has some bits in common.
    let keys = 100_000;
    let comparisons = compared(&memory, keys);
    assert!(comparisons < 3 * keys, "{comparisons} comparisons");
    // They do collide where they can be chosen to.
    let guessed = Memory::new().with_max_entries(2000).with_policy(Policy::Lru).with_hasher(Fx(0));
    let comparisons = compared(&guessed, 1000);
    assert!(comparisons > 100 * 1000, "{comparisons} comparisons");
}
