//! Acts of administrators on a port of their own, or on none.

use std::net::SocketAddr;

use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::client::{Answer, send};
use crate::contract;
use crate::process::{ANY_PORT, Process};
use crate::server::Running;

/// What the document says of acts of administrators, and of nothing else.
const FOR_ADMINS: &str = "For the role admin.";
const ELSEWHERE: &str = "acts of administrators are not answered here";

async fn ask(address: SocketAddr, method: &str, path: &str, token: Option<&str>) -> Answer {
    let path =
        path.replace("{region}", "none").replace("{key}", "k").replace("{tag}", "t").replace("{id}", "1");
    let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    send(address, request.body(Full::default()).expect("a legal request")).await
}

/// The operations of a document that are for administrators, and how many others there are.
fn operations(document: &Value) -> (Vec<(String, String)>, usize) {
    let (mut admin, mut others) = (Vec::new(), 0);
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if operation["description"] == FOR_ADMINS {
                admin.push((method.clone(), path.clone()));
            } else {
                others += 1;
            }
        }
    }
    (admin, others)
}

fn is_elsewhere(answer: &Answer) -> bool {
    answer.status == 404 && answer.text().contains(ELSEWHERE)
}

#[tokio::test]
async fn acts_of_administrators_are_answered_on_their_own_port_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let admin = listener.local_addr().expect("a bound port");
    let token = Some("s3cret-token");
    let settings = "token = \"s3cret-token\"\nadmin_listen = \"127.0.0.1:0\"";
    let mut server = Running::start_with(settings, |server| server.with_admin(listener)).await;
    let (all, others) = operations(contract::document());
    assert!(all.len() >= 15 && others > 60, "{} and {others}", all.len());
    for (method, path) in &all {
        for token in [None, Some("wrong"), token] {
            let answer = ask(server.address, method, path, token).await;
            assert!(is_elsewhere(&answer), "{method} {path}: {}", answer.text());
            answer.problem(404);
        }
        ask(admin, method, path, None).await.problem(401);
        let answer = ask(admin, method, path, token).await;
        assert!(!is_elsewhere(&answer), "{method} {path}");
    }
    // Whoever works there needs no other port.
    for address in [server.address, admin] {
        ask(address, "put", "/v1/entries/k", token).await;
        ask(address, "get", "/v1/entries/k", token).await.expect(200);
        ask(address, "get", "/v1/regions/default", token).await.expect(200);
        ask(address, "get", "/metrics", token).await.expect(200);
        for open in ["/livez", "/readyz", "/health", "/"] {
            ask(address, "get", open, None).await.expect(200);
        }
    }
    // What each port says of itself is so.
    let document = |answer: Answer| answer.expect(200).json();
    let here = document(ask(server.address, "get", "/v1/openapi.json", None).await);
    assert_eq!(operations(&here), (Vec::new(), others));
    assert_eq!(document(ask(admin, "get", "/v1/openapi.json", None).await), *contract::document());

    server.tell_to_stop();
    server.stopped().await;
    assert!(tokio::net::TcpStream::connect(admin).await.is_err(), "both ports are closed");
}

#[tokio::test]
async fn acts_of_administrators_can_be_switched_off() {
    let server = Running::with_entry("admin_listen = \"off\"").await;
    let before = server.state().await;
    let (all, others) = operations(contract::document());
    for (method, path) in &all {
        let answer = ask(server.address, method, path, None).await;
        assert!(is_elsewhere(&answer), "{method} {path}: {}", answer.text());
    }
    assert_eq!(server.state().await, before);
    let document = server.get("/v1/openapi.json").await.expect(200).json();
    assert_eq!(operations(&document), (Vec::new(), others));
    server.delete("/v1/entries/kept").await.expect(200);
}

#[tokio::test]
async fn the_process_says_where_administrators_are_answered_and_takes_another_port_at_a_start_alone() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "admin_listen = \"127.0.0.1:0\"\n").expect("written");
    let config = ["--config", file.path().to_str().expect("text")];
    let mut process = Process::start(&config, &[ANY_PORT]).await;
    let line = process.says("administrators are answered on http://").await;
    let (_, said) = line.split_once("http://").expect("an address");
    let admin = said.split(['"', '\u{1b}']).next().expect("an address").parse().expect("an address");
    ask(admin, "post", "/v1/clear", None).await.expect(200);
    ask(process.address, "post", "/v1/clear", None).await.problem(404);
    std::fs::write(file.path(), "admin_listen = \"off\"\n").expect("written");
    process.signal("-HUP").await;
    process.says("what has changed of admin_listen takes a restart").await;
    ask(admin, "post", "/v1/clear", None).await.expect(200);
}
