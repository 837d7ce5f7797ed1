//! A removal of many keys, seen by the server: no command of it looks at so many that others would have to wait.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::thread;

use cache_core::{Entry, Removed, Result, Store};
use cache_redis::RedisStore;
use cache_testkit::redis::Server;

use crate::servers::{connection, key};

const KEYS: usize = 50_000;
const LAST: &str = "the last word";

/// The commands that a server is given from now on until it is given the last word, as it tells them.
fn watched(server: &Server) -> thread::JoinHandle<Vec<Vec<String>>> {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.write_all(b"MONITOR\r\n").expect("it reads");
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next().expect("it answers").expect("text"), "+OK");
    // 1339518083.107412 [0 127.0.0.1:60866] "unlink" "strata:e:1" "strata:e:2"
    let words = |line: String| -> Vec<String> {
        let words = line.split_once("] ").map_or("", |(_, words)| words);
        words.trim_matches('"').split("\" \"").map(str::to_owned).collect()
    };
    thread::spawn(move || {
        let told = lines.map(|line| words(line.expect("text")));
        told.take_while(|words| words.last().is_none_or(|word| word != LAST)).collect()
    })
}

#[tokio::test]
async fn no_command_of_a_removal_of_50_000_keys_looks_at_more_than_500() -> Result<()> {
    let server = Server::start();
    let store = RedisStore::new(connection(&server));
    let entries = (0..KEYS).map(|number| (key(&format!("p:{number}")), Entry::new("v"))).collect();
    store.put_many(entries).await?;
    let told = watched(&server);
    assert_eq!(store.remove_prefix("p:").await?, Removed::Exactly(KEYS as u64));
    server.call(&["ECHO", LAST]);
    let told = told.join().expect("no panic");
    let (mut pages, mut unlinked) = (0, 0);
    for words in &told {
        match words[0].to_lowercase().as_str() {
            "scan" => {
                let count =
                    words.iter().position(|word| word.eq_ignore_ascii_case("count")).expect("it is bounded");
                assert!(words[count + 1].parse::<u64>().expect("a number") <= 500, "{words:?}");
                pages += 1;
            }
            "unlink" => {
                assert!(words.len() - 1 <= 500, "{} keys at once", words.len() - 1);
                unlinked += words.len() - 1;
            }
            "strlen" | "ping" | "time" => {}
            other => panic!("{other} may look at anything"),
        }
    }
    assert_eq!(unlinked, KEYS);
    assert!(pages >= KEYS / 500, "{pages} pages");
    Ok(())
}
