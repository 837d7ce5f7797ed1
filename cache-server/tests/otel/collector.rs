//! A collector: takes what is sent to it by OTLP over HTTP, and reads the protocol buffers in it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use cache_testkit::tls::Certificates;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A batch as it came.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) line: String,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

/// Listens until the test ends. The first answer has the status that is given, all others 200.
pub(crate) fn listen(first: u16) -> (SocketAddr, Receiver<Batch>) {
    let mut status = first;
    take_from("127.0.0.1", move |connection| Some(take(connection, std::mem::replace(&mut status, 200))))
}

/// Listens over TLS until the test ends. Who does not trust it sends nothing.
pub(crate) fn listen_sealed(at: &str, certificates: &Certificates) -> (SocketAddr, Receiver<Batch>) {
    let chain = CertificateDer::pem_file_iter(certificates.certificate()).expect("a file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a chain");
    let key = PrivateKeyDer::from_pem_file(certificates.key()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder =
        builder.with_safe_default_protocol_versions().expect("known versions").with_no_client_auth();
    let config = Arc::new(builder.with_single_cert(chain, key).expect("they go together"));
    take_from(at, move |mut connection| {
        let mut shaken = ServerConnection::new(Arc::clone(&config)).expect("a legal configuration");
        shaken.complete_io(&mut connection).ok()?;
        Some(take(StreamOwned::new(shaken, connection), 200))
    })
}

fn take_from(
    at: &str,
    mut taken: impl FnMut(TcpStream) -> Option<Batch> + Send + 'static,
) -> (SocketAddr, Receiver<Batch>) {
    let listener = TcpListener::bind((at, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, batches) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            if taken(connection.expect("a connection")).is_some_and(|batch| sender.send(batch).is_err()) {
                return;
            }
        }
    });
    (address, batches)
}

fn take(connection: impl Read + Write, status: u16) -> Batch {
    let mut from = BufReader::new(connection);
    let (mut line, mut headers) = (String::new(), String::new());
    from.read_line(&mut line).expect("a request");
    while !headers.ends_with("\r\n\r\n") && headers != "\r\n" {
        assert!(from.read_line(&mut headers).expect("a header") > 0, "{headers}");
    }
    let headers = headers.to_ascii_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    from.read_exact(&mut body).expect("a whole body");
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    from.into_inner().write_all(answer.as_bytes()).expect("it waits for an answer");
    Batch { line: line.trim_end().to_owned(), headers, body }
}

/// What a span says.
#[derive(Debug, Default)]
pub(crate) struct Span {
    pub(crate) trace: Vec<u8>,
    pub(crate) parent: Vec<u8>,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// 2 for an error.
    pub(crate) status: u64,
}

/// The resource's attributes, and the spans of a batch: `ExportTraceServiceRequest` of opentelemetry-proto 1.
pub(crate) fn read(body: &[u8]) -> (BTreeMap<String, String>, Vec<Span>) {
    let (mut resource, mut spans) = (BTreeMap::new(), Vec::new());
    for of_resource in messages(body, 1) {
        for about in messages(of_resource, 1) {
            resource.extend(messages(about, 1).into_iter().map(attribute));
        }
        for of_scope in messages(of_resource, 2) {
            spans.extend(messages(of_scope, 2).into_iter().map(span));
        }
    }
    (resource, spans)
}

fn span(bytes: &[u8]) -> Span {
    let mut span =
        Span { attributes: messages(bytes, 9).into_iter().map(attribute).collect(), ..Span::default() };
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Bytes(bytes)) => span.trace = bytes.to_vec(),
            (4, Field::Bytes(bytes)) => span.parent = bytes.to_vec(),
            (5, Field::Bytes(bytes)) => span.name = text(bytes),
            (6, Field::Number(kind)) => span.kind = kind,
            (15, Field::Bytes(status)) => {
                let code = fields(status).into_iter().find_map(|(number, field)| match field {
                    Field::Number(code) if number == 3 => Some(code),
                    _ => None,
                });
                span.status = code.unwrap_or_default();
            }
            _ => {}
        }
    }
    span
}

/// A `KeyValue`, whose value is a text or a number here.
fn attribute(bytes: &[u8]) -> (String, String) {
    let name = messages(bytes, 1).first().map(|bytes| text(bytes)).expect("a name");
    let value = messages(bytes, 2).first().map(|value| fields(value)).expect("a value");
    let value = value.into_iter().next().map(|(_, field)| match field {
        Field::Bytes(bytes) => text(bytes),
        Field::Number(number) => number.to_string(),
    });
    (name, value.unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A field as it is on the wire.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn messages(bytes: &[u8], wanted: u64) -> Vec<&[u8]> {
    let fields = fields(bytes).into_iter();
    fields
        .filter_map(|(number, field)| match field {
            Field::Bytes(bytes) if number == wanted => Some(bytes),
            _ => None,
        })
        .collect()
}

fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = number(&mut rest);
        let field = match tag & 7 {
            0 => Field::Number(number(&mut rest)),
            1 => Field::Bytes(part(&mut rest, 8)),
            2 => {
                let length = number(&mut rest);
                Field::Bytes(part(&mut rest, usize::try_from(length).expect("a length")))
            }
            5 => Field::Bytes(part(&mut rest, 4)),
            kind => panic!("there is no kind {kind} of fields"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn part<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (part, after) = rest.split_at_checked(length).expect("a whole field");
    *rest = after;
    part
}

fn number(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = part(rest, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
    }
    panic!("a number has at most ten bytes")
}
