//! What the tests of codecs read and write, here and in `xtask/fuzz`: values, frames, and the files of the first release.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use strata::Key;
use strata::codec::{Codec, CodecFailure, Compression, Framer, Keyring, SealKey};
use twox_hash::XxHash3_64;

/// A value with one of everything that serde tells apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) note: Option<Option<String>>,
    pub(crate) seen: Option<()>,
    pub(crate) scores: Vec<i32>,
    pub(crate) places: Vec<Place>,
    pub(crate) by_day: BTreeMap<u16, Option<Vec<u8>>>,
    pub(crate) ratio: f64,
    pub(crate) wide: (i128, u128),
    pub(crate) mark: char,
    pub(crate) kept: Option<Box<Account>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Place {
    Nowhere,
    Street(String),
    Point(f32, f32),
    Room { floor: i8, door: Option<u8> },
    Held(Option<Held>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Held(pub(crate) Option<Unit>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unit;

impl Account {
    pub(crate) fn example() -> Self {
        Self {
            id: 7,
            name: "Ada".repeat(30),
            note: Some(None),
            seen: Some(()),
            scores: (0..300).map(|n| n / 7 - 20).collect(),
            places: vec![
                Place::Nowhere,
                Place::Street("Main Street".to_owned()),
                Place::Point(0.1, -2.5),
                Place::Room { floor: -1, door: None },
                Place::Held(Some(Held(None))),
                Place::Held(Some(Held(Some(Unit)))),
            ],
            by_day: (1..60).map(|day| (day, (day % 3 > 0).then(|| vec![0; 3]))).collect(),
            ratio: 0.1 + 0.2,
            wide: (i128::MIN, u128::MAX),
            mark: '東',
            kept: None,
        }
    }
}

/// Writes any bytes in the name of another codec, as somebody could who may write to the store.
#[derive(Debug)]
pub(crate) struct Impostor(pub(crate) u8);

impl Codec<Bytes> for Impostor {
    fn id(&self) -> u8 {
        self.0
    }

    fn encode(&self, value: &Bytes) -> Result<Bytes, CodecFailure> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes, CodecFailure> {
        Ok(bytes.clone())
    }
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("legal")
}

pub(crate) fn ring(id: u8) -> Keyring {
    Keyring::new(id.into(), SealKey::new(&mut [id; 32]))
}

/// Makes the checksum right again, as somebody could who has changed the rest on purpose.
pub(crate) fn forge(key: &Key, frame: &mut [u8]) {
    let Some(at) = frame.len().checked_sub(8) else { return };
    let seed = XxHash3_64::oneshot(key.as_str().as_bytes());
    let sum = XxHash3_64::oneshot_with_seed(seed, &frame[..at]);
    frame[at..].copy_from_slice(&sum.to_le_bytes());
}

/// What is stored in all files of a codec: half a page that compresses.
pub(crate) fn text() -> String {
    "The frame that was written on the first day is read on the last. ".repeat(20)
}

pub(crate) fn framer<V: 'static>(codec: impl Codec<V>, level: Compression, sealed: bool) -> Framer<V> {
    let framer = Framer::new("golden", codec).with_compression(level);
    if sealed { framer.with_keys(ring(3)) } else { framer }
}

/// All golden files of a codec in this folder, and how each was written.
pub(crate) fn files(folder: &Path, codec: &str) -> Vec<(PathBuf, Compression, bool)> {
    let file = |level: &Compression, sealed| {
        let seal = if sealed { "sealed" } else { "open" };
        (folder.join(format!("{codec}-{level}-{seal}.frame")), *level, sealed)
    };
    Compression::ALL.iter().flat_map(|level| [file(level, false), file(level, true)]).collect()
}
