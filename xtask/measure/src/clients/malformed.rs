//! What nobody may send: each of it is to be refused, or to be hung up on.

/// All of it, one for each connection.
pub(super) fn all() -> Vec<Vec<u8>> {
    let head = "HTTP/1.1\r\nhost: localhost\r\n";
    let many = "x-a: b\r\n".repeat(500);
    let long = "x".repeat(200 << 10);
    let deep = "[".repeat(100_000);
    let texts = [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "SET key value\r\n".to_owned(),
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n".to_owned(),
        format!("PUT /v1/entries/k {head}content-length: 5\r\ncontent-length: 6\r\n\r\nhello"),
        format!("PUT /v1/entries/k {head}content-length: -1\r\n\r\nhello"),
        format!("PUT /v1/entries/k {head}content-length: 99999999999999999999\r\n\r\nhello"),
        format!("PUT /v1/entries/k {head}transfer-encoding: gzip, chunked, x\r\n\r\nhello"),
        format!("PUT /v1/entries/k {head}transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n"),
        format!("PUT /v1/entries/k {head}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nhello"),
        format!("GET /v1/entries/%ff {head}\r\n"),
        format!("GET /v1/entries/k {head}{many}\r\n"),
        format!("GET /v1/entries/k {head}x-long: {long}\r\n\r\n"),
        format!("GET /{long} {head}\r\n"),
        format!("GET /v1/entries/k {head}bad header\r\n\r\n"),
        format!("GET /v1/entries/k {head}x\0y: z\r\n\r\n"),
        format!(
            "POST /v1/set-many {head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{deep}",
            deep.len()
        ),
        format!(
            "POST /v1/set-many {head}content-type: application/json\r\ncontent-length: 9\r\n\r\nnot json!"
        ),
        format!("BREW /v1/entries/k {head}\r\n"),
    ];
    let noise: Vec<u8> = (0..4096_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let hello = [&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3][..], &[7; 500]].concat();
    texts.into_iter().map(String::into_bytes).chain([noise, hello]).collect()
}
