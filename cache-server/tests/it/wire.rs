//! The wire: what bytes on a socket mean, however they arrive.

use crate::server::Running;

#[tokio::test]
async fn a_chunked_body_is_stored_whole() {
    let server = Running::start("").await;
    let mut raw = server.raw().await;
    raw.write("PUT /v1/entries/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n").await;
    raw.write("3\r\nabc\r\n").await;
    raw.write("4\r\ndefg\r\n0\r\n\r\n").await;
    raw.answer().await.expect(201);
    raw.write("GET /v1/entries/k HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.expect(200).text(), "abcdefg");
}

#[tokio::test]
async fn a_request_with_two_meanings_is_refused_and_its_connection_closed() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let smuggled = "DELETE /v1/entries/kept HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for ambiguous in [
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "content-length: -5\r\n\r\n",
        "transfer-encoding: chunked, gzip\r\n\r\n",
        "x\0: y\r\n\r\n",
    ] {
        let mut raw = server.raw().await;
        let request = format!("PUT /v1/entries/other HTTP/1.1\r\nhost: localhost\r\n{ambiguous}{smuggled}");
        raw.write(request).await;
        let answered = raw.rest().await;
        assert!(answered.starts_with("HTTP/1.1 400"), "{ambiguous:?}: {answered}");
        assert_eq!(answered.matches("HTTP/1.1").count(), 1, "{ambiguous:?}: {answered}");
        assert_eq!(server.state().await, before, "{ambiguous:?}");
    }
}

#[tokio::test]
async fn chunks_win_over_a_length_and_nothing_behind_them_is_a_request() {
    let server = Running::with_entry("").await;
    let mut raw = server.raw().await;
    let both = "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let smuggled = "DELETE /v1/entries/kept HTTP/1.1\r\nhost: localhost\r\n\r\n";
    raw.write(format!("PUT /v1/entries/other HTTP/1.1\r\nhost: localhost\r\n{both}{smuggled}")).await;
    let answered = raw.rest().await;
    assert_eq!(answered.matches("HTTP/1.1").count(), 1, "{answered}");
    assert!(answered.contains("connection: close"), "{answered}");
    assert_eq!(server.get("/v1/entries/kept").await.expect(200).text(), "value");
}

#[tokio::test]
async fn a_request_that_names_no_host_or_two_is_refused_and_its_connection_closed() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let smuggled = "DELETE /v1/entries/kept HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for hosts in ["", "host: localhost\r\nhost: localhost\r\n", "host: localhost/\r\n", "host: a b\r\n"] {
        let mut raw = server.raw().await;
        raw.write(format!("DELETE /v1/entries/kept HTTP/1.1\r\n{hosts}\r\n{smuggled}")).await;
        let answered = raw.rest().await;
        assert!(answered.starts_with("HTTP/1.1 400"), "{hosts:?}: {answered}");
        assert_eq!(answered.matches("\r\n\r\n").count(), 1, "{hosts:?}: {answered}");
        assert_eq!(server.state().await, before, "{hosts:?}");
    }
    let mut old = server.raw().await;
    old.write("GET /v1/entries/kept HTTP/1.0\r\n\r\n").await;
    assert!(old.rest().await.ends_with("value"), "HTTP/1.0 knows no Host");
}

#[tokio::test]
async fn a_broken_chunk_stores_nothing() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    for broken in ["zz\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "ffffffffffffffffff\r\nabc\r\n"] {
        let mut raw = server.raw().await;
        raw.write("PUT /v1/entries/kept HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        raw.write(broken).await;
        let answered = raw.rest().await;
        assert!(answered.starts_with("HTTP/1.1 400"), "{broken:?}: {answered}");
        assert_eq!(server.state().await, before, "{broken:?}");
    }
}

#[tokio::test]
async fn a_body_that_ends_too_soon_stores_nothing() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let mut raw = server.raw().await;
    raw.write("PUT /v1/entries/kept HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf").await;
    tokio::io::AsyncWriteExt::shutdown(&mut raw.0).await.expect("an open connection");
    raw.rest().await;
    assert_eq!(server.state().await, before);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let server = Running::start("").await;
    for at in 0..16 {
        server.put(&format!("/v1/entries/{at}"), format!("value {at}")).await.expect(201);
    }
    let requests: Vec<String> =
        (0..16).map(|at| format!("GET /v1/entries/{at} HTTP/1.1\r\nhost: localhost\r\n\r\n")).collect();
    let requests = requests.concat();
    let mut raw = server.raw().await;
    raw.write(&requests).await;
    for at in 0..16 {
        assert_eq!(raw.answer().await.expect(200).text(), format!("value {at}"));
    }
    raw.0.set_nodelay(true).expect("a socket");
    for byte in requests.as_bytes() {
        raw.write([*byte]).await;
    }
    for at in 0..16 {
        assert_eq!(raw.answer().await.expect(200).text(), format!("value {at}"));
    }
}

#[tokio::test]
async fn half_a_request_does_not_hold_the_answer_to_the_one_before_it() {
    let server = Running::with_entry("").await;
    let mut raw = server.raw().await;
    raw.write("GET /v1/entries/kept HTTP/1.1\r\nhost: localhost\r\n\r\nGET /v1/entr").await;
    assert_eq!(raw.answer().await.expect(200).text(), "value");
    raw.write("ies/kept HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(raw.answer().await.expect(200).text(), "value");
}

#[tokio::test]
async fn a_header_that_does_not_end_is_refused() {
    let server = Running::with_entry("").await;
    let before = server.state().await;
    let floods = [
        format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(200_000)),
        format!("GET /v1/entries/kept HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500)),
        "\x16\x03\x01 not HTTP at all\r\n\r\n".to_owned(),
    ];
    for flood in floods {
        let mut raw = server.raw().await;
        // The server may hang up before it has read everything.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0, flood.as_bytes()).await;
        let answered = raw.rest().await;
        assert!(answered.is_empty() || answered.starts_with("HTTP/1.1 4"), "{answered}");
        assert_eq!(server.state().await, before);
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_hears_why_it_was_refused() {
    let server = Running::start("body_limit_bytes = 1000\ntoken = \"t\"").await;
    let right = [("authorization", "Bearer t")];
    server.send("PUT", "/v1/entries/kept", &right, "value").await.expect(201);
    let large = "x".repeat(4 << 20);
    let declared = format!("content-length: {}\r\n\r\n{large}", large.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    for body in [&declared, &chunked] {
        for (token, status) in [("t", 413), ("wrong", 401)] {
            let mut raw = server.raw().await;
            let head = "PUT /v1/entries/kept HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer";
            raw.write(format!("{head} {token}\r\n{body}")).await;
            raw.answer().await.problem(status);
        }
    }
    let kept = server.send("GET", "/v1/entries/kept", &right, "").await;
    assert_eq!(kept.text(), "value");
}
