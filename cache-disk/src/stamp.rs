//! The two small blocks that vouch for the rest: the header of a segment, and the state of the folder.
//!
//! ```text
//! segment  0 "StrataSg" │ version u32 │ 0 u32 │ store u64 │ segment u64 │ bytes of the one before u64 │ checksum u64
//! state    0 "StrataSt" │ version u32 │ flags u32: 1 closed, 2 power │ store u64 │ boot u64
//!         32 last segment u64 │ if closed: its bytes u64 │ last written at u64 │ checksum u64
//! ```

use twox_hash::XxHash3_64;

/// The format that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;

pub(crate) const HEADER: usize = 48;
pub(crate) const STATE: usize = 64;

const CLOSED: u32 = 1;
const POWER: u32 = 2;
const KNOWN: u32 = CLOSED | POWER;

/// What begins a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store: u64,
    pub(crate) segment: u64,
    /// How many bytes of the segment before count; 0 if there was none.
    pub(crate) before: u64,
}

impl Header {
    pub(crate) fn write(self) -> Vec<u8> {
        sealed(*b"StrataSg", 0, &[self.store, self.segment, self.before])
    }

    /// Reads the first [`HEADER`] bytes of a segment.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (_, [store, segment, before]) = opened(*b"StrataSg", bytes)?;
        Ok(Self { store, segment, before })
    }
}

/// What the folder was like when somebody last wrote that down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Which store the segments belong to; another one after each empty start.
    pub(crate) store: u64,
    /// The run of the operating system in which it was opened; 0 if unknown.
    pub(crate) boot: u64,
    /// Whether everything was synced before it was acknowledged.
    pub(crate) power: bool,
    /// The last segment that was there already; 0 if there was none.
    pub(crate) found: u64,
    /// Where everything ended, if the folder was closed in order.
    pub(crate) closed: Option<End>,
}

/// The end of all that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The last segment; 0 if there is none.
    pub(crate) segment: u64,
    /// How many bytes of it count.
    pub(crate) bytes: u64,
    /// The latest moment that was known.
    pub(crate) at: u64,
}

impl State {
    pub(crate) fn write(self) -> Vec<u8> {
        let flag = |set, flag| if set { flag } else { 0 };
        let end = self.closed.unwrap_or(End { segment: self.found, bytes: 0, at: 0 });
        let flags = flag(self.closed.is_some(), CLOSED) | flag(self.power, POWER);
        sealed(*b"StrataSt", flags, &[self.store, self.boot, end.segment, end.bytes, end.at])
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (flags, [store, boot, segment, bytes, at]) = opened(*b"StrataSt", bytes)?;
        let closed = (flags & CLOSED != 0).then_some(End { segment, bytes, at });
        Ok(Self { store, boot, power: flags & POWER != 0, found: segment, closed })
    }
}

/// Why a block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Another release wrote it.
    Version,
    /// It is damaged, or was never one of ours.
    Damaged,
}

fn sealed(magic: [u8; 8], flags: u32, numbers: &[u64]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&flags.to_le_bytes());
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let sum = XxHash3_64::oneshot(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn opened<const N: usize>(magic: [u8; 8], bytes: &[u8]) -> Result<(u32, [u64; N]), Unreadable> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    // The version comes before the length and the checksum: where those stand in another format is not known here.
    if bytes.get(..8) == Some(&magic) && word(8).is_some_and(|version| version != VERSION) {
        return Err(Unreadable::Version);
    }
    let end = 16 + 8 * N;
    let whole = bytes.len() == end + 8
        && bytes[..8] == magic
        && bytes[end..] == XxHash3_64::oneshot(&bytes[..end]).to_le_bytes();
    let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let flags = word(12).filter(|flags| whole && flags & !KNOWN == 0).ok_or(Unreadable::Damaged)?;
    let mut numbers = [0; N];
    for (at, place) in numbers.iter_mut().enumerate() {
        *place = number(16 + 8 * at).ok_or(Unreadable::Damaged)?;
    }
    Ok((flags, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_come_back_as_they_were_written() {
        let header = Header { store: 1, segment: 2, before: 3 };
        assert_eq!(header.write().len(), HEADER);
        assert_eq!(Header::read(&header.write()), Ok(header));
        let open = State { store: 1, boot: 2, power: true, found: 4, closed: None };
        let closed = State { closed: Some(End { segment: 4, bytes: 5, at: 6 }), power: false, ..open };
        for state in [open, closed] {
            assert_eq!(state.write().len(), STATE);
            assert_eq!(State::read(&state.write()), Ok(state));
        }
    }

    #[test]
    fn a_flipped_bit_or_a_wrong_length_is_never_one() {
        let bytes = State { store: 1, boot: 2, power: true, found: 3, closed: None }.write();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(State::read(&flipped).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(State::read(&bytes[..end]).is_err(), "{end} bytes");
        }
        assert!(Header::read(&bytes).is_err(), "one is not the other");
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = Header { store: 1, segment: 2, before: 3 }.write();
        bytes[8] = 2;
        assert_eq!(Header::read(&bytes), Err(Unreadable::Version));
    }
}
