//! Servers that answer each command as a test wants it: what no real server does on demand, and must not end in a hang, a panic or a
//! wrong value all the same.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use cache_core::{Entry, Key, Lease, Received, Store, StoreExt, Transport};
use cache_redis::{Address, Config, Connection, Mode, RedisLease, RedisStore, RedisTransport};
use cache_testkit::redis::Server;

use crate::servers::{DRIVER, config, connection, ends, hasty, key, succeeds};

/// Answers a command, its name in upper case; `None` is never.
type Play = dyn Fn(&[String]) -> Option<Vec<u8>> + Send + Sync;

/// A server that plays a part. It ends with the process.
fn plays(part: impl Fn(&[String]) -> Option<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (address, part) =
        (listener.local_addr().expect("bound"), Arc::<Play>::from(Box::new(part) as Box<Play>));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let part = Arc::clone(&part);
            thread::spawn(move || converse(&stream, &*part));
        }
    });
    address
}

fn converse(stream: &TcpStream, part: &(impl Fn(&[String]) -> Option<Vec<u8>> + ?Sized)) -> Option<()> {
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let first = line(&mut reader)?;
        let mut words = Vec::new();
        if let Some(count) = first.strip_prefix('*') {
            for _ in 0..count.parse().ok()? {
                let mut word = vec![0; length(&mut reader)? + 2];
                reader.read_exact(&mut word).ok()?;
                word.truncate(word.len() - 2);
                words.push(String::from_utf8_lossy(&word).into_owned());
            }
        } else {
            // As people type it, and as one driver greets.
            words.extend(first.split_whitespace().map(str::to_owned));
        }
        if words.is_empty() {
            return None;
        }
        words[0].make_ascii_uppercase();
        if let Some(answer) = part(&words) {
            writer.write_all(&answer).ok()?;
        }
    }
}

fn length(reader: &mut impl BufRead) -> Option<usize> {
    line(reader)?.get(1..)?.parse().ok()
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    Some(line.trim_end().to_owned())
}

/// What a server says to whoever begins, and what time it is; `None` for anything else.
fn beginning(words: &[String]) -> Option<Vec<u8>> {
    match words[0].as_str() {
        "HELLO" => Some(b"%1\r\n+proto\r\n:3\r\n".to_vec()),
        // Who asks for it has to go on without.
        "INFO" => Some(b"-NOPERM no\r\n".to_vec()),
        "CLIENT" | "SELECT" | "AUTH" => Some(b"+OK\r\n".to_vec()),
        "TIME" => Some(b"*2\r\n$10\r\n1800000000\r\n$1\r\n0\r\n".to_vec()),
        "ROLE" => Some(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n".to_vec()),
        _ => None,
    }
}

/// A Sentinel that takes this address for the primary's.
fn sentinel(primary: SocketAddr) -> SocketAddr {
    plays(move |words| match words[0].as_str() {
        "SENTINEL" => {
            let port = primary.port().to_string();
            Some(format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len()).into_bytes())
        }
        _ => beginning(words),
    })
}

fn watched(sentinels: impl IntoIterator<Item = SocketAddr>) -> Config {
    let known = |it: SocketAddr| Address::new(it.ip().to_string(), it.port());
    hasty(Config::new(Mode::Sentinel { name: "main".into() }, sentinels.into_iter().map(known)))
}

#[tokio::test]
pub(crate) async fn a_primary_that_dies_while_it_is_asked_for_its_role_holds_nobody_up() {
    let real = Server::start();
    for role in ["", "-ERR no\r\n", "*1\r\n$5\r\nslave\r\n", ":7\r\n"] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let odd = plays(move |words| match words[0].as_str() {
            "ROLE" => {
                counted.fetch_add(1, SeqCst);
                (!role.is_empty()).then(|| role.as_bytes().to_vec())
            }
            _ => beginning(words),
        });
        let alone = Connection::open(watched([sentinel(odd)])).expect("legal");
        for _ in 0..3 {
            assert!(ends(alone.ping()).await.is_err(), "{role:?}");
        }
        // It is asked again and again, and would be believed as soon as it says that it is a primary.
        succeeds(async || if asked.load(SeqCst) >= 3 { Ok(()) } else { Err(()) }).await;
        // Most take it for the primary, and one knows better.
        let sentinels = [sentinel(odd), sentinel(odd), sentinel(real.address())];
        let redis = Connection::open(watched(sentinels)).expect("legal");
        succeeds(async || redis.ping().await).await;
    }
}

#[tokio::test]
pub(crate) async fn sentinels_that_are_away_hang_or_know_nothing_hide_nobody() {
    let real = Server::start();
    let silent = plays(|_| None);
    let ignorant =
        plays(|words| if words[0] == "SENTINEL" { Some(b"*-1\r\n".to_vec()) } else { beginning(words) });
    let liar = plays(|words| {
        if words[0] == "SENTINEL" {
            Some(b"*2\r\n$1\r\nx\r\n$5\r\n99999\r\n".to_vec())
        } else {
            beginning(words)
        }
    });
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let redis =
        Connection::open(watched([silent, ignorant, liar, nobody, sentinel(real.address())])).expect("legal");
    succeeds(async || redis.ping().await).await;
    let without = Connection::open(watched([silent, ignorant, liar, nobody])).expect("legal");
    for _ in 0..3 {
        assert!(ends(without.ping()).await.expect_err("nobody knows").is_retryable());
    }
}

#[tokio::test]
pub(crate) async fn a_server_whose_clock_tells_no_time_is_no_server() {
    for (seconds, micros) in
        [("-9223372036854", "0"), ("-1", "0"), ("9223372036854", "775807"), ("1", "99999999999")]
    {
        let address = plays(move |words| match words[0].as_str() {
            "TIME" => Some(
                format!("*2\r\n${}\r\n{seconds}\r\n${}\r\n{micros}\r\n", seconds.len(), micros.len())
                    .into_bytes(),
            ),
            "PING" => Some(b"+PONG\r\n".to_vec()),
            _ => beginning(words),
        });
        let redis = Connection::open(hasty(config(address))).expect("legal");
        for _ in 0..3 {
            assert!(ends(redis.ping()).await.is_err(), "{seconds} {micros}");
        }
        // Whoever connects has not died of it, but tries again.
        let tried = redis.stats().failed_connects;
        succeeds(async || if redis.stats().failed_connects > tried { Ok(()) } else { Err(()) }).await;
    }
}

/// A frame as the store writes it, taken from a real server.
async fn frame(of: &Key) -> Vec<u8> {
    let server = Server::start();
    RedisStore::new(connection(&server)).put(of.clone(), Entry::new("value")).await.expect("it works");
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    write!(stream, "GET strata:e:{of}\r\n").expect("it reads");
    let mut reader = BufReader::new(stream);
    let mut frame = vec![0; length(&mut reader).expect("it is there")];
    reader.read_exact(&mut frame).expect("whole");
    frame
}

#[tokio::test]
pub(crate) async fn what_comes_before_around_and_instead_of_an_answer_is_never_a_wrong_value() {
    let (wanted, other) = (key("wanted"), key("other"));
    let bulk = |bytes: &[u8]| [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let (right, wrong) = (bulk(&frame(&wanted).await), bulk(&frame(&other).await));
    let pushed = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n".to_vec();
    let attribute = b"|1\r\n+ttl\r\n:7\r\n".to_vec();
    let array = |parts: &[&[u8]]| [format!("*{}\r\n", parts.len()).into_bytes(), parts.concat()].concat();
    let nil = &b"_\r\n"[..];
    // The default driver takes what comes with attributes for no answer of ours; the other one passes attributes by.
    let is_seen = DRIVER.get().is_some();
    // What is said, and whether it is the value. Everything else is a miss or an error.
    let answers = [
        (right.clone(), true),
        ([pushed.clone(), right.clone()].concat(), true),
        ([attribute.clone(), right.clone()].concat(), is_seen),
        (wrong.clone(), false),
        (array(&[&right]), false),
        (b"$-1\r\n".to_vec(), false),
        (b"_\r\n".to_vec(), false),
        (b"=8\r\ntxt:text\r\n".to_vec(), false),
        (b"!8\r\nERR none\r\n".to_vec(), false),
        (b"(123456789012345678901234567890\r\n".to_vec(), false),
        (b",nan\r\n".to_vec(), false),
        (b"~1\r\n:1\r\n".to_vec(), false),
        (b"|1\r\n".to_vec(), false),
        (b"%-1\r\n".to_vec(), false),
        (b"$99999999999999999999\r\n".to_vec(), false),
        (b"!-1\r\n".to_vec(), false),
    ];
    for (answer, is_there) in answers {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let said = answer.clone();
        let address =
            plays(move |words| if words[0] == "GET" { Some(said.clone()) } else { beginning(words) });
        let store = RedisStore::new(Connection::open(hasty(config(address))).expect("legal"));
        let found = ends(store.get(&wanted)).await;
        match found {
            Ok(Some(entry)) => assert!(is_there && entry.value == "value", "{shown:?}"),
            _ => assert!(!is_there, "{shown:?}: {found:?}"),
        }
    }
    let several = [
        (array(&[&right, nil]), Some(vec![true, false])),
        (array(&[nil, &right]), Some(vec![false, false])),
        (array(&[&right]), None),
        (array(&[&right, nil, nil]), None),
        (array(&[]), None),
        (b"*-1\r\n".to_vec(), None),
        // To the other driver an answer with an error in it is an error.
        (array(&[&right, b"-ERR no\r\n"]), DRIVER.get().is_none().then(|| vec![true, false])),
        (array(&[&right, b"*1\r\n_\r\n"]), Some(vec![true, false])),
    ];
    for (answer, right) in several {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let said = answer.clone();
        let address =
            plays(move |words| if words[0] == "MGET" { Some(said.clone()) } else { beginning(words) });
        let store = RedisStore::new(Connection::open(hasty(config(address))).expect("legal"));
        let found = ends(store.get_many(&[wanted.clone(), other.clone()])).await;
        let found = found.ok().map(|found| found.iter().map(Option::is_some).collect::<Vec<_>>());
        assert_eq!(found, right, "{shown:?}");
    }
}

#[tokio::test]
pub(crate) async fn a_server_that_never_ends_an_answer_is_left() {
    let left = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let counted = Arc::clone(&left);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            thread::spawn(move || {
                let flood = |words: &[String]| {
                    let endless =
                        if words[0] == "GET" { Some(b"$9000000000000000000\r\n".to_vec()) } else { None };
                    let Some(begun) = endless else { return beginning(words) };
                    let mut writer = &stream;
                    writer.write_all(&begun).ok();
                    // As fast as a slow network, so that this machine has room for what comes until it is left.
                    while writer.write_all(&[b'x'; 4096]).is_ok() {
                        thread::park_timeout(Duration::from_millis(1));
                    }
                    counted.fetch_add(1, SeqCst);
                    None
                };
                converse(&stream, &flood)
            });
        }
    });
    // Without a heartbeat in between: whoever waited in vain has it looked at.
    let config = hasty(config(address)).with_heartbeat(Duration::from_mins(1));
    let redis = Connection::open(config).expect("legal");
    let store = RedisStore::new(redis.clone());
    assert!(ends(store.get(&key("k"))).await.is_err());
    succeeds(async || if left.load(SeqCst) == 1 { Ok(()) } else { Err(()) }).await;
    let stats = redis.stats();
    assert!(stats.lost == 1 && stats.timeouts >= 1, "{stats:?}");
}

#[tokio::test]
pub(crate) async fn messages_of_no_channel_of_ours_and_odd_ones_are_not_heard() {
    let said = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&said);
    let address = plays(move |words| match words[0].as_str() {
        "SUBSCRIBE" => {
            let channel = &words[1];
            let confirmed = format!(">3\r\n+subscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len());
            let odd = ">1\r\n+message\r\n>0\r\n>2\r\n+message\r\n_\r\n>2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n>3\r\n+message\r\n$1\r\nc\r\n*0\r\n";
            let right = format!(">3\r\n+message\r\n${}\r\n{channel}\r\n$5\r\nright\r\n", channel.len());
            counted.fetch_add(1, SeqCst);
            Some([confirmed.as_bytes(), odd.as_bytes(), right.as_bytes()].concat())
        }
        "PING" => Some(b"+PONG\r\n".to_vec()),
        _ => beginning(words),
    });
    let transport = RedisTransport::new(Connection::open(hasty(config(address))).expect("legal"));
    let mut subscription = ends(transport.subscribe("c")).await.expect("it was confirmed");
    assert_eq!(ends(subscription.receive()).await.ok(), Some(Received::Message("right".into())));
    // One of the drivers asks for the channel again now and then.
    assert!(said.load(SeqCst) == 1 || DRIVER.get().is_some());
}

#[tokio::test]
pub(crate) async fn a_lease_of_a_server_that_answers_oddly_is_nobodys() {
    for answer in
        ["+OK\r\n", ":-7\r\n", "$1\r\nx\r\n", "*0\r\n", "$21\r\n184467440737095516160\r\n", "#t\r\n"]
    {
        let address = plays(move |words| match words[0].as_str() {
            "EVALSHA" | "EVAL" => Some(answer.as_bytes().to_vec()),
            _ => beginning(words),
        });
        let lease = RedisLease::new(Connection::open(hasty(config(address))).expect("legal"));
        let granted = ends(lease.acquire(&key("k"), Duration::from_secs(1))).await;
        assert!(granted.is_err(), "{answer:?}: {granted:?}");
    }
}
