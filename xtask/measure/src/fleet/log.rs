//! What a process did and was answered, in a file of its own: 32 bytes each, so that a million take little time and room.
//!
//! Times are nanoseconds by the wall clock of the machine as it was when the process began, counted on from then by a clock that
//! nobody sets: all processes have the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use cache_core::{Clock, SystemClock, Time};

/// The version of an answer that was none of its key.
pub(super) const NONSENSE: u64 = u64::MAX;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Read,
    Insert,
    Remove,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) deed: Deed,
    pub(super) key: u32,
    /// What was read, or has become of the source.
    pub(super) version: u64,
    pub(super) begun: u64,
    pub(super) ended: u64,
}

const BYTES: usize = 32;

impl Entry {
    fn write(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let deed = self.deed as u64;
        let words = [deed << 32 | u64::from(self.key), self.version, self.begun, self.ended];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8; BYTES]) -> Option<Self> {
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let (first, version, begun, ended) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let deed =
            [Deed::Read, Deed::Insert, Deed::Remove].get(usize::try_from(first >> 32).ok()?).copied()?;
        let key = u32::try_from(first & u64::from(u32::MAX)).ok()?;
        Some(Self { deed, key, version, begun, ended })
    }
}

/// Adds to a file.
pub(super) fn append(file: &Path, entries: &[Entry]) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let bytes: Vec<u8> = entries.iter().flat_map(Entry::write).collect();
    file.write_all(&bytes)
}

/// Reads a file, if there is one.
pub(super) fn read(file: &Path) -> io::Result<Vec<Entry>> {
    let mut bytes = Vec::new();
    match File::open(file) {
        Ok(mut file) => drop(io::Read::read_to_end(&mut file, &mut bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let (whole, rest) = bytes.as_chunks::<BYTES>();
    let entries: Option<Vec<Entry>> = whole.iter().map(Entry::read).collect();
    entries.filter(|_| rest.is_empty()).ok_or_else(|| io::Error::other("a log is damaged"))
}

/// The clock that all processes have.
pub(crate) struct Shared {
    clock: SystemClock,
    /// The wall time at the beginning of that.
    began: u64,
}

impl Shared {
    #[expect(clippy::disallowed_methods, reason = "processes have no other clock in common")]
    pub(crate) fn new() -> Self {
        let clock = SystemClock::new();
        let since = clock.now().since(Time::ZERO);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { clock, began: u64::try_from(wall.saturating_sub(since).as_nanos()).unwrap_or_default() }
    }

    pub(crate) fn now(&self) -> u64 {
        self.began.saturating_add(self.clock.now().as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        let entry = |deed, key| Entry { deed, key, version: NONSENSE, begun: 7, ended: u64::MAX };
        let entries = [entry(Deed::Read, u32::MAX), entry(Deed::Insert, 0), entry(Deed::Remove, 9)];
        assert_eq!(read(&file).unwrap(), []);
        append(&file, &entries[..1]).unwrap();
        append(&file, &entries[1..]).unwrap();
        assert_eq!(read(&file).unwrap(), entries);
        std::fs::write(&file, [0xFF; BYTES]).unwrap();
        assert!(read(&file).is_err());
    }

    #[test]
    fn two_who_begin_apart_have_the_same_time() {
        let first = Shared::new();
        let second = Shared::new();
        let (before, between, after) = (first.now(), second.now(), first.now());
        let apart = before.saturating_sub(between).max(between.saturating_sub(after));
        assert!(apart < 1_000_000_000, "{apart} ns apart");
    }
}
