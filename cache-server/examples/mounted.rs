//! An application of your own with two caches, and the monitoring of them mounted beside its routes.
//!
//! `cargo run -p cache-server --example mounted`

#![expect(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Router, response::IntoResponse};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use strata::{Cache, Memory, Options, Registry};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
struct App {
    tokens: Cache<String, u64>,
    reports: Cache<u32, String>,
}

async fn user(State(app): State<App>, Path(token): Path<String>) -> Result<String, StatusCode> {
    let load = || async { Ok::<_, std::io::Error>(7) };
    let user = app.tokens.get_or_load(&token, load).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(user.to_string())
}

async fn report(State(app): State<App>, Path(number): Path<u32>) -> impl IntoResponse {
    let load = move || async move { Ok::<_, std::io::Error>(format!("report {number}")) };
    app.reports
        .get_or_load(&number, load)
        .await
        .map(|report| report.to_string())
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

fn router() -> Result<Router, Box<dyn Error>> {
    let tokens = Cache::builder("token")
        .memory(Memory::new().with_max_entries(10_000))
        .options(Options::new().with_ttl(Duration::from_hours(1)))
        .build()?;
    let reports = Cache::builder("report").memory(Memory::new().with_max_entries(1_000)).build()?;
    let caches = Registry::new();
    caches.add(&tokens)?;
    caches.add(&reports)?;
    Ok(Router::new()
        .route("/users/{token}", get(user))
        .route("/reports/{number}", get(report))
        // Put your own authentication around it, as around everything that clears.
        .merge(cache_server::monitor(caches))
        .with_state(App { tokens, reports }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = axum::serve(listener, router()?);
    let server = tokio::spawn(async move { server.await });
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    let mut ask = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("content-type", "application/json").body(Body::from(body.to_owned()))?;
        client.ready().await?;
        let response = client.send_request(request).await?;
        assert_eq!(response.status(), StatusCode::OK, "{method} {path}");
        Ok::<Bytes, Box<dyn Error>>(response.into_body().collect().await?.to_bytes())
    };

    for path in ["/users/a", "/users/a", "/users/b", "/reports/1"] {
        ask("GET", path, "").await?;
    }
    let metrics: Value = serde_json::from_slice(&ask("GET", "/api/cache/metrics", "").await?)?;
    println!("metrics: {metrics:#}");
    assert_eq!((&metrics["hits"], &metrics["misses"]), (&1.into(), &3.into()));
    assert_eq!(metrics["caches"]["token"]["size"], 2);
    let health: Value = serde_json::from_slice(&ask("GET", "/api/cache/health", "").await?)?;
    assert_eq!(health["status"], "healthy");
    let dashboard: Value = serde_json::from_slice(&ask("GET", "/api/cache/dashboard", "").await?)?;
    println!("insights: {}", dashboard["insights"]);
    let cleared: Value =
        serde_json::from_slice(&ask("POST", "/api/cache/clear", r#"{"cache_type": "token"}"#).await?)?;
    println!("cleared: {cleared}");
    assert_eq!(cleared["removed"], 2);
    server.abort();
    Ok(())
}

#[test]
fn what_it_shows_holds() -> Result<(), Box<dyn Error>> {
    main()
}
