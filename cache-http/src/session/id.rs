//! Ids of sessions: random, shown to their holder alone, and known to the store by their hash.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::SessionError;

/// The id of a session: 256 random bits. Its text, 64 hexadecimal digits, is what belongs into the cookie.
///
/// It does not show itself in logs.
///
/// ```
/// use cache_http::session::SessionId;
/// let id: SessionId = "5e".repeat(32).parse()?;
/// assert_eq!(format!("{id:?}"), "SessionId(..)");
/// assert!("5e".parse::<SessionId>().is_err());
/// # Ok::<(), cache_http::session::SessionIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId([u8; 32]);

/// A text that is no id. Says nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the id of a session needs 64 hexadecimal digits")]
pub struct SessionIdError;

impl SessionId {
    pub(super) fn random() -> Result<Self, SessionError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| SessionError::NoRandom)?;
        Ok(Self(bytes))
    }

    /// Under which the session stands in the cache. A hash without a salt is enough: nobody tries 2^256 ids.
    pub(super) fn key(&self) -> String {
        key(&self.0)
    }
}

/// The key of the session whose id has these bytes.
pub(super) fn key(id: &[u8]) -> String {
    hex(&Sha256::digest(id))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let digits = <&[u8; 64]>::try_from(text.as_bytes()).map_err(|_| SessionIdError)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            *byte = value.ok_or(SessionIdError)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_nothing_else_is() {
        let id = SessionId::random().expect("random");
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_ne!(id.key(), id.to_string(), "the key does not tell the id");
        for text in ["", "5e", &"5g".repeat(32), &"5e".repeat(33), &"+5".repeat(32), &"é".repeat(32)] {
            assert_eq!(text.parse::<SessionId>(), Err(SessionIdError), "{text}");
        }
        assert_ne!(id, SessionId::random().expect("random"));
    }
}
