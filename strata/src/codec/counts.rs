//! What the codec did, as plain numbers: how much compression saves, and how often reading failed at which step.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Step;

/// Counts since the framer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodecStats {
    /// Values that became frames.
    pub encoded: u64,
    /// How many of them are stored compressed.
    pub compressed: u64,
    /// Bytes of those values, encoded and not yet compressed.
    pub raw_bytes: u64,
    /// Bytes of the same values as they are stored, without heads and seals.
    pub stored_bytes: u64,
    /// Frames that became values.
    pub decoded: u64,
    /// Failures by step, in the order of [`Step::ALL`].
    pub failed: [u64; Step::ALL.len()],
}

impl CodecStats {
    /// Failures at this step.
    pub fn failed_at(&self, step: Step) -> u64 {
        self.failed[step as usize]
    }

    /// Stored bytes by raw bytes: 0.25 is a quarter. 1 before anything was encoded.
    pub fn compression_ratio(&self) -> f64 {
        if self.raw_bytes == 0 {
            return 1.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people; 53 bits count petabytes exactly")]
        let (stored, raw) = (self.stored_bytes as f64, self.raw_bytes as f64);
        stored / raw
    }

    /// Bytes that compression has saved. Never negative, as nothing is stored larger than it is.
    pub fn saved_bytes(&self) -> u64 {
        self.raw_bytes.saturating_sub(self.stored_bytes)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    encoded: AtomicU64,
    compressed: AtomicU64,
    raw_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    decoded: AtomicU64,
    failed: [AtomicU64; Step::ALL.len()],
}

impl Counts {
    pub(super) fn encoded(&self, raw_bytes: usize, stored_bytes: usize, compressed: bool) {
        self.encoded.fetch_add(1, Relaxed);
        self.compressed.fetch_add(u64::from(compressed), Relaxed);
        self.raw_bytes.fetch_add(raw_bytes as u64, Relaxed);
        self.stored_bytes.fetch_add(stored_bytes as u64, Relaxed);
    }

    pub(super) fn decoded(&self) {
        self.decoded.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self, step: Step) {
        self.failed[step as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self) -> CodecStats {
        CodecStats {
            encoded: self.encoded.load(Relaxed),
            compressed: self.compressed.load(Relaxed),
            raw_bytes: self.raw_bytes.load(Relaxed),
            stored_bytes: self.stored_bytes.load(Relaxed),
            decoded: self.decoded.load(Relaxed),
            failed: self.failed.each_ref().map(|count| count.load(Relaxed)),
        }
    }
}
