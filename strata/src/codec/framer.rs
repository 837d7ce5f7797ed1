//! The framer: all steps from value to frame and back, with their limits, settings and counts.

use bytes::Bytes;
#[cfg(feature = "seal")]
use cache_core::Draft;
use cache_core::{Content, Frame, Header, Key, TypeId};

use super::compression::{self, Setting};
use super::counts::Counts;
use super::{Codec, CodecError, CodecFailure, CodecStats, Compression};
use crate::caught::caught;

#[cfg(feature = "seal")]
use {super::Keyring, std::sync::Arc, std::sync::PoisonError, std::sync::RwLock};

/// The largest encoded value, unless set otherwise: 16 MiB.
const DEFAULT_MAX_BYTES: u32 = 16 << 20;

/// A value and what its frame knew about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Framed<V> {
    /// What was stored.
    pub value: V,
    /// Its life, version, tags and the like.
    pub header: Header,
}

/// Makes frames of the values of one cache, and values of frames.
///
/// ```
/// use strata::codec::{Framer, Raw, Step};
/// use strata::{Header, Key, Life, Ttl, Wall};
/// let notes: Framer<String> = Framer::new("note", Raw);
/// let (mine, other) = (Key::new("notes:1")?, Key::new("notes:2")?);
/// let header = Header::new(Life::new(Wall::from_unix_millis(1_800_000_000_000), Ttl::from_secs(60)));
///
/// let frame = notes.encode(&mine, &"hello".to_owned(), &header)?;
/// assert_eq!(notes.decode(&mine, &frame)?.value, "hello");
/// assert!(notes.decode(&other, &frame).is_err());
/// assert_eq!(notes.stats().failed_at(Step::Frame), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Framer<V> {
    codec: Box<dyn Codec<V>>,
    type_id: TypeId,
    max_bytes: u32,
    setting: Setting,
    #[cfg(feature = "seal")]
    keys: RwLock<Option<Arc<Keyring>>>,
    counts: Counts,
}

impl<V: 'static> Framer<V> {
    /// A framer for values of the type that you call by this name, without compression and seal.
    ///
    /// Give the type another name (`"user/2"`) when it changes so that the codec would read old values wrongly: they
    /// are misses then.
    pub fn new(type_name: &str, codec: impl Codec<V>) -> Self {
        Self {
            codec: Box::new(codec),
            type_id: TypeId::of(type_name),
            max_bytes: DEFAULT_MAX_BYTES,
            setting: Setting::new(),
            #[cfg(feature = "seal")]
            keys: RwLock::new(None),
            counts: Counts::default(),
        }
    }

    /// The most bytes of an encoded value, before compression, on both ways. Default 16 MiB; range 0 to 4 GiB.
    ///
    /// Until the codec has the bytes, reading takes at most four times the frame and what it expands to, and 64 KiB, whatever the frame
    /// declares. The value itself takes as much memory as its type does: text at most twice its encoding, a `Vec<u64>` of small
    /// numbers up to 24 times while it grows, a `serde_json::Value` up to 330 times, of maps of one. Where others write what you
    /// read, seal it, or set a limit that you can bear so many times.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u32) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How hard values are compressed. Default [`Compression::None`].
    #[must_use]
    pub fn with_compression(self, compression: Compression) -> Self {
        self.setting.set(compression);
        self
    }

    /// From how many encoded bytes on values are compressed. Default 512, below which it saves little.
    #[must_use]
    pub fn with_threshold(self, bytes: usize) -> Self {
        self.setting.set_threshold(bytes);
        self
    }

    /// Seals all values, and reads no others.
    #[cfg(feature = "seal")]
    #[must_use]
    pub fn with_keys(self, keys: Keyring) -> Self {
        self.set_keys(keys);
        self
    }

    /// Changes the compression from the next write on. What is stored stays readable.
    pub fn set_compression(&self, compression: Compression) {
        self.setting.set(compression);
    }

    /// Changes the threshold from the next write on.
    pub fn set_threshold(&self, bytes: usize) {
        self.setting.set_threshold(bytes);
    }

    /// Changes the keys from the next read and write on; see [`Keyring`] for the order in which to rotate them.
    #[cfg(feature = "seal")]
    pub fn set_keys(&self, keys: Keyring) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
    }

    /// How hard values are compressed now.
    pub fn compression(&self) -> Compression {
        self.setting.level()
    }

    /// From how many encoded bytes on values are compressed now.
    pub fn threshold(&self) -> usize {
        self.setting.threshold()
    }

    /// What was done so far. Costs a dozen atomic reads.
    pub fn stats(&self) -> CodecStats {
        self.counts.stats()
    }

    /// Makes a frame of a value, to be stored under this key and no other.
    ///
    /// # Errors
    /// A value that the codec refuses or panics at, or that is too large, a header that does not fit into a frame, or no random
    /// numbers to seal with. Each is counted at [`Step::Encode`](super::Step::Encode).
    pub fn encode(&self, key: &Key, value: &V, header: &Header) -> Result<Bytes, CodecError> {
        let frame = self.frame(key, value, header);
        frame.inspect_err(|_| self.counts.failed(super::Step::Encode))
    }

    /// Makes a value of a frame that was stored under this key.
    ///
    /// # Errors
    /// Anything but a whole frame of this key, type and codec that opens, expands and decodes. Treat each as a miss and
    /// remove the entry. Each is counted at its step.
    pub fn decode(&self, key: &Key, bytes: &Bytes) -> Result<Framed<V>, CodecError> {
        match self.unframe(key, bytes) {
            Ok(framed) => {
                self.counts.decoded();
                Ok(framed)
            }
            Err(error) => {
                self.counts.failed(error.step());
                Err(error)
            }
        }
    }

    fn frame(&self, key: &Key, value: &V, header: &Header) -> Result<Bytes, CodecError> {
        let raw = caught(|| self.codec.encode(value)).unwrap_or_else(panicked).map_err(CodecError::Encode)?;
        let raw_bytes = raw.len();
        let too_large = CodecError::TooLarge { bytes: raw_bytes, limit: self.max_bytes as usize };
        let declared = u32::try_from(raw_bytes).ok().filter(|bytes| *bytes <= self.max_bytes);
        let declared = declared.ok_or(too_large)?;
        let (way, payload) = self.setting.compress(raw);
        let content = Content {
            type_id: self.type_id,
            codec: self.codec.id(),
            compression: way,
            raw_bytes: declared,
            sealed_by: None,
        };
        let frame = self.write(key, header, content, &payload)?;
        self.counts.encoded(raw_bytes, payload.len(), way != compression::NONE);
        Ok(frame)
    }

    #[cfg(not(feature = "seal"))]
    fn write(
        &self,
        key: &Key,
        header: &Header,
        content: Content,
        payload: &[u8],
    ) -> Result<Bytes, CodecError> {
        let _ = self;
        Frame::write(key, header, content, payload).map_err(CodecError::Write)
    }

    #[cfg(feature = "seal")]
    fn write(
        &self,
        key: &Key,
        header: &Header,
        content: Content,
        payload: &[u8],
    ) -> Result<Bytes, CodecError> {
        let Some(keys) = self.keys() else {
            return Frame::write(key, header, content, payload).map_err(CodecError::Write);
        };
        let content = Content { sealed_by: Some(keys.seals()), ..content };
        let draft = Draft::new(header, content, payload.len() + super::seal::SEAL_BYTES);
        let draft = draft.map_err(CodecError::Write)?;
        let sealed = keys.seal(key, draft.head(), payload)?;
        draft.finish(key, &sealed).map_err(CodecError::Write)
    }

    fn unframe(&self, key: &Key, bytes: &Bytes) -> Result<Framed<V>, CodecError> {
        let frame = Frame::read(key, bytes).map_err(CodecError::Frame)?;
        let content = frame.content();
        self.check(content)?;
        let opened = self.open(key, &frame)?;
        let declared = content.raw_bytes as usize;
        let raw = compression::expand(content.compression, opened, declared)?;
        let value =
            caught(|| self.codec.decode(&raw)).unwrap_or_else(panicked).map_err(CodecError::Decode)?;
        let (header, ..) = frame.into_parts();
        Ok(Framed { value, header })
    }

    /// Whether this is the kind of value that is asked for, and not too large.
    fn check(&self, content: Content) -> Result<(), CodecError> {
        let (found, expected) = (content.type_id.0, self.type_id.0);
        if found != expected {
            return Err(CodecError::Type { found, expected });
        }
        let (found, expected) = (content.codec, self.codec.id());
        if found != expected {
            return Err(CodecError::Codec { found, expected });
        }
        let (bytes, limit) = (content.raw_bytes as usize, self.max_bytes as usize);
        if bytes > limit { Err(CodecError::Declares { bytes, limit }) } else { Ok(()) }
    }

    #[cfg(not(feature = "seal"))]
    fn open(&self, _: &Key, frame: &Frame) -> Result<Bytes, CodecError> {
        let _ = self;
        match frame.content().sealed_by {
            None => Ok(frame.payload().clone()),
            Some(key) => Err(CodecError::UnknownKey { key }),
        }
    }

    #[cfg(feature = "seal")]
    fn open(&self, key: &Key, frame: &Frame) -> Result<Bytes, CodecError> {
        match (self.keys(), frame.content().sealed_by) {
            (None, None) => Ok(frame.payload().clone()),
            (None, Some(key)) => Err(CodecError::UnknownKey { key }),
            (Some(_), None) => Err(CodecError::Unsealed),
            (Some(keys), Some(id)) => keys.open(id, key, frame.head(), frame.payload()),
        }
    }

    #[cfg(feature = "seal")]
    fn keys(&self) -> Option<Arc<Keyring>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The failure of a codec that has panicked: its bug, or bytes that its author did not think of, and a miss like any other.
fn panicked<T>() -> Result<T, CodecFailure> {
    Err("the codec panicked".into())
}
