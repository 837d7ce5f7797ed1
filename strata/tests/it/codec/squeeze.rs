//! Compression: what it saves, what it never does, and that it can change at any time.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use allocation_counter::measure;
use bytes::Bytes;
use cache_core::{Content, Frame, TypeId};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_assert, proptest};
use strata::Key;
use strata::codec::{CodecError, CodecStats, Compression, Framer, Raw, SealKey, Step};

use super::{header, key, ring, step};

const LZ4: u8 = 1;
const ZSTD: u8 = 2;

fn framer(level: Compression) -> Framer<Bytes> {
    Framer::new("bytes", Raw).with_compression(level)
}

fn compressible(length: usize) -> Bytes {
    b"{\"symbol\":\"BTC\",\"price\":".iter().copied().cycle().take(length).collect()
}

fn write(framer: &Framer<Bytes>, value: &Bytes) -> Bytes {
    framer.encode(&key("k"), value, &header()).expect("legal")
}

/// A frame that is whole and says of its payload what it likes.
fn claiming(compression: u8, raw_bytes: u32, payload: &[u8]) -> Bytes {
    let content = Content { compression, ..Content::plain(TypeId::of("bytes"), raw_bytes) };
    Frame::write(&key("k"), &header(), content, payload).expect("small")
}

#[test]
fn each_level_saves_and_counts_what_it_saves() {
    let value = compressible(10_000);
    for level in &Compression::ALL[1..] {
        let framer = framer(*level);
        let frame = write(&framer, &value);
        let CodecStats { encoded, compressed, raw_bytes, stored_bytes, .. } = framer.stats();
        assert_eq!((encoded, compressed, raw_bytes), (1, 1, 10_000), "{level}");
        assert!(stored_bytes < 1000 && frame.len() as u64 > stored_bytes, "{level}: {stored_bytes}");
        assert_eq!(framer.stats().saved_bytes(), 10_000 - stored_bytes);
        assert!(framer.stats().compression_ratio() < 0.1);
    }
    let none = framer(Compression::None);
    write(&none, &value);
    assert_eq!((none.stats().compressed, none.stats().saved_bytes()), (0, 0));
}

#[test]
fn below_the_threshold_nothing_is_compressed() {
    let framer = framer(Compression::Default);
    assert_eq!(framer.threshold(), 512);
    write(&framer, &compressible(511));
    assert_eq!(framer.stats().compressed, 0);
    write(&framer, &compressible(512));
    assert_eq!(framer.stats().compressed, 1);
    framer.set_threshold(100);
    write(&framer, &compressible(100));
    assert_eq!(framer.stats().compressed, 2);
}

#[test]
fn levels_change_while_it_runs_and_all_entries_stay_readable() {
    let framer = framer(Compression::None);
    let value = compressible(3000);
    let mut written = Vec::new();
    for level in Compression::ALL {
        framer.set_compression(*level);
        assert_eq!(framer.compression(), *level);
        written.push(write(&framer, &value));
    }
    for level in Compression::ALL {
        framer.set_compression(*level);
        for frame in &written {
            assert_eq!(framer.decode(&key("k"), frame).expect("readable").value, value);
        }
    }
    assert_eq!(framer.stats().decoded, 16);
}

#[test]
fn settings_change_under_readers_and_writers() {
    let keys = [ring(1), ring(2)].map(|ring| {
        let other = |id: u8| SealKey::new(&mut [id; 32]);
        ring.with_key_to_open(1, other(1)).with_key_to_open(2, other(2))
    });
    let framer = framer(Compression::None).with_keys(keys[0].clone());
    let value = compressible(2000);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = || {
            for _ in 0..500 {
                let frame = write(&framer, &value);
                assert_eq!(framer.decode(&key("k"), &frame).expect("readable").value, value);
            }
        };
        let workers = [(); 3].map(|()| scope.spawn(work));
        scope.spawn(|| {
            for turn in 0.. {
                framer.set_compression(Compression::ALL[turn % Compression::ALL.len()]);
                framer.set_keys(keys[turn % 2].clone());
                if done.load(SeqCst) {
                    break;
                }
            }
        });
        let ended = workers.map(std::thread::ScopedJoinHandle::join);
        done.store(true, SeqCst);
        for worker in ended {
            worker.expect("no worker fails");
        }
    });
    let stats = framer.stats();
    assert_eq!((stats.encoded, stats.decoded, stats.raw_bytes), (1500, 1500, 3_000_000));
}

#[test]
fn levels_have_names() {
    assert_eq!(
        Compression::ALL.iter().map(|level| level.as_str()).collect::<Vec<_>>(),
        ["none", "fast", "default", "max"]
    );
    for level in Compression::ALL {
        assert_eq!(level.to_string().to_uppercase().parse(), Ok(*level));
    }
    assert!("best".parse::<Compression>().expect_err("unknown").contains("none, fast, default, max"));
}

#[test]
fn a_value_that_is_too_large_is_refused_on_both_ways() {
    let large = framer(Compression::Default);
    let small = framer(Compression::Default).with_max_bytes(9999);
    let error = small.encode(&key("k"), &compressible(10_000), &header()).expect_err("one too many");
    assert!(matches!(error, CodecError::TooLarge { bytes: 10_000, limit: 9999 }));
    let frame = write(&large, &compressible(10_000));
    assert_eq!(step(small.decode(&key("k"), &frame)), Step::Expand);
    assert!(small.encode(&key("k"), &compressible(9999), &header()).is_ok());
}

#[test]
fn a_claim_is_not_believed() {
    let claims = [6, 4096, 16 << 20, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, u32::MAX];
    for (way, raw_bytes) in (0..4).flat_map(|way| claims.map(|claim| (way, claim))) {
        for payload in
            [&b""[..], b"\0", b"\x1Fa\x01\0\xFF\xFF\xFF", b"\x28\xB5\x2F\xFD\xA0\xFF\xFF", b"abcde"]
        {
            let framer = framer(Compression::None);
            let frame = claiming(way, raw_bytes, payload);
            let memory = measure(|| assert_eq!(step(framer.decode(&key("k"), &frame)), Step::Expand));
            assert!(memory.bytes_total < 64 << 10, "way {way}, {raw_bytes} claimed: {memory:?}");
        }
    }
}

#[test]
fn a_bomb_stops_at_its_declared_length_and_at_the_limit() {
    let zeros = Bytes::from(vec![0; 8 << 20]);
    for (level, way) in [(Compression::Fast, LZ4), (Compression::Default, ZSTD)] {
        let (_, content, payload) =
            Frame::read(&key("k"), &write(&framer(level), &zeros)).expect("whole").into_parts();
        assert_eq!(content.compression, way);
        for declared in [1000, 100_000, (8 << 20) - 1, (8 << 20) + 1] {
            let framer = framer(Compression::None);
            let frame = claiming(way, declared, &payload);
            let memory = measure(|| assert_eq!(step(framer.decode(&key("k"), &frame)), Step::Expand));
            let limit = 4 * frame.len() as u64 + (64 << 10) + 2 * u64::from(declared);
            assert!(memory.bytes_max < limit, "{level}, {declared} declared: {memory:?}");
        }
        let framer = framer(Compression::None).with_max_bytes((8 << 20) - 1);
        let frame = claiming(way, 8 << 20, &payload);
        let memory = measure(|| assert_eq!(step(framer.decode(&key("k"), &frame)), Step::Expand));
        assert!(memory.bytes_max < 64 << 10, "{level}: {memory:?}");
    }
}

#[test]
fn a_damaged_block_depends_on_nothing_but_itself() {
    let value: Bytes = (0..4000_u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
    for level in [Compression::Fast, Compression::Default] {
        let frame = write(&framer(level), &value);
        let (_, content, payload) = Frame::read(&key("k"), &frame).expect("whole").into_parts();
        for at in 0..payload.len().min(600) {
            let mut damaged = payload.to_vec();
            damaged[at] ^= 0x55;
            let frame = claiming(content.compression, content.raw_bytes, &damaged);
            let read = || framer(level).decode(&key("k"), &frame).ok().map(|framed| framed.value);
            let first = read();
            // Other memory is used, and then freed, between the two.
            drop(std::hint::black_box(vec![0xAA_u8; value.len()]));
            assert_eq!(first, read(), "{level}, byte {at}");
        }
    }
}

/// Bytes between noise and monotony.
fn any_value() -> impl Strategy<Value = Bytes> {
    (1_u8..=255, prop::collection::vec(any::<u8>(), 0..3000))
        .prop_map(|(kinds, bytes)| bytes.into_iter().map(|byte| byte % kinds).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_stored_larger_than_it_is(value in any_value()) {
        let bare = write(&framer(Compression::None), &value).len();
        for level in Compression::ALL {
            let framer = framer(*level).with_threshold(0);
            let frame = write(&framer, &value);
            prop_assert!(frame.len() <= bare && framer.stats().stored_bytes <= value.len() as u64);
            let key: Key = key("k");
            prop_assert!(framer.decode(&key, &frame).expect("readable").value == value);
        }
    }
}
