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
    let expected = json!({"id": 1, "what": "POST /v1/clear", "state": "done", "seconds": 0.0, "status": 200, "answer": {"removed": 1}});
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
