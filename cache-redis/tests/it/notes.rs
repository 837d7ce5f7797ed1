//! Notes and noted writes between connections: with servers that forget, move slots and fail over, and all at once.

use std::sync::Arc;
use std::time::Duration;

use cache_core::{Entry, Removed, Result, Store, StoreExt, Tag, Tags, Ttl};
use cache_redis::{Config, Connection, RedisStore};
use cache_testkit::clock::{Passage as _, RealTime};
use cache_testkit::race::Race;
use cache_testkit::redis::{Cluster, Reply, Sentinels, Server};
use tokio::task::JoinSet;

use crate::servers::{cluster_config, config, connection, hasty, key, patient, sentinel_config, succeeds};

fn open(config: Config) -> RedisStore {
    RedisStore::new(Connection::open(config).expect("legal"))
}

fn tags(names: &[&str]) -> Tags {
    Tags::new(names).expect("legal")
}

/// Loaders and changers, each with a connection of its own, as if it were a process of its own.
async fn race(config: &Config, times: u32) -> Result<()> {
    const CHANGERS: usize = 3;
    let race = Arc::new(Race::new(CHANGERS));
    let store = || open(patient(config.clone()));
    let (mut loading, mut changing) = (JoinSet::new(), JoinSet::new());
    for _ in 0..4 {
        let (race, store) = (Arc::clone(&race), store());
        loading.spawn(async move { race.load(&store).await });
    }
    for number in 0..CHANGERS {
        let (race, store) = (Arc::clone(&race), store());
        changing.spawn(async move { race.change(&store, number, times).await });
    }
    let changed = changing.join_all().await;
    race.end();
    let loaded = loading.join_all().await;
    changed.into_iter().chain(loaded).collect::<Result<Vec<()>>>()?;
    race.settled(&store()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_load_that_another_process_has_overtaken_leaves_its_value() -> Result<()> {
    let server = Server::start();
    race(&config(server.address()), 600).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_it_in_a_cluster_where_keys_and_tags_are_on_different_servers() -> Result<()> {
    let cluster = Cluster::start();
    race(&cluster_config(&cluster), 200).await
}

#[tokio::test]
async fn a_placeholder_is_no_entry_and_nothing_unreadable() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let named = |number: usize| key(&format!("k:{number}"));
    store.put(named(0), Entry::new("v")).await?;
    for number in 0..1500 {
        store.note(&named(number), &Tags::NONE).await?;
    }
    assert_eq!(store.get(&named(1)).await?, None);
    assert_eq!(store.get_many(&[named(0), named(1)]).await?, [Some(Entry::new("v")), None]);
    assert!(!store.touch(&named(1), Ttl::FOREVER).await?);
    assert_eq!(store.stats().unreadable, 0);
    assert_eq!(server.call(&["EXISTS", "strata:e:k:1"]), Reply::Integer(1), "reads leave it alone");
    let twice = [named(0), named(1), named(2), named(1), named(0)];
    assert_eq!(store.remove_many(&twice).await?, 1);
    store.put(named(1), Entry::new("v")).await?;
    assert_eq!(store.remove_prefix("k:").await?, Removed::Exactly(1), "of 1498 keys");
    assert_eq!(store.clear().await?, Removed::Exactly(0));
    assert_eq!(server.call(&["DBSIZE"]), Reply::Integer(0));
    Ok(())
}

#[tokio::test]
async fn a_note_of_a_missing_key_lapses_and_what_was_written_does_not() -> Result<()> {
    let server = Server::start();
    let life = Duration::from_millis(300);
    let store = open(patient(config(server.address())).with_note_life(life));
    let time = RealTime::new();
    let [late, kept, shared] = ["late", "kept", "shared"].map(key);
    let late_note = store.note(&late, &Tags::NONE).await?;
    let note = store.note(&kept, &Tags::NONE).await?;
    assert!(store.put_noted(kept.clone(), Entry::new("v"), &note).await?);
    let left = server.call(&["PTTL", "strata:e:late"]).integer().expect("a life");
    assert!((1..=300).contains(&left), "{left} ms");
    // Whoever notes it later keeps it for all.
    let first = store.note(&shared, &Tags::NONE).await?;
    let longer = open(patient(config(server.address())));
    longer.note(&shared, &Tags::NONE).await?;
    store.note(&shared, &Tags::NONE).await?;
    time.pass(life + Duration::from_millis(20)).await;
    assert!(!store.put_noted(late.clone(), Entry::new("v"), &late_note).await?, "it has lapsed");
    assert_eq!((store.get(&late).await?, store.stats().refused), (None, 1));
    assert_eq!(store.get(&kept).await?, Some(Entry::new("v")));
    assert!(store.put_noted(shared, Entry::new("v"), &first).await?, "it was noted for longer by another");
    assert!(server.call(&["PTTL", "strata:e:kept"]).integer() == Some(-1), "its life has no end");
    Ok(())
}

#[tokio::test]
async fn what_redis_loses_is_refused() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let entry = || Entry::new("v").with_tags(tags(&["a", "b"]));
    for lose in [
        &["DEL", "strata:e:k"][..],
        &["DEL", "strata:t:a"],
        &["SET", "strata:t:b", "7"],
        &["FLUSHALL"],
        &["SET", "strata:e:k", "no entry"],
    ] {
        let note = store.note(&key("k"), &tags(&["a", "b"])).await?;
        server.call(lose);
        assert!(!store.put_noted(key("k"), entry(), &note).await?, "{lose:?}");
        assert_eq!(store.get(&key("k")).await?, None, "{lose:?}");
    }
    let note = store.note(&key("k"), &tags(&["a", "b"])).await?;
    assert!(store.put_noted(key("k"), entry(), &note).await?);
    assert_eq!(store.stats().refused, 5);
    Ok(())
}

#[tokio::test]
async fn a_result_whose_tag_was_removed_takes_no_room() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let note = store.note(&key("k"), &tags(&["t"])).await?;
    store.remove_tag(&Tag::new("t").expect("legal")).await?;
    assert!(!store.put_noted(key("k"), Entry::new("v").with_tags(tags(&["t"])), &note).await?);
    assert_eq!(server.call(&["EXISTS", "strata:e:k"]), Reply::Integer(0));
    Ok(())
}

#[tokio::test]
async fn the_mark_of_a_named_tag_outlives_the_entry_that_carries_it() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let day = 86_400_000;
    let life = |name: &str| server.call(&["PTTL", name]).integer().expect("a life");
    let note = store.note(&key("k"), &tags(&["t"])).await?;
    let noted = life("strata:t:t");
    assert!((3_600_000..day).contains(&noted), "{noted} ms from the note on");
    let entry = Entry::new("v").with_ttl(Ttl::from_secs(86_400)).with_tags(tags(&["t"]));
    assert!(store.put_noted(key("k"), entry, &note).await?);
    assert!(life("strata:t:t") > day && life("strata:e:k") <= day);
    let note = store.note(&key("k"), &tags(&["t"])).await?;
    assert!(store.put_noted(key("k"), Entry::new("v").with_tags(tags(&["t"])), &note).await?);
    assert_eq!(life("strata:t:t"), -1, "the entry's life has no end");
    Ok(())
}

#[tokio::test]
async fn scripts_that_are_forgotten_in_between_are_sent_again() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    for named in [Tags::NONE, tags(&["a", "b"])] {
        for round in 0..3 {
            let note = store.note(&key("k"), &named).await?;
            assert_eq!(server.call(&["SCRIPT", "FLUSH"]).text(), "OK");
            let entry = Entry::new(round.to_string()).with_tags(named.clone());
            assert!(store.put_noted(key("k"), entry.clone(), &note).await?);
            assert_eq!(store.get(&key("k")).await?, Some(entry));
            assert_eq!(server.call(&["SCRIPT", "FLUSH"]).text(), "OK");
        }
    }
    assert!(store.remove(&key("k")).await?);
    Ok(())
}

#[tokio::test]
async fn what_is_no_string_gives_way_to_a_placeholder() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    server.call(&["RPUSH", "strata:e:k", "x"]);
    let note = store.note(&key("k"), &Tags::NONE).await?;
    assert!(store.put_noted(key("k"), Entry::new("v"), &note).await?);
    assert_eq!(store.get(&key("k")).await?, Some(Entry::new("v")));
    let note = store.note(&key("k"), &Tags::NONE).await?;
    server.call(&["DEL", "strata:e:k"]);
    server.call(&["RPUSH", "strata:e:k", "x"]);
    // An error of the server, as nobody can tell what that is.
    assert!(!matches!(store.put_noted(key("k"), Entry::new("w"), &note).await, Ok(true)));
    assert_eq!(store.get(&key("k")).await?, None);
    Ok(())
}

#[tokio::test]
pub(crate) async fn where_a_slot_has_moved_in_between_nothing_is_stored_and_all_goes_on() -> Result<()> {
    let cluster = Cluster::start();
    let store = open(patient(cluster_config(&cluster)));
    let entry = || Entry::new("v").with_tags(tags(&["t"]));
    for number in 0..4 {
        let key = key(&format!("k:{number}"));
        let note = store.note(&key, &tags(&["t"])).await?;
        let slot = cluster.slot(&format!("strata:e:{key}"));
        cluster.move_slot(slot, (cluster.owner(slot) + 1) % 3);
        if number % 2 == 0 {
            store.remove(&key).await?;
        }
        assert!(!store.put_noted(key.clone(), entry(), &note).await?);
        assert_eq!(store.get(&key).await?, None);
        let note = store.note(&key, &tags(&["t"])).await?;
        assert!(store.put_noted(key.clone(), entry(), &note).await?, "nothing has moved since");
        assert_eq!(store.get(&key).await?, Some(entry()));
    }
    assert!(store.connection().stats().redirects > 0, "no answer named another server");
    Ok(())
}

#[tokio::test]
pub(crate) async fn after_a_failover_earlier_notes_are_refused_and_later_ones_are_good() -> Result<()> {
    let mut group = Sentinels::start();
    let store = open(hasty(sentinel_config(&group)));
    let entry = || Entry::new("v").with_tags(tags(&["t"]));
    let take = async || succeeds(async || store.note(&key("k"), &tags(&["t"])).await).await;
    for planned in [true, false] {
        let note = take().await;
        // What was acknowledged just before may be lost: nobody waits for the replica.
        succeeds(async || store.remove(&key("k")).await).await;
        if planned {
            group.fail_over();
        } else {
            group.kill_primary();
        }
        let write = async || store.put_noted(key("k"), entry(), &note).await;
        assert!(!succeeds(write).await, "planned: {planned}");
        succeeds(async || store.remove(&key("k")).await).await;
        assert!(!succeeds(write).await, "planned: {planned}, removed at the one or the other");
        // One whose answer is lost is refused by itself.
        let works = async || {
            let note = store.note(&key("k"), &tags(&["t"])).await.map_err(drop)?;
            let stored = store.put_noted(key("k"), entry(), &note).await.map_err(drop)?;
            stored.then_some(()).ok_or(())
        };
        succeeds(works).await;
    }
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_restart_that_brings_a_placeholder_back_brings_no_note_back() -> Result<()> {
    let server = Server::start();
    let store = open(hasty(config(server.address())));
    let note = succeeds(async || store.note(&key("k"), &Tags::NONE).await).await;
    assert_eq!(server.call(&["STRLEN", "strata:e:k"]), Reply::Integer(16));
    // As after a restart from a snapshot: the same bytes are there, and the connections are new.
    server.call(&["CLIENT", "KILL", "TYPE", "normal"]);
    succeeds(async || store.connection().ping().await).await;
    assert!(!succeeds(async || store.put_noted(key("k"), Entry::new("v"), &note).await).await);
    assert_eq!(server.call(&["EXISTS", "strata:e:k"]), Reply::Integer(1));
    Ok(())
}
