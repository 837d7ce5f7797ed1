//! How buses come and go: who joins, leaves, vanishes and is forgotten, what a close says, and what outlives what.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use cache_core::{Received, Transport};
use cache_invalidation::{Bus, BusBuilder, BusError, Delivery, Doubt, Event, Listener, Message};
use cache_testkit::chaos::Way;

use crate::bus::{distrust, memory, pair};
use crate::nodes::{MS, Node, Notes, SECOND, changed, passes, remove};

#[tokio::test(start_paused = true)]
async fn who_joins_doubts_what_was_said_before_and_believes_newcomers() {
    let memory = memory();
    let a = Node::open(memory.clone(), 1);
    a.is_ready().await;
    a.bus.publish(remove("1")).await;
    let b = Node::open(memory.clone(), 2);
    b.is_ready().await;
    passes(SECOND * 2).await;
    assert_eq!(b.notes.take(), [distrust(Doubt::Stranger)], "its first word told that others were before it");
    let c = Node::open(memory, 3);
    c.is_ready().await;
    c.bus.publish(remove("2")).await;
    passes(SECOND * 2).await;
    assert_eq!((a.notes.take(), b.notes.take()), (vec![changed("2")], vec![changed("2")]));
}

#[tokio::test(start_paused = true)]
async fn who_was_forgotten_is_a_doubt_when_it_is_back() {
    let memory = memory();
    let (a, c) = (Node::open(memory.clone(), 1), Node::open(memory.clone(), 3));
    let b = Node::of(Bus::builder(memory).with_seed(2).with_publishers(NonZeroUsize::MIN));
    for node in [&a, &b, &c] {
        node.is_ready().await;
    }
    a.bus.publish(remove("1")).await;
    c.bus.publish(remove("2")).await;
    passes(MS).await;
    b.notes.take();
    a.bus.publish(remove("3")).await;
    passes(MS).await;
    assert_eq!(b.notes.take(), [distrust(Doubt::Stranger), changed("3")]);
}

#[tokio::test(start_paused = true)]
async fn who_vanishes_is_a_doubt_and_who_says_farewell_is_none() {
    let memory = memory();
    let [a, b, c] = [1, 2, 3].map(|number| Node::open(memory.clone(), number));
    for node in [&a, &b, &c] {
        node.is_ready().await;
    }
    passes(SECOND).await;
    a.notes.take();
    assert_eq!(b.bus.close(SECOND).await.unsent, 0);
    passes(SECOND * 10).await;
    assert_eq!(a.notes.take(), []);
    drop(c.detach());
    passes(SECOND * 10).await;
    let told = a.notes.take();
    assert!(told.len() > 1, "it is told again and again: {told:?}");
    assert!(told.iter().all(|told| *told == distrust(Doubt::Vanished)) && a.bus.is_whole());
    passes(SECOND * 60).await;
    a.notes.take();
    passes(SECOND * 600).await;
    assert_eq!(a.notes.take(), [], "whoever was killed is given up");
}

#[tokio::test(start_paused = true)]
async fn who_could_not_be_heard_for_a_while_may_vanish_afterwards() {
    let ([a, b], [from_a, to_b]) = pair().await;
    to_b.set_in(Way::Lost);
    passes(SECOND * 10).await;
    from_a.set_out(Way::Lost);
    to_b.set_in(Way::Open);
    b.is_ready().await;
    assert_eq!(a.bus.publish(remove("lost")).await, Delivery::Sent);
    drop(a.detach());
    passes(SECOND * 10).await;
    assert_eq!(b.notes.take().first(), Some(&distrust(Doubt::Vanished)));
}

#[tokio::test(start_paused = true)]
async fn whose_words_do_not_arrive_is_doubted_until_they_do() {
    let ([a, b], [from_a, _]) = pair().await;
    from_a.set_out(Way::Lost);
    passes(SECOND * 20).await;
    assert!(b.notes.take().iter().filter(|told| **told == distrust(Doubt::Vanished)).count() >= 4);
    from_a.set_out(Way::Open);
    passes(SECOND * 5).await;
    b.notes.take();
    passes(SECOND * 60).await;
    assert_eq!((b.notes.take(), a.bus.is_whole()), (vec![], true));
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_closed_says_what_it_did_not_send_and_is_believed_no_more() {
    let ([a, b], [from_a, _]) = pair().await;
    from_a.set_out(Way::Fails);
    for key in ["1", "2", "2"] {
        a.bus.publish(remove(key)).await;
    }
    let clone = a.bus.clone();
    assert_eq!(a.bus.close(SECOND * 5).await.unsent, 2);
    assert_eq!((clone.close(SECOND).await.unsent, clone.publish(remove("3")).await), (2, Delivery::Closed));
    assert!(!clone.is_whole());
    assert_eq!(a.notes.take(), [distrust(Doubt::Unsent), distrust(Doubt::Closed)]);
    passes(SECOND * 5).await;
    assert_eq!(b.notes.take().first(), Some(&distrust(Doubt::Vanished)));
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_at_the_close_is_sent_if_there_is_time() {
    let ([a, b], [from_a, _]) = pair().await;
    from_a.set_out(Way::Fails);
    a.bus.publish(remove("1")).await;
    let closing = tokio::spawn({
        let bus = a.bus.clone();
        async move { bus.close(SECOND * 5).await }
    });
    passes(SECOND * 2).await;
    from_a.set_out(Way::Open);
    assert_eq!(closing.await.expect("it does not panic").unsent, 0);
    passes(SECOND * 10).await;
    assert_eq!(b.notes.take(), [changed("1")], "and a farewell");
}

#[tokio::test(start_paused = true)]
async fn the_tasks_end_with_the_last_handle_and_with_the_close() {
    let (memory, tasks) = (memory(), || tokio::runtime::Handle::current().metrics().num_alive_tasks());
    let before = tasks();
    for number in 0..1000 {
        let (bus, notes) = Node::open(memory.clone(), number).detach();
        let clone = bus.clone();
        drop(bus);
        assert_eq!(tasks(), before + 2);
        if number % 2 == 0 {
            clone.close(SECOND).await;
        }
        drop(clone);
        passes(MS).await;
        assert_eq!((tasks(), Arc::strong_count(&notes)), (before, 1));
    }
    assert_eq!(Arc::strong_count(&memory), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bus_can_be_closed_before_its_tasks_have_begun() {
    let bus = Bus::builder(memory()).with_seed(1).open().expect("legal");
    assert_eq!(bus.close(Duration::ZERO).await.unsent, 0);
    assert_eq!(bus.publish(remove("1")).await, Delivery::Closed);
}

#[test]
fn a_bus_whose_runtime_has_ended_is_not_believed_and_lets_nobody_wait() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let first = runtime();
    let bus = first.block_on(async {
        let node = Node::open(memory(), 1);
        node.is_ready().await;
        node.detach().0
    });
    assert!(bus.is_whole());
    drop(first);
    assert!(!bus.is_whole());
    let (delivery, closed) =
        runtime().block_on(async { (bus.publish(remove("1")).await, bus.close(SECOND).await) });
    assert_eq!((delivery, closed.unsent), (Delivery::Closed, 0));
}

/// Panics whatever it is told.
struct Panics(AtomicU64);

impl Listener for Panics {
    fn invalidated(&self, _: &Event) {
        self.0.fetch_add(1, SeqCst);
        panic!("on purpose");
    }

    fn distrust(&self, _: Doubt) {
        self.0.fetch_add(1, SeqCst);
        panic!("on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_harms_nobody_else() {
    let memory = memory();
    let (a, bus) = (Node::open(memory.clone(), 1), Bus::builder(memory).with_seed(2).open().expect("legal"));
    let (panics, notes) = (Arc::new(Panics(AtomicU64::new(0))), Arc::<Notes>::default());
    let _attachments = [bus.attach("n", panics.clone()), bus.attach("n", notes.clone())];
    a.is_ready().await;
    passes(MS).await;
    a.bus.publish(remove("1")).await;
    a.bus.publish(remove("2")).await;
    passes(MS).await;
    assert_eq!(notes.take(), [distrust(Doubt::Starting), changed("1"), changed("2")]);
    assert_eq!((panics.0.load(SeqCst), bus.stats().panics, bus.is_whole()), (3, 3, true));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_publish_is_sent_all_the_same() {
    let ([a, b], _) = pair().await;
    let publishing = tokio::time::timeout(Duration::ZERO, a.bus.publish(remove("1"))).await;
    passes(MS).await;
    assert_eq!((publishing.is_err(), b.notes.take()), (true, vec![changed("1")]));
}

#[tokio::test(start_paused = true)]
async fn a_seed_makes_the_identity() {
    let heard = async |seed: u64| {
        let memory = memory();
        let mut subscription = memory.subscribe("strata").await.expect("memory never fails");
        let _node = Node::open(memory, seed);
        match subscription.receive().await {
            Ok(Received::Message(bytes)) => Message::read(&bytes).expect("its own").publisher,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(heard(1).await, heard(1).await);
    assert_ne!(heard(1).await, heard(2).await);
}

#[tokio::test]
async fn wrong_options_are_refused_with_what_would_be_right() {
    let builder = || Bus::builder(memory());
    let refused = |builder: BusBuilder| builder.open().expect_err("it is wrong").to_string();
    assert_eq!(refused(builder().with_channel("")), "the name of the channel has 0 bytes; it needs 1 to 256");
    assert_eq!(
        refused(builder().with_heartbeat(Duration::ZERO)),
        "the heartbeat is zero; it needs some time, such as one second"
    );
    assert_eq!(
        refused(builder().with_patience(Duration::ZERO)),
        "the patience is zero; it needs some time, such as one second"
    );
    assert_eq!(
        refused(builder().with_silence(MS * 1999)),
        "the silence is 1.999s; it needs at least twice the heartbeat of 1s"
    );
}

#[test]
fn without_a_runtime_there_is_no_bus() {
    assert_eq!(Bus::builder(memory()).open().err(), Some(BusError::NoRuntime));
}

#[tokio::test(start_paused = true)]
async fn a_bus_is_whole_within_200_ms_of_its_transport_however_long_that_was_away() {
    // For less than a silence, and for so long that subscriptions have ended and attempts are far apart.
    for away in [SECOND * 2, SECOND * 60] {
        for phase in 0..40 {
            let ([a, b], [_, link]) = pair().await;
            link.set_out(Way::Fails);
            link.set_in(Way::Fails);
            passes(away + MS * 7 * phase).await;
            assert!(!b.bus.is_whole() && a.bus.is_whole());
            b.bus.publish(remove("1")).await;
            link.set_out(Way::Open);
            link.set_in(Way::Open);
            passes(MS * 201).await;
            assert!(b.bus.is_whole(), "away for {away:?}, phase {phase}");
            assert_eq!(b.bus.stats().outbox_len, 0);
        }
    }
}
