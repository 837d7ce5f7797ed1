//! Messages across lost connections: what may have been missed is told, each time, and the subscription goes on.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use cache_core::{ErrorKind, Received, Result, Subscription, Transport};
use cache_redis::{Connection, RedisTransport};
use cache_testkit::redis::{Cluster, Proxy, Sentinels, Server};

use crate::servers::{cluster_config, config, connection, ends, hasty, patient, sentinel_config, succeeds};

/// What comes next but messages of the given texts, which may or may not have arrived.
async fn missed(subscription: &mut dyn Subscription) -> Result<()> {
    loop {
        if ends(subscription.receive()).await? == Received::Missed {
            return Ok(());
        }
    }
}

/// Publishes until something arrives, and returns what that was.
async fn heard(transport: &RedisTransport, subscription: &mut dyn Subscription) -> Result<()> {
    let publishing = async {
        loop {
            let _ = transport.publish("c", "again".into()).await;
            let _ = tokio::time::timeout(std::time::Duration::from_millis(20), std::future::pending::<()>())
                .await;
        }
    };
    let receiving = async {
        loop {
            match subscription.receive().await {
                Ok(Received::Message(message)) if message == "again" => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    };
    ends(async {
        tokio::select! {
            received = receiving => received,
            () = publishing => Ok(()),
        }
    })
    .await
}

#[tokio::test]
pub(crate) async fn a_subscriber_that_was_cut_off_while_idle_learns_it_and_goes_on() -> Result<()> {
    let server = Server::start();
    let transport = RedisTransport::new(connection(&server));
    let mut subscription = transport.subscribe("c").await?;
    for _ in 0..200 {
        succeeds(async || match server.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).integer() {
            Some(1) => Ok(()),
            _ => Err(()),
        })
        .await;
        missed(&mut *subscription).await?;
        heard(&transport, &mut *subscription).await?;
    }
    let listeners = server.call(&["PUBSUB", "NUMSUB", "strata:b:c"]);
    assert_eq!(
        listeners.parts()[1].integer(),
        Some(1),
        "one connection listens, not one for each that was lost"
    );
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_connection_that_has_died_in_silence_is_found_by_its_heartbeat() -> Result<()> {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let transport = RedisTransport::new(Connection::open(hasty(config(proxy.address()))).expect("legal"));
    let mut subscription = succeeds(async || transport.subscribe("c").await).await;
    proxy.hold();
    missed(&mut *subscription).await?;
    proxy.heal();
    heard(&transport, &mut *subscription).await
}

#[tokio::test]
pub(crate) async fn a_server_that_restarts_empty_is_subscribed_to_again() -> Result<()> {
    let mut server = Server::start();
    let transport = RedisTransport::new(Connection::open(hasty(config(server.address()))).expect("legal"));
    let mut subscription = succeeds(async || transport.subscribe("c").await).await;
    server.kill();
    missed(&mut *subscription).await?;
    assert!(ends(transport.subscribe("other")).await.expect_err("nobody is there").is_retryable());
    server.restart();
    missed(&mut *subscription).await?;
    heard(&transport, &mut *subscription).await
}

#[tokio::test]
pub(crate) async fn a_failover_is_followed() -> Result<()> {
    let group = Sentinels::start();
    let transport = RedisTransport::new(Connection::open(hasty(sentinel_config(&group))).expect("legal"));
    let mut subscription = succeeds(async || transport.subscribe("c").await).await;
    heard(&transport, &mut *subscription).await?;
    group.fail_over();
    missed(&mut *subscription).await?;
    heard(&transport, &mut *subscription).await
}

#[tokio::test]
pub(crate) async fn a_channel_whose_slot_moves_is_followed() -> Result<()> {
    let cluster = Cluster::start();
    let transport = RedisTransport::new(Connection::open(hasty(cluster_config(&cluster))).expect("legal"));
    let mut subscription = succeeds(async || transport.subscribe("c").await).await;
    heard(&transport, &mut *subscription).await?;
    let slot = cluster.slot("strata:b:c");
    cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
    missed(&mut *subscription).await?;
    heard(&transport, &mut *subscription).await
}

#[tokio::test]
async fn without_a_handle_what_is_queued_is_received_and_then_an_error() -> Result<()> {
    let server = Server::start();
    let redis = connection(&server);
    let (transport, other) = (RedisTransport::new(redis.clone()), RedisTransport::new(redis));
    let mut subscription = transport.subscribe("c").await?;
    let mut witness = other.subscribe("c").await?;
    transport.publish("c", "last".into()).await?;
    ends(witness.receive()).await?;
    heard(&other, &mut *subscription).await?;
    drop(transport);
    loop {
        match ends(subscription.receive()).await {
            Ok(Received::Message(_)) => {}
            Ok(Received::Missed) => panic!("nothing was missed"),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
    }
    drop(subscription);
    drop((other, witness));
    succeeds(async || if server.clients() == 1 { Ok(()) } else { Err(()) }).await;
    Ok(())
}

/// Stands in front of a server, and says something unasked whenever somebody is about to subscribe: before the confirmation.
fn early(upstream: SocketAddr, says: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(upstream).expect("it is there");
            let (mut answers, mut answered) = pair(&server, &client);
            thread::spawn(move || {
                let _ = io::copy(&mut answers, &mut answered);
                let _ = answered.shutdown(Shutdown::Both);
            });
            let (mut asks, mut asked) = pair(&client, &server);
            let mut told = client;
            thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = asks.read(&mut bytes) {
                    let is_subscribing = bytes[..count].windows(9).any(|word| word == b"SUBSCRIBE");
                    if is_subscribing && told.write_all(says).is_err() {
                        break;
                    }
                    if asked.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                let _ = asked.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

fn pair(from: &TcpStream, to: &TcpStream) -> (TcpStream, TcpStream) {
    (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"))
}

#[tokio::test]
pub(crate) async fn a_message_ahead_of_the_confirmation_is_not_taken_for_it() -> Result<()> {
    let server = Server::start();
    let says = b">3\r\n$7\r\nmessage\r\n$10\r\nstrata:b:c\r\n$5\r\nearly\r\n";
    let address = early(server.address(), says);
    let transport = RedisTransport::new(Connection::open(patient(config(address))).expect("legal"));
    let mut first = ends(transport.subscribe("c")).await?;
    // The second one of a channel that is listened to is confirmed anew, behind another message.
    let mut second = ends(transport.subscribe("c")).await?;
    transport.publish("c", "late".into()).await?;
    for subscription in [&mut first, &mut second] {
        let mut heard = Vec::new();
        while heard.last() != Some(&Received::Message("late".into())) {
            heard.push(ends(subscription.receive()).await?);
        }
        assert!(!heard.contains(&Received::Missed), "nothing was missed: {heard:?}");
    }
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_subscription_outlives_the_connections_that_calls_are_made_on() -> Result<()> {
    let server = Server::start();
    let redis = Connection::open(hasty(config(server.address()))).expect("legal");
    let transport = RedisTransport::new(redis.clone());
    let mut subscription = succeeds(async || transport.subscribe("c").await).await;
    for round in 0..5 {
        let made = redis.stats().connects;
        server.call(&["CLIENT", "KILL", "TYPE", "normal"]);
        succeeds(async || redis.ping().await).await;
        assert!(redis.stats().connects > made, "the connection of the calls was not lost");
        let text = round.to_string();
        succeeds(async || transport.publish("c", text.clone().into()).await).await;
        // A call whose answer was lost may have been heard, so it may come twice; nothing is missing.
        loop {
            let received = ends(subscription.receive()).await?;
            assert_ne!(received, Received::Missed, "in round {round}");
            if received == Received::Message(text.clone().into()) {
                break;
            }
        }
    }
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_subscriber_that_the_server_drops_as_too_slow_learns_it_and_goes_on() -> Result<()> {
    let server = Server::start();
    server.call(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 0 0"]);
    let proxy = Proxy::to(server.address());
    // So patient that its own sign of life comes too late to tell it.
    let transport = RedisTransport::new(Connection::open(patient(config(proxy.address()))).expect("legal"));
    let mut subscription = ends(transport.subscribe("c")).await?;
    proxy.hold();
    let flood = "x".repeat(100_000);
    let listeners = || server.call(&["PUBLISH", "strata:b:c", &flood]).integer();
    succeeds(async || if listeners() == Some(0) { Ok(()) } else { Err(()) }).await;
    proxy.heal();
    missed(&mut *subscription).await?;
    heard(&transport, &mut *subscription).await
}
