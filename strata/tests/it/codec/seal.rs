//! Seals: what is sealed opens under its key, unchanged, and not otherwise.

use std::sync::Arc;

use bytes::Bytes;
use cache_core::Store;
use cache_memory::MemoryStore;
use strata::codec::{CodecError, Compression, Framer, Keyring, Raw, SealKey, Step};
use strata::{Cache, Tier};

use super::{forge, header, key, ring, step};
use crate::Down;

fn framer() -> Framer<String> {
    Framer::new("secret", Raw)
}

fn sealed_by(id: u8) -> Framer<String> {
    framer().with_keys(ring(id))
}

fn write(framer: &Framer<String>) -> Bytes {
    framer.encode(&key("users:1"), &"the secret".to_owned(), &header()).expect("legal")
}

#[test]
fn what_is_sealed_cannot_be_seen_and_never_looks_the_same() {
    let framer = sealed_by(1);
    let written = [write(&framer), write(&framer)];
    assert_ne!(written[0], written[1]);
    for frame in &written {
        assert!(!frame.windows(6).any(|part| part == b"secret"));
        assert_eq!(framer.decode(&key("users:1"), frame).expect("ours").value, "the secret");
    }
}

#[test]
fn keys_are_rotated_without_losing_an_entry() {
    let framer = sealed_by(1);
    let old = write(&framer);
    framer.set_keys(ring(1).with_key_to_open(2, SealKey::new(&mut [2; 32])));
    let announced = write(&framer);
    framer.set_keys(ring(2).with_key_to_open(1, SealKey::new(&mut [1; 32])));
    let new = write(&framer);
    for frame in [&old, &announced, &new] {
        assert_eq!(framer.decode(&key("users:1"), frame).expect("on the ring").value, "the secret");
    }
    framer.set_keys(ring(2));
    assert!(framer.decode(&key("users:1"), &new).is_ok());
    for frame in [&old, &announced] {
        let error = framer.decode(&key("users:1"), frame).expect_err("off the ring");
        assert!(matches!(error, CodecError::UnknownKey { key: 1 }));
    }
    assert_eq!(framer.stats().failed_at(Step::Open), 2);
}

#[test]
fn the_key_that_seals_keeps_its_number() {
    let framer = framer().with_keys(ring(1).with_key_to_open(1, SealKey::new(&mut [9; 32])));
    assert!(sealed_by(1).decode(&key("users:1"), &write(&framer)).is_ok());
}

#[test]
fn two_swapped_entries_are_two_misses() {
    let framer = sealed_by(1);
    let mut frame = write(&framer).to_vec();
    assert_eq!(step(framer.decode(&key("users:2"), &frame.clone().into())), Step::Frame);
    forge(&key("users:2"), &mut frame);
    assert_eq!(step(framer.decode(&key("users:2"), &frame.into())), Step::Open);
}

#[tokio::test]
async fn entries_that_were_swapped_in_a_tier_are_misses_and_loaded_anew() {
    // H06
    let store = Arc::new(MemoryStore::new(1 << 20));
    let node = || -> Cache<u32, String> {
        let tier = Tier::new(Arc::<MemoryStore>::clone(&store)).without_guards();
        Cache::builder("users").framer(sealed_by(1)).tier(tier).build().expect("legal")
    };
    let writer = node();
    for id in [1, 2] {
        writer.insert(id, format!("secret {id}")).await.expect("never fails");
    }
    let keys = [1, 2].map(|id| key(&writer.key_text(&id)));
    let found = store.get_many(&keys).await.expect("never fails");
    let swapped = found.into_iter().rev().zip(&keys).map(|(entry, key)| {
        let mut entry = entry.expect("it was written");
        let mut frame = entry.value.to_vec();
        forge(key, &mut frame);
        entry.value = frame.into();
        (key.clone(), entry)
    });
    store.put_many(swapped.collect()).await.expect("there is room");

    let reader = node();
    for id in [1, 2] {
        let load = move || async move { Ok::<_, Down>(format!("loaded {id}")) };
        let hit = reader.get_or_load(&id, load).await.expect("the loader succeeds");
        assert_eq!(hit.as_str(), format!("loaded {id}"));
    }
    assert_eq!(reader.tiers()[0].unreadable, 2);
}

#[test]
fn not_a_bit_can_be_changed_even_with_a_right_checksum() {
    let framer = sealed_by(1).with_compression(Compression::Fast).with_threshold(0);
    let frame = framer.encode(&key("users:1"), &"secret ".repeat(9), &header()).expect("legal");
    for bit in 0..(frame.len() - 8) * 8 {
        let mut flipped = frame.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        forge(&key("users:1"), &mut flipped);
        assert!(framer.decode(&key("users:1"), &flipped.into()).is_err(), "bit {bit}");
    }
    assert!(framer.stats().failed_at(Step::Open) > 500);
}

#[test]
fn with_keys_only_sealed_frames_are_read_and_without_keys_none() {
    let open = write(&framer());
    assert!(matches!(sealed_by(1).decode(&key("users:1"), &open), Err(CodecError::Unsealed)));
    let unopened = framer().decode(&key("users:1"), &write(&sealed_by(1)));
    assert!(matches!(unopened, Err(CodecError::UnknownKey { key: 1 })));
}

#[test]
fn another_secret_under_the_same_number_does_not_open() {
    let other = framer().with_keys(Keyring::new(1, SealKey::new(&mut [8; 32])));
    assert!(matches!(other.decode(&key("users:1"), &write(&sealed_by(1))), Err(CodecError::Broken)));
}

#[test]
fn secrets_do_not_show_and_do_not_stay() {
    let mut bytes = [0xAB; 32];
    let secret = SealKey::new(&mut bytes);
    assert_eq!(bytes, [0; 32]);
    let framer = framer().with_keys(Keyring::new(1, secret));
    let shown = format!("{framer:?}").to_lowercase();
    assert!(shown.contains("seals: 1") && !shown.contains("171") && !shown.contains("abab"), "{shown}");
}

#[test]
fn keys_are_read_from_hexadecimal_digits_alone() {
    let digits = "00fF".repeat(16);
    let read = SealKey::from_hex(&format!(" {digits}\n")).expect("64 digits");
    let mut same = [[0, 0xFF]; 16].concat().try_into().expect("32 bytes");
    let framer = framer().with_keys(Keyring::new(1, read));
    let twin = self::framer().with_keys(Keyring::new(1, SealKey::new(&mut same)));
    assert!(twin.decode(&key("users:1"), &write(&framer)).is_ok());
    for wrong in
        ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32), &"+f".repeat(32)]
    {
        assert!(SealKey::from_hex(wrong).is_err(), "{wrong:?}");
    }
}
