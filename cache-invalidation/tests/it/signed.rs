//! A channel to which somebody else may write as well: he hears everything, and who knows the secret does nothing that he says.

use std::sync::Arc;

use bytes::Bytes;
use cache_core::{Received, Subscription, Transport};
use cache_invalidation::{Body, Bus, BusSecret, BusSecretError, Delivery, Doubt, MAX_MESSAGE_BYTES, Message};
use cache_memory::MemoryTransport;
use cache_testkit::chaos::{ChaosTransport, Way};

use crate::bus::{distrust, memory};
use crate::nodes::{MS, Node, SECOND, changed, passes, remove};

fn secret(letter: &str) -> BusSecret {
    BusSecret::new(letter.repeat(32)).expect("long enough")
}

fn node(transport: Arc<dyn Transport>, number: u64, secret: BusSecret) -> Node {
    Node::of(Bus::builder(transport).with_seed(number).with_secret(secret))
}

/// Two nodes that have heard each other, and somebody who listens.
async fn pair(memory: &Arc<MemoryTransport>) -> ([Node; 2], Box<dyn Subscription>) {
    let spy = memory.subscribe("strata").await.expect("memory never fails");
    let nodes = [1, 2].map(|number| node(Arc::clone(memory) as _, number, secret("a")));
    for node in &nodes {
        node.is_ready().await;
    }
    passes(SECOND * 2).await;
    assert_eq!([nodes[0].notes.take(), nodes[1].notes.take()], [[], []]);
    (nodes, spy)
}

/// All that was said so far.
async fn heard(spy: &mut dyn Subscription) -> Vec<Bytes> {
    let mut heard = Vec::new();
    while let Ok(Ok(Received::Message(bytes))) = tokio::time::timeout(MS, spy.receive()).await {
        heard.push(bytes);
    }
    heard
}

async fn say(memory: &MemoryTransport, bytes: impl Into<Bytes>) {
    memory.publish("strata", bytes.into()).await.expect("memory never fails");
    passes(MS).await;
}

#[tokio::test(start_paused = true)]
async fn who_knows_the_secret_is_heard_and_is_the_only_one() {
    let memory = memory();
    let ([a, b], mut spy) = pair(&memory).await;
    let stranger = node(Arc::clone(&memory) as _, 3, secret("b"));
    let unsigned = Node::open(Arc::clone(&memory) as _, 4);
    for from in [&stranger, &unsigned] {
        assert_eq!(from.bus.publish(remove("forged")).await, Delivery::Sent);
    }
    a.bus.publish(remove("1")).await;
    passes(SECOND * 4).await;
    assert_eq!(b.notes.take(), [changed("1")], "and what the others say is no doubt");
    let stats = b.bus.stats();
    assert!(stats.forged >= 8 && stats.malformed == 0 && stats.replayed == 0, "{stats:?}");
    assert_eq!(stranger.bus.stats().received, 0, "nor does he hear them");
    let doubts = unsigned.bus.stats().doubts(Doubt::Unreadable);
    assert!(doubts > 4, "who does not sign yet must not believe what he holds: {doubts}");

    let said = heard(&mut *spy).await;
    assert!(said.iter().any(|bytes| bytes[3] == 2) && said.iter().any(|bytes| bytes[3] == 1));
}

#[tokio::test(start_paused = true)]
async fn no_bit_of_a_signed_message_can_be_changed_and_nothing_else_is_one() {
    let memory = memory();
    let ([a, b], mut spy) = pair(&memory).await;
    heard(&mut *spy).await;
    a.bus.publish(remove("1")).await;
    let whole = heard(&mut *spy).await.into_iter().find(|bytes| bytes[36] == 2).expect("it was sent");
    b.notes.take();
    let before = b.bus.stats();
    let mut forged = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1 << (at % 8);
        say(&memory, bytes).await;
        say(&memory, whole.slice(..at)).await;
        forged += 2;
    }
    for bytes in
        [vec![0; MAX_MESSAGE_BYTES + 1], whole.repeat(1000), b"\xC1Sb\x03 of a newer release".to_vec()]
    {
        say(&memory, bytes).await;
        forged += 1;
    }
    // The same words on another channel are nothing on this one.
    let elsewhere = Bus::builder(Arc::clone(&memory) as _).with_channel("other").with_secret(secret("a"));
    let elsewhere = Node::of(elsewhere);
    let mut spy_elsewhere = memory.subscribe("other").await.expect("memory never fails");
    elsewhere.bus.publish(remove("2")).await;
    for bytes in heard(&mut *spy_elsewhere).await {
        say(&memory, bytes).await;
        forged += 1;
    }
    let stats = b.bus.stats();
    assert_eq!((stats.forged - before.forged, b.notes.take()), (forged, vec![]));
    assert_eq!((stats.events, stats.malformed, b.bus.is_whole()), (before.events, 0, true));
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_cannot_be_said_again_not_even_of_who_has_left() {
    let memory = memory();
    let ([a, b], mut spy) = pair(&memory).await;
    a.bus.publish(remove("1")).await;
    a.bus.publish(remove("2")).await;
    a.bus.close(SECOND).await;
    let said = heard(&mut *spy).await;
    passes(SECOND * 10).await;
    assert_eq!(b.notes.take(), [changed("1"), changed("2")], "who has left is not missed");
    let before = b.bus.stats();
    for bytes in &said {
        say(&memory, bytes.clone()).await;
    }
    let stats = b.bus.stats();
    assert_eq!(stats.replayed - before.replayed, said.len() as u64);
    assert_eq!((b.notes.take(), stats.events, stats.forged), (vec![], 2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_old_echo_does_not_end_a_doubt() {
    let memory = memory();
    let mut spy = memory.subscribe("strata").await.expect("memory never fails");
    let link = Arc::new(ChaosTransport::new(Arc::clone(&memory) as _));
    let node = node(Arc::clone(&link) as _, 1, secret("a"));
    node.is_ready().await;
    passes(SECOND * 3).await;
    let said = heard(&mut *spy).await;
    assert!(said.len() >= 3);
    link.set_out(Way::Lost);
    for _ in 0..4 {
        for bytes in &said {
            say(&memory, bytes.clone()).await;
        }
        passes(SECOND).await;
    }
    assert!(node.notes.take().contains(&distrust(Doubt::Silent)) && !node.bus.is_whole());
    link.set_out(Way::Open);
    node.is_ready().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_because_nobody_knew_whether_it_arrived_is_no_forgery() {
    let memory = memory();
    let link = Arc::new(ChaosTransport::new(Arc::clone(&memory) as _));
    let a = node(Arc::clone(&link) as _, 1, secret("a"));
    let b = node(Arc::clone(&memory) as _, 2, secret("a"));
    for node in [&a, &b] {
        node.is_ready().await;
    }
    passes(SECOND * 2).await;
    b.notes.take();
    link.set_out(Way::Unanswered);
    let published = tokio::spawn({
        let bus = a.bus.clone();
        async move { bus.publish(remove("1")).await }
    });
    passes(SECOND).await;
    link.set_out(Way::Open);
    published.await.expect("no panic");
    passes(SECOND * 3).await;
    let (told, stats) = (b.notes.take(), b.bus.stats());
    assert!(!told.is_empty() && told.iter().all(|told| *told == changed("1")), "{told:?}");
    assert!((stats.replayed, stats.forged, stats.gaps) == (0, 0, 0) && stats.late > 0, "{stats:?}");
}

/// As an operator does it: one process after another, and each step when all have taken the one before.
#[tokio::test(start_paused = true)]
async fn a_secret_is_begun_with_and_changed_while_nothing_is_missed() {
    let (old, new) = ("o".repeat(32), "n".repeat(32));
    let of = |secret: &str| BusSecret::new(secret).expect("legal");
    let accepting = |signs: &str, also: &str| of(signs).with_accepted(also).expect("legal");
    let steps = [
        [Some(of(&old).with_unsigned_accepted()), Some(of(&old).with_unsigned_accepted())],
        [Some(of(&old).with_unsigned_accepted()), Some(of(&old))],
        [Some(of(&old)), Some(accepting(&old, &new))],
        [Some(accepting(&old, &new)), Some(accepting(&new, &old))],
        [Some(accepting(&new, &old)), Some(of(&new))],
    ];
    for (step, secrets) in steps.into_iter().enumerate() {
        let memory = memory();
        let nodes = [0, 1].map(|at| {
            let builder = Bus::builder(Arc::clone(&memory) as _).with_seed(at as u64 + 1);
            Node::of(
                secrets[at].clone().into_iter().fold(builder, cache_invalidation::BusBuilder::with_secret),
            )
        });
        for node in &nodes {
            node.is_ready().await;
        }
        passes(SECOND * 2).await;
        let _ = nodes.each_ref().map(|node| node.notes.take());
        for (from, to) in [(0, 1), (1, 0)] {
            nodes[from].bus.publish(remove("1")).await;
            passes(MS).await;
            assert_eq!(nodes[to].notes.take(), [changed("1")], "step {step}, from {from}");
        }
        assert_eq!(nodes.each_ref().map(|node| node.bus.stats().forged), [0, 0], "step {step}");
    }
}

/// One that does not sign is heard where that is said, and is in doubt itself.
#[tokio::test(start_paused = true)]
async fn who_does_not_sign_yet_is_heard_where_that_is_said() {
    let memory = memory();
    let plain = Node::open(Arc::clone(&memory) as _, 1);
    let signing = node(Arc::clone(&memory) as _, 2, secret("a").with_unsigned_accepted());
    signing.is_ready().await;
    passes(SECOND * 2).await;
    signing.notes.take();
    plain.notes.take();
    plain.bus.publish(remove("1")).await;
    passes(MS).await;
    assert_eq!(signing.notes.take(), [changed("1")]);
    signing.bus.publish(remove("2")).await;
    passes(MS).await;
    assert_eq!(plain.notes.take(), [distrust(Doubt::Unreadable)]);
    // What nobody has written is a doubt there, as without a secret.
    say(&memory, "from somebody else").await;
    assert_eq!(signing.notes.take(), [distrust(Doubt::Unreadable)]);
}

/// Whoever signs always does: what is not signed and in its name is from somebody else, who would end its doubts and hide its losses.
#[tokio::test(start_paused = true)]
async fn nobody_speaks_unsigned_in_the_name_of_one_that_signs() {
    let memory = memory();
    let mut spy = memory.subscribe("strata").await.expect("memory never fails");
    let links = [(); 2].map(|()| Arc::new(ChaosTransport::new(Arc::clone(&memory) as _)));
    let open =
        |at: usize| node(Arc::clone(&links[at]) as _, at as u64 + 1, secret("a").with_unsigned_accepted());
    let [a, b] = [0, 1].map(open);
    for node in [&a, &b] {
        node.is_ready().await;
    }
    passes(SECOND * 2).await;
    a.bus.publish(remove("1")).await;
    let said = heard(&mut *spy).await;
    let of_a = said.iter().find(|bytes| bytes[36] == 2).expect("it was sent");
    let publisher = u128::from_le_bytes(of_a[4..20].try_into().expect("16 bytes"));
    let as_a = |sequence, body| Message { publisher, epoch: 0, sequence, body }.write().expect("short");
    b.notes.take();

    say(&memory, as_a(1000, Body::Heartbeat)).await;
    say(&memory, as_a(1, Body::Farewell)).await;
    assert_eq!((b.notes.take(), b.bus.stats().replayed), (vec![], 2));
    // What is lost after that is still missed.
    links[0].set_out(Way::Lost);
    a.bus.publish(remove("2")).await;
    links[0].set_out(Way::Open);
    passes(SECOND * 2).await;
    assert_eq!(b.notes.take(), [distrust(Doubt::Gap)]);

    b.bus.close(SECOND).await;
    links[0].set_out(Way::Lost);
    for _ in 0..6 {
        say(&memory, as_a(2, Body::Heartbeat)).await;
        passes(SECOND).await;
    }
    assert!(!a.bus.is_whole(), "it does not hear itself");
}

#[test]
fn a_secret_that_is_none_says_why_and_none_shows() {
    let short = BusSecret::new("x".repeat(31)).expect_err("short");
    assert_eq!(short, BusSecretError::Length { bytes: 31 });
    assert_eq!(BusSecret::new("x".repeat(1025)).expect_err("long"), BusSecretError::Length { bytes: 1025 });
    let mut full = secret("a");
    for letter in ["b", "c", "d"] {
        full = full.with_accepted(letter.repeat(32)).expect("three");
    }
    assert_eq!(full.clone().with_accepted("e".repeat(32)).expect_err("one more"), BusSecretError::TooMany);
    assert_eq!(format!("{full:?}"), "BusSecret { accepted: 4, .. }");
    assert!(secret("a") == secret("a") && secret("a") != secret("b"));
    assert!(secret("a") != secret("a").with_unsigned_accepted() && secret("a") != full);
}

#[test]
fn who_has_no_secret_knows_that_a_message_is_signed() {
    let body = Body::Heartbeat;
    let mut bytes = Message { publisher: 7, epoch: 0, sequence: 1, body }.write().expect("short").to_vec();
    bytes[3] = 2;
    assert_eq!(Message::read(&bytes), Err(cache_invalidation::MessageError::Signed));
}
