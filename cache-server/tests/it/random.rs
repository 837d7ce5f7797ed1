//! Whatever comes: no input makes the server fail, and every refusal is a problem.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use cache_server::{Server, Settings};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use tower::ServiceExt;

use crate::client::Answer;
use crate::server::settings;

const CASES: u32 = 400;

/// The server's routes, without a socket.
struct Routes {
    runtime: Runtime,
    router: Router,
}

impl Routes {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = Server::new(settings("max_connections = 1000000")).expect("default regions");
        Self { runtime, router: server.router() }
    }

    fn ask(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Result<(), TestCaseError> {
        let request = Request::builder().method(method).uri(path).header("content-type", content_type);
        let Ok(request) = request.body(Body::from(body)) else { return Ok(()) };
        let answer = self.runtime.block_on(async {
            Answer::of(self.router.clone().oneshot(request).await.expect("infallible")).await
        });
        prop_assert!(answer.status < 500, "{method} {path}: {}", answer.text());
        let is_problem = answer.header("content-type") == "application/problem+json";
        prop_assert_eq!(answer.status >= 400, is_problem, "{} {}: {}", method, path, answer.text());
        Ok(())
    }
}

fn check<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&strategy, test).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Bytes that are JSON, nearly JSON, or nothing.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "true",
        "-1",
        "1e999",
        "\"keys\"",
        "\"entries\"",
        "\"key\"",
        "\"value\"",
        "\"base64\"",
        "\"ttl\"",
        "\"tags\"",
        "\"all\"",
        "\"prefix\"",
        "\"region\"",
        "\"policy\"",
        "\"max_bytes\"",
        "\"default\"",
        "\\u0000",
        "\"\\ud800\"",
        " ",
    ]);
    let built = prop::collection::vec(words, 0..20).prop_map(|words| words.concat().into_bytes());
    prop_oneof![built, shaped(), prop::collection::vec(any::<u8>(), 0..200)]
}

/// Objects of the right fields with values of any type.
fn shaped() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        any::<f64>().prop_map(|number| serde_json::json!(number)),
        any::<i64>().prop_map(|number| serde_json::json!(number)),
        any::<String>().prop_map(serde_json::Value::from),
        prop::collection::vec(any::<String>(), 0..3).prop_map(serde_json::Value::from),
        Just(serde_json::json!([{"key": "k", "value": [1]}, {"key": "l", "base64": "AA=="}])),
        Just(serde_json::json!(true)),
    ];
    let field = prop::sample::select(vec![
        "keys",
        "entries",
        "ttl",
        "tags",
        "prefix",
        "region",
        "all",
        "max_entries",
        "max_bytes",
        "policy",
    ]);
    let object = prop::collection::btree_map(field.prop_map(str::to_owned), value, 0..3);
    object.prop_map(|object| serde_json::to_vec(&object).expect("finite or null"))
}

#[test]
fn no_body_makes_a_parser_fail() {
    let routes = Routes::new();
    let targets = prop::sample::select(vec![
        ("PATCH", "/v1/entries/k"),
        ("PUT", "/v1/entries/k"),
        ("POST", "/v1/get-many"),
        ("POST", "/v1/set-many"),
        ("POST", "/v1/regions/token/set-many"),
        ("POST", "/v1/delete-many"),
        ("PUT", "/v1/regions/new"),
        ("POST", "/cache/invalidate"),
    ]);
    check((targets, bodies()), |((method, path), body)| routes.ask(method, path, "application/json", body));
}

#[test]
fn no_path_and_no_query_make_a_route_fail() {
    let routes = Routes::new();
    let methods = prop::sample::select(vec!["GET", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "BREW"]);
    let begins = prop::sample::select(vec![
        "/",
        "/v1/",
        "/v1/entries/",
        "/v1/entries",
        "/v1/tags/",
        "/v1/regions/",
        "/v1/regions/token/entries/",
        "/cache/",
    ]);
    let escaped = prop::collection::vec(any::<u8>(), 0..30)
        .prop_map(|bytes| percent_encode(&bytes, NON_ALPHANUMERIC).to_string());
    let texts = prop_oneof![escaped, "[a-z0-9/%?&=.,;:+~!-]{0,40}"];
    let queries = prop_oneof![
        Just(String::new()),
        "\\?(ttl|tags|priority|prefix)=[a-z0-9%,&=-]{0,30}",
        texts.clone().prop_map(|text| format!("?ttl={text}")),
    ];
    check((methods, begins, texts, queries), |(method, begin, text, query)| {
        routes.ask(method, &format!("{begin}{text}{query}"), "text/plain", b"v".to_vec())
    });
}

#[test]
fn no_text_makes_the_settings_parser_fail() {
    let lines = prop::sample::select(vec![
        "listen = ",
        "token = ",
        "profile = ",
        "log = ",
        "max_connections = ",
        "drain_timeout = ",
        "[region.a]\n",
        "max_entries = ",
        "[ttl]\n",
        "hot = ",
        "\"x\"\n",
        "5\n",
        "-1\n",
        "{}\n",
        "[]\n",
        "\"forever\"\n",
        "1979-05-27\n",
        "=",
        "[",
        "'",
    ]);
    let built = prop::collection::vec(lines, 0..12).prop_map(|lines| lines.concat());
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let any_text = bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    check(prop_oneof![built, any_text], |text| {
        if let Err(error) = Settings::from_toml(&text) {
            let said = error.to_string();
            prop_assert!(said.starts_with("settings:") || said.starts_with("profile"), "{}", said);
            prop_assert!(!said.contains('\n'), "{}", said);
        }
        Ok(())
    });
}
