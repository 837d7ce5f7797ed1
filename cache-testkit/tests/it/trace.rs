//! The trace format: what is written is read back, and nothing else is.

use std::io::Write;

use cache_testkit::trace::{Fault, Part, ReadOptions, Trace, TraceError};
use proptest::prelude::*;

fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn header(unique: u32, requests: u64, flags: u8) -> Vec<u8> {
    [b"CTR1".as_slice(), &unique.to_le_bytes(), &requests.to_le_bytes(), &[flags]].concat()
}

/// A file of two keys and three requests with sizes, before compression.
fn small() -> Vec<u8> {
    // Keys 0 1 0 as +0 +1 -1, sizes 100 99 100 as +100 -1 +1.
    [header(2, 3, 1), vec![0, 2, 1, 0xC8, 0x01, 1, 2]].concat()
}

fn read(plain: &[u8]) -> Result<Trace, TraceError> {
    Trace::read("small", compress(plain).as_slice())
}

#[test]
fn a_file_written_by_hand_is_understood() {
    let trace = read(&small()).unwrap();
    assert_eq!((trace.name(), trace.unique(), trace.len()), ("small", 2, 3));
    assert_eq!(trace.keys(), [0, 1, 0]);
    let sizes: Vec<_> = trace.requests().map(|request| request.size.unwrap()).collect();
    assert_eq!(sizes, [100, 99, 100]);
    let first = trace.requests().next().unwrap();
    assert_eq!((first.ttl, first.at, first.cost), (None, None, None));
}

#[test]
fn writing_gives_the_documented_bytes() {
    let mut file = Vec::new();
    Trace::new("any", [9, 4, 9]).with_sizes(|request| [100, 99, 100][request]).write(&mut file).unwrap();
    assert_eq!(zstd::decode_all(file.as_slice()).unwrap(), small());
}

#[test]
fn no_time_to_live_is_none_and_the_first_second_is_a_time() {
    let trace = Trace::new("any", [1, 2]).with_ttls(|request| [0, 60][request]).with_times(|_| 0);
    let ttls: Vec<_> = trace.requests().map(|request| request.ttl.map(|ttl| ttl.as_secs())).collect();
    assert_eq!(ttls, [None, Some(60)]);
    assert!(trace.requests().all(|request| request.at.is_some_and(|at| at.is_zero())));
}

#[test]
fn an_empty_trace_is_a_trace() {
    let trace = read(&header(0, 0, 15)).unwrap();
    assert!(trace.is_empty());
    assert_eq!(trace.requests().len(), 0);
}

#[test]
fn every_wrong_part_is_named_with_its_place() {
    #[track_caller]
    fn check(plain: &[u8], expected: &str) {
        assert_eq!(read(plain).unwrap_err().to_string(), format!("trace small: {expected}"));
    }
    let with = |header: Vec<u8>, columns: &[u8]| [header, columns.to_vec()].concat();
    check(b"CTR", "byte 3, header: the file ends here, expected 17 bytes of header");
    check(
        b"CTR2............................",
        "byte 17, header: the first four bytes are [67, 84, 82, 50], expected [67, 84, 82, 49]",
    );
    check(
        &header(0, 0, 0x11),
        "byte 17, header: flags 0b00010001, expected none beyond 0b00001111 (sizes 1, ttls 2, times 4, costs 8)",
    );
    check(
        &with(header(2, u64::MAX, 0), &[0, 2]),
        "byte 19, column keys, request 2: the file ends here, expected one more value",
    );
    check(
        &with(header(2, 2, 0), &[2, 1]),
        "byte 18, column keys, request 0: key 1 after 0 different ones of 2 declared, expected 0 to 0",
    );
    check(
        &with(header(1, 2, 0), &[0, 2]),
        "byte 19, column keys, request 1: key 1 after 1 different ones of 1 declared, expected less than 1",
    );
    check(
        &with(header(3, 2, 0), &[0, 2]),
        "byte 19, column keys, request 1: 2 different keys, expected the 3 that the header declares",
    );
    check(
        &with(header(1, 1, 0), &[1]),
        "byte 18, column keys, request 0: the value -1 is out of range, expected 0 to 4294967295",
    );
    check(
        &with(header(1, 1, 8), &[0, 0x80, 0x80, 0x80, 0x80, 0x20]),
        "byte 23, column costs, request 0: the value 4294967296 is out of range, expected 0 to 4294967295",
    );
    check(
        &with(header(1, 1, 2), &[[0].as_slice(), &[0xFF; 9], &[2]].concat()),
        "byte 28, column ttls, request 0: a varint beyond 64 bits, expected at most ten bytes, the tenth at most 1",
    );
    check(
        &with(header(1, 1, 4), &[[0].as_slice(), &[0x80; 11]].concat()),
        "byte 28, column times, request 0: a varint beyond 64 bits, expected at most ten bytes, the tenth at most 1",
    );
    check(&with(small(), &[0]), "byte 25, end: bytes after the last column, expected the end of the file");
}

#[test]
fn a_truncated_file_is_an_error_at_every_length() {
    let file = compress(&small());
    for length in 0..file.len() {
        let error = Trace::read("cut", &file[..length]).unwrap_err();
        assert!(matches!(error.fault(), Fault::Truncated { .. }), "{length} bytes: {error}");
    }
}

#[test]
fn garbage_behind_the_last_frame_is_an_error() {
    let mut file = compress(&small());
    file.write_all(b"garbage").unwrap();
    let error = Trace::read("tail", file.as_slice()).unwrap_err();
    assert_eq!(error.part(), Part::End);
}

#[test]
fn a_file_that_is_missing_or_no_zstd_is_named() {
    let error = Trace::open("no/such/file.ctr.zst").unwrap_err().to_string();
    assert!(
        error.starts_with("trace no/such/file.ctr.zst: byte 0, file: expected a readable file (zstd, if its name ends in .zst): "),
        "{error}"
    );
    let error = Trace::read("list", &b"17 4 17"[..]).unwrap_err();
    assert!(matches!(error.fault(), Fault::Unreadable(_)), "{error}");
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = compress(&[header(1, 50_000_000, 0), vec![0; 50_000_000]].concat());
    assert!(bomb.len() < 10_000);
    let error = ReadOptions::new().with_max_bytes(1 << 20).read("bomb", bomb.as_slice()).unwrap_err();
    assert!(matches!(error.fault(), Fault::TooLong { max_bytes: 1_048_576 }), "{error}");
}

#[test]
fn a_file_is_named_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.ctr.zst");
    let trace = Trace::new("shop", [3, 3, 5]);
    trace.save(&path).unwrap();
    assert_eq!(Trace::open(&path).unwrap(), trace);
}

prop_compose! {
    fn traces()(requests in prop::collection::vec((0_u64..40, any::<[u32; 4]>()), 0..200), flags in 0_u8..16) -> Trace {
        let column = |index: usize| {
            let values: Vec<u32> = requests.iter().map(|(_, values)| values[index]).collect();
            move |request: usize| values[request]
        };
        let mut trace = Trace::new("made", requests.iter().map(|&(key, _)| key));
        if flags & 1 != 0 { trace = trace.with_sizes(column(0)); }
        if flags & 2 != 0 { trace = trace.with_ttls(column(1)); }
        if flags & 4 != 0 { trace = trace.with_times(column(2)); }
        if flags & 8 != 0 { trace = trace.with_costs(column(3)); }
        trace
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(trace in traces()) {
        let mut file = Vec::new();
        trace.write(&mut file).unwrap();
        prop_assert_eq!(Trace::read("made", file.as_slice()).unwrap(), trace);
    }

    #[test]
    fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Trace::read("noise", bytes.as_slice()).is_err());
    }

    // A count of requests that is believed before the values have arrived would end this process, not the test.
    #[test]
    fn random_columns_never_panic(
        unique in any::<u32>(), requests in any::<u64>(), flags in 0_u8..16, columns in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let plain = [header(unique, requests, flags), columns].concat();
        prop_assert!(read(&plain).is_err() || requests <= 400);
    }

    #[test]
    fn a_changed_file_is_an_error_or_another_trace(
        trace in traces(), position in any::<prop::sample::Index>(), change in 1_u8..=255, compressed: bool,
    ) {
        let mut file = Vec::new();
        trace.write(&mut file).unwrap();
        let mut bytes = if compressed { file } else { zstd::decode_all(file.as_slice()).unwrap() };
        let position = position.index(bytes.len());
        bytes[position] ^= change;
        let read = if compressed { Trace::read("changed", bytes.as_slice()) } else { read(&bytes) };
        if let Ok(read) = read {
            prop_assert!(read.keys().iter().all(|&key| key < read.unique()));
            prop_assert_eq!(read.requests().len(), read.len());
        }
    }
}
