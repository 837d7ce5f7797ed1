//! Frames: how an entry is written down outside this process, so that whoever finds the bytes knows what they are.
//!
//! ```text
//!  0  magic C1 53 74 │ version 1 │ head length u16 │ flags u8 │ codec u8 │ compression u8 │ priority u8
//! 10  type id u32    │ raw length u32 │ payload length u32 │ stored at u64, ms since 1970
//! 30  each only with its flag, in this order:
//!     1 mortal       due, stale, gone: varints, ms, each counted from the one before
//!     2 versioned    u64
//!     4 costed       varint, ns
//!     8 sealed       key id u32
//!    16 tagged       count u8, then each: length varint, text │ with 32 marked: u64 after each text
//!    64 labelled     count u8, then each: name length varint, name, text length varint, text
//!  h  payload        encoded, then compressed, then sealed
//! h+p checksum       XXH3-64 of all before it, seeded with that of the key
//! ```
//!
//! Numbers are little-endian; varints are LEB128 in as few bytes as possible. So one frame has one reading and one
//! writing. Nothing is looked at before the checksum is right, except what is needed to find it. As the key is part
//! of it, an answer meant for another key is no frame either. The checksum recognises accidents; against malice there
//! are seals. What is in the payload is not known here, only how long it is.

mod error;
mod life;
mod parts;

use bytes::Bytes;
use twox_hash::XxHash3_64;

pub use self::error::FrameError;
pub use self::life::{Life, Wall};
pub use self::parts::{Content, Header, MAX_LABELS, TypeId};

use crate::Key;
use crate::cursor::Cursor;

/// The format that is written. All formats up to it are read.
pub const FRAME_VERSION: u8 = 1;

/// `C1` begins neither UTF-8 nor `MessagePack`, so what others have written is not mistaken for a frame.
const MAGIC: [u8; 3] = [0xC1, b'S', b't'];
/// Where the part begins that every head has and that says how long the frame is.
const FIXED: usize = 30;
const CHECKSUM: usize = 8;

/// An entry as it is written down.
///
/// ```
/// use cache_core::{Content, Frame, Header, Key, Life, Ttl, TypeId, Wall};
/// let (mine, other) = (Key::new("users:1")?, Key::new("users:2")?);
/// let life = Life::new(Wall::from_unix_millis(1_800_000_000_000), Ttl::from_secs(60));
///
/// let bytes = Frame::write(&mine, &Header::new(life), Content::plain(TypeId::of("note"), 5), b"hello")?;
/// let frame = Frame::read(&mine, &bytes)?;
/// assert_eq!((&frame.payload()[..], frame.header().life), (&b"hello"[..], life));
/// assert!(Frame::read(&other, &bytes).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    header: Header,
    content: Content,
    head: Bytes,
    payload: Bytes,
}

impl Frame {
    /// Writes a frame in one step. Costs one copy of the payload.
    ///
    /// # Errors
    /// As [`Draft::new`].
    pub fn write(key: &Key, header: &Header, content: Content, payload: &[u8]) -> Result<Bytes, FrameError> {
        Draft::new(header, content, payload.len())?.finish(key, payload)
    }

    /// Reads a frame that was written under this key. The payload is a slice of `bytes`, not a copy.
    ///
    /// Allocates for tags and labels alone, and less than their bytes could make it: both are bounded in number.
    ///
    /// # Errors
    /// Anything but a whole, unchanged frame of a known version under this very key.
    pub fn read(key: &Key, bytes: &Bytes) -> Result<Self, FrameError> {
        let (header, content, payload) = Self::read_parts(key, bytes)?;
        let head = bytes.len() - payload.len() - CHECKSUM;
        Ok(Self { header, content, head: bytes.slice(..head), payload })
    }

    /// The same taken apart, for who has no use for the head: as [`into_parts`](Self::into_parts), and cheaper.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_parts(key: &Key, bytes: &Bytes) -> Result<(Header, Content, Bytes), FrameError> {
        let (head, payload) = bounds(bytes)?;
        let sum_at = head + payload;
        if bytes[sum_at..] != checksum(key, &bytes[..sum_at]).to_le_bytes() {
            return Err(FrameError::Checksum);
        }
        let mut cursor = Cursor::new(&bytes[..head]);
        let (header, content) = parts::read(&mut cursor)?;
        Ok((header, content, bytes.slice(head..sum_at)))
    }

    /// What is known about the entry besides its value.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How to read the payload.
    pub fn content(&self) -> Content {
        self.content
    }

    /// All bytes before the payload: what a seal binds.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// The payload as it stands: encoded, compressed, sealed.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Takes the frame apart.
    pub fn into_parts(self) -> (Header, Content, Bytes) {
        (self.header, self.content, self.payload)
    }
}

/// A frame whose head is written and whose payload is still to come, as sealing it needs the head.
#[derive(Clone, Debug)]
pub struct Draft {
    head: Vec<u8>,
    payload: usize,
}

impl Draft {
    /// Writes the head for a payload of this many bytes.
    ///
    /// # Errors
    /// More than [`MAX_LABELS`] labels, a head of more than 64 KiB, or a payload of 4 GiB or more.
    pub fn new(header: &Header, content: Content, payload_bytes: usize) -> Result<Self, FrameError> {
        let mut head = Vec::with_capacity(FIXED + 32);
        parts::write(header, content, payload_bytes, &mut head)?;
        let bytes = head.len();
        let length = u16::try_from(bytes).map_err(|_| FrameError::TooLarge {
            part: "head",
            bytes,
            limit: u16::MAX as usize,
        })?;
        head[4..6].copy_from_slice(&length.to_le_bytes());
        Ok(Self { head, payload: payload_bytes })
    }

    /// All bytes before the payload: what a seal binds.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Appends the payload and the checksum.
    ///
    /// # Errors
    /// A payload of another length than was announced.
    pub fn finish(mut self, key: &Key, payload: &[u8]) -> Result<Bytes, FrameError> {
        if payload.len() != self.payload {
            let (declared, found) = (self.payload as u64, payload.len() as u64);
            return Err(FrameError::Length { declared, found });
        }
        self.head.reserve_exact(payload.len() + CHECKSUM);
        self.head.extend_from_slice(payload);
        let sum = checksum(key, &self.head);
        self.head.extend_from_slice(&sum.to_le_bytes());
        Ok(self.head.into())
    }
}

/// The lengths of head and payload, if the bytes have the outline of a frame.
fn bounds(bytes: &[u8]) -> Result<(usize, usize), FrameError> {
    let found = bytes.len();
    let begins = bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic);
    if !begins {
        return Err(FrameError::Foreign);
    }
    // The version comes before any length: what the rest of a future frame means is not known here.
    match bytes.get(MAGIC.len()) {
        Some(&FRAME_VERSION) => {}
        Some(&version) => return Err(FrameError::Version { version }),
        None => return Err(FrameError::Short { bytes: found }),
    }
    let mut cursor = Cursor::new(bytes);
    let short = FrameError::Short { bytes: found };
    let lengths = (|| {
        cursor.skip(4)?;
        let head = cursor.u16()?;
        cursor.skip(12)?;
        Some((head, cursor.u32()?))
    })();
    let (head, payload) = lengths.ok_or(short)?;
    // In 64 bits no sum of these can overflow, on whatever machine.
    let declared = u64::from(head) + u64::from(payload) + CHECKSUM as u64;
    if usize::from(head) < FIXED || declared != found as u64 {
        return Err(FrameError::Length { declared, found: found as u64 });
    }
    Ok((usize::from(head), found - usize::from(head) - CHECKSUM))
}

fn checksum(key: &Key, bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(key.as_str().as_bytes()), bytes)
}
