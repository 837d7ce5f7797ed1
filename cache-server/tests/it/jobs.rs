//! Jobs: long work that its client does not wait for, and asks about later.

use serde_json::{Value, json};

use crate::client::{Answer, soon};
use crate::server::Running;

const LATER: (&str, &str) = ("prefer", "respond-async, wait=5");

async fn later(server: &Running, method: &str, path: &str, body: &str) -> Answer {
    let json = [LATER, ("content-type", "application/json")];
    server.send(method, path, if body.is_empty() { &json[..1] } else { &json }, body.to_owned()).await
}

/// Asks until the job has ended.
async fn ended(server: &Running, job: &str) -> Value {
    soon(async {
        loop {
            let job = server.get(job).await.expect(200).json();
            if job["state"] != "running" {
                return job;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_job_is_answered_at_once_and_tells_what_it_came_to() {
    let server = Running::with_entry("").await;
    let begun = later(&server, "POST", "/v1/clear", "").await.expect(202);
    assert_eq!(
        (begun.header("location"), begun.header("preference-applied")),
        ("/v1/jobs/1", "respond-async")
    );
    assert_eq!(
        (&begun.json()["state"], &begun.json()["what"]),
        (&json!("running"), &json!("POST /v1/clear"))
    );
    let done = ended(&server, "/v1/jobs/1").await;
    let expected = json!({
        "id": 1, "what": "POST /v1/clear", "state": "done", "seconds": 0.0, "done": 1, "total": 1, "percent": 100.0, "status": 200,
        "answer": {"removed": 1},
    });
    assert_eq!(done, expected);

    server.put("/v1/entries/user:1", "v").await.expect(201);
    for (at, (method, path, body, status, part)) in [
        ("DELETE", "/v1/regions/default/entries?prefix=user:", "", 200, "\"removed\":1"),
        ("POST", "/api/v1/enhanced-cache/benchmark", "{\"iterations\": 10}", 200, "get_operations"),
        // What is wrong is the job's answer, as it would be the request's.
        ("POST", "/api/v1/enhanced-cache/benchmark", "{\"iterations\": 0}", 400, "iterations"),
        ("POST", "/v1/regions/none/clear", "", 404, "no region"),
    ]
    .into_iter()
    .enumerate()
    {
        let job = later(&server, method, path, body).await.expect(202).header("location").to_owned();
        assert_eq!(job, format!("/v1/jobs/{}", at + 2));
        let done = ended(&server, &job).await;
        assert_eq!((&done["state"], &done["status"]), (&json!("done"), &json!(status)), "{done}");
        assert!(done["answer"].to_string().contains(part), "{done}");
    }
    let all = server.get("/v1/jobs").await.expect(200).json();
    assert_eq!(all["jobs"].as_array().map(Vec::len), Some(5));
    // Without the wish it is waited for, and what is not long never is a job.
    server.send("POST", "/v1/clear", &[], "").await.expect(200);
    server.send("GET", "/v1/entries/none", &[LATER], "").await.problem(404);
    // One that has ended is forgotten by who removes it.
    server.delete("/v1/jobs/1").await.expect(200);
    server.get("/v1/jobs/1").await.problem(404);
    server.get("/v1/jobs/first").await.problem(400);
}

#[tokio::test]
async fn jobs_are_so_many_at_once_and_can_be_ended() {
    // A warmer that waits for an address that never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("a bound port");
    let server =
        Running::start(&format!("warming_enabled = false\n[warmer.w]\nurl = \"http://{address}/\"")).await;
    let mut jobs = Vec::new();
    for _ in 0..8 {
        let begun = later(&server, "POST", "/v1/warming/trigger", "").await.expect(202);
        jobs.push(begun.header("location").to_owned());
    }
    let refused = later(&server, "POST", "/v1/clear", "").await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(server.get(&jobs[0]).await.json()["state"], "running");
    assert_eq!(server.delete(&jobs[0]).await.expect(200).json()["state"], "cancelled");
    assert_eq!(server.get(&jobs[0]).await.expect(200).json()["state"], "cancelled");
    let again = later(&server, "POST", "/v1/clear", "").await.expect(202).header("location").to_owned();
    assert_eq!(ended(&server, &again).await["status"], 200);
}

#[tokio::test]
async fn so_many_jobs_are_remembered_and_a_token_is_asked_for_first() {
    let server = Running::start("token = \"s3cret-token\"").await;
    server.send("POST", "/v1/clear", &[LATER], "").await.problem(401);
    let right = ("authorization", "Bearer s3cret-token");
    for number in 1..=66 {
        let job = server
            .send("POST", "/v1/clear", &[LATER, right], "")
            .await
            .expect(202)
            .header("location")
            .to_owned();
        assert_eq!(job, format!("/v1/jobs/{number}"));
        soon(async {
            while server.send("GET", &job, &[right], "").await.expect(200).json()["state"] == "running" {}
        })
        .await;
    }
    server.send("GET", "/v1/jobs/2", &[right], "").await.problem(404);
    server.send("GET", "/v1/jobs/3", &[right], "").await.expect(200);
}

#[tokio::test]
async fn a_job_tells_how_far_it_is() {
    // What is asked, and how much there was to do.
    let server = Running::start("").await;
    for key in ["user:1", "user:2", "page:1"] {
        server.put(&format!("/v1/entries/{key}"), "v").await.expect(201);
    }
    server.put("/v1/regions/token/entries/other", "v").await.expect(201);
    for (method, path, body, [done, total], answer) in [
        ("DELETE", "/v1/entries?prefix=user:", "", [3, 3], json!({"removed": 2})),
        ("DELETE", "/v1/keys?pattern=p*:%3F", "", [1, 1], json!({"removed": 1})),
        (
            "POST",
            "/api/v1/enhanced-cache/warm-up",
            "{\"data\": {\"a\": 1, \"b\": 2}}",
            [2, 2],
            json!({"success": true, "stored": 2}),
        ),
        ("POST", "/v1/clear-all", "", [3, 3], json!({"removed": 3})),
        ("POST", "/v1/clear", "", [0, 0], json!({"removed": 0})),
    ] {
        let job = later(&server, method, path, body).await.expect(202).header("location").to_owned();
        let job = ended(&server, &job).await;
        let total = if total == 0 { Value::Null } else { json!(total) };
        let percent = if total.is_null() { Value::Null } else { json!(100.0) };
        assert_eq!((&job["done"], &job["total"], &job["percent"]), (&json!(done), &total, &percent), "{job}");
        assert_eq!(job["answer"], answer, "{job}");
    }
    let job = later(&server, "POST", "/api/v1/enhanced-cache/benchmark", "{\"iterations\": 2500}")
        .await
        .expect(202);
    let job = ended(&server, job.header("location")).await;
    assert_eq!((&job["done"], &job["total"]), (&json!(5000), &json!(5000)), "{job}");
}

/// A source of lines that sends what it is told and no more, so that a warmer is half way.
async fn half_a_source() -> (tokio::net::TcpListener, String) {
    let source = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = source.local_addr().expect("a bound port");
    (source, format!("warming_enabled = false\n[warmer.w]\nurl = \"http://{address}/lines\""))
}

/// Answers who asks with the beginning of many lines.
async fn begin_to_answer(source: &tokio::net::TcpListener) -> tokio::net::TcpStream {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut stream, _) = soon(source.accept()).await.expect("a warmer");
    let mut asked = [0; 4096];
    soon(stream.read(&mut asked)).await.expect("a request");
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    let lines = "{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":1}\n{\"key\"";
    stream.write_all(format!("{head}{lines}").as_bytes()).await.expect("it reads");
    stream
}

#[tokio::test]
async fn a_job_that_runs_tells_how_far_its_warmer_is() {
    let (source, toml) = half_a_source().await;
    let server = Running::start(&toml).await;
    let job =
        later(&server, "POST", "/v1/warming/trigger", "").await.expect(202).header("location").to_owned();
    let stream = begin_to_answer(&source).await;
    soon(async {
        loop {
            let job = server.get(&job).await.expect(200).json();
            if job["done"] == 2 {
                return assert_eq!(
                    (&job["state"], &job["total"]),
                    (&json!("running"), &Value::Null),
                    "{job}"
                );
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stream);
    let job = ended(&server, &job).await;
    assert_eq!(
        (&job["done"], &job["answer"]["strategies"]["w"]["success"]),
        (&json!(2), &json!(false)),
        "{job}"
    );
}

#[tokio::test]
async fn a_server_that_stops_waits_for_its_jobs_and_begins_no_more() {
    let (source, toml) = half_a_source().await;
    let mut server = Running::start(&format!("drain_timeout = \"1h\"\n{toml}")).await;
    let job =
        later(&server, "POST", "/v1/warming/trigger", "").await.expect(202).header("location").to_owned();
    let stream = begin_to_answer(&source).await;
    server.tell_to_stop();
    soon(async { while server.get("/readyz").await.status != 503 {} }).await;
    assert_eq!(server.get(&job).await.expect(200).json()["state"], "running");
    let refused = later(&server, "POST", "/v1/clear", "").await;
    assert!(refused.problem(503)["detail"].to_string().contains("stopping"), "{refused:?}");
    assert_eq!(server.get("/v1/entries/a").await.expect(200).text(), "1", "nothing is lost meanwhile");
    // It ends with its source, and the server with it.
    drop(stream);
    server.stopped().await;
}

#[tokio::test]
async fn a_job_that_the_drain_timeout_is_too_short_for_is_ended() {
    let (source, toml) = half_a_source().await;
    let mut server = Running::start(&format!("drain_timeout = \"100ms\"\n{toml}")).await;
    later(&server, "POST", "/v1/warming/trigger", "").await.expect(202);
    let stream = begin_to_answer(&source).await;
    server.tell_to_stop();
    server.stopped().await;
    drop(stream);
}

#[tokio::test]
async fn a_job_that_runs_is_not_forgotten_however_many_come_after_it() {
    let (_source, toml) = half_a_source().await;
    let server = Running::start(&toml).await;
    later(&server, "POST", "/v1/warming/trigger", "").await.expect(202);
    for number in 2..=70 {
        later(&server, "POST", "/v1/clear", "").await.expect(202);
        ended(&server, &format!("/v1/jobs/{number}")).await;
    }
    assert_eq!(server.get("/v1/jobs/1").await.expect(200).json()["state"], "running");
    server.get("/v1/jobs/2").await.problem(404);
    assert_eq!(server.get("/v1/jobs").await.json()["jobs"].as_array().map(Vec::len), Some(64));
    assert_eq!(server.delete("/v1/jobs/1").await.expect(200).json()["state"], "cancelled");
}
