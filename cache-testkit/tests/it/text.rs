//! Traces as text: the formats that others publish, read plain or compressed, and every wrong line named.

use std::time::Duration;

use cache_testkit::trace::{Fault, Format, Part, ReadOptions, Trace, TraceError};
use proptest::prelude::*;

fn read(format: Format, text: &[u8]) -> Result<Trace, TraceError> {
    ReadOptions::new().with_format(format).read_plain("small", text)
}

#[test]
fn a_line_of_arc_stands_for_blocks_in_a_row() {
    let trace = read(Format::Arc, b"7 3 0 0\r\n100 1 0 1\n8 2 0 2\n5 0 0 3").unwrap();
    assert_eq!(trace.keys(), [0, 1, 2, 3, 1, 2]);
    assert_eq!((trace.unique(), trace.len()), (4, 6));
}

#[test]
fn a_list_has_any_keys_and_a_last_line_without_end() {
    let trace = read(Format::Keys, b"a b\n\xFF\n\n  a b\na b\r\n\xFF").unwrap();
    assert_eq!(trace.keys(), [0, 1, 2, 0, 1]);
    assert_eq!(trace.requests().next().unwrap().size, None);
}

#[test]
fn a_table_has_its_columns_in_any_order() {
    let trace = read(Format::Csv, b"\xEF\xBB\xBFtime, ttl,key\n1700000000,0,a\n1700000005,60, b\n").unwrap();
    let rows: Vec<_> =
        trace.requests().map(|it| (it.key, it.at.unwrap(), it.ttl, it.size, it.cost)).collect();
    let minute = Some(Duration::from_mins(1));
    assert_eq!(
        rows,
        [(0, Duration::ZERO, None, None, None), (1, Duration::from_secs(5), minute, None, None)]
    );
    let trace = read(Format::Csv, b"cost,size,key\n3,4,x\n5,6,x").unwrap();
    let rows: Vec<_> = trace.requests().map(|it| (it.size.unwrap(), it.cost.unwrap().as_micros())).collect();
    assert_eq!(rows, [(4, 3), (6, 5)]);
}

#[test]
fn every_wrong_line_is_named_with_what_would_be_right() {
    #[track_caller]
    fn check(format: Format, text: &str, expected: &str) {
        let error = read(format, text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("trace small: byte {}, {expected}", text.len()));
    }
    let four = "expected four numbers: start, count, ignored, request";
    check(Format::Arc, "1 1 0 0\n2 1 0", &format!("line 2: the line \"2 1 0\", {four}"));
    check(Format::Arc, "1 1 0 0\n\nx 1 0 1", "line 3: start \"x\", expected a whole number");
    check(Format::Arc, "1 -1 0 0", "line 1: count \"-1\", expected a whole number from 0 to 4294967295");
    check(
        Format::Arc,
        "18446744073709551615 1 0 0",
        "line 1: start \"18446744073709551615\", expected a number whose last block fits 64 bits",
    );
    let names = "expected a first line of column names: key, and any of size, ttl, cost, time, each once";
    check(Format::Csv, "", &format!("line 1: the line \"\", {names}"));
    check(Format::Csv, "size,time", &format!("line 1: the line \"size,time\", {names}"));
    check(Format::Csv, "key,sizes", &format!("line 1: column \"sizes\", {names}"));
    check(Format::Csv, "key,size,key", &format!("line 1: column \"key\", {names}"));
    check(
        Format::Csv,
        "key,size\na,1\nb",
        "line 3: the line \"b\", expected as many fields as the first line has",
    );
    check(
        Format::Csv,
        "key,size\na,1.5",
        "line 2: size \"1.5\", expected a whole number from 0 to 4294967295",
    );
    check(Format::Csv, "key\n\"a\"", "line 2: the line \"\\\"a\\\"\", expected fields without quotes");
    check(
        Format::Csv,
        "key,time\na,9\na,8",
        "line 3: time \"8\", expected no time before that of the first request",
    );
    let long = "x".repeat(100);
    check(Format::Arc, &long, &format!("line 1: the line \"{}…\", {four}", "x".repeat(60)));
}

#[test]
fn a_short_line_cannot_take_all_memory() {
    let options = ReadOptions::new().with_format(Format::Arc).with_max_bytes(1_000);
    let error = options.read_plain("bomb", &b"0 900 0 0\n0 4000000000 0 1\n"[..]).unwrap_err();
    assert!(matches!(error.fault(), Fault::TooLong { max_bytes: 1_000 }), "{error}");
    assert_eq!(error.part(), Part::Line(2));
    let endless = vec![b'x'; 2_000];
    let error = ReadOptions::new().with_format(Format::Keys).with_max_bytes(1_000).read_plain("x", &*endless);
    assert!(matches!(error.unwrap_err().fault(), Fault::TooLong { .. }));
}

#[test]
fn the_name_of_a_file_says_how_to_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        Trace::open(path)
    };
    let packed = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
    let list = open("pets.txt", b"cat\ndog\n").unwrap();
    assert_eq!((list.name(), list.unique()), ("pets", 2));
    assert_eq!(open("pets.keys.zst", &packed(b"cat\ndog\n")).unwrap(), list);
    assert_eq!(open("P.LIS", b"4 2 0 0").unwrap().len(), 2);
    assert_eq!(open("t.csv.zst", &packed(b"key\na\na\n")).unwrap().unique(), 1);
    let mut compressed = Vec::new();
    list.write(&mut compressed).unwrap();
    assert_eq!(open("pets.ctr", &zstd::decode_all(compressed.as_slice()).unwrap()).unwrap(), list);
    let unknown = open("pets.md", b"cat\n").unwrap_err().to_string();
    assert!(unknown.ends_with(
        "byte 0, file: the name does not say the format, expected it to end in one of .ctr, .lis, .txt, .keys, .csv, \
         and in .zst if compressed"
    ), "{unknown}");
    let path = folder.path().join("pets.md");
    assert_eq!(ReadOptions::new().with_format(Format::Keys).open(path).unwrap().len(), 1);
    assert!(open("pets.csv.zst", b"key\n").is_err(), "it is no zstd");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in Format::ALL {
            let _ = read(format, &bytes);
        }
    }

    // Bytes that look right more often than random ones reach further into the readers.
    #[test]
    fn random_lines_never_panic(text in "(key,size,ttl,cost,time\n|time,key\n)?([0-9a-c, \"\r]{0,12}\n){0,20}") {
        for format in Format::ALL {
            if let Ok(trace) = ReadOptions::new().with_format(format).with_max_bytes(4_096).read_plain("t", text.as_bytes()) {
                prop_assert!(trace.keys().iter().all(|&key| key < trace.unique()));
                prop_assert_eq!(trace.requests().count(), trace.len());
            }
        }
    }

    #[test]
    fn a_list_is_numbered_as_a_trace_is(keys in prop::collection::vec(0_u64..30, 0..200)) {
        let text = keys.iter().map(u64::to_string).collect::<Vec<_>>().join("\n");
        prop_assert_eq!(read(Format::Keys, text.as_bytes()).unwrap(), Trace::new("small", keys));
    }
}
