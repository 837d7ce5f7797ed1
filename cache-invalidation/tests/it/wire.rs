//! Messages as bytes: one reading and one writing, pinned for ever, and no harm in any others.

use cache_invalidation::{Action, Body, Event, MAX_EVENTS, MAX_MESSAGE_BYTES, Message, MessageError, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn event(target: Target, action: Action, version: u64) -> Event {
    Event::new("users@2", target, action).expect("legal").with_version(version)
}

fn of_each_kind() -> Vec<Event> {
    vec![
        event(Target::Key("users@2:42".into()), Action::Remove, 300),
        event(Target::Tag("team:7".into()), Action::Expire, 0),
        event(Target::Prefix("users@2:".into()), Action::Remove, 0),
        event(Target::Pattern("users@2:*".into()), Action::Expire, 1),
        event(Target::All, Action::Remove, u64::MAX),
    ]
}

fn message(body: Body) -> Message {
    let publisher = 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100;
    Message { publisher, epoch: 1, sequence: 0x0102_0304, body }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn version_1_is_pinned() -> Result<(), MessageError> {
    let head = "c1536201000102030405060708090a0b0c0d0e0f01000000000000000403020100000000";
    let events = concat!(
        "0205",
        "0001",
        "07",
        "75736572734032",
        "0a",
        "757365727340323a3432",
        "ac02",
        "0100",
        "07",
        "75736572734032",
        "06",
        "7465616d3a37",
        "00",
        "0201",
        "07",
        "75736572734032",
        "08",
        "757365727340323a",
        "00",
        "0300",
        "07",
        "75736572734032",
        "09",
        "757365727340323a2a",
        "01",
        "0401",
        "07",
        "75736572734032",
        "ffffffffffffffffff01",
    );
    let golden = [
        (Body::Heartbeat, "00", "7b8d572939f20afb"),
        (Body::Farewell, "01", "9e6035c408c42260"),
        (Body::Events(of_each_kind()), events, "3c643278f3911cf5"),
    ];
    for (body, said, sum) in golden {
        let bytes = message(body.clone()).write()?;
        assert_eq!(hex(&bytes), format!("{head}{said}{sum}"));
        assert_eq!(Message::read(&bytes)?, message(body));
    }
    Ok(())
}

#[test]
fn limits_are_kept_on_both_ways() {
    let all = event(Target::All, Action::Remove, 0);
    assert_eq!(message(Body::Events(vec![])).write(), Err(MessageError::Count { events: 0 }));
    let many = vec![all.clone(); MAX_EVENTS + 1];
    assert_eq!(message(Body::Events(many)).write(), Err(MessageError::Count { events: MAX_EVENTS + 1 }));
    let long = vec![event(Target::Key("x".repeat(1024)), Action::Remove, 0); 64];
    assert!(matches!(message(Body::Events(long)).write(), Err(MessageError::TooLong { .. })));
    let bytes = [0xC1, b'S', b'b', 1].repeat(MAX_MESSAGE_BYTES / 4 + 1);
    assert_eq!(Message::read(&bytes), Err(MessageError::TooLong { bytes: bytes.len() }));
    let full = message(Body::Events(vec![all; MAX_EVENTS]));
    assert_eq!(full.write().and_then(|bytes| Message::read(&bytes)), Ok(full));
}

#[test]
fn what_no_release_has_written_is_refused_though_it_is_whole() {
    let whole = message(Body::Events(of_each_kind())).write().expect("short");
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole[..whole.len() - 8].to_vec();
        change(&mut bytes);
        Message::read(&forged(bytes)).expect_err("nobody writes this")
    };
    let field = |field| MessageError::Field { field };
    assert_eq!(refused(&|bytes| bytes.push(0)), field("end"));
    assert_eq!(refused(&|bytes| bytes[36] = 3), field("kind"));
    assert_eq!(refused(&|bytes| bytes[28..36].fill(0)), field("kind"), "events are numbered from 1 on");
    assert_eq!(refused(&|bytes| bytes[37] = 0), field("number of events"));
    assert_eq!(refused(&|bytes| bytes[37] = 6), field("target"));
    assert_eq!(refused(&|bytes| bytes[38] = 5), field("target"));
    assert_eq!(refused(&|bytes| bytes[39] = 2), field("action"));
    assert_eq!(refused(&|bytes| bytes[40] = 0xFF), field("namespace"));
    assert!(matches!(refused(&|bytes| bytes[41] = b'\n'), MessageError::Event(_)));
    assert_eq!(refused(&|bytes| bytes.truncate(60)), field("version of an entry"));
    assert_eq!(refused(&|bytes| bytes[3] = 2), MessageError::Signed);
    assert_eq!(refused(&|bytes| bytes[3] = 3), MessageError::Version { version: 3 });
    assert_eq!(Message::read(&whole[..3]), Err(MessageError::Short { bytes: 3 }));
    assert_eq!(Message::read(&whole[..44]), Err(MessageError::Short { bytes: 44 }));
}

#[test]
fn a_count_is_a_claim_and_not_an_order() {
    let whole = message(Body::Events(of_each_kind())).write().expect("short");
    let mut head = whole[..37].to_vec();
    head.extend([0xFF, 0x07]); // 1,023 events, of which none is there.
    let mut worst = vec![forged(head.clone())];
    for (at, length) in [(2, 0xFF_u8), (9, 0x7F)] {
        let mut text = whole[..whole.len() - 8].to_vec();
        text.splice(38 + at..39 + at, [length, 0xFF, 0xFF, 0x7F]);
        worst.push(forged(text));
    }
    worst.push(
        message(Body::Events(vec![event(Target::All, Action::Remove, 0); MAX_EVENTS]))
            .write()
            .expect("short")
            .to_vec(),
    );
    for bytes in worst {
        let taken = allocation_counter::measure(|| drop(Message::read(&bytes)));
        let most = 64 * 1024 + 16 * bytes.len() as u64;
        assert!(taken.bytes_max <= most, "{} bytes for {}", taken.bytes_max, bytes.len());
    }
}

/// The same bytes with a checksum that is right.
fn forged(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = twox_hash::XxHash3_64::oneshot(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn any_event() -> impl Strategy<Value = Event> {
    let text = || "[a-z:*@ü]{1,40}";
    let target = prop_oneof![
        text().prop_map(Target::Key),
        text().prop_map(Target::Tag),
        "[a-z:]{0,40}".prop_map(Target::Prefix),
        "[a-z:*?]{0,40}".prop_map(Target::Pattern),
        Just(Target::All),
    ];
    let action = prop_oneof![Just(Action::Expire), Just(Action::Remove)];
    let event = |(namespace, target, action, version): (String, _, _, _)| {
        Event::new(namespace, target, action).expect("legal").with_version(version)
    };
    ("[a-z@.]{1,128}", target, action, any::<u64>()).prop_map(event)
}

fn any_message() -> impl Strategy<Value = Message> {
    let body = prop_oneof![
        Just(Body::Heartbeat),
        Just(Body::Farewell),
        vec(any_event(), 1..20).prop_map(Body::Events),
    ];
    let message = |(publisher, epoch, sequence, body)| Message { publisher, epoch, sequence, body };
    (any::<u128>(), any::<u64>(), 1_u64.., body).prop_map(message)
}

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Grow(Vec<u8>),
    Swallow(Index, Index),
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), prop_oneof![Just(0), Just(0x7F), Just(0xFF), any::<u8>()])
            .prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<Index>().prop_map(Damage::Cut),
        vec(any::<u8>(), 1..20).prop_map(Damage::Grow),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Swallow(from, to)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let length = bytes.len();
        match damage {
            Damage::Grow(more) => bytes.extend_from_slice(more),
            _ if length == 0 => {}
            Damage::Set(at, byte) => bytes[at.index(length)] = *byte,
            Damage::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Swallow(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                bytes.drain(from.min(to)..from.max(to));
            }
        }
    }
    bytes
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in any_message()) {
        let bytes = message.write().expect("short");
        prop_assert_eq!(Message::read(&bytes), Ok(message));
    }

    #[test]
    fn a_damaged_message_is_never_another_one(
        message in any_message(),
        damages in vec(any_damage(), 1..4),
    ) {
        let bytes = message.write().expect("short").to_vec();
        let changed = damaged(bytes.clone(), &damages);
        if changed != bytes {
            prop_assert!(Message::read(&changed).is_err());
        }
    }

    /// Whatever is read is written as the same bytes: there is no second writing of anything.
    #[test]
    fn no_bytes_do_harm(message in any_message(), damages in vec(any_damage(), 0..6)) {
        let said = message.write().expect("short");
        let bytes = forged(damaged(said[..said.len() - 8].to_vec(), &damages));
        if let Ok(read) = Message::read(&bytes) {
            prop_assert_eq!(read.write().expect("it was read"), bytes);
        }
    }

    #[test]
    fn any_bytes_are_no_message(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(Message::read(&bytes).is_err());
        prop_assert!(Message::read(&[&[0xC1, b'S', b'b', 1], &bytes[..]].concat()).is_err());
    }
}
