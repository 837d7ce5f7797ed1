//! A web application whose callers are limited by class, and what a client of it sees.
//!
//! `cargo run -p cache-http --features limit --example limits`

#![expect(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Router, routing::get};
use cache_http::limit::{Caller, Fields, Hops, LimitLayer};
use cache_ratelimit::{Audit, Class, ClassLimiter, Classes, Subject};
use http::request::Parts;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// Whose request it is. A real application would have looked the token up in an outer layer.
fn identify(request: &Parts) -> Result<Caller, cache_core::KeyError> {
    let token = request.headers.get("authorization").and_then(|token| token.to_str().ok());
    match (request.uri.path(), token) {
        ("/healthz", _) => Ok(Caller::Exempt),
        (_, Some("Bearer of-root")) => Ok(Caller::new(Class::Admin, Subject::named("root")?)),
        (_, Some(token)) => Ok(Caller::new(Class::Authenticated, Subject::secret(token)?)),
        (_, None) => {
            // Behind one proxy of ours this would be `Hops::new(1)`.
            let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
            let peer = peer.map_or([0; 4].into(), |peer| peer.0.ip());
            Ok(Caller::new(Class::Anonymous, Subject::address(Hops::NONE.caller(&request.headers, peer))?))
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("audit.log");
    let audit = Audit::to_file(&log, 1 << 20, 5)?;
    // Five for who is not known, so that this example ends soon. Counters of Redis would hold for all processes.
    let classes = Classes { limits: [5, 120, 300, 1000], per: Duration::from_mins(1) };
    let limiter = Arc::new(ClassLimiter::local(classes)?.with_audit(audit.clone()));
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/healthz", get(async || "well"))
        .layer(LimitLayer::new(limiter, identify).with_fields(Fields::Both));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>());
    let server = tokio::spawn(async move { server.await });

    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    let mut denied = 0;
    let calls = [("/", "")].repeat(7).into_iter().chain([("/", "Bearer of-root"), ("/healthz", "")]);
    for (path, token) in calls {
        let mut request = Request::get(path).header("host", "localhost");
        if !token.is_empty() {
            request = request.header("authorization", token);
        }
        client.ready().await?;
        let response = client.send_request(request.body(Empty::<Bytes>::new())?).await?;
        denied += u32::from(response.status() == StatusCode::TOO_MANY_REQUESTS);
        println!("GET {path} -> {}", response.status());
        for (name, value) in response.headers() {
            if name.as_str().contains("ratelimit") || name == "retry-after" {
                println!("    {name}: {}", value.to_str()?);
            }
        }
        println!("    {}", String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()));
    }
    assert_eq!(denied, 2);
    audit.close();
    print!("audit.log: {}", std::fs::read_to_string(log)?);
    server.abort();
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Box<dyn Error>> {
    main()
}
