//! What happened, as plain numbers, counted under the lock of the index. Whoever exports them has the names in
//! `cache_core::metric`, as `DISK_…`.

use crate::index::Cause;

/// Counts since the tier was opened, and what it holds now.
///
/// The books balance at rest: `loaded + inserts == expired + evicted + replaced + removed + corrupt + entries`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Keys that were asked for and found.
    pub hits: u64,
    /// Keys that were asked for and not found, or not readable.
    pub misses: u64,
    /// Entries that were there when the tier was opened.
    pub loaded: u64,
    /// Entries stored, replacements included.
    pub inserts: u64,
    /// Entries that ended by time.
    pub expired: u64,
    /// Entries that had to make room, or that a failing disk made unsafe to keep.
    pub evicted: u64,
    /// Entries whose key was given a new value.
    pub replaced: u64,
    /// Entries removed by key, tag, prefix or clear.
    pub removed: u64,
    /// Entries that turned out damaged when they were read.
    pub corrupt: u64,
    /// Entries that were written once more, because they had been used, instead of making room.
    pub kept: u64,
    /// Entries refused because they alone exceed what a segment holds.
    pub too_large: u64,
    /// Noted writes that something else has overtaken, or whose note was lost.
    pub refused: u64,
    /// Operations of the file system that failed.
    pub io_errors: u64,
    /// Calls refused because too many were waiting.
    pub overflows: u64,
    /// Bytes written to files since the tier was opened.
    pub bytes_written: u64,
    /// Entries held, expired ones that are not yet freed included.
    pub entries: u64,
    /// What the files of the tier take, in bytes. Never more than the limit.
    pub bytes: u64,
}

impl Stats {
    /// Hits per read, in [0, 1]; `None` before the first read.
    pub fn hit_ratio(&self) -> Option<f64> {
        let reads = self.hits + self.misses;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of counts up to 2^53 is exact enough")]
        let ratio = self.hits as f64 / reads as f64;
        (reads > 0).then_some(ratio)
    }

    pub(crate) fn ended(&mut self, cause: Cause) -> &mut u64 {
        match cause {
            Cause::Replaced => &mut self.replaced,
            Cause::Removed => &mut self.removed,
            Cause::Expired => &mut self.expired,
            Cause::Evicted => &mut self.evicted,
            Cause::Corrupt => &mut self.corrupt,
        }
    }
}

/// How the tier found its folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// Empty: nobody has used it before.
    New,
    /// With what was there, all of it.
    Whole,
    /// Without what stood before a damaged place: a removal may have stood there, and what is removed never comes back.
    Damaged,
    /// Empty: the machine has lost its power, or the folder came from another one, and nothing vouches for what was
    /// written last.
    Unsynced,
    /// Empty: another release has written another format.
    OtherVersion,
    /// Empty: the file that says what the others are is damaged or missing.
    Unreadable,
    /// Not at all yet: the folder cannot be used. Reads miss, writes fail, and it is tried again.
    #[default]
    Waiting,
}
