//! What has to stay small however much there is, and however clients behave.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{Clock, SystemClock};
use cache_memory::Memory;

use super::super::http::{Connection, Region};
use super::subject::popular;
use super::transfer::mebibytes;
use super::{ms, rest};
use crate::Outcome;
use crate::child::{Server, cpu};
use crate::figures::{Asked, Figures, median};

fn region(server: &Server, name: &str) -> Outcome<Region> {
    let url = format!("http://{}", server.address()).parse()?;
    Ok(Region { url, name: name.to_owned(), token: None })
}

/// How long a scrape takes of a server that is full, and a read meanwhile.
pub(super) async fn scrape(server: &Server, figures: &mut Figures) -> Outcome {
    let clock = SystemClock::new();
    let region = region(server, "transfer")?;
    let (mut scraper, mut reader) = (Connection::new(region.clone()), Connection::new(region));
    reader.put(0, Bytes::from_static(b"read meanwhile")).await?;
    let reading = async {
        let mut times = Vec::new();
        for _ in 0..SCRAPES * 100 {
            let begun = clock.now();
            reader.get(0).await?.ok_or("a read was not answered")?;
            times.push(ms(clock.now().since(begun)));
        }
        times.sort_unstable_by(f64::total_cmp);
        Outcome::Ok(times[times.len() * 99 / 100])
    };
    let scraping = async {
        let mut times = Vec::new();
        for _ in 0..SCRAPES {
            let begun = clock.now();
            scraper.memory().await.ok_or("a scrape was not answered")?;
            times.push(ms(clock.now().since(begun)));
        }
        Outcome::Ok(times)
    };
    let (read, times) = tokio::join!(reading, scraping);
    figures.asked("scrape of a full server, median", median(times?), "ms", Asked::AtMost(50.0));
    figures.asked("reads meanwhile, 99 of 100", read?, "ms", Asked::AtMost(50.0));
    Ok(())
}

/// What a client costs who asks for three gigabytes and reads none of them.
pub(super) async fn deaf_client(figures: &mut Figures) -> Outcome {
    let server = Server::strata(&[], None)?;
    let mut connection = Connection::new(region(&server, "default")?);
    connection.put(1, Bytes::from(vec![7; 1_000_000])).await?;
    connection.get(1).await?;
    let before = server.resident()?;
    let mut deaf = TcpStream::connect(server.address())?;
    deaf.write_all("GET /v1/entries/1 HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000).as_bytes())?;
    deaf.set_nonblocking(true)?;
    // What the server does not take does not go: that is as it should be.
    let _ = deaf.write("GET /v1/entries/1 HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2000).as_bytes());
    let mut most = before;
    for _ in 0..100 {
        most = most.max(server.resident()?);
        rest(Duration::from_millis(20)).await;
    }
    connection.get(1).await?.ok_or("another client was not answered meanwhile")?;
    let what = "growth by a client that asks for 3 GB and reads nothing";
    figures.asked(what, mebibytes(most - before), "MiB", Asked::AtMost(2.0));
    Ok(())
}

/// How many of the ten keys that are read most the server names after two seconds.
pub(super) async fn hot_keys(figures: &mut Figures) -> Outcome {
    let (server, clock) = (Server::strata(&[], None)?, SystemClock::new());
    let mut connection = Connection::new(region(&server, "default")?);
    let keys: Vec<u64> = (0..10_000).collect();
    for keys in keys.chunks(1_000) {
        connection.put_many(keys, "v").await?;
    }
    let (end, used) = (clock.now().after(Duration::from_secs(2)), cpu(server.pid())?);
    let mut readers = tokio::task::JoinSet::new();
    for seed in 0..16 {
        let (mut reader, keys) = (Connection::new(region(&server, "default")?), popular(seed)?);
        readers.spawn(async move {
            let mut counts = vec![0_u64; 10_000];
            for key in keys {
                if clock.now() >= end {
                    break;
                }
                reader.get(key.into()).await?;
                counts[key as usize] += 1;
            }
            Ok::<_, super::super::tally::Failure>(counts)
        });
    }
    let mut counts = vec![0_u64; 10_000];
    while let Some(reader) = readers.join_next().await {
        counts.iter_mut().zip(reader??).for_each(|(sum, count)| *sum += count);
    }
    let hits = f64::from(u32::try_from(counts.iter().sum::<u64>())?);
    let each = ms(cpu(server.pid())?.saturating_sub(used)) * 1e6 / hits;
    let mut by_use: Vec<usize> = (0..counts.len()).collect();
    by_use.sort_by_key(|key| std::cmp::Reverse(counts[*key]));
    let told = connection.top_keys().await?;
    let named = by_use[..10].iter().filter(|key| told.contains(&key.to_string())).count();
    let named = f64::from(u32::try_from(named)?);
    figures.asked("of the ten keys read most, named after 2 s", named, "", Asked::AtLeast(9.0));
    let noted = noting(&clock)?;
    figures.told("that one hit in 64 is noted, for each hit", noted, "ns");
    let what = "by what the server's processor takes for a hit";
    figures.asked(what, 100.0 * noted / each, "%", Asked::AtMost(3.0));
    Ok(())
}

/// What it costs a hit in memory that one in 64 is noted, in nanoseconds: hits of a cache that notes them and of one that does not, in turns.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn noting(clock: &SystemClock) -> Outcome<f64> {
    let keys: Vec<u64> = popular(7)?.take(NOTED).map(u64::from).collect();
    let caches = [Memory::new(), Memory::new().with_sampling(64)];
    for cache in &caches {
        for key in 0..10_000 {
            cache.insert(key, key);
        }
    }
    let mut more = Vec::new();
    for _ in 0..TURNS {
        let [without, with] = caches.each_ref().map(|cache: &Memory<u64, u64>| {
            let begun = clock.now();
            let found = keys.iter().filter(|key| cache.get(*key).is_some()).count();
            (ms(clock.now().since(begun)) * 1e6 / keys.len() as f64, found)
        });
        if (without.1, with.1) != (keys.len(), keys.len()) {
            return Err("a key that is there was not found".into());
        }
        more.push(with.0 - without.0);
    }
    Ok(median(more).max(0.0))
}

const SCRAPES: u64 = 20;
/// How many hits a turn has, and how many turns there are.
const NOTED: usize = 200_000;
const TURNS: usize = 15;
