//! `MessagePack` beside JSON: the same bodies, limits and errors, and bytes as they are.

use serde::Serialize;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::server::Running;

const MSGPACK: &str = "application/msgpack";

fn packed(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("small")
}

#[track_caller]
fn unpacked(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (200, MSGPACK), "{}", answer.text());
    rmp_serde::from_slice(&answer.body).expect("MessagePack")
}

async fn post(server: &Running, path: &str, body: Vec<u8>) -> Answer {
    server.send("POST", path, &[("content-type", MSGPACK), ("accept", MSGPACK)], body).await
}

/// An entry whose value is bytes.
#[derive(Serialize)]
struct Raw<'a> {
    key: &'a str,
    #[serde(serialize_with = "bytes")]
    bytes: &'a [u8],
    content_type: &'a str,
}

/// What is stored together.
#[derive(Serialize)]
struct Many<'a> {
    entries: [Raw<'a>; 1],
}

fn bytes<S: serde::Serializer>(bytes: &[u8], output: S) -> Result<S::Ok, S::Error> {
    output.serialize_bytes(bytes)
}

#[tokio::test]
async fn what_is_packed_is_the_same_as_what_is_written_in_json() {
    let server = Running::start("").await;
    let entries = json!({"entries": [
        {"key": "json", "value": {"price": 1.5, "list": [1, null, -7, u64::MAX]}, "ttl": 60, "tags": ["a"], "cost": 0.5,
         "metadata": {"by": "job"}},
        {"key": "null", "value": null, "ttl": "1h"},
    ]});
    assert_eq!(unpacked(&post(&server, "/v1/set-many", packed(&entries)).await), json!({"stored": 2}));
    let image = Raw { key: "image", bytes: b"\x00\xff\xfe", content_type: "image/png" };
    assert_eq!(
        unpacked(&post(&server, "/v1/set-many", packed(&Many { entries: [image] })).await),
        json!({"stored": 1})
    );
    assert_eq!(server.get("/v1/entries/image").await.expect(200).body.as_ref(), b"\x00\xff\xfe");
    assert_eq!(server.get("/v1/entries/json").await.expect(200).json(), entries["entries"][0]["value"]);

    let keys = json!({"keys": ["json", "null", "none"]});
    let written = server.json("POST", "/v1/get-many", keys.clone()).await.expect(200);
    assert_eq!(unpacked(&post(&server, "/v1/get-many", packed(&keys)).await), written.json());
    let image = post(&server, "/v1/get-many", packed(&json!({"keys": ["image"]}))).await.expect(200);
    let bytes = b"\xa5bytes\xc4\x03\x00\xff\xfe";
    assert!(image.body.windows(bytes.len()).any(|window| window == bytes), "{image:?}");
    assert_eq!(unpacked(&post(&server, "/v1/delete-many", packed(&keys)).await), json!({"removed": 2}));
}

#[tokio::test]
async fn the_client_chooses_the_form_of_every_structured_answer() {
    let server = Running::with_entry("").await;
    for path in
        ["/v1/stats", "/v1/regions", "/v1/keys", "/v1/entries/kept/meta", "/health", "/api/cache/metrics"]
    {
        let answer = server.send("GET", path, &[("accept", MSGPACK)], "").await;
        assert!(unpacked(&answer).is_object(), "{path}");
        assert_eq!(answer.header("vary"), "accept");
        let json = server.send("GET", path, &[("accept", "application/json, application/msgpack")], "").await;
        assert_eq!(json.expect(200).header("content-type"), "application/json");
        server.send("GET", path, &[("accept", "text/html")], "").await.problem(406);
    }
    // Raw values are of the type that they were stored with.
    let raw = server.send("GET", "/v1/entries/kept", &[("accept", "image/png")], "").await.expect(200);
    assert_eq!(raw.header("content-type"), "text/plain");
    // An error is a problem in whatever form was asked for.
    server.send("GET", "/v1/regions/none", &[("accept", MSGPACK)], "").await.problem(404);
}

#[tokio::test]
async fn what_cannot_be_answered_or_read_changes_nothing() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let nobody = [("accept", "image/png"), ("content-type", "application/json")];
    server.send("POST", "/v1/clear", &nobody[..1], "").await.problem(406);
    server.send("POST", "/v1/delete-many", &nobody, "{\"keys\": [\"kept\"]}").await.problem(406);
    let deep =
        [b"\x81\xa7entries\x91\x82\xa3key\xa1k\xa5value".to_vec(), vec![0x91; 200], vec![0xc0]].concat();
    let good = packed(&json!({"keys": ["kept"]}));
    let cases = [
        ("/v1/set-many", deep, "128 levels"),
        ("/v1/delete-many", [&good[..], b"\x00"].concat(), "goes on after"),
        ("/v1/delete-many", good[..good.len() - 1].to_vec(), "breaks off"),
        ("/v1/delete-many", packed(&["kept"]), ""),
        ("/v1/delete-many", packed(&json!({"keys": ["kept"], "more": 1})), "unknown field `more`"),
        ("/v1/delete-many", packed(&json!({"keys": [1]})), "expected a string"),
        ("/v1/delete-many", b"\xdf\xff\xff\xff\xff".to_vec(), ""),
        ("/v1/delete-many", b"{\"keys\": [\"kept\"]}".to_vec(), ""),
        ("/v1/set-many", packed(&json!({"entries": [{"key": "kept", "bytes": "text"}]})), ""),
    ];
    for (path, body, part) in cases {
        let detail = post(&server, path, body).await.problem(400)["detail"].to_string();
        assert!(detail.contains(part), "{path}: {detail}");
    }
    let other = [("content-type", "application/cbor")];
    let detail =
        server.send("POST", "/v1/delete-many", &other, good).await.problem(415)["detail"].to_string();
    assert!(detail.contains("application/msgpack"), "{detail}");
    assert_eq!(server.state().await, before);
}
