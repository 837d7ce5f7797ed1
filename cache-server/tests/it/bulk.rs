//! The process under more than it keeps: large bodies, and floods of keys, tags and callers.

use crate::client::Raw;
use crate::process::{ANY_PORT, Process};

#[tokio::test]
async fn a_body_over_the_limit_does_not_fill_the_memory() {
    let process = Process::start(&[], &[ANY_PORT]).await;
    let mut raw = Raw::connect(process.address).await;
    raw.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    raw.answer().await.expect(200);
    let before = process.resident_kibibytes();
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    raw.write("PUT /v1/entries/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..64 {
        raw.write(&chunk).await;
    }
    raw.answer().await.problem(413);
    let grown = process.resident_kibibytes().saturating_sub(before);
    assert!(grown < 16 << 10, "grew by {grown} KiB");
}

/// Writes requests of which many go out at once, and reads their answers; how many were well.
async fn pipelined(raw: &mut Raw, requests: &[String]) -> usize {
    let mut well = 0;
    for some in requests.chunks(100) {
        raw.write(some.concat()).await;
        for _ in some {
            well += usize::from(raw.answer().await.status < 300);
        }
    }
    well
}

#[tokio::test]
async fn a_flood_of_keys_tags_and_callers_takes_no_more_than_was_set() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let settings = "limit = \"local\"\nlimit_anonymous = 1000000\ntrusted_hops = 1\n[region.default]\nmax_bytes = 8388608";
    std::fs::write(file.path(), settings).expect("a writable file");
    let flags = [
        "--config",
        file.path().to_str().expect("text"),
        "--log",
        "off,cache_server::app=info,cache_server=info",
    ];
    let process = Process::start(&flags, &[ANY_PORT]).await;
    let mut raw = Raw::connect(process.address).await;
    let flood = |from: usize| {
        (from..from + 300).map(|number| {
            let entries: Vec<String> = (0..100)
                .map(|at| {
                    let key = number * 100 + at;
                    format!("{{\"key\":\"{key}\",\"value\":1,\"ttl\":3600,\"tags\":[\"tag {key}\"]}}")
                })
                .collect();
            let body = format!("{{\"entries\":[{}]}}", entries.join(","));
            let from = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
            let head = format!(
                "x-forwarded-for: {from}\r\ncontent-type: application/json\r\ncontent-length: {}",
                body.len()
            );
            format!("POST /v1/set-many HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n{body}")
        })
    };
    // Full, once over.
    assert_eq!(pipelined(&mut raw, &flood(0).collect::<Vec<_>>()).await, 300);
    let full = process.resident_kibibytes();
    // Three times as many of everything, and reads of what is not there and routes that are none.
    for round in 1..4 {
        assert_eq!(pipelined(&mut raw, &flood(300 * round).collect::<Vec<_>>()).await, 300);
        let misses = (0..10_000).map(|at| {
            let path = if at % 2 == 0 { "v1/entries" } else { "nowhere" };
            format!("GET /{path}/{round}-{at} HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 192.{round}.{}.{}\r\n\r\n", at >> 8, at & 255)
        });
        pipelined(&mut raw, &misses.collect::<Vec<_>>()).await;
    }
    let grown = process.resident_kibibytes().saturating_sub(full);
    assert!(grown < 8 << 10, "grew by {grown} KiB, from {full}");
    raw.write("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let scrape = raw.answer().await.expect(200).text();
    let figure = |name: &str| {
        let line =
            scrape.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().parse::<f64>().expect("a number")
    };
    assert!(figure("cache_memory_bytes{region=\"default\"}") <= 8_388_608.0);
    assert!(scrape.lines().count() < 1000, "{} lines", scrape.lines().count());
    assert!(
        !scrape.contains("tag 1") && !scrape.contains("10.0.0.1") && !scrape.contains("nowhere"),
        "{scrape}"
    );
}
