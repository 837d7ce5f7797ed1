//! A Cluster whose slots move and whose servers die: calls follow, and what is on other servers is not disturbed.

use std::time::Duration;

use cache_core::{Entry, Key, Result, Store, StoreExt, Tags, Ttl};
use cache_redis::{Connection, RedisStore};
use cache_testkit::clock::{Passage, RealTime};
use cache_testkit::redis::Cluster;

use crate::servers::{cluster_config, ends, hasty, key, patient, succeeds};

fn keys(count: usize) -> Vec<Key> {
    (0..count).map(|number| key(&format!("k:{number}"))).collect()
}

fn entries(keys: &[Key]) -> Vec<(Key, Entry)> {
    keys.iter().map(|key| (key.clone(), Entry::new(key.as_str().to_owned()))).collect()
}

async fn all_there(store: &RedisStore, keys: &[Key]) -> Result<bool> {
    let found = store.get_many(keys).await?;
    let right = |(key, entry): (&Key, Option<Entry>)| match entry {
        Some(entry) => {
            assert_eq!(entry.value, key.as_str(), "the value of another key");
            true
        }
        None => false,
    };
    Ok(keys.iter().zip(found).map(right).filter(|there| !there).count() == 0)
}

#[tokio::test]
pub(crate) async fn calls_follow_slots_that_move_one_by_one_and_in_batches() -> Result<()> {
    let cluster = Cluster::start();
    let redis = Connection::open(patient(cluster_config(&cluster))).expect("legal");
    let store = RedisStore::new(redis.clone());
    let keys = keys(300);
    store.put_many(entries(&keys)).await?;
    for key in &keys[..20] {
        let slot = cluster.slot(&format!("strata:e:{key}"));
        cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
        assert_eq!(store.get(key).await?.map(|entry| entry.value), Some(key.as_str().to_owned().into()));
        assert!(all_there(&store, &keys).await?, "slot {slot} was moved");
        store.put_many(entries(&keys)).await?;
    }
    assert!(redis.stats().redirects > 0, "no answer named another server");
    assert_eq!(store.remove_many(&keys).await?, 300);
    Ok(())
}

#[tokio::test]
pub(crate) async fn scripts_follow_slots_that_move_to_servers_that_do_not_know_them() -> Result<()> {
    let cluster = Cluster::start();
    let store = RedisStore::new(Connection::open(patient(cluster_config(&cluster))).expect("legal"));
    let entry = |tag: &str| Entry::new("v").with_tags(Tags::new([tag]).expect("legal"));
    for number in 0..3 {
        let tag = format!("t:{number}");
        let tagged = || vec![(key("one"), entry(&tag)), (key("two"), entry(&tag))];
        store.put_many(tagged()).await?;
        let slot = cluster.slot(&format!("strata:t:{tag}"));
        cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
        for server in cluster.servers() {
            server.call(&["SCRIPT", "FLUSH"]);
        }
        store.put_many(tagged()).await?;
        assert_eq!(store.get(&key("two")).await?, Some(entry(&tag)));
    }
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_dead_primary_disturbs_nobody_else_and_is_replaced() -> Result<()> {
    let mut cluster = Cluster::with_replicas(1);
    let redis = Connection::open(hasty(cluster_config(&cluster))).expect("legal");
    let store = RedisStore::new(redis.clone());
    let keys = keys(60);
    succeeds(async || store.put_many(entries(&keys)).await).await;
    let mut by_owner = [const { Vec::new() }; 3];
    for key in &keys {
        by_owner[cluster.owner(cluster.slot(&format!("strata:e:{key}")))].push(key.clone());
    }
    cluster.servers()[1].stop();
    let dead = ends(store.get(&by_owner[1][0])).await.expect_err("it is stopped");
    assert!(dead.is_retryable(), "{dead:?}");
    for key in by_owner[0].iter().chain(&by_owner[2]) {
        assert!(succeeds(async || store.get(key).await).await.is_some(), "{key} is on another server");
    }
    cluster.kill(1);
    succeeds(async || store.put_many(entries(&keys)).await).await;
    assert!(succeeds(async || all_there(&store, &keys).await).await);
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_primary_that_hangs_for_ten_seconds_is_replaced_and_does_no_harm_when_it_goes_on()
-> Result<()> {
    let cluster = Cluster::with_replicas(1);
    let redis = Connection::open(hasty(cluster_config(&cluster))).expect("legal");
    let store = RedisStore::new(redis.clone());
    let keys = keys(60);
    succeeds(async || store.put_many(entries(&keys)).await).await;
    cluster.servers()[1].stop();
    let used = async {
        // Each call ends, by an error at most, until a replica has taken over.
        succeeds(async || store.put_many(entries(&keys)).await).await;
        succeeds(async || all_there(&store, &keys).await).await
    };
    let time = RealTime::new();
    let (all_there_meanwhile, ()) = tokio::join!(used, time.pass(Duration::from_secs(10)));
    assert!(all_there_meanwhile);
    cluster.servers()[1].cont();
    for _ in 0..20 {
        succeeds(async || store.put_many(entries(&keys)).await).await;
        assert!(succeeds(async || all_there(&store, &keys).await).await);
    }
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_slot_half_of_which_has_moved_answers_as_a_whole() -> Result<()> {
    let cluster = Cluster::start();
    let redis = Connection::open(patient(cluster_config(&cluster))).expect("legal");
    let store = RedisStore::new(redis.clone());
    let together: Vec<Key> = (0..10).map(|number| key(&format!("{{one}}:{number}"))).collect();
    let all: Vec<Key> = together.iter().cloned().chain(keys(50)).collect();
    store.put_many(entries(&all)).await?;
    let slot = cluster.slot("{one}");
    let to = (cluster.owner(slot) + 1) % 3;
    let arrived = || cluster.servers()[to].call(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).integer();
    cluster.begin_moving(slot, to);
    assert!(all_there(&store, &all).await?, "nothing has moved yet");
    cluster.carry(slot, to, 5);
    assert_eq!(arrived(), Some(5));
    for _ in 0..3 {
        assert!(all_there(&store, &all).await?, "half of it has moved");
    }
    let tagged = |key: &Key| {
        (key.clone(), Entry::new(key.as_str().to_owned()).with_tags(Tags::new(["t"]).expect("legal")))
    };
    store.put_many(together.iter().map(tagged).collect()).await?;
    for key in &together {
        assert_eq!(store.get(key).await?.map(|entry| entry.value), Some(key.as_str().to_owned().into()));
        assert!(store.touch(key, Ttl::from_secs(60)).await?, "{key}");
    }
    assert_eq!(store.remove_many(&together[..4]).await?, 4);
    let note = store.note(&together[0], &Tags::NONE).await?;
    // What is noted at one of the two may be refused, and is never lost.
    if store.put_noted(together[0].clone(), Entry::new("noted"), &note).await? {
        assert_eq!(store.get(&together[0]).await?.map(|entry| entry.value), Some("noted".into()));
    }
    store.remove(&together[0]).await?;
    assert_eq!(store.get_many(&together[..4]).await?, [const { None }; 4]);
    while cluster.carry(slot, to, 100) > 0 {}
    cluster.end_moving(slot, to);
    assert!(all_there(&store, &all[4..]).await?, "all of it has moved");
    assert_eq!(
        store.get_many(&together[..4]).await?,
        [const { None }; 4],
        "what was removed has not come back"
    );
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_slot_that_nobody_has_is_an_error_that_passes_and_disturbs_no_other() -> Result<()> {
    let cluster = Cluster::start();
    for server in cluster.servers() {
        server.call(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let redis = Connection::open(hasty(cluster_config(&cluster))).expect("legal");
    let store = RedisStore::new(redis.clone());
    let keys = keys(60);
    succeeds(async || store.put_many(entries(&keys)).await).await;
    let slot = cluster.slot("strata:e:k:0");
    let owner = cluster.owner(slot);
    cluster.abandon(slot);
    let others: Vec<Key> =
        keys.iter().filter(|key| cluster.slot(&format!("strata:e:{key}")) != slot).cloned().collect();
    for _ in 0..20 {
        let error = ends(store.get(&keys[0])).await.expect_err("nobody has it");
        assert!(error.is_retryable(), "{error:?}");
        assert!(ends(store.get_many(&keys)).await.is_err_and(|error| error.is_retryable()));
        assert!(ends(store.put(keys[0].clone(), Entry::new("v"))).await.is_err());
        assert!(succeeds(async || all_there(&store, &others).await).await);
    }
    cluster.adopt(slot, owner);
    succeeds(async || store.put_many(entries(&keys)).await).await;
    assert!(succeeds(async || all_there(&store, &keys).await).await);
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_server_that_names_another_by_its_port_alone_means_its_own_host() -> Result<()> {
    let cluster = Cluster::start();
    let redis = Connection::open(patient(cluster_config(&cluster))).expect("legal");
    let store = RedisStore::new(redis.clone());
    let keys = keys(60);
    // The addresses are known by now, and the next news of a slot is that of whoever had it.
    store.put_many(entries(&keys)).await?;
    for server in cluster.servers() {
        assert_eq!(
            server.call(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint"]).text(),
            "OK"
        );
    }
    for key in &keys[..6] {
        let slot = cluster.slot(&format!("strata:e:{key}"));
        let to = (cluster.owner(slot) + 1) % 3;
        cluster.begin_moving(slot, to);
        while cluster.carry(slot, to, 100) > 0 {}
        assert_eq!(
            store.get(key).await?.map(|entry| entry.value),
            Some(key.as_str().to_owned().into()),
            "by ASK"
        );
        cluster.end_moving(slot, to);
        assert!(all_there(&store, &keys).await?, "by MOVED");
    }
    assert!(redis.stats().redirects >= 12, "{:?}", redis.stats());
    Ok(())
}
