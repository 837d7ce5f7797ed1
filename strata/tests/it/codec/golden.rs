//! Frames of every format that was ever written stay readable. They lie in `tests/golden`, a folder per version.
//!
//! A release that writes another version adds a folder and leaves the others as they are. Files that are missing are
//! written by `STRATA_WRITE_GOLDEN=1 cargo test -p strata --all-features golden`; no file is ever written again.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use strata::codec::{Codec, Compression, Json, Msgpack, Raw};

use super::header;
use super::made::{Account, files, framer, key, text};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn check<V, C>(name: &str, codec: C, value: &V)
where
    V: PartialEq + std::fmt::Debug + 'static,
    C: Codec<V> + Copy,
{
    for (path, level, sealed) in files(&folder(), name) {
        let written =
            || framer(codec, level, sealed).encode(&key("golden:1"), value, &header()).expect("legal");
        if std::env::var_os("STRATA_WRITE_GOLDEN").is_some() && !path.exists() {
            std::fs::create_dir_all(folder()).expect("a folder");
            std::fs::write(&path, written()).expect("a file");
        }
        let bytes: Bytes =
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into();
        let framed = framer(codec, Compression::None, sealed).decode(&key("golden:1"), &bytes);
        let framed = framed.unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        assert_eq!((&framed.value, framed.header), (value, header()), "{}", path.display());
        // What depends on no other library is also written as it was.
        if level == Compression::None && !sealed {
            assert_eq!(written(), bytes, "{}", path.display());
        }
    }
}

#[test]
fn frames_of_version_1_are_readable() {
    check("raw", Raw, &text());
    check("msgpack", Msgpack, &Account::example());
    check("json", Json, &Account::example());
}
