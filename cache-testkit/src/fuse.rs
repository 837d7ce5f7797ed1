//! Code of the user that panics on demand: keys, values and calls that go off in one act, and a count of what is alive.
//!
//! A test arms a [`Fuse`] with an act, lets the cache run into it, and looks at what is left.

use std::hash::{Hash, Hasher};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use cache_core::{CacheKey, KeyWriter};

/// What the user's code is doing when it panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Hashing a key.
    Hash,
    /// Comparing keys.
    Compare,
    /// Cloning a key.
    CloneKey,
    /// Cloning a value.
    CloneValue,
    /// Dropping a key.
    DropKey,
    /// Dropping a value.
    DropValue,
    /// Rendering a key.
    WriteKey,
    /// Whatever the test calls by this name.
    Call(&'static str),
}

/// Panics in one act, after it was done so many times, and counts the keys and values that are alive.
///
/// ```
/// use std::panic::catch_unwind;
/// use cache_testkit::fuse::{Act, Fuse, Key};
/// let fuse = Fuse::new();
/// let key = Key::new(7, &fuse);
/// fuse.arm(Some((Act::CloneKey, 0)));
/// assert!(catch_unwind(|| drop(key.clone())).is_err());
/// assert_eq!((fuse.has_blown(), fuse.alive()), (true, [1, 0]));
/// ```
#[derive(Debug, Default)]
pub struct Fuse {
    armed: Mutex<Option<(Act, u32)>>,
    goes_off_once: AtomicBool,
    has_blown: AtomicBool,
    keys: AtomicI64,
    values: AtomicI64,
}

impl Fuse {
    /// Nothing armed, nothing alive.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Goes off in this act, after it was done so many times, each time from then on; `None` disarms it.
    pub fn arm(&self, armed: Option<(Act, u32)>) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = armed;
    }

    /// Whether it is disarmed by going off. Default: it is not.
    pub fn set_once(&self, once: bool) {
        self.goes_off_once.store(once, SeqCst);
    }

    /// Does this, and panics if it is time. Not while another panic is on its way: that would abort.
    pub fn pass(&self, act: Act) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, left)) = armed.as_mut().filter(|(which, _)| *which == act) else { return };
        if *left > 0 {
            *left -= 1;
        } else if !thread::panicking() {
            if self.goes_off_once.load(SeqCst) {
                *armed = None;
            }
            drop(armed);
            self.has_blown.store(true, SeqCst);
            // As a panic, without its words in the output.
            resume_unwind(Box::new("code of the user"));
        }
    }

    /// Whether it has ever gone off: a test in which it never did shows nothing.
    pub fn has_blown(&self) -> bool {
        self.has_blown.load(SeqCst)
    }

    /// How many keys and how many values are alive.
    pub fn alive(&self) -> [i64; 2] {
        [&self.keys, &self.values].map(|alive| alive.load(SeqCst))
    }
}

/// A key whose every act may go off.
#[derive(Debug)]
pub struct Key {
    number: u8,
    fuse: Arc<Fuse>,
}

/// A value whose every act may go off.
#[derive(Debug)]
pub struct Value {
    number: u8,
    fuse: Arc<Fuse>,
}

impl Key {
    /// The key of this number.
    pub fn new(number: u8, fuse: &Arc<Fuse>) -> Self {
        fuse.keys.fetch_add(1, SeqCst);
        Self { number, fuse: Arc::clone(fuse) }
    }

    /// Its number.
    pub fn number(&self) -> u8 {
        self.number
    }
}

impl Value {
    /// The value of this number.
    pub fn new(number: u8, fuse: &Arc<Fuse>) -> Self {
        fuse.values.fetch_add(1, SeqCst);
        Self { number, fuse: Arc::clone(fuse) }
    }

    /// Its number.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// What it may go off by.
    pub fn fuse(&self) -> &Fuse {
        &self.fuse
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.fuse.pass(Act::Compare);
        self.number == other.number
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fuse.pass(Act::Hash);
        self.number.hash(state);
    }
}

impl Clone for Key {
    fn clone(&self) -> Self {
        self.fuse.pass(Act::CloneKey);
        Self::new(self.number, &self.fuse)
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.fuse.pass(Act::CloneValue);
        Self::new(self.number, &self.fuse)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.fuse.keys.fetch_sub(1, SeqCst);
        self.fuse.pass(Act::DropKey);
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.fuse.values.fetch_sub(1, SeqCst);
        self.fuse.pass(Act::DropValue);
    }
}

impl CacheKey for Key {
    fn write(&self, out: &mut KeyWriter) {
        self.fuse.pass(Act::WriteKey);
        out.push(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn it_goes_off_in_its_act_after_so_many_times_once_or_for_ever() {
        for once in [false, true] {
            let fuse = Fuse::new();
            fuse.set_once(once);
            let key = Key::new(1, &fuse);
            fuse.arm(Some((Act::CloneKey, 1)));
            let blows = || catch_unwind(|| drop(key.clone())).is_err();
            assert_eq!([blows(), fuse.has_blown(), blows(), blows()], [false, false, true, !once]);
            assert!(fuse.has_blown() && fuse.alive() == [1, 0]);
            fuse.arm(None);
            assert!(!blows());
        }
    }
}
