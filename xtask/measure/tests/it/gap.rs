//! Two processes on a real Redis, of which one hears nothing while the other changes what both hold in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cache_core::Ttl;
use cache_redis::{Address, Config, Connection, Mode, RedisStore, RedisTransport};
use cache_testkit::redis::{Proxy, Server};
use strata::codec::{Framer, Raw};
use strata::{Bus, Cache, Options};

use crate::removals::{run, until};

/// A process, whose bus and tier go by these addresses.
async fn process(bus: SocketAddr, tier: SocketAddr) -> (Bus, Cache<u32, String>) {
    let connect = |address: SocketAddr| {
        let config = Config::new(Mode::Standalone, [Address::new(address.ip().to_string(), address.port())]);
        let ms = Duration::from_millis;
        // Patient, as the machine may be busy: nothing is wrong with the tier.
        let config = config.with_command_timeout(Duration::from_secs(10)).with_backoff(ms(5), ms(50));
        Connection::open(config.with_heartbeat(ms(200))).expect("legal")
    };
    let transport = RedisTransport::new(connect(bus));
    let bus = Bus::builder(Arc::new(transport)).with_heartbeat(Duration::from_millis(100));
    let bus = bus.with_silence(Duration::from_millis(500)).open().expect("there is a runtime");
    let builder = Cache::builder("gap").framer(Framer::new("value", Raw)).bus(bus.clone());
    let builder = builder.tier(Arc::new(RedisStore::new(connect(tier))));
    let cache = builder.options(Options::new().with_ttl(Ttl::from_secs(600))).build().expect("legal");
    until(async || bus.is_whole()).await;
    (bus, cache)
}

#[test]
fn of_ten_keys_that_were_changed_while_a_subscriber_was_away_it_answers_no_old_value() {
    run(async {
        let server = Server::start();
        let proxy = Proxy::to(server.address());
        let (_bus, author) = process(server.address(), server.address()).await;
        let (bus, reader) = process(proxy.address(), server.address()).await;
        for round in 0..5 {
            for key in 0..10 {
                author.insert(key, format!("old {round}")).await.expect("never fails");
            }
            until(async || bus.is_whole()).await;
            for key in 0..10 {
                until(async || {
                    let hit = reader.get(&key).await.expect("never fails");
                    hit.is_some_and(|hit| *hit == format!("old {round}"))
                })
                .await;
            }
            assert_eq!(
                reader.get_local(&9).map(|hit| hit.to_string()),
                Some(format!("old {round}")),
                "it is in memory"
            );
            // Killed, and nobody lets it in again while ten changes are told to nobody of these ears.
            proxy.refuse();
            proxy.cut();
            until(async || !bus.is_whole()).await;
            for key in 0..5 {
                author.insert(key, format!("new {round}")).await.expect("never fails");
            }
            for key in 5..10 {
                author.remove(&key).await.expect("never fails");
            }
            proxy.heal();
            until(async || bus.is_whole()).await;
            for key in 0..10 {
                let hit = reader.get(&key).await.expect("never fails").map(|hit| hit.to_string());
                assert_eq!(hit, (key < 5).then(|| format!("new {round}")), "key {key}, round {round}");
            }
        }
    });
}
