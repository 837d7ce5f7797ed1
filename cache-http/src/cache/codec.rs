//! Responses as bytes, for the tiers below memory.
//!
//! ```text
//! version u8 │ status u16 │ came at u64, ms since 1970 │ lifetime, age, two windows: u32 each, s │ flags u8
//! address: u32, text │ selection: u16, each name u16, text, 0 or 1, value u32, text │ headers: u16, each name u16, value u32
//! body: the rest
//! ```
//!
//! Little-endian. Anybody who may write to a tier can make such bytes: each part is looked at before the next one is, nothing is allocated on the
//! word of a length, and a body shares the memory of the frame that it came in.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use strata::Wall;
use strata::codec::{Codec, CodecFailure};

use super::rules::Terms;
use super::stored::Stored;
use super::vary::Selection;

/// Encodes [`Stored`] responses. Its number is 3.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire;

const VERSION: u8 = 1;
const FOR_ALL: u8 = 1;
const MAY_BE_STALE: u8 = 2;

impl Codec<Stored> for Wire {
    fn id(&self) -> u8 {
        3
    }

    fn encode(&self, value: &Stored) -> Result<Bytes, CodecFailure> {
        let Stored { address, status, headers, body, selection, terms, at } = value;
        let mut out = BytesMut::with_capacity(256 + address.len() + body.len());
        out.put_u8(VERSION);
        out.put_u16_le(status.as_u16());
        out.put_u64_le(at.as_unix_millis());
        for time in [terms.lifetime, terms.age, terms.while_refreshed, terms.if_error] {
            out.put_u32_le(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
        }
        out.put_u8((u8::from(terms.is_for_all) * FOR_ALL) | (u8::from(terms.may_be_stale) * MAY_BE_STALE));
        put_long(&mut out, address.as_bytes())?;
        out.put_u16_le(u16::try_from(selection.0.len())?);
        for (name, value) in &selection.0 {
            put_short(&mut out, name.as_str().as_bytes())?;
            out.put_u8(u8::from(value.is_some()));
            put_long(&mut out, value.as_deref().unwrap_or_default().as_bytes())?;
        }
        out.put_u16_le(u16::try_from(headers.len())?);
        for (name, value) in headers {
            put_short(&mut out, name.as_str().as_bytes())?;
            put_long(&mut out, value.as_bytes())?;
        }
        out.put_slice(body);
        Ok(out.freeze())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Stored, CodecFailure> {
        let mut rest = bytes.clone();
        if rest.try_get_u8()? != VERSION {
            return Err("a response of another version".into());
        }
        let status = StatusCode::from_u16(rest.try_get_u16_le()?)?;
        let at = Wall::from_unix_millis(rest.try_get_u64_le()?);
        let mut time = || Ok::<_, CodecFailure>(Duration::from_secs(rest.try_get_u32_le()?.into()));
        let (lifetime, age, while_refreshed, if_error) = (time()?, time()?, time()?, time()?);
        let flags = rest.try_get_u8()?;
        if flags & !(FOR_ALL | MAY_BE_STALE) != 0 {
            return Err("a response with unknown flags".into());
        }
        let (is_for_all, may_be_stale) = (flags & FOR_ALL != 0, flags & MAY_BE_STALE != 0);
        let terms = Terms { lifetime, age, while_refreshed, if_error, is_for_all, may_be_stale };
        let address = text(&take_long(&mut rest)?)?;
        if address.is_empty() {
            return Err("a response without an address".into());
        }
        let mut selection = Vec::new();
        for _ in 0..rest.try_get_u16_le()? {
            let name = HeaderName::from_bytes(&take_short(&mut rest)?)?;
            let is_there = rest.try_get_u8()?;
            let value = take_long(&mut rest)?;
            match is_there {
                0 if value.is_empty() => selection.push((name, None)),
                1 => selection.push((name, Some(text(&value)?))),
                _ => return Err("a response with a broken selection".into()),
            }
        }
        let mut headers = HeaderMap::new();
        for _ in 0..rest.try_get_u16_le()? {
            let name = HeaderName::from_bytes(&take_short(&mut rest)?)?;
            let value = HeaderValue::from_bytes(&take_long(&mut rest)?)?;
            headers.try_append(name, value)?;
        }
        Ok(Stored { address, status, headers, body: rest, selection: Selection(selection), terms, at })
    }
}

fn put_short(out: &mut BytesMut, bytes: &[u8]) -> Result<(), CodecFailure> {
    out.put_u16_le(u16::try_from(bytes.len())?);
    out.put_slice(bytes);
    Ok(())
}

fn put_long(out: &mut BytesMut, bytes: &[u8]) -> Result<(), CodecFailure> {
    out.put_u32_le(u32::try_from(bytes.len())?);
    out.put_slice(bytes);
    Ok(())
}

fn take_short(rest: &mut Bytes) -> Result<Bytes, CodecFailure> {
    let length = rest.try_get_u16_le()?;
    take(rest, length.into())
}

fn take_long(rest: &mut Bytes) -> Result<Bytes, CodecFailure> {
    let length = rest.try_get_u32_le()?;
    take(rest, usize::try_from(length)?)
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, CodecFailure> {
    if length > rest.len() {
        return Err("a response that ends early".into());
    }
    Ok(rest.split_to(length))
}

fn text(bytes: &[u8]) -> Result<String, CodecFailure> {
    Ok(str::from_utf8(bytes)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;

    fn stored() -> Stored {
        let mut request = HeaderMap::new();
        request.insert("accept-encoding", HeaderValue::from_static("br"));
        let names = [HeaderName::from_static("accept-encoding"), HeaderName::from_static("x-tenant")];
        let response = Response::builder()
            .status(203)
            .header("etag", "\"1\"")
            .header("link", "</a>")
            .header("link", "</b>")
            .body(Bytes::from_static(b"hello"))
            .expect("legal");
        let terms = Terms {
            lifetime: Duration::from_mins(1),
            age: Duration::from_secs(1),
            while_refreshed: Duration::from_secs(2),
            if_error: Duration::from_secs(3),
            is_for_all: true,
            may_be_stale: false,
        };
        let selection = Selection::of(&names, &request);
        let at = Wall::from_unix_millis(1_800_000_000_123);
        Stored::new("https://example.org/a?b".to_owned(), response, (selection, terms), at)
    }

    #[test]
    fn a_response_comes_back_as_it_went() {
        let stored = stored();
        let bytes = Wire.encode(&stored).expect("it fits");
        let back = Wire.decode(&bytes).expect("it is whole");
        assert_eq!(back, stored);
        assert_eq!(back.headers.get_all("link").iter().count(), 2);
    }

    #[test]
    fn no_bytes_panic_and_what_is_read_can_be_written() {
        let bytes = Wire.encode(&stored()).expect("it fits");
        let head = bytes.len() - 5;
        for end in 0..head {
            assert!(Wire.decode(&bytes.slice(..end)).is_err(), "cut at {end}");
        }
        for at in 0..head {
            for bit in 0..8 {
                let mut broken = bytes.to_vec();
                broken[at] ^= 1 << bit;
                // Some are another response, which the checksum of its frame would have told; none may panic.
                if let Ok(other) = Wire.decode(&broken.into()) {
                    let again = Wire.encode(&other).expect("it fits");
                    assert_eq!(Wire.decode(&again).expect("whole"), other, "byte {at}, bit {bit}");
                }
            }
        }
    }
}
