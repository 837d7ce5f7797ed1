//! Bytes that are not what they should be: damaged, cut, foreign, of another kind, or of a release to come.

use bytes::Bytes;
use strata::codec::{CodecError, Compression, Framer, Json, Msgpack, Raw, Step};
use strata::{Error, ErrorKind, FrameError};

use super::{Impostor, forge, header, key, ring, step};

/// A small frame of every way to write one, and who reads it.
fn small() -> Vec<(Framer<Option<String>>, Bytes)> {
    let value = Some("ab".repeat(20));
    let mut framers = Vec::new();
    for level in Compression::ALL {
        for keys in [None, Some(ring(1))] {
            let of = |framer: Framer<_>| framer.with_compression(*level).with_threshold(0);
            for framer in [of(Framer::new("value", Msgpack)), of(Framer::new("value", Json))] {
                framers.push(match &keys {
                    Some(keys) => framer.with_keys(keys.clone()),
                    None => framer,
                });
            }
        }
    }
    let write = |framer: Framer<_>| {
        let frame = framer.encode(&key("k"), &value, &header()).expect("legal");
        (framer, frame)
    };
    framers.into_iter().map(write).collect()
}

#[test]
fn a_flipped_bit_is_always_a_miss() {
    for (framer, frame) in small() {
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(framer.decode(&key("k"), &flipped.into()).is_err(), "{framer:?}, bit {bit}");
        }
        assert_eq!(framer.stats().failed.iter().sum::<u64>(), frame.len() as u64 * 8);
        assert_eq!(framer.stats().decoded, 0);
    }
}

#[test]
fn a_frame_that_was_cut_or_grew_is_always_a_miss() {
    for (framer, frame) in small() {
        for length in 0..frame.len() {
            assert_eq!(step(framer.decode(&key("k"), &frame.slice(..length))), Step::Frame);
        }
        let longer = [&frame[..], &[0]].concat().into();
        assert_eq!(step(framer.decode(&key("k"), &longer)), Step::Frame);
        assert!(framer.decode(&key("k"), &frame).is_ok());
    }
}

#[test]
fn another_keys_answer_is_a_miss() {
    for (framer, frame) in small() {
        let error = framer.decode(&key("l"), &frame).expect_err("written under another key");
        assert!(matches!(error, CodecError::Frame(FrameError::Checksum)));
    }
}

#[test]
fn another_kind_of_value_is_a_miss_of_its_own() {
    let framer: Framer<u32> = Framer::new("count", Msgpack);
    let frame = framer.encode(&key("k"), &7, &header()).expect("legal");
    let renamed: Framer<u32> = Framer::new("count/2", Msgpack);
    assert!(matches!(renamed.decode(&key("k"), &frame), Err(CodecError::Type { .. })));
    let other: Framer<u32> = Framer::new("count", Json);
    let error = other.decode(&key("k"), &frame).expect_err("MessagePack");
    assert!(matches!(error, CodecError::Codec { found: 1, expected: 2 }));

    let mut later = frame.to_vec();
    later[3] = 2;
    forge(&key("k"), &mut later);
    let error = framer.decode(&key("k"), &later.into()).expect_err("a release to come");
    assert!(matches!(error, CodecError::Frame(FrameError::Version { version: 2 })));
    for framer in [framer, renamed, other] {
        assert!(framer.stats().failed_at(Step::Kind) <= 1);
        assert_eq!(framer.stats().failed.iter().sum::<u64>(), framer.stats().failed_at(Step::Kind));
    }
}

#[test]
fn what_others_wrote_is_a_miss() {
    let framer: Framer<String> = Framer::new("text", Raw);
    for foreign in [&b""[..], b"text", b"{}", b"\x81\xA1a\x01", &[0xC1; 100], &[0; 100]] {
        assert_eq!(step(framer.decode(&key("k"), &Bytes::from_static(foreign))), Step::Frame);
    }
}

#[test]
fn what_the_codec_cannot_read_is_a_miss_at_the_last_step() {
    let framer: Framer<u32> = Framer::new("count", Msgpack);
    for bytes in [&b""[..], b"\x07\x07", b"\xA1a", b"\xC1", b"\xCE\0\0"] {
        let impostor = Framer::new("count", Impostor(1));
        let frame = impostor.encode(&key("k"), &Bytes::from_static(bytes), &header()).expect("legal");
        assert_eq!(step(framer.decode(&key("k"), &frame)), Step::Decode, "{bytes:x?}");
    }
    assert_eq!(framer.stats().failed_at(Step::Decode), 5);
    let text: Framer<String> = Framer::new("count", Raw);
    let frame = Framer::new("count", Impostor(0)).encode(&key("k"), &Bytes::from_static(b"\xFF"), &header());
    assert_eq!(step(text.decode(&key("k"), &frame.expect("legal"))), Step::Decode);
}

#[test]
fn an_error_says_what_failed_and_nothing_of_the_value() {
    let framer: Framer<String> = Framer::new("text", Raw);
    let error = framer.decode(&key("k"), &Bytes::from_static(b"secret")).expect_err("foreign");
    let error = Error::from(error);
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Corrupt, false));
    assert_eq!(error.to_string(), "codec holds something unreadable during frame");
    let mut chain = vec![error.to_string()];
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        chain.push(cause.to_string());
        source = cause.source();
    }
    assert_eq!(chain[1..], ["the frame cannot be read", "the bytes do not begin as a frame does"]);
    let large = framer.with_max_bytes(1).encode(&key("k"), &"secret".to_owned(), &header());
    assert!(!large.expect_err("too large").to_string().contains("secret"));
}
