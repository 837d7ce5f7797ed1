//! Numbers and texts as bytes, for whatever is read by somebody else: little-endian, each with one writing.
//!
//! A reader never looks past the end of its slice, allocates nothing, and takes no length at its word.

/// Reads numbers and texts off a slice, one after another. What cannot be read is `None`, and where the cursor stands
/// after that is not said.
///
/// ```
/// use cache_core::cursor::{Cursor, push_text, push_varint};
/// let mut bytes = Vec::new();
/// push_varint(&mut bytes, 300);
/// push_text(&mut bytes, "users");
///
/// let mut cursor = Cursor::new(&bytes);
/// assert_eq!((cursor.varint(), cursor.text()), (Some(300), Some("users")));
/// assert!(cursor.is_empty() && cursor.u8().is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Begins at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Tells whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next so many bytes as they are.
    pub fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    /// Leaves out so many bytes.
    pub fn skip(&mut self, bytes: usize) -> Option<()> {
        self.take(bytes).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes as a number.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes as a number.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next sixteen bytes as a number.
    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A varint (LEB128); `None` also if it has more bytes than it needs or more bits than 64.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A text behind its length.
    pub fn text(&mut self) -> Option<&'a str> {
        let bytes = usize::try_from(self.varint()?).ok()?;
        str::from_utf8(self.take(bytes)?).ok()
    }
}

/// Appends a number as LEB128, in as few bytes as possible.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(0x80 | low_seven(value));
        value >>= 7;
    }
    out.push(low_seven(value));
}

/// Appends a text behind its length.
pub fn push_text(out: &mut Vec<u8>, text: &str) {
    push_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn low_seven(value: u64) -> u8 {
    (value & 0x7F).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        for value in (0..64).map(|bits| 1_u64 << bits).flat_map(|v| [v - 1, v, v + 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.varint(), Some(value));
            assert!(cursor.is_empty());
        }
    }

    #[test]
    fn one_number_has_one_writing() {
        let refused: [&[u8]; 5] = [
            &[],
            &[0x80],
            &[0x80, 0x00],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ];
        for bytes in refused {
            assert_eq!(Cursor::new(bytes).varint(), None, "{bytes:x?}");
        }
    }

    #[test]
    fn a_text_ends_where_its_bytes_end() {
        assert_eq!(Cursor::new(b"\x02abc").text(), Some("ab"));
        assert_eq!(Cursor::new(b"\x04abc").text(), None);
        assert_eq!(Cursor::new(b"\x01\xff").text(), None);
    }
}
