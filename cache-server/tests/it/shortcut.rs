//! The shortcut of plain reads: nobody can tell which way an answer came, and each is counted once.
//!
//! A condition that nothing fulfils sends a read the long way, so the same request is made both ways.

use std::time::Duration;

use crate::client::Answer;
use crate::server::Running;

const LONG_WAY: (&str, &str) = ("if-none-match", "\"none\"");

/// Both answers to a read, the one of the shortcut first.
async fn both(server: &Running, path: &str, headers: &[(&str, &str)]) -> [Answer; 2] {
    let long = [headers, &[LONG_WAY]].concat();
    [server.send("GET", path, headers, "").await, server.send("GET", path, &long, "").await]
}

#[track_caller]
fn alike([short, long]: [Answer; 2], path: &str) -> Answer {
    let told = |answer: &Answer| {
        let mut headers: Vec<_> =
            answer.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        headers.retain(|(name, _)| name != "date");
        headers.sort_by_key(|(name, _)| name.as_str().to_owned());
        (answer.status, headers, answer.body.clone())
    };
    assert_eq!(told(&short), told(&long), "{path}");
    short
}

async fn fill(server: &Running) {
    for path in [
        "/v1/entries/plain",
        "/v1/entries/brief?ttl=10s",
        "/v1/entries/caf%C3%A9",
        "/v1/regions/token/entries/plain?ttl=1m",
    ] {
        server.put(path, format!("value of {path}")).await.expect(201);
    }
    server.put("/v1/entries/empty", "").await.expect(201);
}

#[tokio::test]
async fn a_read_is_answered_alike_whichever_way_it_goes() {
    let server = Running::start("").await;
    fill(&server).await;
    let long_key = format!("/v1/entries/{}", "x".repeat(1025));
    let cases: &[(&str, u16)] = &[
        ("/v1/entries/plain", 200),
        ("/v1/entries/plain?whatever=1", 200),
        ("/v1/entries/brief", 200),
        ("/v1/entries/empty", 200),
        ("/v1/entries/caf%C3%A9", 200),
        ("/v1/entries/pl%61in", 200),
        ("/v1/regions/token/entries/plain", 200),
        ("/v1/regions/default/entries/plain", 200),
        ("/v1/regions/tok%65n/entries/plain", 200),
        ("/v1/entries/missing", 404),
        ("/v1/regions/report/entries/plain", 404),
        ("/v1/regions/nowhere/entries/plain", 404),
        ("/v1/regions//entries/plain", 404),
        ("/v1/regions/token/other/entries/plain", 404),
        ("/v1/regions/token/entries", 405),
        ("/v1/entries/plain/", 404),
        ("/v1/entries/plain/nothing", 404),
        ("/v1//entries/plain", 404),
        ("/v1/entries/", 400),
        ("/v1/entries/%00", 400),
        (&long_key, 400),
    ];
    for (path, status) in cases {
        alike(both(&server, path, &[]).await, path).expect(*status);
    }
    // A page that names this machine by a name of its own goes no further by either way.
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"] {
        let answers = both(&server, "/v1/entries/plain", &[("host", host)]).await;
        alike(answers, host).problem(403);
    }
    for host in
        ["localhost", "LOCALHOST:7400", "127.0.0.1", "[::1]:80", "10.0.0.7:1", "localhost:", "localhost:1:2"]
    {
        alike(both(&server, "/v1/entries/plain", &[("host", host)]).await, host).expect(200);
    }
    server.clock.advance(Duration::from_secs(11));
    alike(both(&server, "/v1/entries/brief", &[]).await, "an ended life").expect(404);
}

#[tokio::test]
async fn tokens_are_asked_for_on_either_way() {
    let server = Running::start("token = \"s3cret-token\"").await;
    let right = ("authorization", "Bearer s3cret-token");
    server.send("PUT", "/v1/entries/k", &[right], "value").await.expect(201);
    for (headers, status) in [(&[right][..], 200), (&[], 401), (&[("authorization", "Bearer other")], 401)] {
        for path in ["/v1/entries/k", "/v1/regions/default/entries/k"] {
            alike(both(&server, path, headers).await, path).expect(status);
        }
    }
    let named = [right, ("host", "cache.internal")];
    alike(both(&server, "/v1/entries/k", &named).await, "with a token any name will do").expect(200);
}

#[tokio::test]
async fn every_read_is_counted_once() {
    let server = Running::start("").await;
    fill(&server).await;
    let counts = async || {
        let region = server.get("/v1/regions/default").await.expect(200).json();
        let metrics = server.get("/metrics").await.expect(200).text();
        let answers = |status: u16| {
            let line =
                format!("cache_http_requests_total{{route=\"/v1/entries/{{key}}\",status=\"{status}\"}} ");
            let found = metrics.lines().find_map(|found| found.strip_prefix(line.as_str()));
            found.map_or(0, |count| count.parse::<u64>().expect("a count"))
        };
        let of = |name: &str| region["stats"][name].as_u64().expect("a count");
        [of("hits"), of("misses"), answers(200), answers(404)]
    };
    let before = counts().await;
    for path in ["/v1/entries/plain", "/v1/entries/missing"] {
        for _ in 0..3 {
            both(&server, path, &[]).await;
        }
    }
    let after = counts().await;
    let counted: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(counted, [6, 6, 6, 6]);
}

#[tokio::test]
async fn a_read_that_names_no_host_or_two_is_refused_before_it_is_answered() {
    let server = Running::start("").await;
    fill(&server).await;
    for hosts in [
        "",
        "host: localhost\r\nhost: localhost\r\n",
        "host: localhost\r\nhost: evil.example\r\n",
        "host: a b\r\n",
    ] {
        let mut raw = server.raw().await;
        raw.write(format!("GET /v1/entries/plain HTTP/1.1\r\n{hosts}\r\n")).await;
        let refused = raw.answer().await;
        assert!(refused.problem(400)["detail"].to_string().contains("Host"), "{hosts:?}: {refused:?}");
        assert_eq!((refused.header("connection"), raw.rest().await.as_str()), ("close", ""), "{hosts:?}");
    }
}
