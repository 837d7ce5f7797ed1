//! Warmers: from files and from other servers, at start, by interval and by hand.

use std::io::Write;

use serde_json::{Value, json};

use crate::client::soon;
use crate::server::{Running, settings};

/// What is told once a call waits for the budget.
async fn held_back(server: &Running) -> Value {
    soon(async {
        loop {
            let told = server.get("/v1/warming").await.expect(200).json();
            if told["budgets"]["supplier"]["blocked"] != 0 {
                return told;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Asks until every warmer has run so often.
async fn warmed(server: &Running, runs: u64) -> Value {
    soon(async {
        loop {
            let metrics = server.get("/cache/warming/metrics").await.expect(200).json();
            let all = metrics["strategies"].as_object().expect("strategies");
            let is_done =
                |warmer: &Value| warmer["is_running"] == false && warmer["runs"].as_u64() >= Some(runs - 1);
            if !all.is_empty() && all.values().all(is_done) {
                return metrics;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_server_is_warmed_at_start_by_its_file_and_by_another_server_and_says_so() {
    let peer = Running::start("token = \"peer-secret\"").await;
    let bearer = [("authorization", "Bearer peer-secret")];
    peer.send("PUT", "/v1/entries/from-peer?tags=t", &bearer, "value").await.expect(201);
    let mut token = tempfile::NamedTempFile::new().expect("a file");
    token.write_all(b"peer-secret\n").expect("room");
    let mut lines = tempfile::NamedTempFile::new().expect("a file");
    // More than is read at once.
    for number in 0..3000 {
        writeln!(
            lines,
            "{}",
            json!({"key": format!("k{number}"), "value": {"number": number, "text": "t".repeat(40)}})
        )
        .expect("room");
    }
    let toml = format!(
        "warming_interval = \"1h\"\n[region.products]\n[warmer.products]\nfile = {:?}\nregion = \"products\"\n\
         [warmer.peer]\nurl = \"http://{}/v1/export\"\ntoken_file = {:?}\n",
        lines.path(),
        peer.address,
        token.path()
    );
    let server = Running::start(&toml).await;
    let metrics = warmed(&server, 1).await;
    let once = |items: u64| json!({"success": true, "items_processed": items, "duration_seconds": 0.0, "errors": [], "is_running": false, "runs": 0});
    let expected = json!({
        "enabled": true, "interval_seconds": 3600.0, "max_concurrent": 5,
        "strategies": {"products": once(3000), "peer": once(1)},
    });
    let seen: Value = ["enabled", "interval_seconds", "max_concurrent", "strategies"]
        .into_iter()
        .map(|name| (name.to_owned(), metrics[name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(seen, expected);
    assert_eq!((&metrics["scheduler"]["scheduled"], &metrics["budgets"]), (&json!(2), &json!({})));
    assert_eq!(server.get("/v1/regions/products/entries/k2999").await.expect(200).json()["number"], 2999);
    assert_eq!(server.get("/v1/entries/from-peer").await.expect(200).text(), "value");
    assert_eq!(server.get("/v1/tags/t").await.json()["count"], 1);

    server.delete("/v1/entries/from-peer").await.expect(200);
    let triggered = server
        .json("POST", "/cache/warming/trigger", json!({"strategies": ["peer"]}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (
            &triggered["strategies"]["peer"]["runs"],
            triggered["strategies"].as_object().map(serde_json::Map::len)
        ),
        (&json!(1), Some(1))
    );
    server.get("/v1/entries/from-peer").await.expect(200);
    assert_eq!(
        server.send("POST", "/v1/warming/trigger", &[], "").await.expect(200).json()["strategies"]["products"]
            ["runs"],
        1
    );
    let unknown =
        server.json("POST", "/v1/warming/trigger", json!({"strategies": ["none"]})).await.problem(404);
    assert_eq!(unknown["field"], "strategies");
    assert!(unknown["detail"].to_string().contains("peer, products"), "{unknown}");
}

#[tokio::test]
async fn what_goes_wrong_is_told_of_its_warmer_and_is_in_nobodys_way() {
    let mut lines = tempfile::NamedTempFile::new().expect("a file");
    writeln!(lines, "{}\n{{\"key\": \"secret-key\"}}", json!({"key": "a", "value": 1})).expect("room");
    let peer = Running::start("token = \"peer-secret\"").await;
    let toml = format!(
        "warming_max_concurrent = 1\n[warmer.wrong]\nfile = {:?}\n[warmer.missing]\nfile = \"/nowhere/lines\"\n\
         [warmer.homeless]\nfile = {0:?}\nregion = \"none\"\n[warmer.refused]\nurl = \"http://{1}/v1/export\"\n\
         [warmer.silent]\nurl = \"http://127.0.0.1:1/lines\"\n",
        lines.path(),
        peer.address
    );
    let server = Running::start(&toml).await;
    // All five have ended.
    let strategies = soon(async {
        loop {
            let metrics = warmed(&server, 1).await;
            if metrics["strategies"].as_object().is_some_and(|all| all.len() == 5) {
                return metrics["strategies"].clone();
            }
        }
    })
    .await;
    for (name, part) in [
        ("wrong", "line 2: value: an entry needs either value or base64"),
        ("missing", "/nowhere/lines: No such file"),
        ("homeless", "there is no region named \"none\""),
        ("refused", "has answered with 401"),
        ("silent", "127.0.0.1:1 cannot be reached"),
    ] {
        assert_eq!(strategies[name]["success"], false, "{name}");
        let error = strategies[name]["errors"][0].as_str().expect("an error");
        assert!(error.contains(part) && !error.contains("secret"), "{name}: {error}");
    }
    assert_eq!(strategies["wrong"]["items_processed"], 1);
    server.get("/v1/entries/a").await.expect(200);
    server.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn warmers_that_are_off_run_by_hand_alone_and_a_server_without_any_says_so() {
    let mut lines = tempfile::NamedTempFile::new().expect("a file");
    writeln!(lines, "{}", json!({"key": "a", "value": 1})).expect("room");
    let server =
        Running::start(&format!("warming_enabled = false\n[warmer.w]\nfile = {:?}", lines.path())).await;
    let metrics = server.get("/v1/warming").await.expect(200).json();
    assert_eq!((&metrics["enabled"], &metrics["strategies"]), (&json!(false), &json!({})));
    server.get("/v1/entries/a").await.problem(404);
    server.json("POST", "/cache/warming/trigger", json!({})).await.expect(200);
    server.get("/v1/entries/a").await.expect(200);
    let bare = Running::start("").await;
    assert_eq!(
        bare.send("POST", "/cache/warming/trigger", &[], "").await.expect(200).json()["strategies"],
        json!({})
    );
    bare.json("POST", "/cache/warming/trigger", json!({"strategies": ["w"]})).await.problem(404);
}

#[tokio::test]
async fn a_source_that_hangs_is_given_up_after_the_deadline_and_keeps_no_place() {
    let mut lines = tempfile::NamedTempFile::new().expect("a file");
    writeln!(lines, "{}", json!({"key": "a", "value": 1})).expect("room");
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    // It takes connections, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = silent.local_addr().map(|address| format!("http://{address}/lines")).expect("a bound port");
    let toml = format!(
        "warming_max_concurrent = 1\nwarming_deadline = \"200ms\"\n[warmer.a-pipe]\nfile = {pipe:?}\n\
         [warmer.b-source]\nurl = {url:?}\ndeadline = \"100ms\"\n[warmer.works]\nfile = {:?}\n",
        lines.path()
    );
    let server = Running::start(&toml).await;
    let _guard = LetsGo(pipe);
    for _ in 0..3 {
        let told = server.send("POST", "/v1/warming/trigger", &[], "").await.expect(200).json();
        let told = told["strategies"].clone();
        let because = |name: &str| told[name]["errors"].to_string();
        assert!(because("a-pipe").contains("it took longer than its deadline of 200ms"), "{told}");
        assert!(because("b-source").contains("deadline of 100ms"), "{told}");
        assert!(told["works"]["success"] == true, "{told}");
    }
}

/// Lets the thread go that waits in a pipe, for which the runtime would wait.
struct LetsGo(std::path::PathBuf);

impl Drop for LetsGo {
    fn drop(&mut self) {
        drop(std::fs::OpenOptions::new().read(true).write(true).open(&self.0));
    }
}

#[test]
fn a_warmer_that_cannot_work_stops_the_start() {
    for (toml, part) in [
        ("[warmer.w]", "warmer.w needs one of file and url"),
        ("[warmer.w]\nfile = \"a\"\nurl = \"http://b\"", "needs one of file and url"),
        ("[warmer.w]\nurl = \"ftp://b/\"", "https://cache.example/v1/export"),
        ("[warmer.w]\nurl = \"http://b/\"\nca_file = \"x\"", "ca_file = \"x\": is for TLS"),
        (
            "[warmer.w]\nurl = \"https://b/\"\nca_file = \"/no/such\"",
            "ca_file = \"/no/such\": cannot be read",
        ),
        ("[warmer.w]\nurl = \"http://user:pw@b/\"", "without user and password"),
        ("[warmer.w]\nfile = \"a\"\nevery = 5", "every"),
        ("[warmer.\"a b\"]\nfile = \"a\"", "not a name"),
        ("[warmer.w]\nfile = \"a\"\ninterval = \"soon\"", "interval"),
        ("[warmer.w]\nfile = \"a\"\ndeadline = 0", "warmer.w.deadline = \"0\": expected more than zero"),
        ("warming_deadline = \"2d\"", "warming_deadline"),
        ("warming_max_concurrent = 0", "warming_max_concurrent"),
        ("[warmer.w]\nfile = \"a\"\nbudget = \"b\"", "budget = \"b\": expected the name of a budget"),
        ("[budget.b]", "budget.b.limit is missing"),
        ("[budget.b]\nlimit = 0", "budget.b.limit = \"0\": expected a whole number of calls, at least 1"),
        ("[budget.b]\nlimit = 5\nwindow = \"1ms\"", "budget.b.window = \"1ms\": expected at least a second"),
        (
            "[budget.b]\nlimit = 5\nburst_window = \"1s\"",
            "burst_window is given and budget.b.burst_limit is not",
        ),
        ("[budget.b]\nlimit = 5\nburst_limit = 5", "burst_window has to be shorter"),
        ("[budget.\"a.b\"]\nlimit = 5", "not a name"),
        ("[budget.b]\nlimits = 5", "did you mean `limit`?"),
    ] {
        let error = cache_server::Settings::from_toml(toml).expect_err(toml).to_string();
        assert!(error.contains(part), "{toml}: {error}");
    }
    assert_eq!(settings("[warmer.w]\nfile = \"a\"").warming.warmers["w"].region, "default");
}

/// A source that counts who asks, and answers with a line or what it is told.
async fn source(answer: &'static str) -> (String, std::sync::Arc<std::sync::atomic::AtomicU64>) {
    use std::sync::atomic::Ordering::SeqCst;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/lines", listener.local_addr().expect("a bound port"));
    let calls = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
    let counted = std::sync::Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, calls)
}

#[tokio::test]
async fn a_budget_bounds_the_calls_of_warmers_and_is_told_with_what_is_put_off() {
    let (url, calls) =
        source("HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{\"key\":\"a\",\"value\":1}").await;
    let server = Running::start(&format!(
        "warming_interval = \"1h\"\n[budget.supplier]\nlimit = 3\nwindow = \"1h\"\n\
         [warmer.one]\nurl = {url:?}\nbudget = \"supplier\"\n[warmer.two]\nurl = {url:?}\nbudget = \"supplier\""
    ))
    .await;
    let told = warmed(&server, 1).await;
    assert_eq!(told["strategies"].as_object().map(serde_json::Map::len), Some(2), "{told}");
    for _ in 0..2 {
        let body = json!({"strategies": ["one"]});
        let job = server
            .send(
                "POST",
                "/v1/warming/trigger",
                &[("prefer", "respond-async"), ("content-type", "application/json")],
                body.to_string(),
            )
            .await;
        job.expect(202);
    }
    // The third call is admitted; the fourth waits for its budget, and is told of.
    let told = held_back(&server).await;
    let budget = &told["budgets"]["supplier"];
    assert_eq!(
        (&budget["limit"], &budget["window_seconds"], &budget["used"]),
        (&json!(3), &json!(3600.0), &json!(3)),
        "{told}"
    );
    assert_eq!(
        (&budget["in_use"], &budget["refused"], &budget["pace"]),
        (&json!(1.0), &json!(0), &json!(1.0)),
        "{told}"
    );
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 3);
    let scrape = server.get("/metrics").await.expect(200).text();
    assert!(scrape.contains("cache_budget_calls_total{budget=\"supplier\",result=\"used\"} 3"), "{scrape}");
    assert!(scrape.contains("cache_refresh_runs_total{result=\"done\"} 3"), "{scrape}");
}

#[tokio::test]
async fn a_source_that_refuses_is_left_alone_for_as_long_as_it_says() {
    let (url, calls) =
        source("HTTP/1.1 429 Too Many Requests\r\nretry-after: 600\r\ncontent-length: 0\r\n\r\n").await;
    let server = Running::start(&format!(
        "[budget.supplier]\nlimit = 100\n[warmer.w]\nurl = {url:?}\nbudget = \"supplier\""
    ))
    .await;
    let told = warmed(&server, 1).await;
    assert!(told["strategies"]["w"]["errors"].to_string().contains("429"), "{told}");
    server.send("POST", "/v1/warming/trigger", &[("prefer", "respond-async")], "").await.expect(202);
    let told = held_back(&server).await;
    let budget = &told["budgets"]["supplier"];
    assert_eq!((&budget["refused"], &budget["pace"]), (&json!(1), &json!(0.5)), "{told}");
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1, "it is not asked again");
}
