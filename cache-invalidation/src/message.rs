//! Messages: events on their way, as bytes that anybody may have sent.
//!
//! ```text
//!  0  magic C1 53 62 │ version 1 │ publisher u128 │ epoch u64 │ sequence u64 │ kind u8
//! 37  kind 0 heartbeat, 1 farewell: nothing
//!     kind 2 events: count varint, then each:
//!            target u8 (0 key, 1 tag, 2 prefix, 3 pattern, 4 all) │ action u8 (0 expire, 1 remove)
//!            namespace: length varint, text │ but for all: length varint, text │ version varint
//!  n  version 1: checksum XXH3-64 of all before it
//!     version 2: number of the message u64 │ signature, 32 bytes, of the channel and all before it
//! ```
//!
//! Numbers are little-endian, varints are LEB128 in as few bytes as possible: one message has one reading and one writing.
//! The checksum recognises accidents, and comes before anything is allocated; against malice it does nothing: whoever may
//! write to the channel may invalidate, and may speak in the name of others, so that what they lose is not noticed. Where there is a secret,
//! messages are of version 2, and whoever does not know it may do nothing.

use bytes::Bytes;
use cache_core::cursor::{Cursor, push_text, push_varint};
use thiserror::Error;
use twox_hash::XxHash3_64;

use crate::secret::{BusSecret, SIGNATURE_BYTES};
use crate::{Action, Event, EventError, Target};

/// The format that is written where there is no secret.
pub const MESSAGE_VERSION: u8 = 1;
/// The same with a signature in place of the checksum.
const SIGNED_VERSION: u8 = 2;
/// The longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// The most events in one message. Bounds what reading one can allocate.
pub const MAX_EVENTS: usize = 1024;

const MAGIC: [u8; 3] = [0xC1, b'S', b'b'];
/// What every message has before its events.
const HEAD: usize = 37;
/// The longest count of events.
const COUNT: usize = 2;
const CHECKSUM: usize = 8;
const NUMBER: usize = 8;
/// What comes after the events of a signed message, which is more than after those of another one.
const SIGNED_END: usize = NUMBER + SIGNATURE_BYTES;

/// What one publisher says at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it: a random number for each bus.
    pub publisher: u128,
    /// Which run of numbers it belongs to. A new one begins when the publisher has lost events that nobody has heard.
    pub epoch: u64,
    /// Of events: their number in this epoch, the first being 1. Otherwise: the number of the last that were sent.
    pub sequence: u64,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// I am there, and this is how far you should have heard me.
    Heartbeat,
    /// As a heartbeat, and the last one: I am leaving.
    Farewell,
    /// This has changed. 1 to [`MAX_EVENTS`] events.
    Events(Vec<Event>),
}

impl Message {
    /// Writes the message. Costs one allocation and a pass over it.
    ///
    /// # Errors
    /// No events, or too many of them for one message.
    ///
    /// ```
    /// use cache_invalidation::{Body, Message};
    /// let message = Message { publisher: 7, epoch: 0, sequence: 3, body: Body::Heartbeat };
    /// assert_eq!(Message::read(&message.write()?)?, message);
    /// # Ok::<(), cache_invalidation::MessageError>(())
    /// ```
    pub fn write(&self) -> Result<Bytes, MessageError> {
        let mut out = self.said(MESSAGE_VERSION)?;
        let sum = XxHash3_64::oneshot(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        bounded(out)
    }

    /// Writes the message with its number and a signature.
    pub(crate) fn write_signed(
        &self,
        number: u64,
        secret: &BusSecret,
        channel: &str,
    ) -> Result<Bytes, MessageError> {
        let mut out = self.said(SIGNED_VERSION)?;
        out.extend_from_slice(&number.to_le_bytes());
        let signature = secret.sign(channel, &out);
        out.extend_from_slice(&signature);
        bounded(out)
    }

    /// All but the end.
    fn said(&self, version: u8) -> Result<Vec<u8>, MessageError> {
        let mut out = Vec::with_capacity(96);
        out.extend_from_slice(&MAGIC);
        out.push(version);
        out.extend_from_slice(&self.publisher.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        match &self.body {
            Body::Heartbeat => out.push(HEARTBEAT),
            Body::Farewell => out.push(FAREWELL),
            Body::Events(events) => {
                if !(1..=MAX_EVENTS).contains(&events.len()) {
                    return Err(MessageError::Count { events: events.len() });
                }
                out.push(EVENTS);
                push_varint(&mut out, events.len() as u64);
                for event in events {
                    push_event(&mut out, event);
                }
            }
        }
        Ok(out)
    }

    /// Reads a message that anybody may have sent. Costs a pass over it and, if it is whole, an allocation for each text.
    ///
    /// # Errors
    /// Any bytes that [`write`](Self::write) does not write. A retry fails the same way.
    pub fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        match version(bytes)? {
            MESSAGE_VERSION => {}
            SIGNED_VERSION => return Err(MessageError::Signed),
            version => return Err(MessageError::Version { version }),
        }
        let (said, sum) = split::<CHECKSUM>(bytes)?;
        if XxHash3_64::oneshot(said).to_le_bytes() != *sum {
            return Err(MessageError::Checksum);
        }
        read_parts(&mut Cursor::new(said))
    }

    /// Reads a message that was sent to this channel by somebody who knows the secret, with its number. Nothing of it is looked at before
    /// its signature is found to be right.
    pub(crate) fn read_signed(
        bytes: &[u8],
        secret: &BusSecret,
        channel: &str,
    ) -> Result<(Self, u64), MessageError> {
        match version(bytes)? {
            SIGNED_VERSION => {}
            MESSAGE_VERSION => return Err(MessageError::Unsigned),
            version => return Err(MessageError::Version { version }),
        }
        let (signed, signature) = split::<SIGNATURE_BYTES>(bytes)?;
        if !secret.is_signed(channel, signed, signature) {
            return Err(MessageError::Signature);
        }
        let (said, number) = split::<NUMBER>(signed)?;
        Ok((read_parts(&mut Cursor::new(said))?, u64::from_le_bytes(*number)))
    }
}

fn bounded(out: Vec<u8>) -> Result<Bytes, MessageError> {
    if out.len() > MAX_MESSAGE_BYTES {
        return Err(MessageError::TooLong { bytes: out.len() });
    }
    Ok(out.into())
}

/// The version comes before anything else: what the rest of a future message means is not known here.
fn version(bytes: &[u8]) -> Result<u8, MessageError> {
    let found = bytes.len();
    if found > MAX_MESSAGE_BYTES {
        return Err(MessageError::TooLong { bytes: found });
    }
    if !bytes.starts_with(&MAGIC) {
        return Err(MessageError::Foreign);
    }
    bytes.get(MAGIC.len()).copied().ok_or(MessageError::Short { bytes: found })
}

/// Takes the end off, if there is a whole head before it.
fn split<const END: usize>(bytes: &[u8]) -> Result<(&[u8], &[u8; END]), MessageError> {
    let parts = bytes.split_last_chunk::<END>().filter(|(said, _)| said.len() >= HEAD);
    parts.ok_or(MessageError::Short { bytes: bytes.len() })
}

const HEARTBEAT: u8 = 0;
const FAREWELL: u8 = 1;
const EVENTS: u8 = 2;

fn read_parts(cursor: &mut Cursor<'_>) -> Result<Message, MessageError> {
    let part = |field| MessageError::Field { field };
    cursor.skip(MAGIC.len() + 1).ok_or(part("beginning"))?;
    let publisher = cursor.u128().ok_or(part("publisher"))?;
    let epoch = cursor.u64().ok_or(part("epoch"))?;
    let sequence = cursor.u64().ok_or(part("sequence"))?;
    let body = match cursor.u8() {
        Some(HEARTBEAT) => Body::Heartbeat,
        Some(FAREWELL) => Body::Farewell,
        Some(EVENTS) if sequence > 0 => Body::Events(read_events(cursor)?),
        _ => return Err(part("kind")),
    };
    if !cursor.is_empty() {
        return Err(part("end"));
    }
    Ok(Message { publisher, epoch, sequence, body })
}

fn read_events(cursor: &mut Cursor<'_>) -> Result<Vec<Event>, MessageError> {
    let count = cursor.varint().and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| (1..=MAX_EVENTS).contains(count));
    let count = count.ok_or(MessageError::Field { field: "number of events" })?;
    (0..count).map(|_| read_event(cursor)).collect()
}

fn read_event(cursor: &mut Cursor<'_>) -> Result<Event, MessageError> {
    let part = |field| MessageError::Field { field };
    let kind = cursor.u8().ok_or(part("target"))?;
    let action = match cursor.u8() {
        Some(0) => Action::Expire,
        Some(1) => Action::Remove,
        _ => return Err(part("action")),
    };
    let namespace = cursor.text().ok_or(part("namespace"))?;
    let mut text = || cursor.text().map(str::to_owned).ok_or(part("text of a target"));
    let target = match kind {
        0 => Target::Key(text()?),
        1 => Target::Tag(text()?),
        2 => Target::Prefix(text()?),
        3 => Target::Pattern(text()?),
        4 => Target::All,
        _ => return Err(part("target")),
    };
    let version = cursor.varint().ok_or(part("version of an entry"))?;
    Ok(Event::new(namespace, target, action)?.with_version(version))
}

fn push_event(out: &mut Vec<u8>, event: &Event) {
    let kind = match event.target() {
        Target::Key(_) => 0,
        Target::Tag(_) => 1,
        Target::Prefix(_) => 2,
        Target::Pattern(_) => 3,
        Target::All => 4,
    };
    out.extend_from_slice(&[kind, u8::from(event.action() == Action::Remove)]);
    push_text(out, event.namespace());
    if *event.target() != Target::All {
        push_text(out, event.target().text());
    }
    push_varint(out, event.version());
}

/// How many of these events, from the first on, go into one message; at least one, as any event fits.
pub(crate) fn how_many_fit<'a>(events: impl Iterator<Item = &'a Event>) -> usize {
    let mut free = MAX_MESSAGE_BYTES - HEAD - COUNT - SIGNED_END;
    let fits = |event: &&Event| {
        let left = free.checked_sub(most_bytes(event));
        free = left.unwrap_or(0);
        left.is_some()
    };
    events.take(MAX_EVENTS).take_while(fits).count().max(1)
}

/// The most that an event takes as bytes.
fn most_bytes(event: &Event) -> usize {
    // Two for target and action, two for each length (texts are shorter than 2^14), ten for the version.
    2 + 2 + event.namespace().len() + 2 + event.target().text().len() + 10
}

/// Why bytes are no message, or a message cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Somebody else uses the channel.
    #[error("the bytes do not begin as a message of a bus does; give the bus a channel of its own")]
    Foreign,
    /// A newer release, or damage, wrote this version.
    #[error("the message has version {version}; this release reads version {MESSAGE_VERSION}")]
    Version {
        /// Which it is.
        version: u8,
    },
    /// It ends before its checksum.
    #[error("the message ends after {bytes} bytes, in the middle of its head")]
    Short {
        /// How many bytes there are.
        bytes: usize,
    },
    /// It is longer than any message.
    #[error("the message has {bytes} bytes; at most {MAX_MESSAGE_BYTES} are allowed")]
    TooLong {
        /// How many bytes there are.
        bytes: usize,
    },
    /// It says nothing, or too much at once.
    #[error("the message has {events} events; 1 to {MAX_EVENTS} are allowed")]
    Count {
        /// How many there are.
        events: usize,
    },
    /// Damaged on its way.
    #[error("the checksum is wrong: the message was damaged")]
    Checksum,
    /// It is signed, and there is no secret to tell by whom.
    #[error("the message is signed; give this bus the secret of those that sign")]
    Signed,
    /// It is not signed, where all have to be.
    #[error("the message is not signed, as all of this channel have to be")]
    Unsigned,
    /// Damaged on its way, for another channel, or from somebody who does not know the secret.
    #[error("the signature is wrong: whoever sent the message does not know the secret")]
    Signature,
    /// Whole, but with something that no release has written.
    #[error("the message has no valid {field}")]
    Field {
        /// Which part.
        field: &'static str,
    },
    /// One of its events is none.
    #[error("an event of the message is not legal: {0}")]
    Event(#[from] EventError),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As another implementation of HMAC has signed it.
    #[test]
    fn version_2_is_pinned() {
        let golden = concat!(
            "c1536202000102030405060708090a0b0c0d0e0f01000000000000000403020100000000",
            "00",
            "0700000000000000",
            "d7bad81b8310efb0a4d5a3a6f3e80805f9d6b423d47bc9ee4609eb2702db04bf",
        );
        let publisher = 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100;
        let message = Message { publisher, epoch: 1, sequence: 0x0102_0304, body: Body::Heartbeat };
        let secret = BusSecret::new("3c".repeat(32)).expect("legal");
        let bytes = message.write_signed(7, &secret, "strata").expect("short");
        assert_eq!(bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")), golden);
        assert_eq!(Message::read_signed(&bytes, &secret, "strata"), Ok((message, 7)));
        assert_eq!(Message::read_signed(&bytes, &secret, "other"), Err(MessageError::Signature));
    }

    #[test]
    fn the_most_events_that_fit_are_not_too_long_with_a_signature() {
        let event = Event::new("n", Target::Key("k".repeat(1000)), Action::Remove).expect("legal");
        let events = vec![event.with_version(u64::MAX); MAX_EVENTS];
        let fit = how_many_fit(events.iter());
        let body = Body::Events(events.into_iter().take(fit).collect());
        let message = Message { publisher: 0, epoch: 0, sequence: 1, body };
        let secret = BusSecret::new("3c".repeat(32)).expect("legal");
        let bytes = message.write_signed(1, &secret, "strata").expect("it fits");
        assert!(bytes.len() > MAX_MESSAGE_BYTES - 1100, "{} bytes", bytes.len());
    }
}
