//! A server that forgets, refuses, stops or dies: every call ends, with an error that says what to do or with the right
//! answer, and all is well again when the server is.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{
    Charge, Counters, Entry, Error, ErrorKind, Lease, Quota, Received, Removed, Result, Store, StoreExt, Tag,
    Tags, Transport, Ttl, Verdict,
};
use cache_redis::{Config, Connection, RedisCounters, RedisLease, RedisStore, RedisTransport};
use cache_testkit::redis::{Sentinels, Server, Setup};

use crate::servers::{config, connection, ends, hasty, key, patient, sentinel_config, succeeds};

const MINUTE: Duration = Duration::from_mins(1);

fn tagged(value: &'static str) -> Entry {
    Entry::new(value).with_ttl(Ttl::from_secs(60)).with_tags(Tags::new(["t"]).expect("legal"))
}

fn call(limit: u64) -> [Charge; 1] {
    [Charge::new(key("k"), Quota::new(limit, MINUTE).expect("legal"), 1)]
}

/// What each seam is good for, in a few calls. What is lost in a failover is an error here, as is all else that fails.
async fn works(redis: &Connection) -> Result<()> {
    let so = |is_so: bool| is_so.then_some(()).ok_or(Error::new(ErrorKind::Corrupt, "test", "works"));
    let store = RedisStore::new(redis.clone());
    store.put(key("k"), tagged("v")).await?;
    so(store.get(&key("k")).await?.is_some_and(|entry| entry.value == "v"))?;
    so(store.touch(&key("k"), Ttl::from_secs(90)).await?)?;
    store.remove_tag(&Tag::new("t").expect("legal")).await?;
    so(store.get(&key("k")).await?.is_none())?;
    let entry = tagged("w");
    let note = store.note(&key("k"), &entry.meta.tags).await?;
    so(store.put_noted(key("k"), entry, &note).await?)?;
    so(store.get(&key("k")).await?.is_some_and(|entry| entry.value == "w"))?;
    let lease = RedisLease::new(redis.clone());
    if let Some(grant) = lease.acquire(&key("k"), MINUTE).await? {
        so(lease.renew(&grant, MINUTE).await? && lease.release(grant).await?)?;
    }
    let counters = RedisCounters::new(redis.clone());
    let (verdict, receipt) = counters.charge(&call(1000)).await?;
    so(matches!(verdict, Verdict::Admitted { .. }))?;
    counters.refund(&call(1000), receipt).await
}

#[tokio::test]
pub(crate) async fn scripts_survive_being_forgotten() -> Result<()> {
    let server = Server::start();
    let redis = connection(&server);
    for _ in 0..3 {
        works(&redis).await?;
        assert_eq!(server.call(&["SCRIPT", "FLUSH"]).text(), "OK");
    }
    Ok(())
}

#[tokio::test]
async fn a_decision_is_one_command_and_one_more_where_its_script_was_forgotten() -> Result<()> {
    let server = Server::start();
    let counters = RedisCounters::new(connection(&server));
    counters.charge(&call(1000)).await?;
    assert_eq!(server.call(&["CONFIG", "RESETSTAT"]).text(), "OK");
    let times = |command: &str| {
        let told = server.call(&["INFO", "commandstats"]);
        let told = told.text().split(&format!("cmdstat_{command}:calls=")).nth(1);
        told.and_then(|told| told.split(',').next()?.parse().ok()).unwrap_or(0)
    };
    for round in 1..=10 {
        counters.charge(&call(1000)).await?;
        assert_eq!((times("evalsha"), times("eval")), (round, 0));
    }
    for round in 1..=2 {
        assert_eq!(server.call(&["SCRIPT", "FLUSH"]).text(), "OK");
        counters.charge(&call(1000)).await?;
        counters.charge(&call(1000)).await?;
        assert_eq!((times("evalsha"), times("eval")), (10 + 2 * round, round));
    }
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_dead_server_is_an_error_at_once_and_an_empty_one_after_it_is_just_empty() -> Result<()>
{
    let mut server = Server::start();
    let redis = Connection::open(hasty(config(server.address()))).expect("legal");
    let store = RedisStore::new(redis.clone());
    succeeds(async || works(&redis).await).await;
    store.put(key("before"), tagged("v")).await?;
    server.kill();
    for _ in 0..20 {
        let error = ends(store.get(&key("before"))).await.expect_err("nobody is there");
        assert!(error.is_retryable(), "{error:?}");
    }
    succeeds(async || if redis.stats().failed_connects > 0 { Ok(()) } else { Err(()) }).await;
    server.restart();
    assert_eq!(succeeds(async || store.get(&key("before")).await).await, None);
    succeeds(async || works(&redis).await).await;
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_server_that_is_back_is_found_by_the_next_attempt() {
    let mut server = Server::start();
    // Its own pauses between attempts, which are the longest after the fifth.
    let redis = Connection::open(config(server.address())).expect("legal");
    succeeds(async || redis.ping().await).await;
    for _ in 0..2 {
        server.kill();
        let before = redis.stats().failed_connects;
        let is_known = || if redis.stats().failed_connects >= before + 8 { Ok(()) } else { Err(()) };
        succeeds(async || is_known()).await;
        server.restart();
        let failed = redis.stats().failed_connects;
        succeeds(async || redis.ping().await).await;
        let more = redis.stats().failed_connects - failed;
        assert!(more <= 1, "one may have been on its way, and not {more}");
    }
}

#[tokio::test]
pub(crate) async fn an_application_starts_without_its_redis() {
    let mut server = Server::start();
    server.kill();
    let redis = Connection::open(hasty(config(server.address()))).expect("it connects to nothing yet");
    assert_eq!(ends(redis.ping()).await.expect_err("nobody is there").kind(), ErrorKind::Unavailable);
    server.restart();
    succeeds(async || works(&redis).await).await;
}

#[tokio::test]
pub(crate) async fn a_stopped_server_costs_a_deadline_and_is_then_known_to_be_away() {
    let server = Server::start();
    let redis = Connection::open(hasty(config(server.address()))).expect("legal");
    succeeds(async || works(&redis).await).await;
    server.stop();
    assert_eq!(ends(redis.ping()).await.expect_err("it is stopped").kind(), ErrorKind::TimedOut);
    // Whoever timed out had the connection probed; when that has failed too, nobody waits any more.
    let known = async || match redis.ping().await {
        Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
        _ => Err(()),
    };
    succeeds(known).await;
    server.cont();
    succeeds(async || works(&redis).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn a_client_that_is_killed_in_mid_decision_may_lose_it_and_never_counts_it_twice()
-> Result<()> {
    let server = Arc::new(Server::start());
    let counters = RedisCounters::new(Connection::open(hasty(config(server.address()))).expect("legal"));
    let limit = 1_000_000;
    let (mut admitted, mut lost) = (0, 0);
    let ask = [Charge { cost: 0, ..call(limit)[0].clone() }];
    // Most kills come before or after, so it is tried until enough have come in between.
    for round in 0.. {
        assert!(round < 10_000, "{admitted} admitted, {lost} without an answer");
        if admitted >= 20 && lost >= 20 {
            break;
        }
        succeeds(async || counters.charge(&ask).await).await;
        let killer = Arc::clone(&server);
        let kill = tokio::task::spawn_blocking(move || killer.call(&["CLIENT", "KILL", "TYPE", "normal"]));
        while !kill.is_finished() {
            let Ok((verdict, _)) = ends(counters.charge(&call(limit))).await else {
                lost += 1;
                break;
            };
            admitted += u64::from(matches!(verdict, Verdict::Admitted { .. }));
        }
        kill.await.expect("no panic");
    }
    let (asked, _) = succeeds(async || counters.charge(&ask).await).await;
    let Verdict::Admitted { remaining } = asked else { panic!("{asked:?}") };
    let counted = limit - remaining;
    assert!(
        (admitted..=admitted + lost).contains(&counted),
        "{counted}: {admitted} and {lost} without an answer"
    );
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_replica_refuses_writes_and_still_reads() -> Result<()> {
    let [server, primary] = [Server::start(), Server::start()];
    let redis = connection(&server);
    let store = RedisStore::new(redis.clone());
    RedisStore::new(connection(&primary)).put(key("k"), Entry::new("v")).await?;
    server.make_replica_of(&primary);
    let refused = |error: cache_core::Error| assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    refused(store.put(key("k"), Entry::new("w")).await.expect_err("it is a replica"));
    refused(store.put(key("k"), tagged("w")).await.expect_err("it is a replica"));
    refused(store.remove(&key("k")).await.expect_err("it is a replica"));
    refused(store.note(&key("new"), &Tags::NONE).await.expect_err("it is a replica"));
    refused(RedisLease::new(redis.clone()).acquire(&key("k"), MINUTE).await.expect_err("it is a replica"));
    refused(RedisCounters::new(redis.clone()).charge(&call(1)).await.expect_err("it is a replica"));
    assert_eq!(store.get(&key("k")).await?.map(|entry| entry.value), Some("v".into()));
    server.make_primary();
    works(&redis).await
}

#[tokio::test]
pub(crate) async fn a_full_server_refuses_what_is_new_and_lets_go_of_what_is_old() -> Result<()> {
    let server = Server::start();
    let redis = connection(&server);
    let store = RedisStore::new(redis.clone());
    store.put(key("k"), tagged("v")).await?;
    let lease = RedisLease::new(redis.clone());
    let held = lease.acquire(&key("held"), MINUTE).await.expect("there is room").expect("nobody has it");
    server.fill_memory();
    assert!(
        lease.release(held).await.expect("that needs no room"),
        "whoever waits for it would wait for its whole hold"
    );
    let refused = |error: cache_core::Error| assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    refused(store.put(key("k"), Entry::new("w")).await.expect_err("it is full"));
    refused(store.note(&key("new"), &Tags::NONE).await.expect_err("it is full"));
    refused(RedisLease::new(redis.clone()).acquire(&key("k"), MINUTE).await.expect_err("it is full"));
    refused(RedisCounters::new(redis.clone()).charge(&call(1)).await.expect_err("it is full"));
    assert_eq!(store.get(&key("k")).await?.map(|entry| entry.value), Some("v".into()));
    store.remove_tag(&Tag::new("t").expect("legal")).await?;
    assert_eq!(store.get(&key("k")).await?, None);
    assert!(store.remove(&key("k")).await?);
    server.free_memory();
    assert!(lease.acquire(&key("held"), MINUTE).await.expect("there is room again").is_some());
    works(&redis).await
}

#[tokio::test]
async fn no_more_calls_are_on_their_way_than_allowed() {
    let server = Server::start();
    let redis = Connection::open(hasty(config(server.address())).with_max_in_flight(1)).expect("legal");
    succeeds(async || redis.ping().await).await;
    server.stop();
    let (first, second) = ends(async { tokio::join!(redis.ping(), redis.ping()) }).await;
    assert_eq!(first.expect_err("it is stopped").kind(), ErrorKind::TimedOut);
    assert_eq!(second.expect_err("there is one place").kind(), ErrorKind::Unavailable);
    assert_eq!(redis.stats().crowded, 1);
    server.cont();
}

#[tokio::test]
pub(crate) async fn connections_end_with_whoever_opened_them() {
    let server = Server::start();
    for _ in 0..1000 {
        let redis = connection(&server);
        redis.ping().await.expect("it is there");
    }
    succeeds(async || if server.clients() == 1 { Ok(()) } else { Err(()) }).await;
}

#[tokio::test]
pub(crate) async fn after_a_failover_everything_goes_on_at_the_new_primary() -> Result<()> {
    let mut group = Sentinels::start();
    let redis = Connection::open(hasty(sentinel_config(&group))).expect("legal");
    let (store, lease) = (RedisStore::new(redis.clone()), RedisLease::new(redis.clone()));
    succeeds(async || works(&redis).await).await;
    let mut last = 0;
    for planned in [true, false] {
        let acquired = succeeds(async || lease.acquire(&key("fence"), MINUTE).await).await;
        let grant = acquired.expect("nobody holds it");
        assert!(grant.fence() > last, "{} after {last}", grant.fence());
        last = grant.fence();
        succeeds(async || lease.release(grant.clone()).await).await;
        if planned {
            group.fail_over();
        } else {
            group.kill_primary();
        }
        succeeds(async || works(&redis).await).await;
        let port = group.primary().port();
        succeeds(async || store.put(key("new"), tagged("v")).await).await;
        assert_eq!(group.primary().call(&["EXISTS", "strata:e:new"]).integer(), Some(1), "at {port}");
    }
    Ok(())
}

#[tokio::test]
async fn removals_go_through_pages_and_never_ask_for_all_keys() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let entries = |count| (0..count).map(|number| (key(&format!("p:{number}")), Entry::new("v"))).collect();
    store.put_many(entries(5000)).await?;
    assert_eq!(store.remove_prefix("p:1").await?, Removed::Exactly(1111));
    assert_eq!(store.clear().await?, Removed::Exactly(3889));
    let calls = |command: &str| {
        let told = server.info(&format!("cmdstat_{command}")).unwrap_or_default();
        let calls = told.strip_prefix("calls=").and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
        calls.unwrap_or_default()
    };
    assert!(
        calls("scan") >= 8 && calls("unlink") >= 8,
        "{} pages, {} batches",
        calls("scan"),
        calls("unlink")
    );
    assert_eq!([calls("keys"), calls("flushall"), calls("flushdb"), calls("del")], [0; 4]);
    Ok(())
}

#[tokio::test]
async fn what_users_name_is_no_part_of_a_script() -> Result<()> {
    let server = Server::start();
    let redis = connection(&server);
    works(&redis).await?;
    let scripts = || server.info("number_of_cached_scripts").expect("Redis counts them");
    let known = scripts();
    for text in ["\"..KEYS[1]..\"", "]] redis.call('FLUSHALL') --", "' or 1 == 1 --", "%s{0}$1"] {
        let (store, name) = (RedisStore::new(redis.clone()), key(text));
        let entry = Entry::new(text).with_tags(Tags::new([text]).expect("legal"));
        store.put(name.clone(), entry.clone()).await?;
        store.remove_tag(&Tag::new(text).expect("legal")).await?;
        let note = store.note(&name, &entry.meta.tags).await?;
        assert!(store.put_noted(name.clone(), entry, &note).await?);
        assert_eq!(store.get(&name).await?.expect("it is there").value, text);
        let lease = RedisLease::new(redis.clone());
        let grant = lease.acquire(&name, MINUTE).await?.expect("nobody has it");
        assert!(lease.renew(&grant, MINUTE).await? && lease.release(grant).await?);
        let counters = RedisCounters::new(redis.clone());
        let charge = [Charge::new(name, Quota::new(9, MINUTE).expect("legal"), 1)];
        let (_, receipt) = counters.charge(&charge).await?;
        counters.refund(&charge, receipt).await?;
    }
    // A text in a script would have made another script of it.
    assert_eq!(scripts(), known);
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_user_who_may_do_only_what_is_needed_is_enough() -> Result<()> {
    const NEEDED: &str = "+auth +hello +select +ping +time +role +client|setname +get +mget +set +unlink \
                          +scan +publish +subscribe +eval +evalsha +strlen +getrange +pttl +pexpire +persist +hget +hset \
                          +hdel";
    let user = format!("user app on >word ~strata:* &strata:* -@all {NEEDED}");
    let server = Server::with(&Setup::new().with_line(user));
    let config = Config::from_url(&format!("redis://app:word@{}", server.address())).expect("legal");
    let redis = Connection::open(patient(config.with_client_name("few-rights"))).expect("legal");
    works(&redis).await?;
    let store = RedisStore::new(redis.clone());
    store.put_many(vec![(key("a"), Entry::new("1")), (key("b"), Entry::new("2"))]).await?;
    assert_eq!(store.get_many(&[key("a"), key("b")]).await?.len(), 2);
    assert_eq!(store.clear().await?, Removed::Exactly(3));
    let transport = RedisTransport::new(redis);
    let mut subscription = transport.subscribe("c").await?;
    transport.publish("c", "heard".into()).await?;
    assert_eq!(ends(subscription.receive()).await?, Received::Message("heard".into()));
    Ok(())
}
