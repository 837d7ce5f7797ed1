//! Records: what a segment is made of, byte for byte. `FORMAT.md` has the whole picture.
//!
//! ```text
//!  0  kind u8 │ priority u8 │ key bytes u16 │ names u16 │ 0 u16 │ body bytes u32 │ check u32 of what is before
//! 16  written at u64 │ gone at u64 │ stale for u64      milliseconds
//! 40  key │ names, u64 each: the tags of a put, the keys that a removal removes, the key of a touch
//!  h  checksum u64 of all before it
//!     body: a frame, of a put only
//! ```
//!
//! Both checks are seeded with the store, the segment and the place, so a record that was copied elsewhere is none.
//! The first tells a record that was cut off, because its end is known for sure, from one that was damaged.

use cache_core::Priority;
use twox_hash::XxHash3_64;

/// The part of a head that says how long it is.
pub(crate) const LENGTHS: usize = 16;
const FIXED: usize = 40;
const SUM: usize = 8;

/// The longest head: of a removal of [`MAX_NAMES`] keys.
pub(crate) const MAX_HEAD: usize = FIXED + MAX_NAMES * 8 + SUM;

/// The most keys that one removal names.
pub(crate) const MAX_NAMES: usize = 4096;

/// A moment that does not come.
pub(crate) const NEVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Remove,
    Touch,
}

/// A head as it is written and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) priority: Priority,
    /// When it was written, in milliseconds since 1970.
    pub(crate) at: u64,
    /// When the entry may no longer be kept; [`NEVER`] if it may for ever.
    pub(crate) gone: u64,
    /// How many milliseconds before that it ceases to be fresh.
    pub(crate) stale: u64,
    pub(crate) key: String,
    pub(crate) names: Vec<u64>,
    pub(crate) body: u32,
}

impl Head {
    /// The head of a record that is about keys and has no body.
    pub(crate) fn about(kind: Kind, names: Vec<u64>, at: u64, gone: u64) -> Self {
        Self { kind, priority: Priority::Normal, at, gone, stale: 0, key: String::new(), names, body: 0 }
    }

    /// How many bytes it has, its checksum included.
    pub(crate) fn bytes(&self) -> usize {
        FIXED + self.key.len() + self.names.len() * 8 + SUM
    }

    /// Appends it to what will be written at `place`.
    pub(crate) fn write(&self, place: Place, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[kind_code(self.kind), priority_code(self.priority)]);
        // Keys have at most 1024 bytes, and names are counted by those who make heads.
        out.extend_from_slice(&low_half(self.key.len()));
        out.extend_from_slice(&low_half(self.names.len()));
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.body.to_le_bytes());
        let check = check(place, &out[start..]);
        out.extend_from_slice(&check);
        for number in [self.at, self.gone, self.stale] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.key.as_bytes());
        for name in &self.names {
            out.extend_from_slice(&name.to_le_bytes());
        }
        let sum = place.sum(&out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Reads a head of exactly these bytes; `None` if they are anything else.
    pub(crate) fn read(place: Place, bytes: &[u8]) -> Option<Self> {
        let lengths = Lengths::read(place, bytes.get(..LENGTHS)?)?;
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
        if lengths.head != bytes.len() || sum != place.sum(content).to_le_bytes() {
            return None;
        }
        let number = |at: usize| content.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        let names_at = FIXED + lengths.key;
        Some(Self {
            kind: lengths.kind,
            priority: Priority::ALL.get(usize::from(content[1])).copied()?,
            at: number(16)?,
            gone: number(24)?,
            stale: number(32)?,
            key: str::from_utf8(content.get(FIXED..names_at)?).ok()?.to_owned(),
            names: (names_at..content.len()).step_by(8).map(number).collect::<Option<_>>()?,
            body: lengths.body,
        })
    }
}

/// How long a record is: the first thing that is read of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    kind: Kind,
    key: usize,
    pub(crate) head: usize,
    pub(crate) body: u32,
}

impl Lengths {
    /// Reads the first [`LENGTHS`] bytes of a record; `None` if they are damaged or none.
    pub(crate) fn read(place: Place, bytes: &[u8]) -> Option<Self> {
        let (numbers, found) = bytes.split_at_checked(12)?;
        if found != check(place, numbers) {
            return None;
        }
        let half = |at: usize| usize::from(u16::from_le_bytes([numbers[at], numbers[at + 1]]));
        let (key, names) = (half(2), half(4));
        let body = u32::from_le_bytes([numbers[8], numbers[9], numbers[10], numbers[11]]);
        let kind =
            [Kind::Put, Kind::Remove, Kind::Touch].into_iter().find(|kind| kind_code(*kind) == numbers[0])?;
        Some(Self { kind, key, head: FIXED + key + names * 8 + SUM, body })
    }
}

/// Where a record stands. No two records anywhere have the same place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) store: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl Place {
    fn sum(self, bytes: &[u8]) -> u64 {
        let numbers = [self.store, self.segment, self.offset].map(u64::to_le_bytes);
        XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(numbers.as_flattened()), bytes)
    }
}

fn check(place: Place, lengths: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = place.sum(lengths).to_le_bytes();
    [a, b, c, d]
}

fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Put => 1,
        Kind::Remove => 2,
        Kind::Touch => 3,
    }
}

fn priority_code(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 0,
        Priority::Normal => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    }
}

fn low_half(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { store: 7, segment: 3, offset: 48 };

    fn head() -> Head {
        let names = vec![1, u64::MAX];
        let key = "größe".to_owned();
        Head { kind: Kind::Put, priority: Priority::High, at: 5, gone: NEVER, stale: 9, key, names, body: 77 }
    }

    fn written(head: &Head) -> Vec<u8> {
        let mut bytes = Vec::new();
        head.write(HERE, &mut bytes);
        bytes
    }

    #[test]
    fn a_head_comes_back_as_it_was_written() {
        let longest = Head::about(Kind::Remove, (0..MAX_NAMES as u64).collect(), 1, 2);
        for head in [head(), Head::about(Kind::Touch, vec![9], 1, 2), longest] {
            let bytes = written(&head);
            assert_eq!(bytes.len(), head.bytes());
            assert!(bytes.len() <= MAX_HEAD);
            assert_eq!(Head::read(HERE, &bytes), Some(head));
        }
    }

    #[test]
    fn a_flipped_bit_is_never_a_head() {
        let bytes = written(&head());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::read(HERE, &flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_head_that_was_cut_grew_or_moved_is_none() {
        let bytes = written(&head());
        for end in 0..bytes.len() {
            assert_eq!(Head::read(HERE, &bytes[..end]), None, "{end} bytes");
        }
        assert_eq!(Head::read(HERE, &[&bytes[..], &[0]].concat()), None);
        for elsewhere in
            [Place { store: 8, ..HERE }, Place { segment: 4, ..HERE }, Place { offset: 49, ..HERE }]
        {
            assert_eq!(Head::read(elsewhere, &bytes), None, "{elsewhere:?}");
        }
    }
}
