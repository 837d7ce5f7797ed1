//! Two and three buses on one transport, in time that stands still until everybody waits.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use cache_core::Transport;
use cache_invalidation::{Action, Body, Bus, Delivery, Doubt, Event, Message, Target};
use cache_memory::MemoryTransport;
use cache_testkit::chaos::{ChaosTransport, Way};
use cache_testkit::suite;

use crate::nodes::{MS, Node, SECOND, Told, changed, passes, remove};

pub(crate) fn memory() -> Arc<MemoryTransport> {
    Arc::new(MemoryTransport::new())
}

fn link(memory: &Arc<MemoryTransport>) -> Arc<ChaosTransport> {
    Arc::new(ChaosTransport::new(Arc::clone(memory) as _))
}

pub(crate) fn distrust(why: Doubt) -> Told {
    Told::Distrust(why)
}

/// What a publisher says that is none of the nodes.
fn message(sequence: u64, key: &str) -> Bytes {
    let body = Body::Events(vec![remove(key)]);
    Message { publisher: 7, epoch: 0, sequence, body }.write().expect("short")
}

/// Two nodes that know each other, and the link of each.
pub(crate) async fn pair() -> ([Node; 2], [Arc<ChaosTransport>; 2]) {
    let memory = memory();
    let links = [link(&memory), link(&memory)];
    let nodes = [Node::open(links[0].clone(), 1), Node::open(links[1].clone(), 2)];
    for node in &nodes {
        node.is_ready().await;
    }
    passes(SECOND * 2).await;
    assert_eq!(
        [nodes[0].notes.take(), nodes[1].notes.take()],
        [[], []],
        "they have heard each other from the first word"
    );
    (nodes, links)
}

#[tokio::test]
async fn a_link_without_faults_keeps_every_promise_of_a_transport() {
    suite::transport::all(&*link(&memory()), 2000).await;
}

#[tokio::test(start_paused = true)]
async fn what_one_changes_the_other_hears_in_order_and_itself_does_not() {
    let ([a, b], _) = pair().await;
    for key in ["1", "2", "3"] {
        assert_eq!(a.bus.publish(remove(key)).await, Delivery::Sent);
    }
    let elsewhere = Event::new("m", Target::Key("4".into()), Action::Remove).expect("legal");
    a.bus.publish(elsewhere).await;
    passes(SECOND * 2).await;
    assert_eq!((a.notes.take(), b.notes.take()), (vec![], ["1", "2", "3"].map(changed).to_vec()));
    assert!(a.bus.stats().echoes > 0 && b.bus.stats().events == 4);
    assert_eq!((b.bus.stats().published, b.bus.stats().outbox_len), (0, 0), "nothing is passed on");
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_together_travel_together() {
    let ([a, b], _) = pair().await;
    let sent = a.bus.stats().sent;
    let events = (0..1000).map(|number| remove(number.to_string()));
    assert_eq!(a.bus.publish_all(events).await, Delivery::Sent);
    passes(MS).await;
    assert!(a.bus.stats().sent - sent < 10, "{:?}", a.bus.stats());
    assert_eq!((b.notes.take().len(), b.bus.stats().events), (1000, 1000));
}

#[tokio::test(start_paused = true)]
async fn more_events_than_the_outbox_holds_wait_for_room_while_the_transport_works() {
    let memory = memory();
    let a = Node::of(Bus::builder(memory.clone()).with_seed(1).with_outbox(NonZeroUsize::MIN));
    let b = Node::open(memory, 2);
    a.is_ready().await;
    b.is_ready().await;
    let publishing = (0..50).map(|number| a.bus.publish(remove(number.to_string())));
    for publish in publishing {
        assert_eq!(publish.await, Delivery::Sent);
    }
    assert_eq!(a.bus.publish_all((0..50).map(|number| remove(number.to_string()))).await, Delivery::Sent);
    passes(MS).await;
    assert_eq!((b.notes.take().len(), a.bus.stats().outbox_dropped), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn a_bus_believes_nothing_until_it_has_heard_itself() {
    let link = link(&memory());
    link.set_in(Way::Lost);
    let node = Node::open(link.clone(), 1);
    passes(SECOND * 2).await;
    assert!(!node.bus.is_whole() && node.notes.take().is_empty());
    link.set_in(Way::Open);
    passes(SECOND * 2).await;
    assert!(node.bus.is_whole());
    assert_eq!(node.notes.take(), [distrust(Doubt::Starting)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_message_is_noticed_with_the_next_one() {
    let ([a, b], [_, to_b]) = pair().await;
    to_b.set_in(Way::Lost);
    a.bus.publish(remove("lost")).await;
    passes(MS).await;
    to_b.set_in(Way::Open);
    a.bus.publish(remove("next")).await;
    passes(MS).await;
    assert_eq!(b.notes.take(), [distrust(Doubt::Gap), changed("next")]);
    assert!(b.bus.is_whole() && b.bus.stats().gaps == 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_last_message_is_noticed_within_a_heartbeat() {
    let ([a, b], [from_a, _]) = pair().await;
    from_a.set_out(Way::Lost);
    assert_eq!(a.bus.publish(remove("lost")).await, Delivery::Sent);
    from_a.set_out(Way::Open);
    passes(SECOND + MS).await;
    assert_eq!(b.notes.take(), [distrust(Doubt::Gap)]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_late_is_heard_and_what_comes_twice_does_no_harm() {
    let memory = memory();
    let node = Node::open(memory.clone(), 3);
    node.is_ready().await;
    for (sequence, key) in [(1, "1"), (3, "3"), (2, "2"), (3, "3"), (4, "4")] {
        memory.publish("strata", message(sequence, key)).await.expect("memory never fails");
    }
    passes(MS).await;
    let told = [changed("1"), distrust(Doubt::Gap), changed("3"), changed("2"), changed("3"), changed("4")];
    assert_eq!((node.notes.take(), node.bus.stats().late), (told.to_vec(), 2));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_a_doubt_until_the_bus_hears_itself() {
    let memory = memory();
    let few = MemoryTransport::clone(&memory).with_max_queued(NonZeroUsize::MIN);
    let node = Node::open(Arc::new(few), 1);
    node.is_ready().await;
    for sequence in [1, 2, 3] {
        memory.publish("strata", message(sequence, "1")).await.expect("memory never fails");
    }
    passes(MS).await;
    assert_eq!(node.notes.take(), [changed("1"), distrust(Doubt::Missed), distrust(Doubt::Missed)]);
    assert!(node.bus.is_whole());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_ends_is_a_doubt_until_another_one_hears_the_bus() {
    let ([a, b], [_, to_b]) = pair().await;
    to_b.set_in(Way::Fails);
    passes(MS).await;
    assert_eq!((b.notes.take(), b.bus.is_whole()), (vec![distrust(Doubt::Ended)], false));
    a.bus.publish(remove("unheard")).await;
    passes(SECOND * 10).await;
    assert_eq!(b.notes.take(), [], "a doubt is told once while it lasts");
    to_b.set_in(Way::Open);
    passes(SECOND + MS).await;
    assert!(b.bus.is_whole());
    assert_eq!(b.notes.take()[0], distrust(Doubt::Ended));
    assert_eq!((b.bus.stats().resubscribes, b.bus.stats().doubts(Doubt::Ended)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_doubt_until_the_bus_hears_itself() {
    for way in [Way::Lost, Way::Hangs] {
        let ([a, b], [_, to_b]) = pair().await;
        to_b.set_in(way);
        a.bus.publish(remove("unheard")).await;
        passes(SECOND * 4).await;
        assert_eq!((b.notes.take(), b.bus.is_whole()), (vec![distrust(Doubt::Silent)], false));
        to_b.set_in(Way::Open);
        passes(SECOND * 4).await;
        assert!(b.bus.is_whole() && a.bus.is_whole());
        assert_eq!(b.notes.take()[0], distrust(Doubt::Silent));
        assert!(a.notes.take().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_published_waits_the_newest_of_each_target_and_in_order() {
    for way in [Way::Fails, Way::Hangs] {
        let ([a, b], [from_a, _]) = pair().await;
        from_a.set_out(way);
        for key in ["1", "2", "3", "2"] {
            assert_eq!(a.bus.publish(remove(key)).await, Delivery::Queued);
        }
        passes(MS).await;
        assert_eq!((a.notes.take(), a.bus.is_whole()), (vec![distrust(Doubt::Unsent)], false));
        assert_eq!(a.bus.stats().outbox_len, 3);
        passes(SECOND * 2).await;
        from_a.set_out(Way::Open);
        passes(SECOND * 2).await;
        let mut told = b.notes.take();
        // It may have been away for longer than the silence by now.
        told.retain(|told| *told != distrust(Doubt::Vanished));
        assert_eq!(told, ["1", "3", "2"].map(changed));
        assert_eq!((a.notes.take(), a.bus.is_whole()), (vec![distrust(Doubt::Unsent)], true));
        assert_eq!((a.bus.stats().outbox_len, a.bus.stats().doubts(Doubt::Unsent)), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_arrived_though_it_failed_is_repeated_as_it_was() {
    let ([a, b], [from_a, to_b]) = pair().await;
    from_a.set_out(Way::Unanswered);
    assert_eq!(a.bus.publish(remove("1")).await, Delivery::Queued);
    passes(MS).await;
    // What is repeated is lost for one who has it already, and what waits behind it must not be lost with it.
    assert_eq!(a.bus.publish(remove("2")).await, Delivery::Queued);
    to_b.set_in(Way::Lost);
    from_a.set_out(Way::Open);
    passes(MS * 500).await;
    assert_eq!(a.bus.stats().outbox_len, 0);
    to_b.set_in(Way::Open);
    passes(SECOND).await;
    assert_eq!(b.notes.take(), [changed("1"), distrust(Doubt::Gap)]);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_overflows_lets_everybody_doubt() {
    let memory = memory();
    let from_a = link(&memory);
    let few = NonZeroUsize::new(3).expect("not zero");
    let a = Node::of(Bus::builder(from_a.clone()).with_seed(1).with_outbox(few));
    let b = Node::open(memory, 2);
    a.is_ready().await;
    passes(SECOND * 2).await;
    b.notes.take();
    from_a.set_out(Way::Fails);
    for number in 0..9 {
        assert_eq!(a.bus.publish(remove(number.to_string())).await, Delivery::Queued);
    }
    assert_eq!((a.bus.stats().outbox_len, a.bus.stats().outbox_dropped), (4, 5));
    from_a.set_out(Way::Open);
    passes(SECOND * 2).await;
    let told = [distrust(Doubt::Epoch), changed("0"), changed("6"), changed("7"), changed("8")];
    assert_eq!(b.notes.take(), told, "one event was on its way, five were dropped, three waited");
    a.bus.publish(remove("9")).await;
    passes(SECOND * 2).await;
    assert_eq!(b.notes.take(), [changed("9")]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_a_doubt_and_no_sign_of_life() {
    let memory = memory();
    let link = link(&memory);
    let node = Node::open(link.clone(), 1);
    node.is_ready().await;
    memory.publish("strata", "from somebody else".into()).await.expect("memory never fails");
    passes(MS).await;
    assert_eq!((node.notes.take(), node.bus.stats().malformed), (vec![distrust(Doubt::Unreadable)], 1));
    link.set_out(Way::Lost);
    for _ in 0..4 {
        memory.publish("strata", "from somebody else".into()).await.expect("memory never fails");
        passes(SECOND).await;
    }
    assert!(node.notes.take().contains(&distrust(Doubt::Silent)) && !node.bus.is_whole());
}
