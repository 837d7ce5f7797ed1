//! Millions of damaged, forged and spliced frames: no panic, little memory, a small stack, and never a wrong value.
//!
//! Little is: whatever is allocated until the codec has the bytes, four times the frame and what it really expands to, and 64 KiB. So it is
//! with the values, too, of all types but `serde_json::Value`, of which the type itself takes more.
//!
//! ```text
//! a value ─ a framer, one of many ─► its frame ─ damage ─► another ─ with half of them: checksum made right ─► read
//! bytes ── in the name of a codec ─► a whole frame around them ────────────────────────────────────────────► read
//! ```
//!
//! `STRATA_FUZZ_CASES` says how many cases, and `STRATA_FUZZ_SEED` which is the first; each failure prints both, so that
//! it is repeated alone. The golden files are part of the corpus.

mod values;

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use cache_core::{Content, Frame};
use strata::codec::{Codec, Compression, Framer, Json, Msgpack, Raw, Step};
use strata::{Header, Key, Life, Priority, Tags, Ttl, Wall};

use self::values::{any_account, any_bytes, any_json, any_wild};
use crate::made::{self, Account, Impostor, files, forge, key};
use crate::on_small_stack;

/// A `serde_json` map of one takes two bytes to write, beside what is in it, and 630 to hold, and what is in it may be such a map.
/// Structs and bytes have to do with what is free.
const DENSE_JSON: u64 = 330;
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../strata/tests/golden/v1");
/// A few seconds.
const CASES: u64 = 20_000;
/// What may be allocated whatever the input.
const FREE_BYTES: u64 = 64 << 10;

#[test]
fn no_bytes_do_harm() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let cases: u64 = number("STRATA_FUZZ_CASES").unwrap_or(CASES);
    let first: u64 = number("STRATA_FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("STRATA_FUZZ_SEED={first} STRATA_FUZZ_CASES={cases}");
    on_small_stack(move || {
        let subjects = subjects();
        let mut tally = Tally::default();
        for seed in (0..cases).map(|at| first.wrapping_add(at)) {
            let mut random = Random(seed);
            let subject = &subjects[random.below(subjects.len())];
            let run = AssertUnwindSafe(|| subject.case(&mut random, &mut tally));
            if let Err(panic) = catch_unwind(run) {
                println!("repeat with STRATA_FUZZ_SEED={seed} STRATA_FUZZ_CASES=1");
                std::panic::resume_unwind(panic);
            }
        }
        println!("{tally:?}");
        // A fuzzer that reaches nothing finds nothing: every step refuses some, and some get through.
        if cases >= CASES {
            assert!(tally.failed[1..].iter().all(|count| *count > 0) && tally.read > 0, "{tally:?}");
        }
    });
}

#[derive(Debug, Default)]
struct Tally {
    read: u64,
    failed: [u64; Step::ALL.len()],
}

/// `SplitMix64`, so that a seed means the same in every release of everything.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).expect("below a usize")
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Mostly short, seldom as long as `most`.
    fn length(&mut self, most: usize) -> usize {
        let most = if self.one_in(16) { most } else { most / 40 };
        self.below(most + 1)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let kinds = 1 + self.below(256);
        let length = self.length(most);
        (0..length).map(|_| u8::try_from(self.below(kinds)).unwrap_or_default()).collect()
    }

    fn text(&mut self, most: usize) -> String {
        self.bytes(most).into_iter().map(|byte| char::from(byte % 0x60 + 0x20)).collect()
    }
}

/// What one framer is asked.
trait Subject {
    fn case(&self, random: &mut Random, tally: &mut Tally);
}

struct Reader<V: 'static> {
    framer: Framer<V>,
    /// The same, around any bytes.
    impostor: Framer<Bytes>,
    level: Compression,
    sealed: bool,
    make: fn(&mut Random) -> V,
    /// What the type itself may take for each encoded byte, beyond what is free.
    dense: u64,
    golden: Vec<Stored<V>>,
}

#[derive(Clone)]
struct Stored<V> {
    key: Key,
    value: V,
    frame: Bytes,
}

impl<V: PartialEq + Clone + Debug> Subject for Reader<V> {
    fn case(&self, random: &mut Random, tally: &mut Tally) {
        match random.below(4) {
            0 => self.any_payload(random, tally),
            1 if !self.sealed => self.any_block(random, tally),
            _ => self.any_damage(random, tally),
        }
    }
}

impl<V: PartialEq + Clone + Debug> Reader<V> {
    /// A stored frame, damaged, and half the time with a checksum that is right again.
    fn any_damage(&self, random: &mut Random, tally: &mut Tally) {
        let stored = [self.stored(random), self.stored(random)];
        let mut frame = stored[0].frame.to_vec();
        let asked = if random.one_in(16) { &stored[1].key } else { &stored[0].key };
        let damages = if random.one_in(8) { 0 } else { 1 + random.below(3) };
        for _ in 0..damages {
            damage(random, &mut frame, &stored[1].frame);
        }
        let forged = random.one_in(2);
        if forged {
            forge(asked, &mut frame);
        }
        let frame = Bytes::from(frame);
        let really = stored.iter().find(|stored| stored.key == *asked && stored.frame == frame);
        let read = self.read(asked, &frame, really.map_or(0, |_| declared(asked, &frame)), tally);
        match (read, really) {
            (read, Some(stored)) => assert_eq!(read.as_ref(), Some(&stored.value), "what was stored is lost"),
            // Who forges an open frame can say what he likes; it is some value of this type.
            (Some(read), None) if forged && !self.sealed => self.write_again(&read, random),
            (Some(read), None) => panic!("{read:?} was read, and not stored"),
            (None, None) => {}
        }
    }

    /// A whole frame around bytes that no codec has written, or that somebody has changed after the codec.
    fn any_payload(&self, random: &mut Random, tally: &mut Tally) {
        let mut payload = match random.below(4) {
            0 => random.bytes(1000),
            1 => vec![random.byte(); random.below(1000)],
            _ => self.encoded(random),
        };
        let other = random.bytes(200);
        for _ in 0..random.below(4) {
            damage(random, &mut payload, &other);
        }
        self.impostor.set_compression(self.level);
        let (own, bytes) = (key("fuzz:any"), payload.len() as u64);
        let frame = self.impostor.encode(&own, &payload.into(), &any_header(random)).expect("small");
        if let Some(read) = self.read(&own, &frame, bytes, tally) {
            self.write_again(&read, random);
        }
    }

    /// A whole frame with a payload, or a length of it, that somebody has changed after it was compressed.
    fn any_block(&self, random: &mut Random, tally: &mut Tally) {
        let stored = [self.stored(random), self.stored(random)];
        let (header, mut content, payload) = parts(&stored[0].key, &stored[0].frame).expect("just written");
        let (_, _, other) = parts(&stored[1].key, &stored[1].frame).expect("just written");
        let mut payload = payload.to_vec();
        for _ in 0..random.below(4) {
            damage(random, &mut payload, &other);
        }
        match random.below(6) {
            0 => content.raw_bytes = content.raw_bytes.wrapping_add(u32::from(random.byte())),
            1 => content.raw_bytes = u32::from(random.byte()) << random.below(32),
            2 => content.compression = random.byte() % 4,
            _ => {}
        }
        let frame = Frame::write(&stored[0].key, &header, content, &payload).expect("small");
        if let Some(read) = self.read(&stored[0].key, &frame, 0, tally) {
            self.write_again(&read, random);
        }
    }

    fn stored(&self, random: &mut Random) -> Stored<V> {
        if random.one_in(8) && !self.golden.is_empty() {
            return self.golden[random.below(self.golden.len())].clone();
        }
        let key = key(["fuzz:1", "fuzz:2"][random.below(2)]);
        let value = (self.make)(random);
        self.framer.set_compression(if random.one_in(2) { self.level } else { Compression::None });
        let frame = self.framer.encode(&key, &value, &any_header(random)).expect("can be written");
        Stored { key, value, frame }
    }

    /// What the codec makes of a value, bare.
    fn encoded(&self, random: &mut Random) -> Vec<u8> {
        let Stored { key, frame, .. } = self.stored(random);
        self.impostor.decode(&key, &frame).expect("just written").value.to_vec()
    }

    /// Whatever can be read can be written or is refused, but does not panic.
    fn write_again(&self, value: &V, random: &mut Random) {
        drop(self.framer.encode(&key("fuzz:again"), value, &any_header(random)));
    }

    /// Reads, and looks at what that took: `proven` is how many bytes the payload really expands to.
    fn read(&self, key: &Key, frame: &Bytes, proven: u64, tally: &mut Tally) -> Option<V> {
        let before = self.framer.stats();
        let mut outcome = None;
        let memory = measure(|| outcome = Some(self.framer.decode(key, frame)));
        let bytes = frame.len() as u64 + proven.max(expands_to(key, frame));
        let within = |memory: AllocationInfo, times: u64| {
            let limit = times * bytes + FREE_BYTES;
            assert!(memory.bytes_max <= limit, "of {} bytes, {limit} allowed: {memory:?}", frame.len());
        };
        within(memory, 4 + self.dense);
        if self.dense > 0 {
            // What is ours of it: all steps but the value.
            within(measure(|| drop(self.impostor.decode(key, frame))), 4);
        }
        let after = self.framer.stats();
        match outcome.expect("it was read") {
            Ok(framed) => {
                tally.read += 1;
                assert_eq!(after.decoded, before.decoded + 1);
                Some(framed.value)
            }
            Err(error) => {
                let step = error.step();
                tally.failed[step as usize] += 1;
                assert_eq!(after.failed_at(step), before.failed_at(step) + 1, "{error:?}");
                None
            }
        }
    }
}

fn parts(key: &Key, frame: &Bytes) -> Option<(Header, Content, Bytes)> {
    Some(Frame::read(key, frame).ok()?.into_parts())
}

fn declared(key: &Key, frame: &Bytes) -> u64 {
    parts(key, frame).map_or(0, |(_, content, _)| content.raw_bytes.into())
}

/// How far an open payload can be expanded, asked of the library itself, or of Zstandard's blocks, of which the damaged
/// one gives nothing.
fn expands_to(key: &Key, frame: &Bytes) -> u64 {
    let open = |(_, content, _): &(Header, Content, Bytes)| content.sealed_by.is_none();
    let Some((_, content, payload)) = parts(key, frame).filter(open) else {
        return 0;
    };
    let declared = u64::from(content.raw_bytes).min(16 << 20);
    match content.compression {
        1 => {
            let mut out = vec![0; usize::try_from(declared).expect("at most 16 MiB")];
            let length = lz4_flex::block::decompress_into(&payload, &mut out);
            length.map_or(0, |length| length as u64)
        }
        2 => blocks(&payload).map_or(0, |blocks| blocks * (128 << 10)).min(declared),
        _ => 0,
    }
}

/// How many blocks a frame of Zstandard has that declares its length, as all of ours do.
fn blocks(frame: &[u8]) -> Option<u64> {
    let descriptor = usize::from(*frame.get(4)?);
    let single = descriptor >> 5 & 1;
    let mut at = 5 + (1 - single) + [0, 1, 2, 4][descriptor & 3] + [single, 2, 4, 8][descriptor >> 6];
    for count in 1.. {
        let head = frame.get(at..at + 3)?;
        let head = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
        at += 3 + if head >> 1 & 3 == 1 { 1 } else { head >> 3 };
        if head & 1 == 1 {
            return Some(count);
        }
    }
    None
}

fn any_header(random: &mut Random) -> Header {
    let ttl =
        if random.one_in(2) { Ttl::FOREVER } else { Ttl::from_millis(random.next() >> random.below(64)) };
    let life = Life::new(Wall::from_unix_millis(random.next()), ttl).with_due_at(0.5);
    let mut header =
        Header::new(life.with_stale_for(Duration::from_millis(random.next() >> random.below(64))));
    if random.one_in(4) {
        let tags: Vec<_> = (0..random.below(65)).map(|_| format!("t{}", random.below(500))).collect();
        let mark = random.next();
        header = header.with_tags(Tags::new(tags).expect("at most 64"));
        if random.one_in(2) {
            header = header.with_marks(|_| mark);
        }
    }
    if random.one_in(8) {
        let labels = (0..random.below(65)).map(|at| (at.to_string(), random.text(40)));
        header.labels = Arc::new(labels.collect::<BTreeMap<_, _>>());
    }
    header.version = random.next() >> random.below(64);
    header.cost = Duration::from_nanos(random.next() >> random.below(64));
    header.priority = Priority::ALL[random.below(4)];
    header
}

/// One accident, or one deed, of the kinds that reach far.
fn damage(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len() + 1);
    let to = (at + random.length(400)).min(bytes.len());
    match random.below(10) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..to)),
        2 => {
            let more = random.bytes(100);
            bytes.splice(at..at, more);
        }
        3 => {
            let chunk = bytes[at..to.min(at + 4)].repeat(random.below(300));
            bytes.splice(at..at, chunk);
        }
        4 => {
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        5 => bytes.copy_within(at..to, 0),
        // The lengths stand at the beginning.
        6 => write_number(random, bytes, at % 64),
        7 => write_number(random, bytes, at),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (at % 8);
            }
        }
    }
}

/// Writes a number that is an edge of something.
fn write_number(random: &mut Random, bytes: &mut [u8], at: usize) {
    let edges =
        [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 16 << 20, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, u32::MAX];
    let edge = edges[random.below(edges.len())];
    let number = if random.one_in(2) { edge.to_le_bytes() } else { edge.to_be_bytes() };
    let width = 1 << random.below(3);
    for (byte, new) in bytes.iter_mut().skip(at).zip(&number[..width]) {
        *byte = *new;
    }
}

/// Every codec by every compression, open and sealed.
fn subjects() -> Vec<Box<dyn Subject>> {
    let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
    for level in Compression::ALL {
        for sealed in [false, true] {
            let text = Bytes::from(made::text());
            subjects.push(reader(("raw", Raw, any_bytes), Some(&text), *level, sealed));
            let account = Account::example();
            subjects.push(reader(("msgpack", Msgpack, any_account), Some(&account), *level, sealed));
            subjects.push(reader(("json", Json, any_account), Some(&account), *level, sealed));
            subjects.push(reader(("msgpack", Msgpack, any_wild), None, *level, sealed));
            subjects.push(reader(("json", Json, any_wild), None, *level, sealed));
            subjects.push(reader(("msgpack", Msgpack, any_json), None, *level, sealed));
            subjects.push(reader(("json", Json, any_json), None, *level, sealed));
        }
    }
    subjects
}

fn reader<V, C>(
    (name, codec, make): (&str, C, fn(&mut Random) -> V),
    in_golden: Option<&V>,
    level: Compression,
    sealed: bool,
) -> Box<dyn Subject>
where
    V: PartialEq + Clone + Debug + 'static,
    C: Codec<V> + Copy,
{
    let framer = made::framer(codec, level, sealed).with_threshold(64);
    let impostor = made::framer(Impostor(codec.id()), level, sealed).with_threshold(64);
    let files =
        files(Path::new(GOLDEN), name).into_iter().filter(|(_, _, file_is_sealed)| *file_is_sealed == sealed);
    let golden = files.filter_map(|(path, ..)| {
        let frame = Bytes::from(std::fs::read(path).expect("a golden file"));
        in_golden.map(|value| Stored { key: key("golden:1"), value: value.clone(), frame })
    });
    let golden: Vec<_> = golden.collect();
    let dense = if TypeId::of::<V>() == TypeId::of::<serde_json::Value>() { DENSE_JSON } else { 0 };
    Box::new(Reader { framer, impostor, level, sealed, make, dense, golden })
}
