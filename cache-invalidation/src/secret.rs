//! Secrets: what tells the messages of a fleet from those of anybody else who may write to its channel.
//!
//! ```text
//! signature = HMAC-SHA-256(secret, length of the channel's name u64 │ its name │ the message, its number included)
//! ```
//!
//! The channel is part of it, so that what was said on one is nothing on another. The number is, so that whoever has heard a message
//! cannot send it once more. That somebody listens, a signature does not hinder: keys are not hidden.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

/// How long a signature is.
pub(crate) const SIGNATURE_BYTES: usize = 32;

/// HMAC asks for at least as many bytes as its digest has: RFC 2104, section 3.
const MIN_SECRET_BYTES: usize = 32;
const MAX_SECRET_BYTES: usize = 1024;
/// How many are accepted beside the one that signs: each costs a pass over messages that none of them has signed.
const MAX_ACCEPTED: usize = 3;

/// What a bus signs its messages with, and whose messages it hears: [`BusBuilder::with_secret`](crate::BusBuilder::with_secret).
///
/// To change the secret, [accept](Self::with_accepted) the new one in every process, then sign with the new one and accept
/// the old one, then take the old one off. Nothing is missed meanwhile. To begin to sign, have every process sign and
/// [accept what is not signed](Self::with_unsigned_accepted), and then no longer: processes that do not sign yet doubt what they hold
/// whenever they hear one that does.
///
/// ```
/// use cache_invalidation::BusSecret;
/// let (old, new) = ("3c".repeat(32), "a7".repeat(32));
/// let secret = BusSecret::new(&new)?.with_accepted(&old)?;
/// assert_eq!(format!("{secret:?}"), "BusSecret { accepted: 2, .. }");
/// assert!(BusSecret::new("password").unwrap_err().to_string().contains("32 to 1024 bytes"));
/// # Ok::<(), cache_invalidation::BusSecretError>(())
/// ```
#[derive(Clone)]
pub struct BusSecret {
    signs: Hmac<Sha256>,
    accepted: Vec<Hmac<Sha256>>,
    is_unsigned_accepted: bool,
}

impl BusSecret {
    /// Signs with this secret, and hears whoever signs with it: 32 to 1,024 bytes that nobody can guess, such as
    /// `openssl rand -hex 32` writes. White space around it is part of it.
    ///
    /// # Errors
    /// It is too short or too long. A retry fails the same way.
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, BusSecretError> {
        let signs = keyed(secret.as_ref())?;
        Ok(Self { accepted: vec![signs.clone()], signs, is_unsigned_accepted: false })
    }

    /// Hears those as well who sign with this one, of which there may be three.
    ///
    /// # Errors
    /// It is too short or too long, or the fourth. A retry fails the same way.
    pub fn with_accepted(mut self, secret: impl AsRef<[u8]>) -> Result<Self, BusSecretError> {
        if self.accepted.len() > MAX_ACCEPTED {
            return Err(BusSecretError::TooMany);
        }
        self.accepted.push(keyed(secret.as_ref())?);
        Ok(self)
    }

    /// Hears those as well who do not sign. That is for the time in which not all processes sign yet: until it is taken off, whoever may
    /// write to the channel is heard.
    #[must_use]
    pub fn with_unsigned_accepted(mut self) -> Self {
        self.is_unsigned_accepted = true;
        self
    }

    pub(crate) fn is_unsigned_accepted(&self) -> bool {
        self.is_unsigned_accepted
    }

    pub(crate) fn sign(&self, channel: &str, said: &[u8]) -> [u8; SIGNATURE_BYTES] {
        over(&self.signs, channel, said).finalize().into_bytes().into()
    }

    /// Takes as long whatever is wrong with the signature.
    pub(crate) fn is_signed(&self, channel: &str, said: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let by = |key: &Hmac<Sha256>| over(key, channel, said).verify_slice(signature).is_ok();
        self.accepted.iter().any(by)
    }
}

fn keyed(secret: &[u8]) -> Result<Hmac<Sha256>, BusSecretError> {
    let wrong = BusSecretError::Length { bytes: secret.len() };
    if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&secret.len()) {
        return Err(wrong);
    }
    Hmac::new_from_slice(secret).map_err(|_| wrong)
}

fn over(key: &Hmac<Sha256>, channel: &str, said: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(&(channel.len() as u64).to_le_bytes());
    mac.update(channel.as_bytes());
    mac.update(said);
    mac
}

/// Two are the same if they sign and hear the same.
impl PartialEq for BusSecret {
    fn eq(&self, other: &Self) -> bool {
        let shown = |secret: &Self| -> Vec<_> {
            [&secret.signs]
                .into_iter()
                .chain(&secret.accepted)
                .map(|key| over(key, "", &[]).finalize())
                .collect()
        };
        self.is_unsigned_accepted == other.is_unsigned_accepted && shown(self) == shown(other)
    }
}

impl Eq for BusSecret {}

impl fmt::Debug for BusSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusSecret").field("accepted", &self.accepted.len()).finish_non_exhaustive()
    }
}

/// Why a secret is none. Never holds a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BusSecretError {
    /// Short ones can be guessed, and long ones are a mistake.
    #[error(
        "the secret of the bus has {bytes} bytes; it needs {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, as of: openssl rand -hex 32"
    )]
    Length {
        /// How long it is.
        bytes: usize,
    },
    /// More than are needed to change one.
    #[error("there are more than {MAX_ACCEPTED} secrets beside the one that signs; take the oldest off")]
    TooMany,
}
