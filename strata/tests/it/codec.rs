//! Codecs: every value comes back, whatever was set when it was written, and no bytes do harm.

#![expect(clippy::option_option, reason = "an Option in an Option is what has to come back")]

#[path = "codec/fuzz.rs"]
mod fuzz;
#[path = "codec/golden.rs"]
mod golden;
#[path = "codec/hostile.rs"]
mod hostile;
#[path = "codec/limits.rs"]
mod limits;
#[path = "codec/nesting.rs"]
mod nesting;
#[path = "codec/round_trip.rs"]
mod round_trip;
#[path = "codec/seal.rs"]
mod seal;
#[path = "codec/secrets.rs"]
mod secrets;
#[path = "codec/squeeze.rs"]
mod squeeze;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use strata::codec::{Codec, CodecError, CodecFailure, Keyring, SealKey, Step};
use strata::{Header, Key, Life, Tags, Ttl, Wall};
use twox_hash::XxHash3_64;

/// A value with one of everything that serde tells apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    id: u64,
    name: String,
    note: Option<Option<String>>,
    seen: Option<()>,
    scores: Vec<i32>,
    places: Vec<Place>,
    by_day: BTreeMap<u16, Option<Vec<u8>>>,
    ratio: f64,
    wide: (i128, u128),
    mark: char,
    kept: Option<Box<Account>>,
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
pub(crate) struct Held(Option<Unit>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unit;

impl Account {
    fn example() -> Self {
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
struct Impostor(u8);

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

fn key(text: &str) -> Key {
    Key::new(text).expect("legal")
}

fn header() -> Header {
    let life = Life::new(Wall::from_unix_millis(1_800_000_000_000), Ttl::from_secs(300));
    Header::new(life.with_due_at(0.8).with_stale_for(Duration::from_hours(2)))
        .with_tags(Tags::new(["team:7"]).expect("legal"))
        .with_marks(|_| 0x0123_4567_89AB_CDEF)
}

fn ring(id: u8) -> Keyring {
    Keyring::new(id.into(), SealKey::new(&mut [id; 32]))
}

/// Makes the checksum right again, as somebody could who has changed the rest on purpose.
fn forge(key: &Key, frame: &mut [u8]) {
    let Some(at) = frame.len().checked_sub(8) else { return };
    let seed = XxHash3_64::oneshot(key.as_str().as_bytes());
    let sum = XxHash3_64::oneshot_with_seed(seed, &frame[..at]);
    frame[at..].copy_from_slice(&sum.to_le_bytes());
}

#[track_caller]
fn step<V: std::fmt::Debug>(outcome: Result<V, CodecError>) -> Step {
    outcome.expect_err("no value may come of this").step()
}

/// 512 KiB for code as it is used. Unoptimised, one level of a `serde_json::Value` as `MessagePack` takes 4 KiB, of which rmp-serde's look
/// at a marker takes 2.6, and one of an [`Account`] 6: the 128 levels that are allowed take up to 800 KiB.
const SMALL_STACK: usize = if cfg!(debug_assertions) { 1 << 20 } else { 512 << 10 };

/// Runs on a stack as small as any thread has that a service would read a cache on.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(run).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
