//! A Cluster whose slots move and whose servers die: calls follow, and what is on other servers is not disturbed.

use cache_core::{Entry, Key, Result, Store, StoreExt, Tags};
use cache_redis::{Connection, RedisStore};
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
        let name = format!("strata:e:{key}");
        let slot = cluster.servers()[0].call(&["CLUSTER", "KEYSLOT", &name]).integer().expect("a slot");
        let slot = u16::try_from(slot).expect("a slot");
        let owner = (0..3).find(|number| cluster.owns(*number, slot)).expect("somebody has it");
        cluster.move_slot(slot, (owner + 1) % 3);
        assert_eq!(store.get(key).await?.map(|entry| entry.value), Some(key.as_str().to_owned().into()));
        assert!(all_there(&store, &keys).await?, "slot {slot} was moved");
        store.put_many(entries(&keys)).await?;
    }
    assert!(redis.stats().redirects > 0, "no answer named another server");
    assert_eq!(store.remove_many(&keys).await?, 300);
    Ok(())
}

#[tokio::test]
async fn scripts_follow_slots_that_move_to_servers_that_do_not_know_them() -> Result<()> {
    let cluster = Cluster::start();
    let store = RedisStore::new(Connection::open(patient(cluster_config(&cluster))).expect("legal"));
    let entry = |tag: &str| Entry::new("v").with_tags(Tags::new([tag]).expect("legal"));
    for number in 0..3 {
        let tag = format!("t:{number}");
        let tagged = || vec![(key("one"), entry(&tag)), (key("two"), entry(&tag))];
        store.put_many(tagged()).await?;
        let name = format!("strata:t:{tag}");
        let slot = cluster.servers()[0].call(&["CLUSTER", "KEYSLOT", &name]).integer().expect("a slot");
        let slot = u16::try_from(slot).expect("a slot");
        let owner = (0..3).find(|number| cluster.owns(*number, slot)).expect("somebody has it");
        cluster.move_slot(slot, (owner + 1) % 3);
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
        let name = format!("strata:e:{key}");
        let slot = cluster.servers()[0].call(&["CLUSTER", "KEYSLOT", &name]).integer().expect("a slot");
        let slot = u16::try_from(slot).expect("a slot");
        by_owner[(0..3).find(|number| cluster.owns(*number, slot)).expect("somebody has it")]
            .push(key.clone());
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
