//! Messages: the suite, and tasks on several threads that publish and receive at once.

use std::thread;

use bytes::Bytes;
use cache_core::{Received, Result, Subscription, Transport};
use cache_memory::MemoryTransport;
use cache_testkit::suite;

// conformance: Transport for MemoryTransport
#[pollster::test]
async fn memory_transport_keeps_every_promise() {
    suite::transport::all(&MemoryTransport::new(), 3000).await;
}

#[pollster::test]
async fn a_receiver_that_waits_each_time_is_woken_each_time() -> Result<()> {
    let transport = MemoryTransport::new();
    let mut calls = transport.subscribe("ping").await?;
    let mut answers = transport.subscribe("pong").await?;
    let answering = transport.clone();
    let other = thread::spawn(move || {
        pollster::block_on(async {
            for turn in 0..20_000 {
                assert_eq!(number(&mut *calls).await?, turn);
                answering.publish("pong", message(turn)).await?;
            }
            Result::Ok(())
        })
    });
    for turn in 0..20_000 {
        transport.publish("ping", message(turn)).await?;
        assert_eq!(number(&mut *answers).await?, turn);
    }
    other.join().expect("no panic")
}

#[pollster::test]
async fn publishers_on_many_threads_are_seen_in_one_order_by_all() -> Result<()> {
    let transport = MemoryTransport::new().with_max_queued(4000.try_into().expect("not zero"));
    let mut subscriptions = [transport.subscribe("c").await?, transport.subscribe("c").await?];
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let transport = transport.clone();
            thread::spawn(move || {
                pollster::block_on(async {
                    for count in 0..1000 {
                        transport.publish("c", message(publisher * 1000 + count)).await?;
                    }
                    Result::Ok(())
                })
            })
        })
        .collect();
    let mut seen = [Vec::new(), Vec::new()];
    for (seen, subscription) in seen.iter_mut().zip(&mut subscriptions) {
        while seen.len() < 4000 {
            seen.push(number(&mut **subscription).await?);
        }
    }
    for publisher in publishers {
        publisher.join().expect("no panic")?;
    }
    assert_eq!(seen[0], seen[1]);
    for publisher in 0..4 {
        let own: Vec<u32> = seen[0].iter().copied().filter(|number| number / 1000 == publisher).collect();
        assert!(own.is_sorted() && own.len() == 1000, "publisher {publisher}: {own:?}");
    }
    Ok(())
}

fn message(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

async fn number(subscription: &mut dyn Subscription) -> Result<u32> {
    match subscription.receive().await? {
        Received::Message(message) => Ok(u32::from_be_bytes(message[..].try_into().expect("four bytes"))),
        Received::Missed => panic!("everything fits into the queue"),
    }
}
