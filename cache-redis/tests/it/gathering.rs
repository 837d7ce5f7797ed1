//! Calls that are made at the same time: they go as one, and each gets its own answer, its own error, or gives up alone.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use cache_core::{Entry, ErrorKind, Result, StoreExt, Ttl};
use cache_redis::{Connection, RedisStore};
use cache_testkit::redis::Server;
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use crate::servers::{config, connection, ends, hasty, key, succeeds};

const CALLERS: usize = 200;

fn name(number: usize) -> String {
    format!("k:{number}")
}

async fn fill(store: &RedisStore) -> Result<()> {
    let put = |number| async move { store.put(key(&name(number)), Entry::new(name(number))).await };
    join_all((0..CALLERS).map(put)).await.into_iter().collect()
}

fn calls(server: &Server, command: &str) -> usize {
    let told = server.info(&format!("cmdstat_{command}")).unwrap_or_default();
    let calls = told.strip_prefix("calls=").and_then(|rest| rest.split(',').next()?.parse().ok());
    calls.unwrap_or_default()
}

#[tokio::test]
pub(crate) async fn each_gets_its_own_answer_and_the_server_few_commands() -> Result<()> {
    let server = Server::start();
    let store = &RedisStore::new(connection(&server));
    fill(store).await?;
    assert_eq!(calls(&server, "set"), CALLERS, "every write is one");
    server.call(&["RPUSH", "strata:e:list", "x"]);
    let get = |number| async move {
        let (own, missing) = (key(&name(number)), key(&format!("none:{number}")));
        (number, store.get(&own).await, store.get(&missing).await, store.get(&key("list")).await)
    };
    for (number, own, missing, list) in join_all((0..CALLERS).map(get)).await {
        assert_eq!(own?.map(|entry| entry.value), Some(name(number).into()));
        assert_eq!((missing?, list?), (None, None));
    }
    let (together, alone) = (calls(&server, "mget"), calls(&server, "get"));
    assert!(together > 0 && together + alone < CALLERS, "{together} together, {alone} alone");
    Ok(())
}

#[tokio::test]
async fn who_gives_up_disturbs_nobody_else() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    fill(&store).await?;
    server.stop();
    let ask = |number| {
        let store = store.clone();
        tokio::spawn(async move { store.get(&key(&name(number))).await })
    };
    let asked: Vec<_> = (0..CALLERS).map(ask).collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    // The one who had the others sent is among them, wherever it is.
    let gives_up = |number: usize| number.is_multiple_of(2) || number < 30;
    asked.iter().enumerate().filter(|(number, _)| gives_up(*number)).for_each(|(_, it)| it.abort());
    server.cont();
    for (number, asked) in asked.into_iter().enumerate().filter(|(number, _)| !gives_up(*number)) {
        let found = ends(asked).await.expect("it was not ended")?;
        assert_eq!(found.map(|entry| entry.value), Some(name(number).into()));
    }
    Ok(())
}

#[tokio::test]
async fn a_write_that_was_given_up_never_lands_behind_what_came_after_it() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    fill(&store).await?;
    server.stop();
    let asked = (0..20).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.get(&key(&name(number))).await })
    });
    let asked: Vec<_> = asked.collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    // Asked for and given up at once, before the task that sends the batch can run; and then removed.
    assert!(store.put(key("k"), Entry::new("given up")).now_or_never().is_none(), "nobody answers");
    let gone = key("k");
    let mut removed = pin!(store.remove(&gone));
    let is_asked = poll_fn(|context| Poll::Ready(removed.as_mut().poll(context).is_pending())).await;
    assert!(is_asked, "nobody answers");
    server.cont();
    for asked in asked {
        ends(asked).await.expect("it was not ended")?;
    }
    ends(removed).await?;
    assert_eq!(store.get(&key("k")).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_where_it_is_given_up_while_a_batch_is_sent() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let readers = (0..32).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { while store.get(&key(&name(number))).await.is_ok() {} })
    });
    let readers: Vec<_> = readers.collect();
    for round in 0..3000 {
        let put = tokio::spawn({
            let store = store.clone();
            async move { store.put(key("k"), Entry::new("given up")).await }
        });
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
        put.abort();
        let _ = ends(put).await;
        store.remove(&key("k")).await?;
        assert_eq!(store.get(&key("k")).await?, None, "in round {round}");
    }
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

#[tokio::test]
pub(crate) async fn an_error_is_told_to_whom_it_belongs() -> Result<()> {
    let server = Server::start();
    let store = &RedisStore::new(connection(&server));
    fill(store).await?;
    server.fill_memory();
    let put = |number: usize| async move {
        // What has no life left is removed, which a full server allows.
        let ttl = if number.is_multiple_of(2) { Ttl::ZERO } else { Ttl::FOREVER };
        store.put(key(&name(number)), Entry::new("new").with_ttl(ttl)).await
    };
    for (number, written) in join_all((0..CALLERS).map(put)).await.into_iter().enumerate() {
        let expected = (!number.is_multiple_of(2)).then_some(ErrorKind::Refused);
        assert_eq!(written.err().map(|error| error.kind()), expected, "{number}");
    }
    Ok(())
}

#[tokio::test]
async fn all_end_in_time_where_nobody_answers() {
    let server = Server::start();
    let redis = Connection::open(hasty(config(server.address()))).expect("legal");
    let store = &RedisStore::new(redis.clone());
    succeeds(async || redis.ping().await).await;
    server.stop();
    let get = |number| async move { store.get(&key(&name(number))).await };
    for found in ends(join_all((0..CALLERS).map(get))).await {
        let error = found.expect_err("it is stopped");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    }
    assert_eq!(redis.stats().timeouts, CALLERS as u64);
    server.cont();
    succeeds(async || store.get(&key("k")).await).await;
}

#[tokio::test]
async fn large_values_are_read_one_by_one() -> Result<()> {
    let server = Server::start();
    let store = &RedisStore::new(connection(&server));
    let large = vec![7; 1 << 20];
    for number in 0..20 {
        store.put(key(&name(number)), Entry::new(large.clone())).await?;
    }
    store.get(&key(&name(0))).await?;
    let get = |number: usize| async move { store.get(&key(&name(number % 20))).await };
    for found in ends(join_all((0..60).map(get))).await {
        assert_eq!(found?.map(|entry| entry.value.len()), Some(1 << 20));
    }
    // Each of them is an MGET of one key, or a GET.
    assert_eq!(calls(&server, "mget") + calls(&server, "get"), 61);
    Ok(())
}

#[tokio::test]
async fn few_calls_are_sent_as_they_are() -> Result<()> {
    let server = Server::start();
    let store = &RedisStore::new(connection(&server));
    let get = |number| async move { store.get(&key(&name(number))).await };
    for _ in 0..10 {
        for found in join_all((0..4).map(get)).await {
            assert_eq!(found?, None);
        }
    }
    assert_eq!((calls(&server, "get"), calls(&server, "mget")), (40, 0));
    Ok(())
}
