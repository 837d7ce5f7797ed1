//! A network that cuts, holds, delays and half-closes: no call hangs, and no answer goes to another question.

use std::time::Duration;

use cache_core::{Entry, ErrorKind, Key, Removed, Result, Store, StoreExt};
use cache_redis::{Connection, RedisStore};
use cache_testkit::redis::{Proxy, Server};
use futures_util::future;

use crate::servers::{config, connection, ends, hasty, key, succeeds};

/// Entries whose value is their key, some long and some short.
async fn filled(server: &Server, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> =
        (0..count).map(|number| format!("{number}:{}", "x".repeat(number * 7))).collect();
    let entries = names.iter().map(|name| (key(name), Entry::new(name.clone()))).collect();
    RedisStore::new(connection(server)).put_many(entries).await?;
    Ok(names)
}

#[tokio::test]
pub(crate) async fn an_answer_that_is_cut_at_any_byte_is_an_error_and_never_a_wrong_value() -> Result<()> {
    let server = Server::start();
    let names = filled(&server, 20).await?;
    let proxy = Proxy::to(server.address());
    let store = RedisStore::new(Connection::open(hasty(config(proxy.address()))).expect("legal"));
    for bytes in (0..250).step_by(7) {
        let name = &names[bytes % names.len()];
        succeeds(async || store.connection().ping().await).await;
        proxy.cut_after(bytes);
        for _ in 0..3 {
            if let Ok(found) = ends(store.get(&key(name))).await {
                assert_eq!(found.map(|entry| entry.value), Some(name.clone().into()), "cut after {bytes}");
            }
        }
        let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
        for (name, found) in names.iter().zip(succeeds(async || store.get_many(&keys).await).await) {
            assert_eq!(found.map(|entry| entry.value), Some(name.clone().into()));
        }
    }
    Ok(())
}

#[tokio::test]
pub(crate) async fn an_answer_that_comes_too_late_is_not_given_to_the_next_question() -> Result<()> {
    let server = Server::start();
    let names = filled(&server, 40).await?;
    let proxy = Proxy::to(server.address());
    let config = hasty(config(proxy.address())).with_command_timeout(Duration::from_millis(30));
    let redis = Connection::open(config).expect("legal");
    let store = RedisStore::new(redis.clone());
    succeeds(async || redis.ping().await).await;
    let mut late = 0;
    for delay in [0, 20, 40, 60, 5, 45, 0] {
        proxy.delay(Duration::from_millis(delay));
        let store = &store;
        let asked = names.iter().map(|name| async move { (name, store.get(&key(name)).await) });
        for (name, found) in ends(future::join_all(asked)).await {
            match found {
                Ok(found) => assert_eq!(found.map(|entry| entry.value), Some(name.clone().into())),
                Err(error) => late += u64::from(error.kind() == ErrorKind::TimedOut),
            }
        }
    }
    assert!(late > 0 && redis.stats().timeouts >= late, "{late} answers were late");
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_half_open_connection_is_found_and_replaced() {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let redis = Connection::open(hasty(config(proxy.address()))).expect("legal");
    succeeds(async || redis.ping().await).await;
    // Held at the beginning of the connection, too: whoever is asked for a sign of life gives none.
    proxy.hold();
    let error = ends(redis.ping()).await.expect_err("nothing comes through");
    assert!(error.is_retryable(), "{error:?}");
    proxy.heal();
    succeeds(async || redis.ping().await).await;
    proxy.half_close();
    let made = proxy.accepted();
    succeeds(async || if proxy.accepted() > made { Ok(()) } else { Err(()) }).await;
    succeeds(async || redis.ping().await).await;
    let stats = redis.stats();
    assert!(stats.lost >= 1 && stats.connects > stats.lost && stats.in_flight == 0, "{stats:?}");
}

#[tokio::test]
pub(crate) async fn a_host_that_accepts_and_says_nothing_is_away() {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    proxy.hold();
    let redis = Connection::open(hasty(config(proxy.address()))).expect("legal");
    assert!(ends(redis.ping()).await.expect_err("it says nothing").is_retryable());
    let known = async || match redis.ping().await {
        Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
        _ => Err(()),
    };
    succeeds(known).await;
    proxy.refuse();
    assert!(ends(redis.ping()).await.is_err());
    proxy.heal();
    succeeds(async || redis.ping().await).await;
}

#[tokio::test]
pub(crate) async fn what_is_asked_of_a_key_is_done_in_order_whichever_connection_is_slow() -> Result<()> {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    // Late long before anybody has a connection made again.
    let config = hasty(config(proxy.address())).with_connect_timeout(Duration::from_secs(30));
    let config = config.with_heartbeat(Duration::from_secs(30)).with_pool_size(4);
    let store = &RedisStore::new(Connection::open(config).expect("legal"));
    let keys: Vec<_> = (0..32).map(|number| key(&format!("k:{number}"))).collect();
    let put = keys.iter().map(|key| async move { (key, store.put(key.clone(), Entry::new("late")).await) });
    let put_all = || future::join_all(put.clone());
    succeeds(async || put_all().await.into_iter().try_for_each(|(_, written)| written)).await;
    assert_eq!(proxy.accepted(), 4);
    store.clear().await?;
    for held in 0..proxy.accepted() {
        proxy.hold_questions_of(held);
        let written = put_all().await;
        let late = || written.iter().filter(|(_, written)| written.is_err());
        assert!(late().count() > 0, "some go by the connection that is held");
        // Whether they are told so or not: what they remove has been asked for before.
        future::join_all(late().map(|(key, _)| store.remove(key))).await;
        assert!(store.remove_prefix("k:").await.is_err(), "what is on its way cannot be found");
        proxy.heal();
        for (key, _) in late() {
            assert_eq!(
                succeeds(async || store.get(key).await).await,
                None,
                "it was removed after it was written"
            );
        }
        assert_eq!(store.remove_prefix("").await?, Removed::Exactly((keys.len() - late().count()) as u64));
    }
    assert_eq!(proxy.accepted(), 4, "the same connections all the time");
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_removal_of_many_goes_behind_what_was_written_on_each_connection() -> Result<()> {
    let server = Server::start();
    let config = config(server.address()).with_command_timeout(Duration::from_secs(20)).with_pool_size(3);
    let store = RedisStore::new(Connection::open(config).expect("legal"));
    let keys: Vec<_> = (0..3000).map(|number| key(&format!("k:{number}"))).collect();
    let entries = |keys: &[Key]| keys.iter().map(|key| (key.clone(), Entry::new("v"))).collect();
    store.put_many(entries(&keys)).await?;
    let found = store.get_many(&keys).await?;
    assert_eq!(found.iter().flatten().count(), keys.len());
    assert_eq!(store.remove_many(&keys[..2000]).await?, 2000);
    let found = store.get_many(&keys).await?;
    assert!(found[..2000].iter().all(Option::is_none) && found[2000..].iter().all(Option::is_some));
    assert_eq!(store.clear().await?, Removed::Exactly(1000));
    Ok(())
}

#[tokio::test]
pub(crate) async fn large_batches_in_both_directions_do_not_block_each_other() -> Result<()> {
    let server = Server::start();
    let proxy = Proxy::to(server.address());
    let config = config(proxy.address()).with_command_timeout(Duration::from_secs(20));
    let store = RedisStore::new(Connection::open(config).expect("legal"));
    let value = vec![7; 10_000];
    let entries = |round: usize| -> Vec<_> {
        (0..500).map(|number| (key(&format!("{round}:{number}")), Entry::new(value.clone()))).collect()
    };
    ends(future::try_join_all((0..20).map(|round| store.put_many(entries(round))))).await?;
    let keys: Vec<_> = entries(3).into_iter().map(|(key, _)| key).collect();
    let (written, found) =
        ends(async { tokio::join!(store.put_many(entries(20)), store.get_many(&keys)) }).await;
    written?;
    assert!(found?.into_iter().flatten().filter(|entry| entry.value == value).count() == 500);
    Ok(())
}
