//! Frames: what is written comes back, and nothing else does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{
    Content, Draft, Frame, FrameError, Header, Key, Life, MAX_LABELS, Meta, Priority, Tags, Ttl, TypeId, Wall,
};
use proptest::prelude::*;

fn key() -> Key {
    Key::new("users:1").expect("legal")
}

fn life() -> Life {
    Life::new(Wall::from_unix_millis(1_800_000_000_000), Ttl::from_secs(300)).with_due_at(0.8)
}

/// A frame that uses every part of the format.
fn full() -> (Header, Content) {
    let mut header = Header::new(life().with_stale_for(Duration::from_hours(2)))
        .with_tags(Tags::new(["team:7", "user:1"]).expect("legal"))
        .with_marks(|tag| tag.as_str().len() as u64 * 0x0101_0101);
    header.version = 77;
    header.priority = Priority::Critical;
    header.cost = Duration::from_micros(1250);
    header.labels = Arc::new(BTreeMap::from([("owner".to_owned(), "Ada".to_owned())]));
    let content =
        Content { type_id: TypeId::of("user"), codec: 1, compression: 2, raw_bytes: 9, sealed_by: Some(3) };
    (header, content)
}

fn frame() -> Bytes {
    let (header, content) = full();
    Frame::write(&key(), &header, content, b"payload").expect("legal")
}

#[test]
fn everything_that_was_written_comes_back() {
    let (header, content) = full();
    let frame = Frame::read(&key(), &frame()).expect("just written");
    assert_eq!(
        frame.header().marks().map(|(tag, mark)| (tag.as_str(), mark)).collect::<Vec<_>>(),
        [("team:7", 0x0606_0606), ("user:1", 0x0606_0606)]
    );
    assert_eq!(frame.into_parts(), (header, content, Bytes::from_static(b"payload")));
}

#[test]
fn the_first_version_is_pinned_byte_by_byte() {
    let expected = [
        b"\xC1St\x01\x61\x00\x7F\x01\x02\x03".as_slice(),
        &TypeId::of("user").0.to_le_bytes(),
        &[9, 0, 0, 0, 7, 0, 0, 0],
        &1_800_000_000_000_u64.to_le_bytes(),
        b"\x80\xD3\x0E\xE0\xD4\x03\x80\xBA\xB7\x03",
        &77_u64.to_le_bytes(),
        b"\xD0\xA5\x4C\x03\0\0\0",
        b"\x02\x06team:7\x06\x06\x06\x06\0\0\0\0\x06user:1\x06\x06\x06\x06\0\0\0\0",
        b"\x01\x05owner\x03Adapayload",
    ]
    .concat();
    let bytes = frame();
    assert_eq!(TypeId::of("user"), TypeId(0x5C10_AF32));
    assert_eq!(bytes[..bytes.len() - 8], expected[..], "{:02x?}", &bytes[..]);
    assert_eq!(bytes[bytes.len() - 8..], 0x4290_6FC5_C963_70C3_u64.to_le_bytes());
}

#[test]
fn a_flipped_bit_is_never_a_frame() {
    let bytes = frame();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Frame::read(&key(), &flipped.into()).is_err(), "bit {bit}");
    }
}

#[test]
fn a_frame_that_was_cut_or_grew_is_never_a_frame() {
    let bytes = frame();
    for length in 0..bytes.len() {
        assert!(Frame::read(&key(), &bytes.slice(..length)).is_err(), "{length} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(Frame::read(&key(), &longer.into()), Err(FrameError::Length { .. })));
}

#[test]
fn a_frame_under_another_key_is_damaged() {
    let other = Key::new("users:2").expect("legal");
    assert_eq!(Frame::read(&other, &frame()), Err(FrameError::Checksum));
}

#[test]
fn what_others_wrote_and_what_comes_later_is_told_apart_from_damage() {
    let read = |bytes: &[u8]| Frame::read(&key(), &Bytes::copy_from_slice(bytes));
    assert_eq!(read(b"{\"name\":\"Ada\"}"), Err(FrameError::Foreign));
    assert_eq!(read(b"\xC1St\x02 whatever this may mean"), Err(FrameError::Version { version: 2 }));
    assert_eq!(read(b""), Err(FrameError::Short { bytes: 0 }));
}

#[test]
fn lengths_beyond_every_machine_are_only_numbers() {
    for claim in [0x7FFF_FFFF_u32, 0x8000_0000, 0x8000_0001, u32::MAX] {
        let mut bytes = frame().to_vec();
        bytes[18..22].copy_from_slice(&claim.to_le_bytes());
        assert!(matches!(Frame::read(&key(), &bytes.into()), Err(FrameError::Length { .. })), "{claim}");
    }
}

#[test]
fn what_cannot_be_written_is_refused_with_its_limit() {
    let (mut header, content) = full();
    let text = |at: usize| (at.to_string(), String::new());
    header.labels = Arc::new((0..=MAX_LABELS).map(text).collect());
    let error = Draft::new(&header, content, 0).expect_err("one label too many");
    assert_eq!(error, FrameError::TooLarge { part: "set of labels", bytes: 65, limit: 64 });
    header.labels = Arc::new(BTreeMap::from([("text".to_owned(), "x".repeat(70_000))]));
    assert!(matches!(Draft::new(&header, content, 0), Err(FrameError::TooLarge { part: "head", .. })));
    let draft = Draft::new(&Header::new(life()), content, 5).expect("legal");
    let unlike = draft.finish(&key(), b"four").expect_err("another length");
    assert_eq!(unlike, FrameError::Length { declared: 5, found: 4 });
}

#[test]
fn an_entry_survives_with_what_is_left_of_its_life() {
    let at = |secs: u64| Wall::from_unix_millis(1_800_000_000_000 + secs * 1000);
    let meta = Meta {
        ttl: Ttl::from_secs(60),
        stale_for: Duration::from_mins(10),
        version: 9,
        tags: Tags::new(["a"]).expect("legal"),
        ..Meta::default()
    };
    let header = Header::of(&meta, at(0));
    assert_eq!(header.meta(at(0)), meta);
    assert_eq!(header.meta(at(20)), Meta { ttl: Ttl::from_secs(40), ..meta.clone() });
    let stale = Meta { ttl: Ttl::ZERO, stale_for: Duration::from_secs(590), ..meta };
    assert_eq!(header.meta(at(70)), stale);
    assert_eq!(Header::of(&Meta::default(), at(0)).meta(at(1_000_000)), Meta::default());
}

fn any_header() -> impl Strategy<Value = Header> {
    let millis = prop_oneof![Just(0), 1_u64..100_000, any::<u64>()];
    let parts = (any::<u64>(), prop::option::of(millis.clone()), millis, 0.1_f64..0.9);
    let life = parts.prop_map(|(stored, ttl, keep, due)| {
        Life::new(Wall::from_unix_millis(stored), ttl.map_or(Ttl::FOREVER, Ttl::from_millis))
            .with_due_at(due)
            .with_stale_for(Duration::from_millis(keep))
    });
    let tags = prop::collection::vec("[a-c]{1,3}", 0..5);
    let labels = prop::collection::btree_map("[a-c]{0,3}", "[a-c]{0,3}", 0..4);
    let rest = (any::<u64>(), 0_usize..4, any::<u64>(), prop::option::of(any::<u64>()));
    (life, tags, labels, rest).prop_map(|(life, tags, labels, (version, priority, cost, mark))| {
        let mut header = Header::new(life).with_tags(Tags::new(tags).expect("legal"));
        header.version = version;
        header.priority = Priority::ALL[priority];
        header.cost = Duration::from_nanos(cost);
        header.labels = Arc::new(labels);
        mark.map_or(header.clone(), |mark| header.with_marks(|tag| mark ^ tag.as_str().len() as u64))
    })
}

fn any_content() -> impl Strategy<Value = Content> {
    let numbers = (any::<u32>(), any::<u8>(), any::<u8>(), any::<u32>(), prop::option::of(any::<u32>()));
    numbers.prop_map(|(id, codec, compression, raw_bytes, sealed_by)| Content {
        type_id: TypeId(id),
        codec,
        compression,
        raw_bytes,
        sealed_by,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_entry_comes_back(
        header in any_header(),
        content in any_content(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = Frame::write(&key(), &header, content, &payload).expect("small");
        let (read, how, what) = Frame::read(&key(), &bytes).expect("just written").into_parts();
        prop_assert_eq!((&read, how, &what[..]), (&header, content, &payload[..]));
        prop_assert_eq!(Frame::write(&key(), &read, how, &what).expect("small"), bytes);
    }

    #[test]
    fn any_bytes_are_no_frame(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        begins in any::<bool>(),
    ) {
        let bytes = if begins { [&b"\xC1St\x01"[..], &bytes].concat() } else { bytes };
        prop_assert!(Frame::read(&key(), &bytes.into()).is_err());
    }
}
