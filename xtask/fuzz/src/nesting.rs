//! Depth and lengths: what nests or claims too much is refused on a small stack, with little memory.

use std::fmt::Debug;

use allocation_counter::measure;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strata::codec::{Codec, CodecFailure, Json, Msgpack};

use crate::made::Account;
use crate::on_small_stack;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nest(Vec<Nest>);

/// Takes no bytes to nest.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Loop(Option<Box<Loop>>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Leaf(u8),
    Nest(Vec<Untagged>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Branch(Box<Tree>),
    Fork { left: Box<Tree>, right: Option<Box<Tree>> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

/// Bytes that serde knows as such.
#[derive(Debug, PartialEq, Serialize)]
struct Blob(Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(format: D) -> Result<Self, D::Error> {
        struct Reader;

        impl serde::de::Visitor<'_> for Reader {
            type Value = Blob;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }

        format.deserialize_byte_buf(Reader)
    }
}

fn refuses<V: Debug + Serialize + DeserializeOwned + 'static>(codec: impl Codec<V>, bytes: Vec<u8>) {
    let bytes = Bytes::from(bytes);
    let length = bytes.len() as u64;
    on_small_stack(move || {
        let memory = measure(|| assert!(codec.decode(&bytes).is_err(), "{codec:?}"));
        assert!(memory.bytes_max < 4 * length + (64 << 10), "{codec:?}: {memory:?}");
    });
}

#[test]
fn nine_hundred_levels_are_refused_on_a_small_stack() {
    refuses::<Nest>(Msgpack, vec![0x91; 900]);
    refuses::<serde_json::Value>(Msgpack, vec![0x91; 900]);
    // A map of a value read without its type, and a large struct, take the most for a level.
    refuses::<serde_json::Value>(Msgpack, b"\x81\xA4next".repeat(900));
    refuses::<Account>(Msgpack, b"\x81\xA4kept".repeat(900));
    refuses::<Untagged>(Msgpack, vec![0x91; 900]);
    refuses::<Chain>(Msgpack, b"\x81\xA4next".repeat(900));
    refuses::<Tree>(Msgpack, b"\x81\xA6Branch".repeat(900));
    refuses::<Nest>(Json, vec![b'['; 900]);
    refuses::<serde_json::Value>(Json, vec![b'['; 900]);
    refuses::<serde_json::Value>(Json, b"{\"next\":".repeat(900));
    refuses::<Account>(Json, b"{\"kept\":".repeat(900));
    refuses::<Untagged>(Json, vec![b'['; 900]);
    refuses::<Chain>(Json, b"{\"next\":".repeat(900));
    refuses::<Tree>(Json, b"{\"Branch\":".repeat(900));
}

#[test]
fn what_is_skipped_may_not_nest_either() {
    refuses::<Chain>(Msgpack, [&b"\x81\xA5other"[..], &[0x91; 900]].concat());
    refuses::<Chain>(Json, [&b"{\"other\":"[..], &[b'['; 900]].concat());
}

#[test]
fn one_byte_does_not_nest_for_ever() {
    for byte in 0..=u8::MAX {
        if ![0xC0, 0x90].contains(&byte) {
            refuses::<Loop>(Msgpack, vec![byte]);
        }
        refuses::<Loop>(Json, vec![byte]);
    }
    let twice = Loop(Some(Box::new(Loop(None))));
    assert_eq!(decode::<Loop>(&Msgpack, b"\xC0").expect("None"), Loop(None));
    assert_eq!(decode::<Loop>(&Msgpack, b"\x90").expect("None in a Some"), twice);
}

#[test]
fn what_follows_a_value_is_refused() {
    assert_eq!(decode::<u8>(&Msgpack, b"\x07").expect("seven"), 7);
    assert_eq!(decode::<Blob>(&Msgpack, b"\xC4\x01a").expect("a byte"), Blob(b"a".to_vec()));
    refuses::<u8>(Msgpack, vec![7, 0xFF, 0xFF]);
    refuses::<u8>(Msgpack, vec![7, 7]);
    refuses::<u8>(Json, b"7 7".to_vec());
    refuses::<Option<Option<u8>>>(Json, b"[1,2]".to_vec());
    refuses::<Option<Option<u8>>>(Msgpack, b"\x92\x01\x02".to_vec());
}

#[test]
fn a_length_is_a_claim_and_not_an_order() {
    for claim in [0x7FFF_FFFF_u32, 0x8000_0000, 0x8000_0001, u32::MAX] {
        let claimed = |marker: u8| [&[marker][..], &claim.to_be_bytes(), b"abc"].concat();
        refuses::<Vec<u64>>(Msgpack, claimed(0xDD));
        refuses::<Vec<[u64; 32]>>(Msgpack, claimed(0xDD));
        refuses::<std::collections::BTreeMap<u64, u64>>(Msgpack, claimed(0xDF));
        refuses::<std::collections::HashMap<u64, [u64; 32]>>(Msgpack, claimed(0xDF));
        refuses::<String>(Msgpack, claimed(0xDB));
        refuses::<Blob>(Msgpack, claimed(0xC6));
        refuses::<serde_json::Value>(Msgpack, claimed(0xC9));
    }
    // Each level claims what it does not have.
    refuses::<Nest>(Msgpack, b"\xDD\xFF\xFF\xFF\xFF".repeat(120));
}

#[test]
fn what_values_take_is_what_the_docs_say() {
    fn times<V: Serialize + DeserializeOwned + 'static>(bytes: Vec<u8>) -> u64 {
        let bytes = Bytes::from(bytes);
        let memory = measure(|| drop(Codec::<V>::decode(&Msgpack, &bytes).expect("a value")));
        memory.bytes_max / bytes.len() as u64
    }
    // Maps of one in maps of one, as deep as they may be: two bytes each.
    let chain = [&b"\x81\xA0".repeat(126)[..], b"\xC0"].concat();
    let maps = times::<serde_json::Value>([&b"\xDC\x03\xE8"[..], &chain.repeat(1000)].concat());
    assert!((300..=330).contains(&maps), "{maps} times the input");
    // One more than its room, so that it has just been doubled.
    let numbers = times::<Vec<u64>>([&b"\xDC\x10\x01"[..], &[0; 4097]].concat());
    assert!((16..=24).contains(&numbers), "{numbers} times the input");
    let text = times::<String>([&b"\xDA\x10\x00"[..], &[b'a'; 4096]].concat());
    assert!(text <= 2, "{text} times the input");
}

#[test]
fn what_is_written_can_be_read_at_every_depth() {
    fn chain(length: usize) -> Chain {
        (1..length).fold(Chain { next: None }, |next, _| Chain { next: Some(Box::new(next)) })
    }
    fn nest(depth: usize) -> Nest {
        (1..depth).fold(Nest(Vec::new()), |inner, _| Nest(vec![inner]))
    }
    fn tree(depth: usize) -> Tree {
        (1..depth).fold(Tree::Leaf, |left, _| Tree::Fork { left: Box::new(left), right: None })
    }
    fn check<V: PartialEq + Debug + 'static>(codec: &impl Codec<V>, make: fn(usize) -> V) {
        let mut deepest = 0;
        for depth in 1..200 {
            let value = make(depth);
            match codec.encode(&value) {
                Ok(bytes) => {
                    assert_eq!(codec.decode(&bytes).expect("what is written can be read"), value);
                    deepest = depth;
                }
                Err(error) => assert!(error.to_string().contains("128 levels"), "{error}"),
            }
        }
        assert!((60..=128).contains(&deepest), "{codec:?}: {deepest}");
    }
    on_small_stack(|| {
        check(&Msgpack, chain);
        check(&Msgpack, nest);
        check(&Msgpack, tree);
    });
    on_small_stack(|| {
        check(&Json, chain);
        check(&Json, nest);
        check(&Json, tree);
    });
}

fn decode<V>(codec: &impl Codec<V>, bytes: &'static [u8]) -> Result<V, CodecFailure> {
    codec.decode(&Bytes::from_static(bytes))
}
