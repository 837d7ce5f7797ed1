//! Messages across lost connections: what may have been missed is told, each time, and the subscription goes on.

use cache_core::{ErrorKind, Received, Result, Subscription, Transport};
use cache_redis::{Connection, RedisTransport};
use cache_testkit::redis::{Cluster, Proxy, Sentinels, Server};

use crate::servers::{cluster_config, config, connection, ends, hasty, sentinel_config, succeeds};

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
async fn a_subscriber_that_was_cut_off_while_idle_learns_it_and_goes_on() -> Result<()> {
    let server = Server::start();
    let transport = RedisTransport::new(connection(&server));
    let mut subscription = transport.subscribe("c").await?;
    for _ in 0..30 {
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
async fn a_connection_that_has_died_in_silence_is_found_by_its_heartbeat() -> Result<()> {
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
async fn a_server_that_restarts_empty_is_subscribed_to_again() -> Result<()> {
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
async fn a_failover_is_followed() -> Result<()> {
    let group = Sentinels::start();
    let transport = RedisTransport::new(Connection::open(hasty(sentinel_config(&group))).expect("legal"));
    let mut subscription = succeeds(async || transport.subscribe("c").await).await;
    heard(&transport, &mut *subscription).await?;
    group.fail_over();
    missed(&mut *subscription).await?;
    heard(&transport, &mut *subscription).await
}

#[tokio::test]
async fn a_channel_whose_slot_moves_is_followed() -> Result<()> {
    let cluster = Cluster::start();
    let transport = RedisTransport::new(Connection::open(hasty(cluster_config(&cluster))).expect("legal"));
    let mut subscription = succeeds(async || transport.subscribe("c").await).await;
    heard(&transport, &mut *subscription).await?;
    let slot = cluster.servers()[0].call(&["CLUSTER", "KEYSLOT", "strata:b:c"]).integer().expect("a slot");
    let slot = u16::try_from(slot).expect("a slot");
    let owner = (0..3).find(|number| cluster.owns(*number, slot)).expect("somebody");
    cluster.move_slot(slot, (owner + 1) % 3);
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
