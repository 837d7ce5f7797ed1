//! Nothing that is written for people shows a key, a value or a secret: what caches, builders, futures, framers and key
//! rings say of themselves, and every error with its causes.
//!
//! The answer itself (`Hit`, `Framed`) shows its value as the value shows itself: whoever prints it has asked for that.

use std::error::Error as StdError;
use std::fmt::Debug;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use strata::codec::{Codec, CodecFailure, Framer, Json, Keyring, Msgpack, Raw, SealKey};
use strata::{Cache, Error, Key, LoadError, Memory, Options, Registry};

use super::{Impostor, header, key};
use crate::Down;

const SECRET: &str = "s3cret";

#[track_caller]
fn silent(it: &impl Debug) {
    for shown in [format!("{it:?}"), format!("{it:#?}")] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

/// The error, its causes, and the error of the seams that it becomes.
#[track_caller]
fn silent_error(error: impl StdError + Into<Error> + 'static) {
    silent(&error);
    let error: Error = error.into();
    silent(&error);
    let mut next: Option<&dyn StdError> = Some(&error);
    while let Some(error) = next {
        assert!(!error.to_string().contains(SECRET), "{error}");
        next = error.source();
    }
}

#[tokio::test]
async fn what_a_cache_says_of_itself_holds_no_key_and_no_value() {
    // H13
    let memory = Memory::new().with_max_entries(10);
    let builder = Cache::<String, String>::builder("secrets").memory(memory);
    silent(&builder);
    let cache = builder.options(Options::new()).build().expect("legal");
    cache.insert(SECRET.to_owned(), SECRET.to_owned()).await.expect("memory");
    let load = || async { Ok::<_, Down>(SECRET.to_owned()) };
    let asking = cache.get_or_load(SECRET, load);
    silent(&asking);
    assert!(asking.await.is_ok());
    let keys = [SECRET.to_owned(), format!("{SECRET} 2")];
    let many = cache.get_or_load_many(&keys, |missing: Vec<String>| async move {
        Ok::<_, Down>(missing.into_iter().map(|key| (key.clone(), key)).collect::<Vec<_>>())
    });
    silent(&many);
    assert!(many.await.is_ok());
    let registry = Registry::new();
    registry.add(&cache).expect("free");
    silent(&registry);
    silent(&registry.add(&cache).expect_err("taken"));
    silent(&(&cache, cache.stats(), cache.memory(), cache.options()));
    assert_eq!(cache.memory().len(), 2, "there was something to show");

    let errors: [LoadError<Down>; 6] = [
        LoadError::TimedOut,
        LoadError::OverBudget { retry_in: None },
        LoadError::NothingToKeep,
        LoadError::Panicked,
        LoadError::Aborted,
        LoadError::NoRuntime,
    ];
    silent(&errors);
    silent(&Key::new(format!("{SECRET}\n")).expect_err("a control character"));
    silent(&Key::new(SECRET.repeat(1000)).expect_err("too long"));
}

#[derive(Debug, Serialize, Deserialize)]
struct Count {
    number: u32,
}

#[derive(Debug, Serialize, Deserialize)]
enum Way {
    There,
}

/// Decodes these bytes in the name of a codec, which must fail, and not say what they are.
#[track_caller]
fn cannot_be_read<V: Debug + 'static>(codec: impl Codec<V>, bytes: &[u8]) {
    let impostor = Framer::new("value", Impostor(codec.id()));
    let frame = impostor.encode(&key(SECRET), &Bytes::copy_from_slice(bytes), &header()).expect("legal");
    silent_error(Framer::new("value", codec).decode(&key(SECRET), &frame).expect_err("of another shape"));
}

fn in_messagepack(value: &str) -> Vec<u8> {
    let text: Bytes = Msgpack.encode(&value.to_owned()).expect("a text");
    text.to_vec()
}

#[test]
fn what_cannot_be_decoded_is_not_shown() {
    // H13
    cannot_be_read::<u32>(Msgpack, &in_messagepack(SECRET));
    cannot_be_read::<Count>(Msgpack, &in_messagepack(SECRET));
    cannot_be_read::<Way>(Msgpack, &in_messagepack(SECRET));
    let named = [&[0x81][..], &in_messagepack("number"), &in_messagepack(SECRET)].concat();
    cannot_be_read::<Count>(Msgpack, &named);
    let text = format!("\"{SECRET}\"");
    cannot_be_read::<u32>(Json, text.as_bytes());
    cannot_be_read::<Count>(Json, text.as_bytes());
    cannot_be_read::<Way>(Json, text.as_bytes());
    cannot_be_read::<Count>(Json, format!("{{\"number\":{text}}}").as_bytes());
    cannot_be_read::<String>(Json, format!("{text} {text}").as_bytes());
    cannot_be_read::<String>(Raw, &[SECRET.as_bytes(), b"\xFF"].concat());
}

#[test]
fn what_is_wrong_with_bytes_is_told_all_the_same() {
    let told = |failure: CodecFailure| failure.to_string();
    let json = |text: &'static str| Codec::<Count>::decode(&Json, &Bytes::from(text)).map_err(told);
    let said =
        [json("{\"number\":true}"), json("{\"number\":"), json("{]")].map(|read| read.expect_err("wrong"));
    assert_eq!(
        said,
        [
            "the JSON is of another shape than its type, at line 1 column 14",
            "the JSON ends early, at line 1 column 10",
            "this is no JSON, at line 1 column 2",
        ]
    );
    let msgpack = |bytes: &'static [u8]| Codec::<String>::decode(&Msgpack, &Bytes::from(bytes)).map_err(told);
    let said =
        [msgpack(b"\x07"), msgpack(b"\xA3a"), msgpack(b"\xA1\xFF")].map(|read| read.expect_err("wrong"));
    assert_eq!(
        said[..2],
        ["the MessagePack is of another shape than its type", "the MessagePack ends early"]
    );
    assert!(said[2].starts_with("the MessagePack "), "{}", said[2]);
}

#[test]
fn sealed_values_and_their_keys_are_not_shown() {
    // H13
    let ring = |byte: u8| Keyring::new(1, SealKey::new(&mut [byte; 32]));
    let framer: Framer<String> = Framer::new("value", Raw).with_keys(ring(b's'));
    let frame = framer.encode(&key(SECRET), &SECRET.to_owned(), &header()).expect("legal");
    silent(&frame);
    silent(&framer);
    let shown = format!("{framer:?}");
    assert!(!shown.contains("115, 115") && !shown.contains("7373"), "the key's bytes: {shown}");
    silent_error(framer.decode(&key("other"), &frame).expect_err("another key's"));
    let other: Framer<String> = Framer::new("value", Raw).with_keys(ring(b't'));
    silent_error(other.decode(&key(SECRET), &frame).expect_err("another seal"));
    let open: Framer<String> = Framer::new("value", Raw);
    silent_error(open.decode(&key(SECRET), &frame).expect_err("no keys"));
    silent_error(
        open.with_max_bytes(1).encode(&key(SECRET), &SECRET.to_owned(), &header()).expect_err("large"),
    );
    silent(&SealKey::from_hex(SECRET).expect_err("no digits"));
}

/// A codec with a bug.
#[derive(Debug)]
struct Panics;

impl Codec<u32> for Panics {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &u32) -> Result<Bytes, CodecFailure> {
        assert_ne!(*value, 0, "a codec of the user");
        Ok(Bytes::copy_from_slice(&value.to_be_bytes()))
    }

    fn decode(&self, bytes: &Bytes) -> Result<u32, CodecFailure> {
        assert_eq!(bytes.len(), 4, "a codec of the user");
        Ok(u32::from_be_bytes(bytes[..].try_into()?))
    }
}

#[test]
fn a_codec_that_panics_is_a_failure_like_any_other() {
    // I17
    use strata::codec::Step;
    let framer = Framer::new("value", Panics);
    assert_eq!(super::step(framer.encode(&key("k"), &0, &header())), Step::Encode);
    let frame = Framer::new("value", Impostor(200)).encode(&key("k"), &Bytes::from_static(b"abc"), &header());
    assert_eq!(super::step(framer.decode(&key("k"), &frame.expect("legal"))), Step::Decode);
    assert_eq!((framer.stats().failed_at(Step::Encode), framer.stats().failed_at(Step::Decode)), (1, 1));
    let frame = framer.encode(&key("k"), &7, &header()).expect("legal");
    assert_eq!(framer.decode(&key("k"), &frame).expect("whole").value, 7);
}
