//! Seals: XChaCha20-Poly1305 over what leaves the process, bound to the key and the head of its frame.
//!
//! ```text
//! sealed payload    nonce, 24 bytes │ as many bytes as before │ tag, 16 bytes
//! bound with it     head of the frame: lives, versions, tags, lengths, key id │ the entry's key, which begins with the namespace
//! ```
//!
//! Many processes seal under one key without knowing of each other, so nonces are random, and 192 bits of them never
//! meet; with the 96 of AES-GCM or ChaCha20-Poly1305 a busy cache would have to change keys every 2^32 entries. It is
//! as fast without AES instructions as with them, and takes the same time for all data.
//!
//! A seal hides what a value is, not how long it is. Compressing first makes the length speak of the content: where
//! outsiders choose a part of a secret value and see its length, set no compression.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use cache_core::Key;
use chacha20poly1305::aead::common::Generate;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::CodecError;

const NONCE: usize = 24;
const TAG: usize = 16;

/// What sealing adds to a payload, in bytes.
pub(super) const SEAL_BYTES: usize = NONCE + TAG;

/// A secret of 256 bits. Its memory is overwritten when it is dropped, and it does not show itself.
///
/// ```
/// use strata::codec::SealKey;
/// let key = SealKey::from_hex(&"5e".repeat(32))?;
/// assert_eq!(format!("{key:?}"), "SealKey(..)");
/// assert!(SealKey::from_hex("5e").unwrap_err().to_string().contains("64 hexadecimal digits"));
/// # Ok::<(), strata::codec::SealKeyError>(())
/// ```
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// Takes 32 random bytes, such as `openssl rand 32` makes, and overwrites where they were.
    ///
    /// A password is not a key: derive one from it first.
    pub fn new(bytes: &mut [u8; 32]) -> Self {
        let key = Self(Zeroizing::new(*bytes));
        bytes.zeroize();
        key
    }

    /// Reads a key as environment variables and secret files hold it: as `openssl rand -hex 32` writes it.
    ///
    /// # Errors
    /// Anything but 64 hexadecimal digits, white space around them aside.
    pub fn from_hex(text: &str) -> Result<Self, SealKeyError> {
        let digits = text.trim().as_bytes();
        let mut bytes = Zeroizing::new([0; 32]);
        let wrong = SealKeyError { bytes: digits.len() };
        if digits.len() != 64 {
            return Err(wrong);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            *byte = value.ok_or(wrong)?;
        }
        Ok(Self(bytes))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// Why a text is not a key. Never holds a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the text of {bytes} bytes is not a key to seal with; it needs 64 hexadecimal digits")]
pub struct SealKeyError {
    /// How long the text is.
    pub bytes: usize,
}

/// The keys of a cache: one to seal, all to open.
///
/// To rotate, give the new key to every process as one to open, then make it the one to seal, and take the old one off
/// when what it sealed has expired. Until then nothing is lost; after it, what is left is a miss.
///
/// ```
/// use strata::codec::{Keyring, SealKey};
/// let (old, new) = (SealKey::new(&mut [1; 32]), SealKey::new(&mut [2; 32]));
/// let ring = Keyring::new(2, new).with_key_to_open(1, old);
/// assert_eq!(format!("{ring:?}"), "Keyring { seals: 2, opens: [1, 2] }");
/// ```
#[derive(Clone)]
pub struct Keyring {
    seals: u32,
    keys: BTreeMap<u32, SealKey>,
}

impl Keyring {
    /// A ring with one key, to seal and to open, and the number by which frames name it. Never use a number again for
    /// another key.
    pub fn new(id: u32, key: SealKey) -> Self {
        Self { seals: id, keys: BTreeMap::from([(id, key)]) }
    }

    /// Adds a key to open with: an old one, or one that other processes already seal with.
    ///
    /// The key that seals is not replaced: its number keeps its key.
    #[must_use]
    pub fn with_key_to_open(mut self, id: u32, key: SealKey) -> Self {
        self.keys.entry(id).or_insert(key);
        self
    }

    /// The number of the key that seals.
    pub(super) fn seals(&self) -> u32 {
        self.seals
    }

    /// Seals a payload, bound to the head of its frame and the key of its entry.
    pub(super) fn seal(&self, key: &Key, head: &[u8], payload: &[u8]) -> Result<Vec<u8>, CodecError> {
        let secret = self.secret(self.seals)?;
        let nonce = XNonce::try_generate().map_err(|_| CodecError::NoRandom)?;
        let mut out = Vec::with_capacity(payload.len() + SEAL_BYTES);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(payload);
        let bound = bound(key, head);
        let sealed = secret.cipher().encrypt_inout_detached(&nonce, &bound, (&mut out[NONCE..]).into());
        let limit = u32::MAX as usize;
        let tag = sealed.map_err(|_| CodecError::TooLarge { bytes: payload.len(), limit })?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Opens what was sealed, if not a bit of it, of the head and of the key is another than then.
    pub(super) fn open(&self, id: u32, key: &Key, head: &[u8], sealed: &[u8]) -> Result<Bytes, CodecError> {
        let secret = self.secret(id)?;
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(CodecError::Broken)?;
        let (text, tag) = rest.split_last_chunk::<TAG>().ok_or(CodecError::Broken)?;
        let mut out = text.to_vec();
        let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
        let bound = bound(key, head);
        let opened = secret.cipher().decrypt_inout_detached(&nonce, &bound, out[..].as_mut().into(), &tag);
        opened.map_err(|_| CodecError::Broken)?;
        Ok(out.into())
    }

    fn secret(&self, id: u32) -> Result<&SealKey, CodecError> {
        self.keys.get(&id).ok_or(CodecError::UnknownKey { key: id })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opens: Vec<_> = self.keys.keys().collect();
        f.debug_struct("Keyring").field("seals", &self.seals).field("opens", &opens).finish()
    }
}

/// A head says how long it is, so no two pairs of head and key read the same.
fn bound(key: &Key, head: &[u8]) -> Vec<u8> {
    [head, key.as_str().as_bytes()].concat()
}
