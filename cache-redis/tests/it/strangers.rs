//! What others wrote, and servers that are none: never a wrong value, a panic or a hang.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use cache_core::{Entry, ErrorKind, Result, Store, StoreExt, Tags, Ttl};
use cache_redis::{Config, Connection, RedisStore};
use cache_testkit::redis::{Reply, Server, Setup};

use crate::servers::{DRIVER, config, connection, ends, hasty, key, patient, succeeds};

#[tokio::test]
async fn what_is_no_entry_of_this_key_is_a_counted_miss_and_removed() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    store.put(key("other"), Entry::new("value")).await?;
    for (number, text) in ["", "x", "some text that is no frame", "\u{00C1}St"].into_iter().enumerate() {
        server.call(&["SET", "strata:e:k", text]);
        assert_eq!(store.get(&key("k")).await?, None, "{text:?}");
        assert_eq!(store.stats().unreadable, number as u64 + 1);
        assert_eq!(server.call(&["EXISTS", "strata:e:k"]).integer(), Some(0), "{text:?} is still there");
    }
    // A whole frame, but of another key.
    server.call(&["COPY", "strata:e:other", "strata:e:k"]);
    assert_eq!(store.get(&key("k")).await?, None);
    assert_eq!(store.get(&key("other")).await?.map(|entry| entry.value), Some("value".into()));
    // The same, with each of its bytes changed in turn.
    let length = server.call(&["STRLEN", "strata:e:other"]).integer().expect("a length");
    for at in 0..length {
        let at = at.to_string();
        server.call(&["COPY", "strata:e:other", "strata:e:copy", "REPLACE"]);
        let changed = "local b = redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[1]); \
                       redis.call('SETRANGE', KEYS[1], ARGV[1], string.char((string.byte(b) + 1) % 256))";
        server.call(&["EVAL", changed, "1", "strata:e:other", &at]);
        assert_eq!(store.get(&key("other")).await?, None, "byte {at} was changed");
        server.call(&["COPY", "strata:e:copy", "strata:e:other", "REPLACE"]);
        assert_eq!(store.get(&key("other")).await?.map(|entry| entry.value), Some("value".into()));
    }
    Ok(())
}

#[tokio::test]
async fn a_frame_of_a_newer_release_is_a_miss_and_left_alone() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    store.put(key("k"), Entry::new("value")).await?;
    let newer = "redis.call('SETRANGE', KEYS[1], 3, string.char(99))";
    server.call(&["EVAL", newer, "1", "strata:e:k"]);
    assert_eq!(store.get(&key("k")).await?, None);
    assert_eq!((store.stats().unreadable, server.call(&["EXISTS", "strata:e:k"])), (1, Reply::Integer(1)));
    Ok(())
}

#[tokio::test]
async fn what_is_no_string_is_a_miss_and_can_be_overwritten() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    server.call(&["RPUSH", "strata:e:k", "x"]);
    assert_eq!(store.get(&key("k")).await?, None);
    assert_eq!(store.get_many(&[key("k"), key("l")]).await?, [None, None]);
    assert!(!store.touch(&key("k"), Ttl::from_secs(1)).await?);
    store.put(key("k"), Entry::new("value")).await?;
    assert_eq!(store.get(&key("k")).await?, Some(Entry::new("value")));
    Ok(())
}

#[tokio::test]
async fn a_mark_that_is_lost_or_not_ours_makes_misses() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let entry = Entry::new("value").with_tags(Tags::new(["a", "b"]).expect("legal"));
    for spoil in [&["DEL", "strata:t:a"][..], &["SET", "strata:t:b", "7"], &["FLUSHALL"]] {
        store.put(key("k"), entry.clone()).await?;
        assert_eq!(store.get(&key("k")).await?, Some(entry.clone()));
        server.call(spoil);
        assert_eq!(store.get(&key("k")).await?, None, "{spoil:?}");
    }
    server.call(&["SET", "strata:t:a", "no number"]);
    let error = store.put(key("k"), entry).await.expect_err("the mark is not ours");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(store.get(&key("k")).await?, None);
    Ok(())
}

#[tokio::test]
async fn names_begin_with_the_prefix_and_leave_others_alone() -> Result<()> {
    let server = Server::start();
    let open = |prefix| {
        RedisStore::new(
            Connection::open(patient(config(server.address()).with_prefix(prefix))).expect("legal"),
        )
    };
    let (one, two) = (open("one:"), open("two*:"));
    for store in [&one, &two] {
        store.put(key("k"), Entry::new("v")).await?;
    }
    server.call(&["SET", "mine", "v"]);
    two.clear().await?;
    assert_eq!((one.get(&key("k")).await?.is_some(), two.get(&key("k")).await?), (true, None));
    one.clear().await?;
    assert_eq!(server.call(&["KEYS", "*"]).parts(), [Reply::Text("mine".into())]);
    Ok(())
}

#[tokio::test]
pub(crate) async fn a_wrong_password_is_told_and_not_repeated() {
    let server = Server::with(&Setup::new().with_password("right"));
    let text = format!("redis://:wrong-secret@{}", server.address());
    let redis = Connection::open(hasty(Config::from_url(&text).expect("legal"))).expect("legal");
    let error = ends(redis.ping()).await.expect_err("it is wrong");
    let shown = format!("{error:?} {redis:?}");
    assert!(shown.contains("WRONGPASS") && !shown.contains("wrong-secret"), "{shown}");
}

/// Says the same to everybody, after what a Redis says to a beginning.
fn liar(says: Vec<u8>) -> Config {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let says = says.clone();
            thread::spawn(move || {
                let mut stream = stream;
                let mut asked = [0; 4096];
                while matches!(stream.read(&mut asked), Ok(bytes) if bytes > 0) {
                    if stream.write_all(&says).is_err() {
                        return;
                    }
                }
            });
        }
    });
    hasty(config(address))
}

#[tokio::test]
pub(crate) async fn a_server_that_lies_is_an_error_whatever_it_says() {
    let mut lies = vec![
        "",
        "\r\n",
        "+OK\r\n",
        "-ERR no\r\n",
        ":7\r\n",
        "$-1\r\n",
        "*0\r\n",
        "$9999999999\r\n",
        "*99999999\r\n",
        "%1\r\n+proto\r\n:3\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        ">2\r\n+x\r\n+y\r\n",
        "_\r\n",
        "*-7\r\n",
        "-MOVED 1 127.0.0.1:1\r\n",
        "-MOVED\r\n",
        "-NOSCRIPT\r\n",
        "+OK\r\n+OK\r\n+OK\r\n+OK\r\n",
    ];
    let nested = "*1\r\n".repeat(100_000);
    // Fred's parser knows no end of that, as is told where it is chosen.
    if DRIVER.get().is_none() {
        lies.push(&nested);
    }
    for lie in lies {
        let store = RedisStore::new(Connection::open(liar(lie.into())).expect("legal"));
        for _ in 0..3 {
            let found = ends(store.get(&key("k"))).await;
            assert!(!matches!(found, Ok(Some(_))), "{:?} gave a value", &lie[..lie.len().min(40)]);
        }
        assert!(ends(store.put(key("k"), Entry::new("v"))).await.is_err());
        for named in [Tags::NONE, Tags::new(["t"]).expect("legal")] {
            assert!(ends(store.note(&key("k"), &named)).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_touch_and_a_write_at_once_never_mix_their_lives() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let entry = |secs| Entry::new(format!("{secs}")).with_ttl(Ttl::from_secs(secs));
    store.put(key("k"), entry(1000)).await?;
    let writing = async {
        for round in 0..300 {
            store.put(key("k"), entry(if round % 2 == 0 { 1000 } else { 5000 })).await?;
        }
        Result::Ok(())
    };
    let touching = async {
        for _ in 0..300 {
            // Whoever finds it written anew each time says so; nothing else may fail.
            match store.touch(&key("k"), Ttl::from_secs(3000)).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                touched => assert!(touched?),
            }
            let found = store.get(&key("k")).await?.expect("nothing ends it");
            let written: u64 = str::from_utf8(&found.value).expect("text").parse().expect("a number");
            let left = found.meta.ttl.as_duration().as_secs();
            let possible = [written, 3000].iter().any(|life| (life - 100..=*life).contains(&left));
            assert!(possible, "{left} s left of {written} s or 3000 s");
        }
        Result::Ok(())
    };
    let (written, touched) = tokio::join!(writing, touching);
    written.and(touched)?;
    succeeds(async || store.touch(&key("k"), Ttl::from_secs(3000)).await).await;
    Ok(())
}
